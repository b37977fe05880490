"""How long the command takes to say anything at all, against importing what it is built on."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from cmakeys.roots.root import Root
from cmakeys.roots.store import RootStore
from tests.bench.ratio import Ratio, command, interleaved
from tests.x509.pki import issue

ROUNDS = 25
ROOTS = 50


def ratios() -> list[Ratio]:
    """`cmakeys --help`, and `cmakeys roots list` of 50 roots, against importing the libraries that each needs."""
    with tempfile.TemporaryDirectory() as folder:
        store = RootStore(Path(folder))
        for number in range(ROOTS):
            store.add(Root(f"root-{number}", issue(f"Root {number}").certificate))
        typer, help_, libraries, listing = interleaved(
            [
                command(sys.executable, "-c", "import typer"),
                command(sys.executable, "-m", "cmakeys", "--help"),
                command(sys.executable, "-c", "import typer, yaml, cryptography.x509"),
                command(sys.executable, "-m", "cmakeys", "roots", "list", "--sysroot", folder),
            ],
            ROUNDS,
        )
    return [
        Ratio("cmakeys --help against `import typer`", help_, typer, 1.25),
        Ratio(
            f"cmakeys roots list with {ROOTS} roots against `import typer, yaml, cryptography.x509`",
            listing,
            libraries,
            1.6,
        ),
    ]
