"""An initrd that was not written to since is not unpacked again; one that was is, whatever the memory says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import NotFound
from cmakeys.images import recollection
from cmakeys.images.initrd import Contents, read_image
from cmakeys.images.recollection import NAME, Recollection
from tests.images.initrds import baked


@pytest.fixture
def initrd(tmp_path: Path) -> Path:
    path = tmp_path / "initrd"
    path.write_bytes(baked())
    return path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    paths: list[str] = []
    read = read_image

    def counted(path: Path, **others: object) -> Contents:
        paths.append(str(path))
        return read(path)

    monkeypatch.setattr(recollection, "read_image", counted)
    return paths


def test_the_second_look_costs_nothing(initrd: Path, tmp_path: Path, opened: list[str]) -> None:
    memory = Recollection(tmp_path)
    first = memory.look(initrd)
    assert [name for name, _ in first.roots] == ["a", "b"]
    assert memory.keep("told") is None
    again = Recollection(tmp_path)
    assert (again.look(initrd), again.told) == (first, "told")
    assert opened == [str(initrd)]


@pytest.mark.parametrize("change", ["contents", "time", "file"])
def test_whatever_is_written_is_looked_at_again(change: str, initrd: Path, tmp_path: Path, opened: list[str]) -> None:
    memory = Recollection(tmp_path)
    memory.look(initrd)
    memory.keep("")
    status = initrd.stat()
    if change == "contents":
        initrd.write_bytes(initrd.read_bytes().replace(b'"required": false', b'"required": true '))
        os.utime(initrd, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "time":
        os.utime(initrd, ns=(0, status.st_mtime_ns + 1))
    else:
        other = initrd.with_name("other")
        other.write_bytes(initrd.read_bytes())
        os.utime(other, ns=(0, status.st_mtime_ns))
        other.replace(initrd)
    Recollection(tmp_path).look(initrd)
    assert len(opened) == 2


def test_nothing_is_written_by_looking_nor_where_there_is_no_news(initrd: Path, tmp_path: Path) -> None:
    memory = Recollection(tmp_path / "state")
    memory.look(initrd)
    assert not (tmp_path / "state").exists()
    (tmp_path / "state").mkdir()
    memory.keep("x")
    path = tmp_path / "state" / NAME
    before = path.stat().st_ino
    again = Recollection(tmp_path / "state")
    again.look(initrd)
    again.keep("x")
    assert path.stat().st_ino == before


def test_what_is_gone_is_forgotten(initrd: Path, tmp_path: Path) -> None:
    memory = Recollection(tmp_path)
    memory.look(initrd)
    memory.keep("")
    Recollection(tmp_path).keep("")
    assert json.loads((tmp_path / NAME).read_text())["initrds"] == {}


def test_an_initrd_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="initrd"):
        Recollection(tmp_path).look(tmp_path / "initrd")


def test_a_state_directory_that_cannot_be_written_is_a_problem_and_no_end(initrd: Path, tmp_path: Path) -> None:
    memory = Recollection(tmp_path / "missing")
    memory.look(initrd)
    assert isinstance(memory.keep("x"), NotFound)


def test_another_version_s_memory_is_none(initrd: Path, tmp_path: Path, opened: list[str]) -> None:
    memory = Recollection(tmp_path)
    memory.look(initrd)
    memory.keep("")
    path = tmp_path / NAME
    path.write_text(path.read_text().replace('"version":"0', '"version":"9', 1))
    Recollection(tmp_path).look(initrd)
    assert len(opened) == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=12,
)


@given(st.data())
def test_a_memory_that_makes_no_sense_is_none(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("memory")
    path = folder / "initrd"
    path.write_bytes(baked())
    memory = Recollection(folder)
    expected = memory.look(path)
    memory.keep("")
    document = json.loads((folder / NAME).read_text())
    entry = document["initrds"][str(path)]
    place = data.draw(st.sampled_from([document, document["initrds"], entry]))
    key = data.draw(st.sampled_from([key for key in place if place is not entry or key == "file"]))
    place[key] = data.draw(json_values)
    (folder / NAME).write_text(json.dumps(document))
    assert Recollection(folder).look(path) == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("memory")
    (folder / NAME).write_bytes(data)
    assert Recollection(folder).told == ""
