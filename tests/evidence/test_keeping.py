"""The archive keeps what was said within its limit, and lets the oldest go first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cmakeys.errors import Temporary
from cmakeys.evidence.archive import encode, load
from cmakeys.evidence.keeping import Archive
from cmakeys.evidence.model import Evidence, EvidenceKind
from cmakeys.spdm.connection import Exchange

NOW = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
SAID = Evidence("emu://x", EvidenceKind.CONVERSATION, NOW, exchanges=(Exchange(b"\x10\x84\0\0", b"\x10\x04" * 100),))
SIZE = len(encode(SAID))


def said(day: int) -> Evidence:
    return replace(SAID, collected_at=NOW + timedelta(days=day))


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    path = Archive(tmp_path / "evidence").keep("gpu0", SAID)
    assert path.name == f"20400102T030405Z-{SAID.digest[:12]}.json"
    assert load(path) == SAID


def test_the_oldest_goes_first_and_the_rest_is_within_the_limit(tmp_path: Path) -> None:
    archive = Archive(tmp_path, 3 * SIZE)
    paths = [archive.keep("gpu0", said(day)) for day in (4, 0, 2, 1, 3)]
    assert [one.path for one in archive.excess()] == [paths[1], paths[3]]
    assert len(archive.trim()) == 2
    assert archive.trim() == ()
    assert [path.exists() for path in paths] == [True, False, True, False, True]


def test_a_device_that_talks_much_does_not_push_out_the_last_word_of_another(tmp_path: Path) -> None:
    archive = Archive(tmp_path, 2 * SIZE)
    quiet = archive.keep("quiet", said(0))
    for day in range(1, 6):
        archive.keep("loud", said(day))
    archive.trim()
    assert quiet.exists()
    assert len(archive.files()) == 2


def test_a_limit_is_a_limit_for_last_words_too(tmp_path: Path) -> None:
    archive = Archive(tmp_path, 2 * SIZE)
    for number in range(5):
        archive.keep(f"gpu{number}", said(number))
    archive.trim()
    assert [one.device for one in archive.files()] == ["gpu3", "gpu4"]


def test_more_than_the_archive_holds_is_refused_and_said(tmp_path: Path) -> None:
    with pytest.raises(Temporary, match="more than the archive may hold"):
        Archive(tmp_path, SIZE - 1).keep("gpu0", SAID)
    assert not list(tmp_path.iterdir())


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "gpu0").mkdir()
    mine = tmp_path / "gpu0" / "notes.json"
    mine.write_text("x" * 10_000)
    outside = tmp_path / "outside"
    outside.mkdir()
    victim = outside / f"20400102T030405Z-{'a' * 12}.json"
    victim.write_text("x" * 10_000)
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "gpu1").symlink_to(outside)
    assert Archive(tmp_path / "archive", 1).trim() == ()
    Archive(tmp_path, 1).trim()
    assert mine.exists()


def test_an_archive_that_was_never_used_is_empty(tmp_path: Path) -> None:
    assert Archive(tmp_path / "none").files() == ()
    assert not (tmp_path / "none").exists()
