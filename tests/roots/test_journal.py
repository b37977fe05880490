"""The journal: a chain of lines that shows every edit, and tells a crash from one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmakeys.errors import EnvironmentProblem, Locked, UsageProblem
from cmakeys.roots.journal import FIRST_PREVIOUS, MAX_LINE, Journal, JournalProblem

AT = datetime(2040, 1, 1, 12, tzinfo=UTC)
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state")


def fill(journal: Journal, count: int = 3) -> list[bytes]:
    for number in range(count):
        journal.append("roots-add", f"root-{number}", {"n": number}, at=AT, by="ada")
    return journal.path.read_bytes().splitlines(keepends=True)


def tear(journal: Journal, cut: int) -> bytes:
    """Three entries, the last of which a crash tore on its way to the disk, before the end was noted."""
    fill(journal, 2)
    noted = journal.head_path.read_bytes()
    journal.append("roots-add", "root-2", {"n": 2}, at=AT, by="ada")
    content = journal.path.read_bytes()[:-cut]
    journal.path.write_bytes(content)
    journal.head_path.write_bytes(noted)
    return content


def test_a_journal_that_was_never_written_is_empty_and_holds(journal: Journal) -> None:
    assert journal.verify().entries == ()
    assert not journal.path.exists()


def test_what_is_appended_is_read_back_in_order(journal: Journal) -> None:
    written = [
        journal.append("roots-add", f"root {n} ä\n\x1b", {"list": [n], "text": "ü"}, at=AT, by="ada") for n in range(3)
    ]
    assert journal.verify().entries == tuple(written)
    assert [entry.number for entry in written] == [1, 2, 3]
    assert written[0].time == AT
    assert len(journal.path.read_bytes().splitlines()) == 3


def test_each_line_carries_the_hash_of_the_one_before(journal: Journal) -> None:
    previous = FIRST_PREVIOUS
    for line in fill(journal):
        assert json.loads(line)["previous"] == previous
        previous = hashlib.sha256(line.rstrip(b"\n")).hexdigest()


EDITS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "changed": lambda lines: [lines[0], lines[1].replace(b"root-1", b"root-x"), lines[2]],
    "taken out": lambda lines: [lines[0], lines[2]],
    "first taken out": lambda lines: lines[1:],
    "put in": lambda lines: [lines[0], lines[0], *lines[1:]],
    "swapped": lambda lines: [lines[1], lines[0], lines[2]],
    "made unreadable": lambda lines: [lines[0], b"garbage\n", lines[2]],
    "emptied": lambda lines: [lines[0], b"\n", lines[2]],
    "joined": lambda lines: [lines[0].rstrip(b"\n"), *lines[1:]],
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_line_is_a_fault_with_its_place(journal: Journal, edit: str) -> None:
    journal.path.write_bytes(b"".join(EDITS[edit](fill(journal))))
    assert not journal.read().intact
    with pytest.raises(JournalProblem) as caught:
        journal.verify()
    assert caught.value.object.startswith(f"{journal.path} line ")


@in_one_folder
@given(st.data())
def test_no_flipped_byte_before_the_last_line_goes_unnoticed(journal: Journal, data: st.DataObject) -> None:
    journal.path.unlink(missing_ok=True)
    journal.head_path.unlink(missing_ok=True)
    lines = fill(journal)
    journal.head_path.unlink()  # it would show more than the chain does
    content = bytearray(b"".join(lines))
    position = data.draw(st.integers(0, len(content) - len(lines[-1]) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    journal.path.write_bytes(content)
    assert not journal.read().intact


@pytest.mark.parametrize("cut", [1, 2, 20, 100])
def test_a_torn_last_line_is_reported_and_is_no_entry(journal: Journal, cut: int) -> None:
    tear(journal, cut)
    reading = journal.verify()
    assert [entry.subject for entry in reading.entries] == ["root-0", "root-1"]
    assert [(fault.line, fault.torn) for fault in reading.faults] == [(3, True)]
    assert reading.intact


@pytest.mark.parametrize("cut", [1, 2, 20, 100])
def test_after_a_torn_line_the_journal_goes_on_and_still_tells_of_it(journal: Journal, cut: int) -> None:
    content = tear(journal, cut)
    entry = journal.append("roots-remove", "root-0", {}, at=AT, by="bob")
    journal.append("roots-remove", "root-1", {}, at=AT, by="bob")
    assert (entry.number, entry.after_torn) == (3, True)
    assert journal.path.read_bytes().startswith(content)
    reading = journal.verify()
    assert [each.number for each in reading.entries] == [1, 2, 3, 4]
    assert [(fault.line, fault.torn) for fault in reading.faults] == [(3, True)]


def test_a_torn_line_that_is_touched_up_later_is_a_fault(journal: Journal) -> None:
    tear(journal, 20)
    journal.append("roots-remove", "root-0", {}, at=AT, by="bob")
    assert journal.verify().entries
    journal.path.write_bytes(journal.path.read_bytes().replace(b"root-2", b"root-x"))
    with pytest.raises(JournalProblem):
        journal.verify()


@in_one_folder
@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_an_accident_and_can_be_continued(journal: Journal, data: bytes) -> None:
    journal.path.parent.mkdir(exist_ok=True)
    journal.head_path.unlink(missing_ok=True)
    journal.path.write_bytes(data)
    assert journal.read().entries == ()
    journal.append("roots-add", "a", {}, at=AT, by="ada")
    reading = journal.read()
    assert [entry.subject for entry in reading.entries] == ["a"]
    assert reading.intact == (b"\n" not in data)


@pytest.mark.parametrize("line", [b"[" * 60_000, b"1" * 10_000, b'{"schema":1}', b"x" * (3 * MAX_LINE), b"\xff"])
def test_a_hostile_line_is_no_entry(journal: Journal, line: bytes) -> None:
    fill(journal, 1)
    with journal.path.open("ab") as file:
        file.write(line + b"\n")
    reading = journal.read()
    assert len(reading.entries) == 1
    assert reading.faults


def test_an_entry_that_could_not_be_read_back_is_not_written(journal: Journal) -> None:
    fill(journal, 1)
    before = journal.path.read_bytes()
    for action, detail, at in (
        ("Roots Add", {}, AT),
        ("roots-add", {"long": "x" * MAX_LINE}, AT),
        ("roots-add", {"nan": float("nan")}, AT),
        ("roots-add", {"set": {1}}, AT),
        ("roots-add", {}, datetime(2040, 1, 1)),
    ):
        with pytest.raises(UsageProblem):
            journal.append(action, "a", detail, at=at, by="ada")
    assert journal.path.read_bytes() == before


def test_an_entry_is_on_the_disk_before_append_returns(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(journal, 1)
    calls: list[str] = []
    write, sync = os.write, os.fsync

    def noted_write(descriptor: int, data: memoryview) -> int:
        calls.append("write")
        return write(descriptor, data)

    def noted_sync(descriptor: int) -> None:
        calls.append("fsync")
        sync(descriptor)

    monkeypatch.setattr(os, "write", noted_write)
    monkeypatch.setattr(os, "fsync", noted_sync)
    journal.append("roots-add", "a", {}, at=AT, by="ada")
    assert calls[:2] == ["write", "fsync"]
    assert calls[2:] == ["write", "fsync", "fsync"], "the note of the end, its file and its folder, and all of it later"


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_a_journal_that_is_no_regular_file_is_refused(journal: Journal, kind: str) -> None:
    journal.path.parent.mkdir()
    match kind:
        case "link":
            journal.path.symlink_to("/dev/null")
        case "fifo":
            os.mkfifo(journal.path)
        case _:
            journal.path.mkdir()
    with pytest.raises(EnvironmentProblem):
        journal.read()
    with pytest.raises(EnvironmentProblem):
        journal.append("roots-add", "a", {}, at=AT, by="ada")


@pytest.mark.system
def test_writers_at_the_same_time_make_one_chain(journal: Journal) -> None:
    program = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path;"
        "from cmakeys.roots.journal import Journal; j = Journal(Path(sys.argv[1]));"
        "[j.append('roots-add', sys.argv[2], {}, at=datetime(2040, 1, 1, tzinfo=UTC), by='ada') for _ in range(20)]"
    )
    command = [sys.executable, "-c", program, str(journal.path.parent)]
    running = [subprocess.Popen([*command, name]) for name in ("one", "two")]
    assert [process.wait() for process in running] == [0, 0]
    reading = journal.verify()
    assert (len(reading.entries), reading.faults) == (40, ())


def test_a_writer_waits_only_so_long(journal: Journal) -> None:
    import fcntl

    fill(journal, 1)
    with journal.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Locked, match=f"process {os.getpid()}"):
            Journal(journal.path.parent, wait=0.1).append("roots-add", "a", {}, at=AT, by="ada")
