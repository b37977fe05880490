"""Carries out the rows of the table of rotations, and says what came of it in the table's words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet
from cmakeys.roots.rotation import Circumstances, RotationPlan
from cmakeys.roots.rotation_end import plan_abort, plan_finish
from cmakeys.roots.rotation_start import plan_start
from cmakeys.roots.vouching import Credentials
from cmakeys.verify.verifier import verify
from cmakeys.x509.certificate import Certificate
from tests.roots.rotations import ROWS, Row, Step
from tests.roots.succession import NOW, certificate, crossed, dependant, evidence, root, rootset

by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says.replace(" ", "-"))

CROSS: dict[str, Callable[[str], Certificate]] = {
    "": crossed,
    "by-other": lambda new: crossed(new, by="other"),
    "of-third": lambda new: crossed("third"),
    "ended": lambda new: crossed(new, end=datetime(2039, 6, 1)),
    "leaf": lambda new: crossed(new, ca=False),
    "itself": certificate,
}
LONG_AGO, ONE_DAY = datetime(2019, 1, 1, tzinfo=UTC), datetime(2039, 6, 1, tzinfo=UTC)
TEST_ROOTS = {certificate("known-test").fingerprint: "Known"}


def first(row: Row) -> RootSet:
    """The roots at the beginning of a story."""
    known = rootset(row.roots, **row.limits)
    for word in row.distrust_after.split():
        when = ONE_DAY if word.endswith("!") else LONG_AGO
        known = RootSet(
            tuple(
                replace(each, distrust_after=when) if each.name == word.removesuffix("!") else each
                for each in known.roots
            )
        )
    deny = tuple(DenyEntry(DenyKind.CERTIFICATE, certificate(word).fingerprint) for word in row.deny.split())
    return replace(known, deny=deny)


def credentials(step: Step, new: str) -> Credentials:
    kind, _, which = step.by.partition(" ")
    fingerprint = certificate(new).fingerprint
    match kind:
        case "fingerprint":
            return Credentials(fingerprint=fingerprint)
        case "wrong-fingerprint":
            return Credentials(fingerprint=certificate("other").fingerprint)
        case "list":
            return Credentials(listed={fingerprint: "the vendor's bundle"})
        case "cross":
            return Credentials(cross=(CROSS[which](new),))
    return Credentials()


def moves(step: Step) -> dict[str, str]:
    return dict(each.split(">") for each in step.moved.split())


def planned(known: RootSet, row: Row, step: Step) -> RotationPlan:
    verb, *names = step.do.split()
    old, new = [*names, *["old", "new"][len(names) :]]
    present = next((each for each in known.roots if each.name == new), None)
    devices = tuple(dependant(word, moves(step).get(word, "")) for word in row.devices.split())
    at = Circumstances(NOW + timedelta(days=step.day), devices, step.clock_fault, test_roots=TEST_ROOTS)
    match verb:
        case "start":
            overlap = None if step.overlap is None else timedelta(days=step.overlap)
            candidate = present or root(f"{new}:staged", **row.limits)
            return plan_start(
                known, known.find(old), candidate, at, credentials=credentials(step, new), overlap=overlap
            )
        case "abort":
            return plan_abort(known, known.find(old), at)
    return plan_finish(known, known.find(old), at, early=verb == "early")


def disturbed(known: RootSet, what: str) -> RootSet:
    """The roots after somebody did something else to one of them."""
    name, _, state = what.partition(":")
    if state == "denied":
        return replace(known, deny=(*known.deny, DenyEntry(DenyKind.CERTIFICATE, certificate(name).fingerprint)))
    others = tuple(each for each in known.roots if each.name != name)
    if state == "-":
        return replace(known, roots=others)
    return replace(known, roots=(*others, replace(known.find(name), state=LifeCycle(state))))


def carried_out(known: RootSet, row: Row, step: Step) -> RootSet:
    """The roots after a step; a refused one is held against the row here."""
    if step.do.startswith("disturb"):
        return disturbed(known, step.do.split()[1])
    proposal = planned(known, row, step)
    assert [block.code for block in proposal.blocks][:1] == ([step.refused] if step.refused else [])
    if step.refused:
        if step.names:
            assert {block.code for block in proposal.blocks} == {step.refused}
            told = " ".join(f"{block.object} {block.message}" for block in proposal.blocks).replace(":", "").split()
            assert [word for word in told if word.startswith("on-")] == step.names.split()
        return known
    assert proposal.before == known
    return proposal.after


def difference(before: RootSet, after: RootSet) -> str:
    """The kernel operations between two sets."""
    held, wanted = ({each.name for each in known.anchors()} for known in (before, after))
    return " ".join([*(f"+{name}" for name in sorted(wanted - held)), *(f"-{name}" for name in sorted(held - wanted))])


def changes(before: RootSet, after: RootSet) -> str:
    """The roots that are not as they were, with their states."""
    held, wanted = ({each.name: each for each in known.roots} for known in (before, after))
    return " ".join(
        f"{name}:{wanted[name].state.value if name in wanted else '-'}"
        for name in sorted({*held, *wanted})
        if held.get(name) != wanted.get(name)
    )


def verdicts(row: Row, known: RootSet, step: Step | None = None) -> str:
    """What a check of every device says, each with the chain that it has by then."""
    moved = moves(step) if step else {}
    now = NOW + timedelta(days=step.day if step else 0)
    found = []
    for word in row.devices.split():
        verdict = verify(evidence(moved.get(word, word)), known, now=now)
        found.append(f"{word}:{verdict.outcome.value}")
    return " ".join(found)
