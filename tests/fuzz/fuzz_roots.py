"""Fuzz what is read from store, declarations, catalogue and journal: mutated files give the clean error, nothing else.

Runs alone as `python -m tests.fuzz.fuzz_roots [seconds [seed]]`; what it finds is printed as a call that repeats it.
A journal raises nothing at all: what is wrong with it is in what it returns.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from cmakeys.errors import Refused
from cmakeys.roots.catalogue import load_catalogue, read_vendor
from cmakeys.roots.declaration import read_declaration, render_declaration
from cmakeys.roots.directory import DirectoryContent, combine
from cmakeys.roots.document import DocumentProblem
from cmakeys.roots.journal import Journal, read_journal
from cmakeys.roots.record import StoreProblem, read_deny, read_pem, render_deny, render_pem, render_root
from cmakeys.roots.root import Constraints, LeafNameRule, Provenance, Root
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet
from tests.fuzz.mutation import Finding, run
from tests.roots.trust import certificate

AT = datetime(2040, 1, 1, tzinfo=UTC)
FULL = Root(
    "a",
    certificate("a"),
    constraints=Constraints(
        frozenset({0x10DE}), frozenset({1}), frozenset({"03"}), frozenset({0}), leaf_name=LeafNameRule.EITHER
    ),
    provenance=Provenance("a.pem", AT, "ada", "new: 'cards'"),
    distrust_after=AT,
)


def _directory(data: bytes) -> None:
    pem = render_pem(FULL.certificate)
    combine([DirectoryContent(Path("/etc"), {"a.yaml": data, "a.pem": pem})])


TARGETS: tuple[Callable[[bytes], object], ...] = (
    _directory,
    lambda data: read_pem(data, "fuzz"),
    lambda data: read_deny(data, "fuzz"),
    lambda data: read_vendor(data, "fuzz"),
    lambda data: read_declaration(data, "fuzz", lambda _: render_pem(FULL.certificate)),
    lambda data: read_journal(io.BytesIO(data)),
)


def corpus() -> tuple[bytes, ...]:
    """One small example of every file."""
    deny = (DenyEntry(DenyKind.CERTIFICATE, "a" * 64, "stolen"), DenyEntry(DenyKind.KEY, "b" * 64))
    entry = next(iter(load_catalogue().entries.values()))
    vendor = f"schema: 1\nvendor: x\npci-vendors: [10de]\nnotes: [a, 'b']\nroots:\n- name: {entry.name}\n"
    vendor += f"  certificate: {entry.fingerprint}\n  title: x\n  purpose: test\n  constraints: {{slots: [0]}}\n"
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        for number in range(3):
            journal.append("roots-add", f"root-{number}", {"n": number}, at=AT, by="ada")
        lines = journal.path.read_bytes()
    declaration = render_declaration(RootSet((FULL,), deny), {})
    files = render_root(FULL), render_pem(FULL.certificate), render_deny(deny), vendor.encode(), declaration
    return *files, lines, lines[:-9]


def try_one(data: bytes) -> Finding | None:
    """Give `data` to every target; anything but silence or a clean error that names its object is a finding."""
    for target in TARGETS:
        try:
            target(data)
        except (DocumentProblem, Refused, StoreProblem) as problem:
            if not problem.object:
                return Finding(data, problem)
        except Exception as error:
            return Finding(data, error)
    return None


def main(arguments: Sequence[str]) -> int:
    return run(corpus(), try_one, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
