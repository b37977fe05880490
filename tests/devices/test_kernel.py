"""What the kernel says is taken for exactly what it means, and for nothing when it means nothing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmakeys.devices.kernel import (
    MAX_SLOT_SIZE,
    Authenticated,
    SlotState,
    read_slots,
    read_verdict,
)
from cmakeys.x509.certificate import CertificateProblem
from tests.devices.chains import plain_chain
from tests.devices.sysfs import Tree

SHARED_FOLDER = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.add()
    return tree


def state(tree: Tree) -> Authenticated:
    return read_verdict(tree.sysfs, tree.folder()).state


@pytest.mark.parametrize(
    ("content", "mode", "meaning"),
    [
        (b"0\n", 0o644, Authenticated.FAILED),
        (b"1\n", 0o644, Authenticated.SUCCEEDED),
        (errno.ENOTTY, 0o644, Authenticated.UNDETERMINED),
        (b"\n", 0o444, Authenticated.NO_SESSION),
        (b"tsm0\n", 0o444, Authenticated.SESSION),
        (b"tsm12\n", 0o444, Authenticated.SESSION),
        (b"1\n", 0o444, Authenticated.UNKNOWN),
        (b"0\n", 0o444, Authenticated.UNKNOWN),
        (b"tsm0\n", 0o644, Authenticated.UNKNOWN),
        (b"\n", 0o644, Authenticated.UNKNOWN),
        (b"", 0o444, Authenticated.UNKNOWN),
        (b"1\n1\n", 0o644, Authenticated.UNKNOWN),
        (b"1\n", 0o600, Authenticated.UNKNOWN),
        (b"tsm\n", 0o444, Authenticated.UNKNOWN),
        (errno.ENOTTY, 0o444, Authenticated.UNKNOWN),
        (errno.EIO, 0o644, Authenticated.UNKNOWN),
    ],
)
def test_mode_and_content_together_say_which_kernel_speaks(
    tree: Tree, content: bytes | int, mode: int, meaning: Authenticated
) -> None:
    tree.authenticated(content, mode)
    assert state(tree) is meaning


def test_no_file_is_no_failure(tree: Tree) -> None:
    verdict = read_verdict(tree.sysfs, tree.folder())
    assert verdict.state is Authenticated.ABSENT
    assert not verdict.can_repeat


def test_enotty_is_called_a_possible_downgrade_and_can_be_tried_again(tree: Tree) -> None:
    tree.authenticated(errno.ENOTTY)
    verdict = read_verdict(tree.sysfs, tree.folder())
    assert "downgrade" in verdict.words
    assert verdict.can_repeat


def test_the_name_of_a_tsm_is_never_taken_for_success(tree: Tree) -> None:
    tree.authenticated(b"tsm1\n", 0o444)
    verdict = read_verdict(tree.sysfs, tree.folder())
    assert verdict.state is not Authenticated.SUCCEEDED
    assert "says nothing about .cma (tsm1)" in verdict.words
    assert not verdict.can_repeat


def test_what_is_unknown_is_shown_as_it_is(tree: Tree) -> None:
    tree.authenticated(b"yes\x1b[2J\n")
    assert read_verdict(tree.sysfs, tree.folder()).words.endswith(r"content b'yes\x1b[2J\n', mode 0644")


@SHARED_FOLDER
@given(content=st.binary(max_size=64), mode=st.sampled_from([0o444, 0o644, 0o600, 0o666]))
def test_only_a_writable_1_is_success(tree: Tree, content: bytes, mode: int) -> None:
    tree.authenticated(content, mode)
    assert (state(tree) is Authenticated.SUCCEEDED) == (mode == 0o644 and content in (b"1", b"1\n"))


def test_a_folder_or_a_link_in_its_place_is_unknown(tree: Tree) -> None:
    tree.put(tree.root / "elsewhere", b"1\n", 0o644)
    (tree.folder() / "authenticated").symlink_to(tree.root / "elsewhere")
    assert state(tree) is Authenticated.UNKNOWN
    (tree.folder() / "authenticated").unlink()
    (tree.folder() / "authenticated").mkdir(mode=0o755)
    assert state(tree) is Authenticated.UNKNOWN


def test_slots_are_read_to_their_end_and_told_apart(tree: Tree) -> None:
    chain = plain_chain()
    tree.slot(0, b"".join(one.der for one in chain))
    tree.slot(1, b"")
    tree.slot(2, b"\x31rubbish")
    tree.slot(3, b"\x30" + bytes(MAX_SLOT_SIZE))
    tree.failures[tree.slot(4, b"")] = errno.EIO
    tree.put(tree.folder() / "certificates/slot8", b"0")
    tree.put(tree.folder() / "certificates/slot00", b"0")
    slots = {slot.number: slot for slot in read_slots(tree.sysfs, tree.folder())}
    assert {number: slot.state for number, slot in slots.items()} == {
        0: SlotState.PROVISIONED,
        1: SlotState.EMPTY,
        2: SlotState.MALFORMED,
        3: SlotState.MALFORMED,
        4: SlotState.UNREADABLE,
    }
    assert slots[0].certificates() == chain
    assert "0x31" in slots[2].problem
    assert "EIO" in slots[4].problem


def test_before_the_first_attempt_there_are_no_slots(tree: Tree) -> None:
    assert read_slots(tree.sysfs, tree.folder()) == ()


@SHARED_FOLDER
@given(st.binary(max_size=200))
def test_a_slot_of_any_content_gives_certificates_or_the_clean_error(tree: Tree, data: bytes) -> None:
    tree.slot(0, b"\x30" + data)
    (slot,) = read_slots(tree.sysfs, tree.folder())
    with pytest.raises(CertificateProblem):
        slot.certificates()
