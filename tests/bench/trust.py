"""What a thousand roots and ten thousand deny entries cost: loading them, finding anchors, one check, the keyring.

Two goals: all of it together takes at most two seconds more than ten roots and ten entries do, and what grows grows in
a straight line, so that ten times as much takes ten times as long and not a hundred.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from cmakeys.errors import EnvironmentProblem
from cmakeys.evidence.model import Evidence
from cmakeys.keyring.cma import open_keyring
from cmakeys.keyring.keyctl import Keyctl
from cmakeys.keyring.managed import apply, plan
from cmakeys.roots.deny import DenyEntry, DenyKind
from cmakeys.roots.record import render_deny
from cmakeys.roots.root import Root
from cmakeys.roots.store import ETC, RootStore
from cmakeys.verify.verdict import Outcome
from cmakeys.verify.verifier import verify
from tests.bench.ratio import Ratio
from tests.evidence.loopback import NOW, attest, vendor
from tests.roots.trust import put
from tests.x509.pki import issue

_Result = TypeVar("_Result")

FEW, SOME, MANY = (10, 10), (100, 1_000), (1_000, 10_000)
"""Numbers of roots and of deny entries."""

ROUNDS = 3
ALLOWANCE = 2_000.0
"""Milliseconds that `MANY` may take more than `FEW`."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds of each step by its name, the best of a few rounds."""

    steps: Mapping[str, float]

    @property
    def total(self) -> float:
        """All steps together."""
        return sum(self.steps.values())


def certified(number: int) -> Root:
    """One of many roots; they share a key, so that making them does not take longer than measuring them."""
    return Root(f"root-{number}", issue(f"{number} Bench Root", kind="rsa2048").certificate)


def entry(number: int) -> DenyEntry:
    """One of many entries, of each kind in turn."""
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    kind = list(DenyKind)[number % len(DenyKind)]
    serial = number if kind is DenyKind.ISSUER_SERIAL else None
    return DenyEntry(kind, sha256, "keyCompromise", serial, NOW if number % 5 == 0 else None, "vendor.crl")


def fill(tree: Path, roots: int, entries: int) -> None:
    """A store with so many roots, that of the device among them, and so many deny entries."""
    folder = tree / ETC
    put(folder, Root("acme", vendor().certificate))
    for number in range(roots - 1):
        put(folder, certified(number))
    (folder / "deny.yaml").write_bytes(render_deny([entry(number) for number in range(entries)]))


def measure(roots: int, entries: int, evidence: Evidence, keyctl: Keyctl | None) -> Cost:
    """What each step takes with so many roots and entries."""
    best: dict[str, float] = {}

    def timed(name: str, action: Callable[[], _Result]) -> _Result:
        start = time.perf_counter()
        result = action()
        taken = (time.perf_counter() - start) * 1000
        best[name] = min(taken, best.get(name, taken))
        return result

    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), roots, entries)
        store = RootStore(Path(folder))
        for _ in range(ROUNDS):
            known = timed("load", store.load)
            anchors = timed("anchors", known.anchors)
            verdict = timed("check", partial(verify, evidence, known, now=NOW))
            assert verdict.outcome is Outcome.TRUSTED, verdict.summary
            assert len(anchors) == roots
            if keyctl is not None:
                keyctl.join_session()
                ring = open_keyring("@s", keyctl=keyctl)
                rsa = [anchor for anchor in anchors if anchor.name != "acme"]  # what every kernel takes
                timed("apply", partial(apply, rsa, ring, keyctl=keyctl))
                timed("plan", partial(plan, rsa, ring, keyctl=keyctl))
    return Cost(best)


def keys() -> Keyctl | None:
    """The kernel's key service, where it can be used for this."""
    try:
        keyctl = Keyctl()
        keyctl.join_session()
        apply([certified(0)], open_keyring("@s", keyctl=keyctl), keyctl=keyctl)
    except EnvironmentProblem:
        return None
    return keyctl


def ratios() -> list[Ratio]:
    """The growth in all, and for each step that takes long enough to be told from nothing."""
    evidence, keyctl = attest(), keys()
    few, some, many = (measure(*size, evidence, keyctl) for size in (FEW, SOME, MANY))
    names = ", ".join(many.steps)
    found = [
        Ratio(
            f"{MANY[0]} roots and {MANY[1]} deny entries against the allowance over {FEW[0]} and {FEW[1]} ({names})",
            many.total - few.total,
            ALLOWANCE,
            1.0,
        )
    ]
    for name, taken in many.steps.items():
        expected = 10 * some.steps[name]
        if taken >= 5:
            found.append(Ratio(f"{name}: {MANY[0]} roots against ten times {SOME[0]}", taken, expected, 1.5))
    return found
