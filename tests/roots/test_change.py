"""A change of trust is recorded before it is made."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmakeys.errors import EnvironmentProblem, Refused
from cmakeys.roots.change import Change, make
from cmakeys.roots.journal import Journal

CHANGE = Change("roots-add", "nvidia", {"sha256": "ab"}, datetime(2040, 1, 1, tzinfo=UTC), "ada")


def test_the_record_is_there_when_the_change_is_made(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    seen = make(CHANGE, journal, lambda: [entry.action for entry in journal.read().entries])
    assert seen == ["roots-add"]
    (entry,) = journal.verify().entries
    assert (entry.subject, entry.detail, entry.actor) == ("nvidia", {"sha256": "ab"}, "ada")


def test_a_change_that_fails_is_recorded_as_failed(tmp_path: Path) -> None:
    def fail() -> None:
        raise Refused("no", object="nvidia")

    with pytest.raises(Refused):
        make(CHANGE, Journal(tmp_path), fail)
    assert [entry.action for entry in Journal(tmp_path).verify().entries] == ["roots-add", "roots-add-failed"]


def test_without_a_record_nothing_is_changed(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").mkdir()
    made: list[bool] = []
    with pytest.raises(EnvironmentProblem):
        make(CHANGE, Journal(tmp_path), lambda: made.append(True))
    assert made == []
