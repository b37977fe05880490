"""A clock behind what was recorded is wrong; one that is ahead, or a moment behind, is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cmakeys.verify.clock import RELEASE, TOLERANCE, Recorded, clock_fault
from cmakeys.verify.policy import Policy
from cmakeys.verify.verdict import Outcome, StepOutcome
from cmakeys.verify.verifier import verify
from tests.evidence.loopback import NOW, attest
from tests.verify.cases import roots

WHEN = datetime(2030, 5, 1, 12, tzinfo=UTC)
RECORD = Recorded(WHEN, "the last check of gpu0")


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=9000), -TOLERANCE])
def test_a_clock_that_can_be_right_has_no_fault(ahead: timedelta) -> None:
    assert clock_fault(WHEN + ahead, RECORD) == ""


def test_a_clock_behind_a_record_is_told_with_both_times() -> None:
    assert clock_fault(datetime(1970, 1, 1, 0, 5, tzinfo=UTC), RECORD) == (
        "the machine's clock says 1970-01-01 00:05Z, but the last check of gpu0 is of 2030-05-01 12:00Z"
    )
    assert clock_fault(WHEN - TOLERANCE - timedelta(seconds=1), RECORD)


def test_without_a_record_nothing_speaks_against_a_clock() -> None:
    assert clock_fault(datetime.min.replace(tzinfo=UTC), None) == ""


def test_the_release_of_the_program_is_a_record_like_any_other() -> None:
    assert "the release of this program" in clock_fault(datetime(2020, 1, 1, tzinfo=UTC), RELEASE)


def test_a_device_checked_by_a_wrong_clock_is_degraded_for_that_reason_and_not_rejected() -> None:
    verdict = verify(attest(), roots(), now=NOW, recorded=Recorded(NOW + timedelta(days=1), "a check"))
    assert verdict.outcome is Outcome.DEGRADED
    assert verdict.step(6).outcome is StepOutcome.NOT_CHECKED
    assert "but the machine's clock says" in verdict.summary
    assert "(step 6)" in verdict.summary
    assert verify(attest(), roots(), now=NOW, recorded=Recorded(NOW, "a check")).outcome is Outcome.TRUSTED


def test_a_wrong_clock_excuses_no_other_step() -> None:
    late = Recorded(NOW + timedelta(days=1), "a check")
    policy = Policy(required=frozenset({6, 13}))
    verdict = verify(attest(), roots(), policy, now=NOW, recorded=late)
    assert verdict.outcome is Outcome.REJECTED
    assert "step 13" in verdict.summary
