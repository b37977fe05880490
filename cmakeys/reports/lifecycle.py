"""The steps of a root's life, and the history of all roots, as text of 80 columns and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from cmakeys.reports.layout import WIDTH, Line, shorten, wrap
from cmakeys.reports.terminal import Tone
from cmakeys.roots.deny import DenyEntry
from cmakeys.roots.ledger import Recorded
from cmakeys.roots.root import Root
from cmakeys.roots.steps import StepPlan
from cmakeys.roots.transaction import Transaction, Transition

MAX_SHOWN = 12
MAX_BELOW = 5
"""Roots, deny entries, or lines of the reason, below one change of the history."""

_INDENT = " " * 6


def step_data(plan: StepPlan, *, dry_run: bool) -> dict[str, object]:
    """A step for a program."""
    return {**transition_data(plan.transition), "dry_run": dry_run, "lost": [loss.device.name for loss in plan.losses]}


def transition_data(transition: Transition) -> dict[str, object]:
    """One root before and after, for a program."""
    root = transition.root
    return {
        "name": root.name,
        "sha256": root.fingerprint,
        "before": _state(transition.before),
        "after": _state(transition.after),
        "distrust_after": root.distrust_after,
    }


def step_report(plan: StepPlan) -> Iterator[Line]:
    """A step for a person."""
    yield Line(f"{plan.transition.root.name}  {plan.transition.root.certificate.label}")
    yield Line(f"sha256 {plan.transition.root.fingerprint}")
    yield Line(_words(plan.transition))
    for loss in plan.losses[:MAX_SHOWN]:
        yield Line(f"{shorten(loss.device.name, 40)} is left without a root", Tone.WARNING)
    if len(plan.losses) > MAX_SHOWN:
        yield Line(f"{len(plan.losses) - MAX_SHOWN} more devices are left without a root", Tone.WARNING)


def transaction_report(transaction: Transaction) -> Iterator[Line]:
    """What a transaction changes, root by root, as an undo shows it before it is made."""
    for transition in transaction.effective[:MAX_SHOWN]:
        yield Line(f"{transition.root.name:24} {_words(transition)}")
    if len(transaction.effective) > MAX_SHOWN:
        yield Line(f"and {len(transaction.effective) - MAX_SHOWN} more roots")
    for entry in transaction.deny_added[:MAX_SHOWN]:
        yield Line(f"denied again: {entry.words}", Tone.WARNING)
    for entry in transaction.deny_removed[:MAX_SHOWN]:
        yield Line(f"denied no more: {entry.words}", Tone.WARNING)


def history_data(recorded: Recorded, *, undone_by: int | None) -> dict[str, object]:
    """One change of the journal for a program."""
    transaction = recorded.transaction
    return {
        "number": recorded.number,
        "at": transaction.at,
        "by": transaction.by,
        "action": transaction.action,
        "subject": transaction.subject,
        "reason": transaction.reason,
        "roots": [transition_data(transition) for transition in transaction.transitions],
        "denied": len(transaction.deny_added),
        "no_longer_denied": len(transaction.deny_removed),
        "undoes": transaction.undoes,
        "undone_by": undone_by,
    }


def history_report(changes: Sequence[Recorded], undone_by: Mapping[int, int]) -> Iterator[Line]:
    """Changes for a person, in the order given: a line with who and when, below it what happened to what, and why."""
    for recorded in changes:
        transaction, back = recorded.transaction, undone_by.get(recorded.number)
        action = transaction.action.removeprefix("roots-")
        if transaction.undoes:
            action = f"{action} {transaction.undoes}"
        note = f", undone by {back}" if back is not None else ""
        head = f"{recorded.number:>4}  {transaction.at:%Y-%m-%d %H:%M}Z  {shorten(transaction.by, 16)}  "
        yield Line(head + shorten(f"{action}{note}", WIDTH - len(head)), Tone.NOTE if note else Tone.PLAIN)
        yield from _below(f"{one.root.name}: {_event(one)}" for one in transaction.effective)
        yield from _below(f"denied: {_target(entry)}" for entry in transaction.deny_added)
        yield from _below(f"denied no more: {_target(entry)}" for entry in transaction.deny_removed)
        if transaction.reason:
            why = wrap(transaction.reason, f"{_INDENT}because: ", _INDENT + " " * len("because: "))
            yield from (Line(line) for line in why[:MAX_BELOW])


def _below(texts: Iterable[str]) -> Iterator[Line]:
    known = list(texts)
    yield from (Line(shorten(_INDENT + text, WIDTH)) for text in known[:MAX_BELOW])
    if len(known) > MAX_BELOW:
        yield Line(f"{_INDENT}and {len(known) - MAX_BELOW} more")


def _target(entry: DenyEntry) -> str:
    after = f"from {entry.after:%Y-%m-%d} on: " if entry.after else ""
    return after + entry.words.replace(entry.sha256, f"{entry.sha256[:12]}…")


def _event(transition: Transition) -> str:
    if transition.before is None:
        return f"added, {_state(transition.after)}"
    return "removed" if transition.after is None else _words(transition)


def _words(transition: Transition) -> str:
    before, after = transition.before, transition.after
    if before is None or after is None:
        return f"comes back, {after.state.value}" if after is not None else "is taken away"
    if before.state is not after.state:
        return f"{before.state.value} → {after.state.value}"
    if before.distrust_after != after.distrust_after:
        when = after.distrust_after
        return f"believed for leaves up to {when:%Y-%m-%d}" if when else "believed for leaves of any date"
    return "as it is" if not transition.changes else "other limits"


def _state(root: Root | None) -> str | None:
    return root.state.value if root else None


def undone(history: Sequence[Recorded]) -> dict[int, int]:
    """Which change was taken back by which, by number."""
    return {
        recorded.transaction.undoes: recorded.number for recorded in history if recorded.transaction.undoes is not None
    }
