"""An alarm rings once, a fault that passes rings nothing, and what was silent too long is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cmakeys.check import Judgement
from cmakeys.devices.database import MIGRATIONS, writing
from cmakeys.devices.enrolled import Memory
from cmakeys.devices.register import Register
from cmakeys.grace import Grace
from cmakeys.standing import (
    Finding,
    doubt_of,
    finding,
    first_record,
    history,
    memory_from,
    record_of,
    remembered,
    state_outcome,
)
from cmakeys.verify.clock import RELEASE, ClockReading, ClockState
from cmakeys.verify.observation import Observation
from cmakeys.verify.policy import Clock, Policy
from cmakeys.verify.verdict import Outcome, Step, StepOutcome, Verdict
from tests.devices.samples import older_register, sample
from tests.reports.verdicts import (
    CHECKED_AT,
    DEGRADED,
    OTHER_FIRMWARE,
    REJECTED,
    TRUSTED,
    UNREACHABLE,
    UNSUPPORTED,
    with_step,
)
from tests.verify.test_observation import BEFORE

NIGHT = timedelta(days=1)
DRIFTED = with_step(TRUSTED, Outcome.REJECTED, "step 13", OTHER_FIRMWARE)
DRIFTED_AGAIN = with_step(TRUSTED, Outcome.REJECTED, "step 13", replace(OTHER_FIRMWARE, reason="index 1 is 9999"))
FORGED = with_step(TRUSTED, Outcome.REJECTED, "step 11", Step(11, StepOutcome.FAILED, "the signature is 1234"))
FORGED_ANEW = with_step(TRUSTED, Outcome.REJECTED, "step 11", Step(11, StepOutcome.FAILED, "the signature is 5678"))


def nights(
    verdicts: Sequence[Verdict],
    *,
    grace: int | Grace = 0,
    observations: Sequence[Observation | None] = (),
    clocks: Sequence[ClockReading | None] = (),
) -> list[Finding]:
    """What each of these nights finds, one after the other."""
    found: list[Finding] = []
    memory: Memory | None = None
    for number, verdict in enumerate(verdicts):
        seen = observations[number] if observations else None
        judgement = Judgement(replace(verdict, checked_at=CHECKED_AT + number * NIGHT), observation=seen)
        clock = clocks[number] if clocks else None
        doubt = doubt_of(clock, Policy()) if clock else None
        allowed = grace if isinstance(grace, Grace) else Grace(grace)
        one = finding("gpu0", judgement, memory, grace=allowed, doubt=doubt)
        found.append(one)
        memory = one.memory
    return found


def night(number: int) -> datetime:
    return CHECKED_AT + number * NIGHT


@pytest.mark.parametrize(
    ("verdicts", "grace", "expected"),
    [
        ([TRUSTED, TRUSTED, TRUSTED], 0, "trusted* trusted trusted"),
        ([TRUSTED, DRIFTED, DRIFTED, TRUSTED], 0, "trusted* rejected* rejected trusted*"),
        ([TRUSTED, DRIFTED, DRIFTED_AGAIN], 0, "trusted* rejected* rejected*"),
        ([TRUSTED, FORGED, FORGED_ANEW], 0, "trusted* rejected* rejected"),
        ([TRUSTED, DRIFTED, REJECTED], 0, "trusted* rejected* rejected*"),
        ([TRUSTED, DEGRADED, DEGRADED], 0, "trusted* degraded* degraded"),
        ([TRUSTED, UNREACHABLE, UNREACHABLE], 0, "trusted* unreachable* unreachable"),
        ([TRUSTED, UNREACHABLE, UNREACHABLE, TRUSTED], 2, "trusted* trusted trusted trusted"),
        ([TRUSTED, *[UNREACHABLE] * 4, TRUSTED], 2, "trusted* trusted trusted unreachable* unreachable trusted*"),
        ([DRIFTED, UNREACHABLE, DRIFTED], 1, "rejected* rejected rejected"),
        ([UNREACHABLE, UNREACHABLE, TRUSTED], 5, "unreachable* unreachable trusted*"),
        ([TRUSTED, UNREACHABLE, TRUSTED, UNREACHABLE, TRUSTED], 1, "trusted* trusted trusted trusted trusted"),
        ([UNSUPPORTED, UNSUPPORTED], 0, "unsupported* unsupported"),
    ],
)
def test_what_each_night_counts_as_and_which_ring(verdicts: list[Verdict], grace: int, expected: str) -> None:
    found = nights(verdicts, grace=grace)
    assert " ".join(one.outcome.value + "*" * one.standing.news for one in found) == expected


EXPIRED = with_step(TRUSTED, Outcome.REJECTED, "step 6", Step(6, StepOutcome.FAILED, "expired"))
DUE = with_step(TRUSTED, Outcome.DEGRADED, "due", Step(6, StepOutcome.WARNED, "expires"))
REVOKED = with_step(TRUSTED, Outcome.REJECTED, "step 7", Step(7, StepOutcome.FAILED, "revoked"))
UNDATED = with_step(TRUSTED, Outcome.DEGRADED, "clock", Step(6, StepOutcome.NOT_CHECKED, "clock"))
DRIFTED_AND_EXPIRED = with_step(DRIFTED, Outcome.REJECTED, "step 6", Step(6, StepOutcome.FAILED, "expired"))
BEHIND = ClockReading(CHECKED_AT, RELEASE, ClockState.BEHIND, "the clock is behind")
AHEAD = ClockReading(CHECKED_AT, RELEASE, ClockState.AHEAD, "the clock is ahead")


@pytest.mark.parametrize(
    ("before", "clock", "tonight", "counts", "afterwards"),
    [
        (TRUSTED, BEHIND, UNDATED, "trusted", TRUSTED),
        (DUE, BEHIND, UNDATED, "degraded", DUE),
        (EXPIRED, BEHIND, UNDATED, "rejected", EXPIRED),
        (DRIFTED, BEHIND, DRIFTED, "rejected", DRIFTED),
        (REVOKED, BEHIND, REVOKED, "rejected", REVOKED),
        (TRUSTED, AHEAD, EXPIRED, "rejected", TRUSTED),
        (DUE, AHEAD, EXPIRED, "rejected", DUE),
        (EXPIRED, AHEAD, EXPIRED, "rejected", EXPIRED),
        (EXPIRED, AHEAD, TRUSTED, "rejected", EXPIRED),
        (DRIFTED, AHEAD, DRIFTED_AND_EXPIRED, "rejected", DRIFTED),
    ],
)
def test_what_a_wrong_clock_does_to_a_device_is_no_news_and_is_forgotten(
    before: Verdict, clock: ClockReading, tonight: Verdict, counts: str, afterwards: Verdict
) -> None:
    first, second, third = nights([before, tonight, afterwards], clocks=[None, clock, None])
    assert (second.outcome.value, second.standing.news, second.memory.state) == (counts, False, first.memory.state)
    assert third.standing.news is False
    assert second.standing.passed_at == first.standing.passed_at


@pytest.mark.parametrize("clock", [BEHIND, AHEAD])
@pytest.mark.parametrize(
    ("before", "tonight", "expected"),
    [
        (TRUSTED, DRIFTED, "rejected*"),
        (TRUSTED, REVOKED, "rejected*"),
        (TRUSTED, DRIFTED_AND_EXPIRED, "rejected*"),
        (DUE, REVOKED, "rejected*"),
        (TRUSTED, UNREACHABLE, "unreachable*"),
        (EXPIRED, DRIFTED, "rejected*"),
        (DRIFTED, UNDATED, "degraded*"),
        (UNREACHABLE, UNDATED, "degraded*"),
    ],
)
def test_what_else_happens_to_a_device_under_a_wrong_clock_is_news(
    clock: ClockReading, before: Verdict, tonight: Verdict, expected: str
) -> None:
    last = nights([before, tonight], clocks=[None, clock])[-1]
    assert last.outcome.value + "*" * last.standing.news == expected


def test_a_device_of_which_nothing_is_remembered_counts_as_its_verdict_by_any_clock() -> None:
    (only,) = nights([UNDATED], clocks=[BEHIND])
    assert (only.outcome, only.standing.news) == (Outcome.DEGRADED, True)


@pytest.mark.parametrize(("asked", "steps"), [(Clock.NOW, {6, 7}), (Clock.AT_ISSUANCE, {7}), (Clock.IGNORE, None)])
def test_only_steps_that_look_at_the_clock_are_in_doubt(asked: Clock, steps: set[int] | None) -> None:
    doubt = doubt_of(AHEAD, Policy(clock=asked))
    assert (None if doubt is None else doubt.steps) == steps
    assert doubt_of(ClockReading(CHECKED_AT, RELEASE), Policy(clock=asked)) is None


def test_a_state_begins_when_it_began() -> None:
    found = nights([TRUSTED, DRIFTED, UNREACHABLE, DRIFTED, TRUSTED], grace=1)
    assert [one.standing.began for one in found] == [night(0), night(1), night(1), night(1), night(4)]
    assert [one.standing.before for one in found][1:] == [
        Outcome.TRUSTED,
        Outcome.REJECTED,
        Outcome.REJECTED,
        Outcome.REJECTED,
    ]
    assert [one.standing.passed_at for one in found] == [night(0), night(0), night(0), night(0), night(4)]


def test_a_device_that_is_excused_says_so_and_shows_that_nothing_was_checked() -> None:
    *_, last = nights([TRUSTED, UNREACHABLE], grace=3)
    assert last.counted.outcome is Outcome.TRUSTED
    assert last.counted.summary.startswith(
        "not reached, 1 of 3 times that are allowed, and counts as trusted as since 2040-01-02 03:04 UTC: "
    )
    assert {step.outcome for step in last.counted.steps} == {StepOutcome.NOT_CHECKED}
    assert last.verdict.outcome is Outcome.UNREACHABLE
    assert record_of(last).outcome == "unreachable"


@pytest.mark.parametrize(
    ("verdicts", "quiet"),
    [
        ([TRUSTED], True),
        ([TRUSTED, TRUSTED], True),
        ([TRUSTED, UNREACHABLE], True),
        ([DEGRADED, DEGRADED], False),
        ([DRIFTED, DRIFTED], False),
        ([DRIFTED, TRUSTED], False),
        ([DRIFTED, TRUSTED, TRUSTED], True),
    ],
)
def test_silence_means_trusted_and_nothing_to_tell(verdicts: list[Verdict], quiet: bool) -> None:
    assert nights(verdicts, grace=1)[-1].quiet is quiet


OTHER = replace(BEFORE, provisioned=(0, 1))
WORDS = ("slot 1 is newly provisioned",)


def test_what_changed_about_a_device_that_passes_is_news_once() -> None:
    found = nights([TRUSTED] * 3, observations=[BEFORE, OTHER, OTHER])
    assert [one.standing.changes for one in found] == [(), WORDS, ()]
    assert [one.standing.news for one in found] == [True, True, False]
    assert not found[1].quiet


def test_a_device_that_fails_is_compared_with_when_it_passed_last() -> None:
    found = nights([TRUSTED, DRIFTED, DRIFTED, TRUSTED], observations=[BEFORE, OTHER, OTHER, BEFORE])
    assert [one.standing.changes for one in found] == [(), WORDS, WORDS, ()]


def test_a_device_that_is_not_reached_keeps_what_was_seen_of_it() -> None:
    found = nights([TRUSTED, UNREACHABLE, TRUSTED], observations=[BEFORE, None, OTHER])
    assert found[1].standing.expires == BEFORE.expires
    assert found[2].standing.changes == WORDS


def test_since_takes_what_changed_after_a_moment_for_news() -> None:
    found = nights([TRUSTED, DRIFTED, DRIFTED])
    judgement = Judgement(replace(DRIFTED, checked_at=night(3)))
    for since, news in ((night(0), True), (night(1), False)):
        assert finding("gpu0", judgement, found[-1].memory, since=since).standing.news is news
    found = nights([TRUSTED, TRUSTED, TRUSTED], observations=[BEFORE, OTHER, OTHER])
    judgement = Judgement(replace(TRUSTED, checked_at=night(3)), observation=OTHER)
    for since, words in ((night(0), WORDS), (night(1), ())):
        standing = finding("gpu0", judgement, found[-1].memory, since=since).standing
        assert (standing.changes, standing.news) == (words, bool(words))


def test_an_observation_that_cannot_be_read_is_like_none() -> None:
    memory = replace(nights([TRUSTED], observations=[BEFORE])[0].memory, observed='{"schema": 99}')
    one = finding("gpu0", Judgement(TRUSTED, observation=OTHER), memory)
    assert one.standing.changes == ()


# -- the register ------------------------------------------------------------------------------------------------------


def test_the_register_remembers_what_the_next_check_needs(tmp_path: Path) -> None:
    register = Register(tmp_path)
    register.enroll(sample(), first_record("gpu0", Judgement(TRUSTED, observation=BEFORE)))
    memory = register.memories()["gpu0"]
    assert state_outcome(memory.state) is Outcome.TRUSTED
    second = finding("gpu0", Judgement(replace(TRUSTED, checked_at=night(1)), observation=OTHER), memory)
    register.record(history([second]))
    assert register.memories()["gpu0"] == second.memory
    assert second.memory.changes == WORDS
    assert len(register.history("gpu0")) == 2


def test_a_register_that_only_an_older_cmakeys_has_written_is_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = older_register(tmp_path, 1)
    with monkeypatch.context() as older:
        older.setattr("cmakeys.devices.database.MIGRATIONS", MIGRATIONS[:1])
        one = record_of(nights([DRIFTED])[0])
        with writing(register.path) as connection:
            connection.execute("DELETE FROM history")
            connection.execute(
                "INSERT INTO history (device, checked_at, outcome, reason, detail)"
                " SELECT id, ?, ?, ?, ? FROM device WHERE name = 'gpu0'",
                (one.checked_at.isoformat(), one.outcome, one.reason, one.detail),
            )
    memories = remembered(register, ["gpu0", "nic0"])
    assert {name: memory.began for name, memory in memories.items()} == {"gpu0": CHECKED_AT}
    register.record(history(nights([TRUSTED, DRIFTED])[1:]))
    assert remembered(register, ["gpu0"])["gpu0"].passed_at == CHECKED_AT


def test_an_address_that_is_not_enrolled_leaves_nothing() -> None:
    one = finding("emu://x", Judgement(TRUSTED), None, enrolled=False)
    assert history([one]) == ()


def test_enrolling_anew_begins_a_new_memory(tmp_path: Path) -> None:
    register = Register(tmp_path)
    register.enroll(sample(), first_record("gpu0", Judgement(TRUSTED, observation=BEFORE)))
    register.re_enroll(sample(), first_record("gpu0", Judgement(replace(DEGRADED, checked_at=night(1)))))
    assert register.memories()["gpu0"] == nights([DEGRADED])[0].memory.__class__(
        state=nights([DEGRADED])[0].memory.state, began=night(1), passed_at=night(1)
    )


def test_the_history_of_an_older_cmakeys_is_enough_to_go_on_from() -> None:
    memory = memory_from(record_of(nights([DRIFTED])[0]))
    assert memory is not None
    one = finding("gpu0", Judgement(replace(DRIFTED, checked_at=night(1))), memory)
    assert (one.standing.news, one.standing.began, one.standing.before) == (False, CHECKED_AT, Outcome.REJECTED)
    assert memory_from(record_of(nights([UNREACHABLE])[0])) is None
