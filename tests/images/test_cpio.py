"""Archives of an initrd: the same entries give the same bytes, which other programs read; hostile ones are bounded."""

from __future__ import annotations

import io
import shutil
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import UsageProblem
from cmakeys.images import cpio
from cmakeys.images.cpio import ArchiveProblem, Entry, Reader, complete, render

NAMES = st.lists(
    st.text("abc.-é", min_size=1, max_size=5).filter(lambda t: t not in (".", "..")), min_size=1, max_size=4
)
FILES = st.builds(lambda parts, data: Entry.file("/".join(parts), data), NAMES, st.binary(max_size=40))
SOME = [Entry.file("usr/b", b"12345"), Entry.link("usr/a", "b"), Entry.file("usr/x/c", b"", executable=True)]


def read(data: bytes) -> list[tuple[str, int, bytes]]:
    reader = Reader(io.BytesIO(data), "test")
    return [(header.path, header.mode, reader.data(1 << 20)) for header in reader.headers()]


@given(st.lists(FILES, max_size=6))
def test_what_was_written_is_read_and_order_does_not_matter(entries: list[Entry]) -> None:
    try:
        expected = complete(entries)
    except UsageProblem:
        return
    data = render(entries)
    assert data == render(reversed(entries))
    assert len(data) % 4 == 0
    assert read(data) == [(entry.path, entry.mode, entry.data) for entry in expected]


def test_folders_come_before_what_is_in_them() -> None:
    assert [entry.path for entry in complete(SOME)] == ["usr", "usr/a", "usr/b", "usr/x", "usr/x/c"]


def test_nothing_but_the_entries_and_the_one_time_is_in_it() -> None:
    data = render(SOME, mtime=0x1234)
    first = data[: cpio.HEADER_SIZE]
    assert first == b"07070100000001000041ED000000000000000000000002" + b"00001234" + b"0" * 40 + b"00000004" + b"0" * 8
    assert data.count(b"00001234") == 5


@pytest.mark.parametrize("path", ["", "/etc", "../x", "a/../b", "a//b", "./a", "a/"])
def test_a_path_that_leaves_the_archive_is_refused(path: str) -> None:
    with pytest.raises(UsageProblem):
        render([Entry.file(path, b"")])


def test_two_files_in_one_place_are_refused_and_equal_ones_are_one() -> None:
    assert len(complete([Entry.file("a", b"1"), Entry.file("a", b"1")])) == 1
    with pytest.raises(UsageProblem, match="two different"):
        complete([Entry.file("a", b"1"), Entry.file("a", b"2")])
    with pytest.raises(UsageProblem, match="not a folder"):
        complete([Entry.file("a", b"1"), Entry.file("a/b", b"2")])


@pytest.mark.system
@pytest.mark.parametrize("program", ["cpio", "busybox"])
def test_other_programs_unpack_it(program: str, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    command = ["busybox", "cpio"] if program == "busybox" else ["cpio"]
    subprocess.run([*command, "-i", "-d", "-m"], input=render(SOME, mtime=99), cwd=tmp_path, check=True, timeout=30)
    assert (tmp_path / "usr/b").read_bytes() == b"12345"
    assert (tmp_path / "usr/a").readlink() == Path("b")
    assert stat.S_IMODE((tmp_path / "usr/x/c").stat().st_mode) == 0o755
    assert (tmp_path / "usr/b").stat().st_mtime == 99


@given(st.binary(max_size=400))
def test_any_bytes_give_entries_or_the_clean_error(data: bytes) -> None:
    with suppress(ArchiveProblem):
        read(data)


@given(st.integers(0, len(render(SOME)) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_entries_or_the_clean_error(at: int, value: int) -> None:
    data = bytearray(render(SOME))
    data[at] = value
    with suppress(ArchiveProblem):
        read(bytes(data))


@pytest.mark.parametrize("size", range(1, len(render(SOME)) - 124, 7))
def test_a_cut_archive_is_told_from_a_whole_one(size: int) -> None:
    data = render(SOME)[:size]
    entries = []
    try:
        entries = read(data)
    except ArchiveProblem as problem:
        assert "cut" in str(problem)  # noqa: PT017 where it is cut between two entries, nobody can tell
    assert len(entries) < 5


def huge(size: int, name: bytes = b"big\0") -> bytes:
    fields = [1, 0o100644, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name), 0]
    record = cpio.NEWC + b"".join(b"%08X" % field for field in fields) + name
    return record + bytes(-len(record) % 4)


def test_a_file_larger_than_asked_for_is_refused_before_it_is_read() -> None:
    reader = Reader(io.BytesIO(huge(0xFFFFFFFF) + bytes(64)), "test")
    next(reader.headers())
    with pytest.raises(ArchiveProblem, match="4294967295 bytes where 10"):
        reader.data(10)


def test_a_name_longer_than_the_kernels_is_refused() -> None:
    with pytest.raises(ArchiveProblem, match="a name of 5000"):
        read(huge(0, bytes(5000)))


def test_an_archive_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpio, "MAX_ENTRIES", 50)

    class Endless:
        def read(self, size: int, /) -> bytes:
            return record[:size] if size > 110 else self._next(size)

        def __init__(self) -> None:
            self.at = 0

        def _next(self, size: int) -> bytes:
            part = (record * 2)[self.at : self.at + size]
            self.at = (self.at + size) % len(record)
            return part

    record = huge(0)
    with pytest.raises(ArchiveProblem, match="more than 50"):
        list(Reader(Endless(), "test").headers())


@pytest.mark.parametrize("digits", [b"0x00000A", b"00_00_0A", b"+000000A", b"      0A", b"0000000G"])
def test_a_number_is_eight_hexadecimal_digits_and_nothing_that_looks_like_one(digits: bytes) -> None:
    record = bytearray(cpio._record("name", b"data", inode=1, mode=0o100644, links=1, mtime=0))
    record[54:62] = digits
    with pytest.raises(ArchiveProblem, match="hexadecimal"):
        list(Reader(io.BytesIO(record), "test").headers())
