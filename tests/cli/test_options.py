"""The options that verbs share: where the state directory is, and that a tree's own stays in the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmakeys.cli.options import SYSTEM, state_directory
from cmakeys.errors import Refused


def test_the_state_directory_is_the_tree_s_own_unless_one_is_named(tmp_path: Path) -> None:
    assert state_directory(SYSTEM, None) == Path("/var/lib/cmakeys")
    assert state_directory(tmp_path, None) == tmp_path / "var/lib/cmakeys"
    assert state_directory(tmp_path, Path("/state")) == Path("/state")


@pytest.mark.parametrize("place", ["var", "var/lib", "var/lib/cmakeys"])
def test_a_tree_whose_state_would_be_the_machine_s_is_refused(place: str, tmp_path: Path) -> None:
    tree, link = tmp_path / "tree", tmp_path / "tree" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "host")
    with pytest.raises(Refused, match="leads out of"):
        state_directory(tree, None)
    assert state_directory(tree, tmp_path / "host") == tmp_path / "host"


def test_links_inside_the_tree_are_followed_and_a_circle_of_them_is_refused(tmp_path: Path) -> None:
    (tmp_path / "writable").mkdir()
    (tmp_path / "var").symlink_to("writable")
    assert state_directory(tmp_path, None) == tmp_path / "var/lib/cmakeys"
    (tmp_path / "var").unlink()
    (tmp_path / "var").symlink_to("var")
    with pytest.raises(Refused, match="in a circle"):
        state_directory(tmp_path, None)
