"""The signature log is read newest first, whole entries or entries that say what they lack."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmakeys.devices.signatures import MAX_TRANSCRIPT, read_log
from tests.devices.sysfs import Tree

PARTS = {
    "signature": b"s" * 96,
    "transcript": b"t" * 200,
    "requester_nonce": b"q" * 32,
    "responder_nonce": b"r" * 32,
    "hash_algorithm": b"sha384\n",
    "combined_spdm_prefix": b"p" * 100,
    "type": b"responder-challenge_auth signing\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.add()
    return tree


def test_an_entry_is_read_whole(tree: Tree) -> None:
    tree.log(0, PARTS, slot=3)
    (entry,) = read_log(tree.sysfs, tree.folder())
    assert entry.problems == ()
    assert (entry.number, entry.slot) == (0, 3)
    assert (entry.hash_name, entry.kind) == ("sha384", "responder-challenge_auth signing")
    assert (entry.signature, entry.transcript, entry.prefix) == (b"s" * 96, b"t" * 200, b"p" * 100)


def test_the_newest_come_first_and_no_more_than_asked(tree: Tree) -> None:
    for number in (0xFFFFFFFE, 0xFFFFFFFF, 0, 1):
        tree.log(number, PARTS)
    assert len(read_log(tree.sysfs, tree.folder(), newest=3)) == 3
    times = [entry.received_at for entry in read_log(tree.sysfs, tree.folder())]
    assert times == sorted(times, reverse=True)


def test_without_a_log_there_are_no_entries(tree: Tree) -> None:
    assert read_log(tree.sysfs, tree.folder()) == ()


@pytest.mark.parametrize("part", [part for part in PARTS if part != "signature"])
def test_an_entry_pruned_meanwhile_says_what_it_lacks(tree: Tree, part: str) -> None:
    folder = tree.log(5, PARTS)
    (folder / f"5_{part}").unlink()
    (entry,) = read_log(tree.sysfs, tree.folder())
    assert entry.problems == (f"5_{part} cannot be read: No such file or directory (ENOENT)",)


def test_too_much_is_not_read(tree: Tree) -> None:
    tree.log(0, PARTS | {"transcript": bytes(MAX_TRANSCRIPT + 1), "requester_nonce": bytes(33)})
    (entry,) = read_log(tree.sysfs, tree.folder())
    assert len(entry.problems) == 2
    assert entry.transcript == b""


@pytest.mark.parametrize("target", ["../../../../etc/passwd", "/etc/shadow", "../certificates/slot8", "slot0"])
def test_a_link_to_anywhere_else_is_not_followed(tree: Tree, target: str) -> None:
    tree.log(0, PARTS, slot=target)
    (entry,) = read_log(tree.sysfs, tree.folder())
    assert entry.slot is None
    assert "no link to a slot" in entry.problems[0]


def test_hostile_names_are_no_entries(tree: Tree) -> None:
    folder = tree.log(0, PARTS)
    for name in (
        "01_signature",
        "-1_signature",
        "4294967296_signature",
        "99999999999_signature",
        "x_signature",
        "\x1b",
    ):
        tree.put(folder / name, b"")
    tree.put(folder / "next_requester_nonce", b"", 0o200)
    assert [entry.number for entry in read_log(tree.sysfs, tree.folder())] == [0]


def test_a_part_that_is_a_link_or_a_fifo_is_not_opened(tree: Tree) -> None:
    folder = tree.log(0, PARTS)
    (folder / "0_transcript").unlink()
    (folder / "0_transcript").symlink_to("/etc/passwd")
    (folder / "0_type").unlink()
    os.mkfifo(folder / "0_type")
    tree.failures[folder / "0_requester_nonce"] = errno.EACCES
    (entry,) = read_log(tree.sysfs, tree.folder())
    assert len(entry.problems) == 3
    assert entry.transcript == b""


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(part=st.sampled_from(list(PARTS)), data=st.binary(max_size=300))
def test_any_content_is_read_and_never_more_than_the_bounds(tree: Tree, part: str, data: bytes) -> None:
    folder = tree.folder() / "signatures"
    if not folder.exists():
        tree.log(0, PARTS)
    path = folder / f"0_{part}"
    path.chmod(0o644)
    path.write_bytes(data)
    (entry,) = read_log(tree.sysfs, tree.folder())
    assert len(entry.requester_nonce) <= 32
    assert len(entry.prefix) <= 100
    assert entry.kind.isascii()
    path.write_bytes(PARTS[part])
