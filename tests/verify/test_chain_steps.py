"""Step 6 by each clock, on chains whose dates were chosen for it; the other chain steps are in test_verifier."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cmakeys.evidence.model import Evidence, EvidenceKind
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.verify.case import Case
from cmakeys.verify.chain_steps import step_6
from cmakeys.verify.facts import Facts
from cmakeys.verify.policy import Clock, Policy
from cmakeys.verify.verdict import StepOutcome
from tests.x509.pki import FOREVER, LEAF_USAGE, NOT_AFTER, NOW, Issued, issue

DAY = timedelta(days=1)


def case(*chain: Issued, now: datetime = NOW, policy: Policy | None = None, root: Root | None = None) -> Case:
    facts = Facts(certificates=tuple(issued.certificate for issued in chain))
    evidence = Evidence("device", EvidenceKind.CONVERSATION, now)
    return Case(evidence, facts, RootSet(), policy or Policy(), now, None, None, None, root)


def chain(not_before: datetime, not_after: datetime) -> tuple[Issued, Issued]:
    root = issue("Root", not_after=FOREVER)
    leaf = issue("Leaf", root, number=1, ca=False, key_usage=LEAF_USAGE, not_before=not_before, not_after=not_after)
    return root, leaf


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (timedelta(days=400), StepOutcome.PASSED),
        (timedelta(days=30, seconds=1), StepOutcome.PASSED),
        (timedelta(days=30), StepOutcome.WARNED),
        (timedelta(0), StepOutcome.WARNED),
        (timedelta(seconds=-1), StepOutcome.FAILED),
    ],
)
def test_the_end_of_a_certificate_against_the_horizon(left: timedelta, expected: StepOutcome) -> None:
    step = step_6(case(*chain(NOW - 400 * DAY, NOW + left)))
    assert step.outcome is expected, step.reason
    assert expected is StepOutcome.PASSED or "CN=Leaf" in step.reason


def test_the_horizon_is_the_policys() -> None:
    certificates = chain(NOW - 400 * DAY, NOW + 50 * DAY)
    assert step_6(case(*certificates, policy=Policy(horizon=60 * DAY))).outcome is StepOutcome.WARNED
    assert step_6(case(*certificates, policy=Policy(horizon=timedelta(0)))).outcome is StepOutcome.PASSED


def test_a_chain_that_never_ends_is_no_matter_of_days() -> None:
    step = step_6(case(*chain(NOW - DAY, FOREVER), policy=Policy(horizon=36500 * DAY)))
    assert step.outcome is StepOutcome.PASSED
    assert "none of them expires" in step.reason
    last_moment = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert step_6(case(*chain(NOW - DAY, FOREVER), now=last_moment)).outcome is StepOutcome.PASSED


def test_at_issuance_asks_whether_all_was_valid_when_the_leaf_was_made() -> None:
    policy = Policy(clock=Clock.AT_ISSUANCE)
    assert step_6(case(*chain(NOW - 400 * DAY, NOW - DAY), policy=policy)).outcome is StepOutcome.PASSED
    early = chain(datetime(2019, 1, 1, tzinfo=UTC), NOT_AFTER)
    step = step_6(case(*early, policy=policy))
    assert step.outcome is StepOutcome.FAILED
    assert "CN=Root is not valid before" in step.reason


def test_the_anchor_counts_although_the_chain_leaves_it_out() -> None:
    expired = issue("Old Root", not_after=NOW - DAY)
    leaf = issue("Leaf", expired, number=1, ca=False, key_usage=LEAF_USAGE, not_after=FOREVER)
    assert step_6(case(leaf)).outcome is StepOutcome.PASSED
    step = step_6(case(leaf, root=Root("old", expired.certificate)))
    assert step.outcome is StepOutcome.FAILED
    assert "CN=Old Root expired" in step.reason


def test_no_clock_no_check() -> None:
    step = step_6(case(*chain(NOW - 400 * DAY, NOW - DAY), policy=Policy(clock=Clock.IGNORE)))
    assert step.outcome is StepOutcome.NOT_CHECKED
