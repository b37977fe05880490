"""Files that are whole or not there, and errors that name what somebody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmakeys.files import write_whole


def test_a_file_that_cannot_be_made_is_named_and_not_the_temporary_one(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "file", tmp_path):
        with pytest.raises(OSError, match=r"\[Errno") as caught:
            write_whole(path, b"data")
        assert caught.value.filename == str(path)
        assert caught.value.filename2 is None
    assert not list(tmp_path.iterdir())
    assert not list(tmp_path.parent.glob(".cmakeys-*"))
