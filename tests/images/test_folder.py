"""An image as a folder: there as a whole or not at all, and the same for any user."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from cmakeys.errors import NotFound, Refused
from cmakeys.images.cpio import Entry
from cmakeys.images.folder import whole_folder, write_folder

SOME = [Entry.file("usr/b", b"12345"), Entry.link("usr/a", "b"), Entry.file("usr/x/c", b"", executable=True)]


def state(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(folder)): (stat.filemode(path.lstat().st_mode), int(path.lstat().st_mtime))
        for path in (folder, *folder.rglob("*"))
    }


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_permissions_and_times_are_those_of_the_entries(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_folder(tmp_path / "out", SOME, mtime=99)
    finally:
        os.umask(before)
    assert state(tmp_path / "out") == {
        ".": ("drwxr-xr-x", 99),
        "usr": ("drwxr-xr-x", 99),
        "usr/a": ("lrwxrwxrwx", 99),
        "usr/b": ("-rw-r--r--", 99),
        "usr/x": ("drwxr-xr-x", 99),
        "usr/x/c": ("-rwxr-xr-x", 99),
    }
    assert (tmp_path / "out/usr/a").read_bytes() == b"12345"


def test_an_empty_folder_is_taken_and_one_that_holds_something_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_folder(tmp_path / "out", SOME, mtime=0)
    with pytest.raises(Refused):
        write_folder(tmp_path / "out", SOME, mtime=0)
    with pytest.raises(NotFound):
        write_folder(tmp_path / "absent/out", SOME, mtime=0)


def test_nothing_is_left_of_one_that_failed(tmp_path: Path) -> None:
    def half() -> None:
        with whole_folder(tmp_path / "out") as place:
            (place / "half").write_text("")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert list(tmp_path.iterdir()) == []
