"""Step 7: what lists and responses at hand make of a device, under each policy and clock."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from cmakeys.errors import UsageProblem
from cmakeys.evidence.model import Evidence, EvidenceKind
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.verify.case import Case
from cmakeys.verify.clock import Recorded
from cmakeys.verify.facts import Facts
from cmakeys.verify.policy import Clock, Policy, RevocationRule, read_policy
from cmakeys.verify.proofs import prove
from cmakeys.verify.revocation_step import step_7
from cmakeys.verify.verdict import Outcome, Step, StepOutcome
from cmakeys.verify.verifier import verify
from cmakeys.x509.crl import RevocationList
from cmakeys.x509.horizon import Horizon
from cmakeys.x509.revocation import RevocationRecords
from tests.evidence.loopback import NOW as ATTESTED
from tests.evidence.loopback import attest, credentials, vendor
from tests.verify.cases import outcome, roots
from tests.x509.pki import LEAF_USAGE, NOW, Issued, issue
from tests.x509.revocations import DAY, LIST_SIGNER, chain, crl, response

ROOT, MIDDLE, LEAF = chain()
ALL = (crl(ROOT), crl(MIDDLE))
LATE = {"this_update": NOW - 9 * DAY, "next_update": NOW - 2 * DAY}


def judged(
    *lists: RevocationList,
    policy: Policy | None = None,
    now: datetime = NOW,
    of: tuple[Issued, ...] = (ROOT, MIDDLE, LEAF),
    include_root: bool = True,
    recorded: Recorded | None = None,
) -> Step:
    certificates = tuple(issued.certificate for issued in of)
    facts = Facts(certificates=certificates if include_root else certificates[1:])
    evidence = Evidence("device", EvidenceKind.CONVERSATION, now)
    anchor = Root("acme", certificates[0])
    records = RevocationRecords(tuple(lists))
    case = Case(
        evidence,
        facts,
        RootSet((anchor,)),
        policy or Policy(),
        now,
        None,
        None,
        None,
        anchor,
        prove(facts),
        recorded,
        records,
    )
    return step_7(case)


def policy(rule: RevocationRule = RevocationRule.USE_IF_PRESENT, days: int = 7, clock: Clock = Clock.NOW) -> Policy:
    return Policy(revocation=rule, revocation_horizon=Horizon(timedelta(days=days)), clock=clock)


@pytest.mark.parametrize("include_root", [True, False])
def test_fresh_lists_of_every_issuer_pass(include_root: bool) -> None:
    step = judged(*ALL, include_root=include_root)
    assert step.outcome is StepOutcome.PASSED, step.reason
    assert step.reason == "all 2 certificates below the anchor are not revoked"


@pytest.mark.parametrize("include_root", [True, False])
@pytest.mark.parametrize(("by", "of"), [(ROOT, MIDDLE), (MIDDLE, LEAF)], ids=["intermediate", "leaf"])
def test_a_revoked_certificate_fails_and_is_named(by: Issued, of: Issued, include_root: bool) -> None:
    step = judged(*ALL, crl(by, [of]), include_root=include_root)
    assert step.outcome is StepOutcome.FAILED
    assert step.reason.startswith(f"{of.certificate.label}: revoked on 2039-12-30")


def test_without_any_list_nothing_was_checked() -> None:
    assert judged().outcome is StepOutcome.NOT_CHECKED
    assert judged().reason == "no revocation list was given"


def test_what_nothing_speaks_of_is_never_counted_as_good() -> None:
    step = judged(crl(ROOT))
    assert step.outcome is StepOutcome.NOT_CHECKED
    assert step.reason == "CN=Leaf: nothing speaks of it; 1 of 2 are not revoked"


def test_a_certificate_that_names_no_list_is_not_missed() -> None:
    own = issue("Alias", MIDDLE, number=3, ca=False, key_usage=LEAF_USAGE)
    step = judged(crl(ROOT), of=(ROOT, MIDDLE, own))
    assert step.outcome is StepOutcome.PASSED
    assert step.reason == "1 of 2 certificates below the anchor are not revoked; CN=Alias names no list"


def test_where_nobody_names_a_list_nothing_was_checked() -> None:
    root = issue("Quiet Root", key_usage=LIST_SIGNER)
    leaf = issue("Leaf", root, number=2, ca=False, key_usage=LEAF_USAGE)
    assert judged(*ALL, of=(root, leaf)).outcome is StepOutcome.NOT_CHECKED


def test_a_root_that_is_the_leaf_has_nothing_below_it() -> None:
    assert judged(*ALL, of=(ROOT,)).outcome is StepOutcome.NOT_CHECKED


@pytest.mark.parametrize(
    ("days", "expected"), [(7, StepOutcome.WARNED), (2, StepOutcome.WARNED), (1, StepOutcome.NOT_CHECKED)]
)
def test_a_stale_list_warns_within_the_horizon_and_counts_for_nothing_beyond(days: int, expected: StepOutcome) -> None:
    step = judged(crl(ROOT), crl(MIDDLE, **LATE), policy=policy(days=days))  # type: ignore[arg-type]
    assert step.outcome is expected
    assert "2039-12-30" in step.reason


def test_off_looks_at_nothing() -> None:
    step = judged(crl(MIDDLE, [LEAF]), policy=policy(RevocationRule.OFF))
    assert step.outcome is StepOutcome.NOT_CHECKED
    assert "policy" in step.reason


def test_a_policy_that_ignores_dates_says_that_it_did() -> None:
    step = judged(crl(ROOT), crl(MIDDLE, **LATE), policy=policy(days=0, clock=Clock.IGNORE))  # type: ignore[arg-type]
    assert step.outcome is StepOutcome.PASSED
    assert "the policy ignores dates" in step.reason


def test_a_wrong_clock_judges_no_list_but_sees_what_is_revoked() -> None:
    later = Recorded(NOW + 9 * DAY, "the last check")
    assert judged(*ALL, recorded=later).outcome is StepOutcome.NOT_CHECKED
    assert judged(*ALL, crl(MIDDLE, [LEAF]), recorded=later).outcome is StepOutcome.FAILED


# -- in a verdict ------------------------------------------------------------------------------------------------------


def records(*, revoke: bool) -> RevocationRecords:
    """The vendor's lists about an emulated device, one revoking its leaf where asked to."""
    authority, made = vendor(), credentials()
    root = Issued(authority.key, authority.certificate)
    middle = Issued(authority.intermediate_key, authority.intermediate)
    dates = {"this_update": ATTESTED - DAY, "next_update": ATTESTED + DAY}
    serials = {made.leaf.serial_number: None} if revoke else {}
    return RevocationRecords((crl(root, **dates), crl(middle, serials, **dates)))  # type: ignore[arg-type]


def test_a_revoked_device_is_rejected_at_step_7() -> None:
    verdict = verify(attest(), roots(), now=ATTESTED, revocation=records(revoke=True))
    assert verdict.outcome is Outcome.REJECTED
    assert [step.number for step in verdict.failures] == [7]
    assert "revoked on" in verdict.summary


@pytest.mark.parametrize(("given", "expected"), [(True, Outcome.TRUSTED), (False, Outcome.REJECTED)])
def test_where_revocation_is_required_a_device_without_lists_is_rejected(given: bool, expected: Outcome) -> None:
    lists = records(revoke=False) if given else None
    verdict = verify(attest(), roots(), policy(RevocationRule.REQUIRE), now=ATTESTED, revocation=lists)
    assert verdict.outcome is expected, verdict.summary
    assert given or "step 7, revocation, is required but was not checked" in verdict.summary


def test_a_chain_that_nobody_vouches_for_is_not_looked_up() -> None:
    verdict = verify(attest(), RootSet(), now=ATTESTED, revocation=records(revoke=True))
    assert outcome(verdict, 7) is StepOutcome.NOT_CHECKED


def test_off_and_required_contradict_each_other() -> None:
    with pytest.raises(UsageProblem, match="step 7 is required"):
        Policy(revocation=RevocationRule.OFF, required=frozenset({2, 3, 4, 7, 11}))


def test_the_settings_are_read_back() -> None:
    read = read_policy(b"policy: {revocation: require, revocation-horizon: 10%}", "x.yaml")
    assert (read.revocation, read.revocation_horizon) == (RevocationRule.REQUIRE, Horizon(percent=10))
    assert read.settings()["revocation"] == "require"
    assert read.settings()["revocation-horizon"] == "10%"


def test_a_response_speaks_for_one_certificate_and_a_list_for_the_other() -> None:
    facts = Facts(certificates=tuple(issued.certificate for issued in (ROOT, MIDDLE, LEAF)))
    anchor = Root("acme", ROOT.certificate)
    known = RevocationRecords((crl(ROOT),), (response(LEAF, MIDDLE),))
    evidence = Evidence("device", EvidenceKind.CONVERSATION, NOW)
    case = Case(evidence, facts, RootSet((anchor,)), Policy(), NOW, None, None, None, anchor, prove(facts), None, known)
    assert step_7(case).outcome is StepOutcome.PASSED
