"""The note of the journal's end: what is cut off shows, and a crash or a full disk is never taken for a cut."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmakeys.errors import EnvironmentProblem
from cmakeys.roots.journal import Journal, JournalProblem
from cmakeys.roots.journal_head import MAX_SIZE, JournalHead, parse_head, read_head, render_head

AT = datetime(2040, 1, 1, 12, tzinfo=UTC)
LINES = 6
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Six entries; nothing is wrong with them."""
    made = Journal(tmp_path)
    for number in range(LINES):
        made.append("roots-add", f"root-{number}", {"n": number}, at=AT, by="ada")
    return made


@pytest.fixture
def content(journal: Journal) -> tuple[list[bytes], bytes]:
    """Its lines, and the note of its end."""
    return journal.path.read_bytes().splitlines(keepends=True), journal.head_path.read_bytes()


def more(journal: Journal) -> None:
    journal.append("roots-add", "more", {}, at=AT, by="ada")


def first_fault(journal: Journal) -> int:
    """The number of the line that is named; 0 where the file of the end is."""
    with pytest.raises(JournalProblem) as caught:
        journal.verify()
    found = [fault.line for fault in journal.read().faults if not fault.torn]
    place = f"{journal.path} line {found[0]}" if found[0] else str(journal.head_path)
    assert caught.value.object == place
    return found[0]


def test_every_entry_is_noted(journal: Journal) -> None:
    entry = journal.verify().entries[-1]
    assert read_head(journal.head_path) == JournalHead(LINES, entry.sha256)
    assert journal.verify().noted == LINES


@pytest.mark.parametrize("kept", range(LINES))
def test_a_cut_end_is_named_by_the_first_line_that_is_missing(journal: Journal, kept: int) -> None:
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join(lines[:kept]))
    assert first_fault(journal) == kept + 1


def test_a_journal_that_is_gone_is_a_cut_end(journal: Journal) -> None:
    journal.path.unlink()
    assert first_fault(journal) == 1


def test_a_cut_within_the_last_line_is_no_crash(journal: Journal) -> None:
    journal.path.write_bytes(journal.path.read_bytes()[:-1])
    assert first_fault(journal) == LINES


def test_a_last_line_that_was_exchanged_is_a_fault(journal: Journal) -> None:
    journal.path.write_bytes(journal.path.read_bytes().replace(b'"n":5', b'"n":9'))
    assert first_fault(journal) == LINES


def test_later_entries_do_not_cover_a_cut_up(journal: Journal) -> None:
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join(lines[:3]))
    for _ in range(LINES):
        more(journal)
        with pytest.raises(JournalProblem):
            journal.verify()


@pytest.mark.parametrize("behind", range(1, LINES))
def test_a_note_that_lags_behind_is_no_fault_and_catches_up(journal: Journal, behind: int) -> None:
    entry = journal.verify().entries[-1 - behind]
    journal.head_path.write_bytes(render_head(JournalHead(entry.line, entry.sha256)))
    assert (journal.verify().faults, journal.verify().noted) == ((), LINES - behind)
    more(journal)
    assert journal.verify().noted == LINES + 1


def test_a_journal_without_a_note_is_read_and_gets_one(journal: Journal) -> None:
    journal.head_path.unlink()
    assert journal.verify().noted is None
    more(journal)
    assert journal.verify().noted == LINES + 1


@in_one_folder
@given(st.data())
def test_whatever_is_done_to_the_lines_shows(
    journal: Journal, content: tuple[list[bytes], bytes], data: st.DataObject
) -> None:
    """Lines taken out anywhere, put in another order, doubled; a byte changed anywhere; the end cut at any byte."""
    lines, head = content
    journal.head_path.write_bytes(head)
    whole = b"".join(lines)
    match data.draw(st.sampled_from(["choose", "flip", "cut"])):
        case "choose":
            chosen = data.draw(st.lists(st.integers(0, LINES - 1), max_size=LINES + 2))
            found = b"".join(lines[number] for number in chosen)
        case "flip":
            place = data.draw(st.integers(0, len(whole) - 1))
            changed = whole[place] ^ data.draw(st.integers(1, 255))
            found = whole[:place] + bytes([changed]) + whole[place + 1 :]
        case _:
            found = whole[: data.draw(st.integers(0, len(whole) - 1))]
    journal.path.write_bytes(found)
    assert journal.read().intact == (found == whole)


@given(st.binary(max_size=MAX_SIZE + 8))
def test_any_bytes_are_a_head_or_a_clean_error(data: bytes) -> None:
    try:
        head = parse_head(data)
    except ValueError:
        return
    assert parse_head(render_head(head)) == head


@given(st.integers(1, 2**40), st.binary(min_size=32, max_size=32))
def test_a_head_is_read_back(lines: int, sha256: bytes) -> None:
    head = JournalHead(lines, sha256.hex())
    assert parse_head(render_head(head)) == head


@pytest.mark.parametrize(
    "data",
    [b"", b"[" * 900, b"{}", b'{"schema":1,"lines":0,"sha256":"' + b"a" * 64 + b'"}', b"1" * (MAX_SIZE + 1), b"\xff"],
)
def test_a_note_that_is_none_is_a_fault_and_is_left_for_whoever_looks(journal: Journal, data: bytes) -> None:
    journal.head_path.write_bytes(data)
    more(journal)
    assert first_fault(journal) == 0
    assert journal.head_path.read_bytes() == data
    assert len(journal.read().entries) == LINES + 1


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_a_note_that_is_no_regular_file_is_a_problem_and_hinders_no_entry(journal: Journal, kind: str) -> None:
    journal.head_path.unlink()
    match kind:
        case "link":
            journal.head_path.symlink_to("/dev/zero")
        case "fifo":
            os.mkfifo(journal.head_path)
        case _:
            journal.head_path.mkdir()
    more(journal)
    with pytest.raises(EnvironmentProblem):
        journal.verify()
    assert len(journal.path.read_bytes().splitlines()) == LINES + 1


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_an_entry_that_fails_leaves_nothing_and_says_so(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Half a line is written before the disk is full; a line is written and cannot be made to stay."""
    before = journal.path.read_bytes(), journal.head_path.read_bytes()
    write = os.write
    calls = iter(range(9))

    def failing(descriptor: int, data: memoryview | None = None) -> int:
        if data is not None and next(calls) == 0:
            return write(descriptor, data[: len(data) // 2])
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(EnvironmentProblem) as caught:
            more(journal)
    assert str(journal.path) in caught.value.object
    assert (journal.path.read_bytes(), journal.head_path.read_bytes()) == before
    more(journal)
    assert journal.verify().noted == LINES + 1


def test_an_end_that_cannot_be_noted_is_noted_by_the_next_entry(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(os, "replace", full)
        more(journal)
    assert (len(journal.verify().entries), journal.verify().noted) == (LINES + 1, LINES)
    more(journal)
    assert journal.verify().noted == LINES + 2
