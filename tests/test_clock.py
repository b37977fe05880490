"""The newest moment recorded comes from the journal or the register, whichever is later, and never fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.clock import FILE_NAME, ClockMemory, accept, newest_record, read_memory, remember
from cmakeys.devices.enrolled import CheckRecord
from cmakeys.devices.register import Register
from cmakeys.roots.journal import Journal
from cmakeys.verify.clock import LEAP, RELEASE, ClockState, Recorded, read_clock
from tests.devices.samples import sample

WHEN = datetime(2031, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_fresh_machine_has_recorded_the_release_of_the_program(tmp_path: Path) -> None:
    assert newest_record(tmp_path) == RELEASE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("journal", "checked", "expected"), [(1, 2, 2), (3, 2, 3)])
def test_the_later_of_journal_and_register_counts(tmp_path: Path, journal: int, checked: int, expected: int) -> None:
    Journal(tmp_path).append("roots-add", "a", {}, at=WHEN + journal * DAY, by="ada")
    register = Register(tmp_path)
    register.enroll(sample(enrolled_at=WHEN))
    register.record([CheckRecord("gpu0", WHEN + checked * DAY, "trusted")])
    assert newest_record(tmp_path).at == WHEN + expected * DAY


def test_an_entry_made_by_a_wrong_clock_does_not_hide_an_earlier_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append("roots-add", "a", {}, at=WHEN, by="ada")
    journal.append("roots-add", "b", {}, at=datetime(1970, 1, 1, tzinfo=UTC), by="ada")
    record = newest_record(tmp_path)
    assert (record.at, record.what) == (WHEN, "entry 1 of the journal")


def test_an_enrolment_without_any_check_counts(tmp_path: Path) -> None:
    Register(tmp_path).enroll(sample(enrolled_at=WHEN))
    assert newest_record(tmp_path).at == WHEN


def test_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "devices.db").write_bytes(b"no database, and longer than the header of one " * 4)
    (tmp_path / "journal.jsonl").mkdir()
    assert newest_record(tmp_path) == RELEASE


FAR = datetime(2099, 1, 1, tzinfo=UTC)


def night(state: Path, now: datetime) -> ClockState:
    """What a nightly check does with the clock, and with the register."""
    reading = read_clock(now, newest_record(state))
    remember(state, reading)
    Register(state).record([CheckRecord("gpu0", now, "trusted")])
    return reading.state


def test_what_a_clock_that_ran_ahead_recorded_is_held_against_no_later_one(tmp_path: Path) -> None:
    Register(tmp_path).enroll(sample(enrolled_at=WHEN))
    assert night(tmp_path, WHEN + DAY) is ClockState.PLAUSIBLE
    assert not (tmp_path / FILE_NAME).exists()
    assert [night(tmp_path, FAR + n * DAY) for n in range(3)] == [ClockState.AHEAD] * 3
    assert [night(tmp_path, WHEN + n * DAY) for n in range(2, 5)] == [ClockState.PLAUSIBLE] * 3
    assert newest_record(tmp_path).at == WHEN + 4 * DAY
    assert night(tmp_path, WHEN) is ClockState.BEHIND


def test_a_clock_far_ahead_is_believed_when_somebody_accepts_it_and_then_none_before_it_is(tmp_path: Path) -> None:
    Register(tmp_path).enroll(sample(enrolled_at=WHEN))
    assert night(tmp_path, FAR) is ClockState.AHEAD
    accept(tmp_path, FAR)
    assert night(tmp_path, FAR + DAY) is ClockState.PLAUSIBLE
    assert night(tmp_path, WHEN + DAY) is ClockState.BEHIND


@pytest.mark.parametrize("ahead", [3 * DAY, LEAP - DAY, LEAP * 3])
def test_a_clock_is_accepted_though_records_are_of_later_days(tmp_path: Path, ahead: timedelta) -> None:
    Register(tmp_path).enroll(sample(enrolled_at=WHEN + ahead))
    assert night(tmp_path, WHEN) is ClockState.BEHIND
    accept(tmp_path, WHEN)
    assert night(tmp_path, WHEN + DAY) is ClockState.PLAUSIBLE
    assert night(tmp_path, WHEN - DAY) is ClockState.BEHIND


def test_what_is_recorded_between_two_checks_counts_after_a_doubt_too(tmp_path: Path) -> None:
    Register(tmp_path).enroll(sample(enrolled_at=WHEN))
    night(tmp_path, FAR)
    night(tmp_path, WHEN + DAY)
    Journal(tmp_path).append("roots-add", "a", {}, at=WHEN + 2 * DAY, by="ada")
    assert newest_record(tmp_path).at == WHEN + 2 * DAY


def test_the_release_of_the_program_casts_no_doubt_on_a_clock() -> None:
    assert read_clock(FAR, RELEASE).plausible
    assert read_clock(RELEASE.at - DAY, RELEASE).state is ClockState.BEHIND


def test_a_doubt_that_is_not_told_is_told_the_next_time(tmp_path: Path) -> None:
    reading = read_clock(WHEN - DAY, Recorded(WHEN, "a check"))
    remember(tmp_path, reading, told=False)
    assert read_memory(tmp_path) == ClockMemory(WHEN, None, ClockState.PLAUSIBLE)
    remember(tmp_path, reading)
    assert read_memory(tmp_path) == ClockMemory(WHEN, None, ClockState.BEHIND)


def test_a_memory_that_is_damaged_lets_every_record_count(tmp_path: Path) -> None:
    Register(tmp_path).enroll(sample(enrolled_at=WHEN))
    night(tmp_path, FAR)
    (tmp_path / FILE_NAME).write_text("{}")
    assert newest_record(tmp_path).at == FAR


@given(st.binary(max_size=200))
def test_whatever_stands_in_the_file_is_read_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("clock")
    (folder / FILE_NAME).write_bytes(data)
    assert read_memory(folder) is None
