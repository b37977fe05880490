"""How long the command takes to say anything at all, against importing typer alone."""

from __future__ import annotations

import sys

from tests.bench.ratio import Ratio, command, interleaved

ROUNDS = 25


def ratios() -> list[Ratio]:
    """`cmakeys --help` against `import typer`; both as whole processes."""
    typer, help_ = interleaved(
        [command(sys.executable, "-c", "import typer"), command(sys.executable, "-m", "cmakeys", "--help")], ROUNDS
    )
    return [Ratio("cmakeys --help against `import typer`", help_, typer, 1.25)]
