"""Every row of the table of rotations, and what holds in all of them."""

from __future__ import annotations

from datetime import timedelta

from cmakeys.verify.verifier import verify
from tests.roots.rotating import by_row, carried_out, changes, difference, first, moves, planned, verdicts
from tests.roots.rotations import ROWS, Row
from tests.roots.succession import NOW, evidence


def test_the_table_is_long_enough_to_be_one() -> None:
    assert len(ROWS) >= 40
    assert len({row.says for row in ROWS}) == len(ROWS)


@by_row
def test_a_rotation(row: Row) -> None:
    known = first(row)
    assert verdicts(row, known) == row.verdicts
    for step in row.steps:
        after = carried_out(known, row, step)
        assert difference(known, after) == step.swap, step
        if not step.do.startswith("disturb"):
            assert changes(known, after) == step.roots, step
        if not step.refused:
            assert verdicts(row, after, step) == step.verdicts, step
        known = after


@by_row
def test_no_device_that_was_good_is_lost(row: Row) -> None:
    """Whatever the commands of a rotation do, a check that was good before a step is good after it."""
    known = first(row)
    for step in row.steps:
        after = carried_out(known, row, step)
        if not step.do.startswith("disturb"):
            for one, other in zip(verdicts(row, known, step).split(), verdicts(row, after, step).split(), strict=True):
                assert not one.endswith((":trusted", ":degraded")) or not other.endswith(":rejected"), step
        known = after


@by_row
def test_a_root_that_was_not_named_is_never_touched(row: Row) -> None:
    known = first(row)
    for step in row.steps:
        after = carried_out(known, row, step)
        if not step.do.startswith("disturb") and not step.refused:
            proposal = planned(known, row, step)
            heirs = {
                each.name
                for each in known.roots
                if (each.rotation and proposal.rotation) and each.rotation.successor == proposal.rotation.successor
            }
            named = {proposal.old.name, *([proposal.new.name] if proposal.new else []), *heirs}
            assert {e for e in known.roots if e.name not in named} == {e for e in after.roots if e.name not in named}
            assert after.deny == known.deny
        known = after


@by_row
def test_the_plan_says_for_every_device_what_a_check_then_says(row: Row) -> None:
    """`before` and `after` of a plan are the verifier's opinion, asked without evidence."""
    known = first(row)
    for step in row.steps:
        if not step.do.startswith("disturb") and step.refused not in ("same-root", "lost-key"):
            proposal = planned(known, row, step)
            end = proposal.after if step.refused else carried_out(known, row, step)
            for view in proposal.devices:
                now = NOW + timedelta(days=step.day)
                word = moves(step).get(view.device.name, view.device.name)
                good = verify(evidence(word), known, now=now).outcome.healthy
                assert good == bool(view.before), (step, view)
                if not step.do.startswith("start"):
                    assert verify(evidence(word), end, now=now).outcome.healthy == bool(view.after), (step, view)
        known = carried_out(known, row, step)
