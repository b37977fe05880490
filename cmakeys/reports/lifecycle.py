"""The steps of a root's life, and the history of all roots, as text of 80 columns and as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cmakeys.reports.layout import Line, shorten
from cmakeys.reports.terminal import Tone
from cmakeys.roots.ledger import Recorded
from cmakeys.roots.root import Root
from cmakeys.roots.steps import StepPlan
from cmakeys.roots.transaction import Transaction, Transition

HISTORY_HEADER = ("NO", "WHEN", "WHO", "WHAT", "ROOTS")
MAX_SHOWN = 12


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


def history_row(recorded: Recorded, *, undone_by: int | None) -> tuple[str, ...]:
    """One change of the journal in a row of at most 78 cells."""
    transaction = recorded.transaction
    what = transaction.action.removeprefix("roots-")
    if transaction.undoes:
        what = f"{what} {transaction.undoes}"
    if undone_by is not None:
        what = f"{what} (undone)"
    return (
        str(recorded.number),
        f"{transaction.at:%Y-%m-%d %H:%M}",
        shorten(transaction.by, 12),
        shorten(what, 20),
        shorten(_summary(transaction), 22),
    )


def _summary(transaction: Transaction) -> str:
    words = [
        f"{one.root.name} {_arrow(one)}" if len(transaction.transitions) == 1 else one.root.name
        for one in transaction.transitions
    ]
    if transaction.deny_added:
        words.append(f"{len(transaction.deny_added)} denied")
    if transaction.deny_removed:
        words.append(f"{len(transaction.deny_removed)} allowed")
    return ", ".join(words)


def _arrow(transition: Transition) -> str:
    return f"→ {_state(transition.after) or 'gone'}"


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
