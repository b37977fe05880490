"""Fuzz the bundle, its payload, its keys and its saved state: the clean error, and no signature that holds by chance.

Runs alone as `python -m tests.fuzz.fuzz_signed_bundle [seconds [seed]]`; what it finds is printed as a call that
repeats it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from cmakeys.errors import UsageProblem
from cmakeys.roots.bundle_state import BundleStateProblem, load_state, save_state
from cmakeys.roots.deny import DenyEntry, DenyKind
from cmakeys.roots.document import DocumentProblem
from cmakeys.roots.signed_bundle import pack, read_bundle, read_payload, render_bundle
from cmakeys.roots.signer import SignerKey
from tests.fuzz.mutation import Finding, run
from tests.roots.bundles import after, bundle, public, signed
from tests.roots.trust import root

GOOD = signed(bundle(3, "2 of e p", (root("a"),), (DenyEntry(DenyKind.KEY, "a" * 64, "leaked"),)), "e p")


class ForgedError(Exception):
    """Other bytes than those that were signed have enough signatures."""


def _bundle(data: bytes) -> None:
    read = read_bundle(data, "fuzz")
    if len(GOOD.bundle.signers.signed(read.message, read.signatures)) >= 2 and read.payload != GOOD.payload:
        raise ForgedError


def _state(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bundles/acme.json"
        path.parent.mkdir()
        path.write_bytes(data)
        load_state(Path(folder), "acme")


TARGETS: tuple[Callable[[bytes], object], ...] = (
    _bundle,
    lambda data: read_payload(data, "fuzz"),
    _state,
    SignerKey.from_der,
)


def corpus() -> tuple[bytes, ...]:
    """One small example of what each target reads, in the order of the targets."""
    with TemporaryDirectory() as folder:
        save_state(Path(folder), after(GOOD.bundle), instead_of=None)
        state = (Path(folder) / "bundles/acme.json").read_bytes()
    return render_bundle(GOOD), pack(GOOD.bundle).payload, state, public("p").spki


def try_one(data: bytes) -> Finding | None:
    """Give `data` to every target; anything but silence or the clean error is a finding."""
    for target in TARGETS:
        try:
            target(data)
        except (DocumentProblem, BundleStateProblem) as problem:
            if not problem.object:
                return Finding(data, problem)
        except UsageProblem as problem:
            if not problem.message:
                return Finding(data, problem)
        except Exception as error:
            return Finding(data, error)
    return None


def main(arguments: Sequence[str]) -> int:
    return run(corpus(), try_one, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
