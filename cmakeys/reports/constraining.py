"""A change of what a root may vouch for, as a reader wants to see it: the kinds that differ, then the devices."""

from __future__ import annotations

from cmakeys.reports.layout import Line, wrap
from cmakeys.reports.roots import constraints_data
from cmakeys.reports.terminal import Tone
from cmakeys.roots.constraining import ConstraintPlan
from cmakeys.roots.record import render_constraints
from cmakeys.roots.root import Constraints


def constraining_report(plan: ConstraintPlan) -> list[Line]:
    """What would change, and for which enrolled devices."""
    before, after = plan.change.before, plan.change.after
    assert before is not None  # noqa: S101 a root is constrained, not brought or taken
    assert after is not None  # noqa: S101
    lines = [Line(f"constraints of {before.name}"), *_kinds(before.constraints, after.constraints)]
    for loss in plan.lost:
        lines += [Line(text, Tone.BAD) for text in wrap(f"{loss.device} would be rejected: {loss.reason}", "", " " * 4)]
    for loss in plan.narrowed:
        words = f"{loss.device} would rest on another root: {loss.reason}"
        lines += [Line(text, Tone.NOTE) for text in wrap(words, "", " " * 4)]
    return lines


def _kinds(before: Constraints, after: Constraints) -> list[Line]:
    held, wanted = render_constraints(before), render_constraints(after)
    lines = []
    for kind in dict.fromkeys((*held, *wanted)):
        old, new = _words(held.get(kind)), _words(wanted.get(kind))
        if old == new:
            lines += [Line(text) for text in wrap(f"{kind} {old}", "  ", " " * 6)]
            continue
        lines += [Line(text) for text in wrap(f"{kind} {old}", "- ", " " * 6)]
        lines += [Line(text) for text in wrap(f"{kind} {new}", "+ ", " " * 6)]
    return lines


def _words(value: object) -> str:
    if value is None:
        return "any"
    return ", ".join(str(each) for each in value) if isinstance(value, list) else str(value)


def constraining_data(plan: ConstraintPlan, *, dry_run: bool) -> dict[str, object]:
    """The same as data."""
    before, after = plan.change.before, plan.change.after
    return {
        "name": plan.change.root.name,
        "sha256": plan.change.root.fingerprint,
        "before": before and constraints_data(before.constraints),
        "after": after and constraints_data(after.constraints),
        "rejected": [{"name": loss.device, "reason": loss.reason} for loss in plan.lost],
        "moved": [{"name": loss.device, "reason": loss.reason} for loss in plan.narrowed],
        "dry_run": dry_run,
    }
