"""A file is only as safe as the folders above it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cmakeys.errors import NotFound
from cmakeys.ownership import changeable_by_others


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "folder/program"
    path.parent.mkdir(mode=0o755)
    path.touch(0o755)
    return path


def test_what_only_root_and_we_can_change_is_safe(program: Path) -> None:
    assert changeable_by_others(program) == ""
    assert changeable_by_others(Path("/usr/bin/env")) == ""


@pytest.mark.parametrize("mode", [0o775, 0o757])
@pytest.mark.parametrize("folder", [False, True])
def test_what_a_group_or_everybody_can_write_is_not(program: Path, mode: int, folder: bool) -> None:
    place = program.parent if folder else program
    place.chmod(mode)
    assert changeable_by_others(program) == f"{place} can be written by others"


def test_in_a_sticky_folder_nobody_moves_what_is_not_theirs(program: Path) -> None:
    program.parent.chmod(0o1777)
    assert changeable_by_others(program) == ""


def test_what_belongs_to_somebody_else_is_not_safe(program: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(program, 12345, -1)
    assert changeable_by_others(program) == f"{program} belongs to user 12345"


def test_a_link_is_as_safe_as_what_it_leads_to_and_where_it_stands(program: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir(mode=0o755)
    link = tmp_path / "links/program"
    link.symlink_to(program)
    assert changeable_by_others(link) == ""
    program.parent.chmod(0o777)
    assert changeable_by_others(link) == f"{program.parent} can be written by others"
    program.parent.chmod(0o755)
    link.parent.chmod(0o777)
    assert changeable_by_others(link) == f"{link.parent} can be written by others"


def test_what_is_not_there_or_leads_in_a_circle_is_a_clean_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        changeable_by_others(tmp_path / "nothing")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(Exception, match="circle") as error:
        changeable_by_others(tmp_path / "circle")
    assert type(error.value).__module__ == "cmakeys.errors"
