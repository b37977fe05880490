"""The newest moment recorded comes from the journal or the register, whichever is later, and never fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cmakeys.clock import newest_record
from cmakeys.devices.enrolled import CheckRecord
from cmakeys.devices.register import Register
from cmakeys.roots.journal import Journal
from cmakeys.verify.clock import RELEASE
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
