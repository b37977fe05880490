"""Step 6 by each clock, on chains whose dates were chosen for it; the other chain steps are in test_verifier."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cmakeys.evidence.model import Evidence, EvidenceKind
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.verify.case import Case
from cmakeys.verify.chain_steps import step_6
from cmakeys.verify.clock import Recorded
from cmakeys.verify.facts import Facts
from cmakeys.verify.policy import Clock, Policy
from cmakeys.verify.proofs import prove
from cmakeys.verify.verdict import StepOutcome
from cmakeys.x509.horizon import Expiry, Horizon
from tests.x509.pki import FOREVER, LEAF_USAGE, NOT_AFTER, NOW, Issued, issue

DAY = timedelta(days=1)


def case(
    *chain: Issued,
    now: datetime = NOW,
    policy: Policy | None = None,
    root: Root | None = None,
    recorded: Recorded | None = None,
) -> Case:
    facts = Facts(certificates=tuple(issued.certificate for issued in chain))
    evidence = Evidence("device", EvidenceKind.CONVERSATION, now)
    return Case(evidence, facts, RootSet(), policy or Policy(), now, None, None, None, root, prove(facts), recorded)


def warning(days: int) -> Expiry:
    return Expiry(Horizon(days * DAY))


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
    assert step_6(case(*certificates, policy=Policy(expiry=warning(60)))).outcome is StepOutcome.WARNED
    assert step_6(case(*certificates, policy=Policy(expiry=warning(0)))).outcome is StepOutcome.PASSED


def test_a_chain_that_never_ends_is_no_matter_of_days() -> None:
    step = step_6(case(*chain(NOW - DAY, FOREVER), policy=Policy(expiry=warning(36500))))
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


def test_the_horizon_can_be_a_share_of_each_certificate_s_own_life() -> None:
    tenth = Policy(expiry=Expiry(Horizon(percent=10)))
    long_lived = chain(NOW - 1000 * DAY, NOW + 100 * DAY)
    short_lived = chain(NOW - 20 * DAY, NOW + 10 * DAY)
    assert step_6(case(*long_lived, policy=tenth)).outcome is StepOutcome.WARNED
    assert step_6(case(*short_lived, policy=tenth)).outcome is StepOutcome.PASSED


def test_what_a_share_warns_of_is_not_hidden_by_what_ends_sooner() -> None:
    brief = issue("Brief", not_before=NOW - 20 * DAY, not_after=NOW + 10 * DAY)
    lasting = issue("Lasting", not_before=NOW - 1000 * DAY, not_after=NOW + 100 * DAY)
    step = step_6(case(brief, lasting, policy=Policy(expiry=Expiry(Horizon(percent=10)))))
    assert step.outcome is StepOutcome.WARNED
    assert "CN=Lasting" in step.reason


def test_a_chain_within_the_second_horizon_fails_before_it_is_over() -> None:
    policy = Policy(expiry=Expiry(Horizon(30 * DAY), Horizon(7 * DAY)))
    assert step_6(case(*chain(NOW - DAY, NOW + 8 * DAY), policy=policy)).outcome is StepOutcome.WARNED
    step = step_6(case(*chain(NOW - DAY, NOW + 6 * DAY), policy=policy))
    assert step.outcome is StepOutcome.FAILED
    assert "in 6 days, and the policy wants more than 7d" in step.reason


LATER = Recorded(NOW + 2 * DAY, "entry 7 of the journal")


@pytest.mark.parametrize("end", [NOW - DAY, FOREVER], ids=["expired", "endless"])
def test_a_clock_behind_what_was_recorded_judges_no_date(end: datetime) -> None:
    step = step_6(case(*chain(NOW - 400 * DAY, end), recorded=LATER))
    assert step.outcome is StepOutcome.NOT_CHECKED
    assert step.reason == (
        "the machine's clock says 2040-01-01 00:00Z, but entry 7 of the journal is of 2040-01-03 00:00Z"
    )


@pytest.mark.parametrize("clock", [Clock.AT_ISSUANCE, Clock.IGNORE])
def test_a_policy_that_does_not_ask_the_clock_does_not_mind_a_wrong_one(clock: Clock) -> None:
    certificates, policy = chain(NOW - 400 * DAY, NOW - DAY), Policy(clock=clock)
    assert step_6(case(*certificates, policy=policy, recorded=LATER)) == step_6(case(*certificates, policy=policy))
