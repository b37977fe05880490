"""The kernel is asked again, only where it understands, and its errno becomes an outcome and a sentence."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from cmakeys.devices.kernel import Authenticated
from cmakeys.devices.reauthentication import (
    CAUSES,
    Reauthentication,
    RecheckOutcome,
    reauthenticate,
    reauthenticate_all,
)
from cmakeys.devices.sysfs import Sysfs, WriteTimeout, write_attribute
from tests.devices.sysfs import FUNCTION, Tree

NONCE = bytes(range(32))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.add()
    tree.authenticated(b"0\n")
    return tree


def attempt(tree: Tree, nonce: bytes | None = None) -> Reauthentication:
    return reauthenticate(tree.sysfs, tree.entry(), 5.0, nonce)


def test_success_is_what_the_kernel_says_afterwards(tree: Tree) -> None:
    tree.on_recheck(b"1\n")
    found = attempt(tree)
    assert (found.before.state, found.after.state) == (Authenticated.FAILED, Authenticated.SUCCEEDED)
    assert found.cause.outcome is RecheckOutcome.AUTHENTICATED
    assert found.changed
    assert tree.written == [(f"bus/pci/devices/{FUNCTION}/authenticated", b"re")]


@pytest.mark.parametrize(
    ("number", "outcome", "words"),
    [
        (errno.EKEYREJECTED, RecheckOutcome.REJECTED, "no chain of any slot holds"),
        (errno.ENOKEY, RecheckOutcome.REJECTED, "not in .cma"),
        (errno.EKEYREVOKED, RecheckOutcome.REJECTED, "revoked"),
        (errno.EKEYEXPIRED, RecheckOutcome.REJECTED, "expired"),
        (errno.EINVAL, RecheckOutcome.REJECTED, "malformed"),
        (errno.EBADMSG, RecheckOutcome.REJECTED, "parsed"),
        (errno.ENOPKG, RecheckOutcome.REJECTED, "algorithm"),
        (errno.EPROTO, RecheckOutcome.REJECTED, "protocol"),
        (errno.EPROTONOSUPPORT, RecheckOutcome.UNSUPPORTED, "in common"),
        (errno.EMSGSIZE, RecheckOutcome.UNSUPPORTED, "larger"),
        (errno.EIO, RecheckOutcome.UNREACHABLE, "mailbox"),
        (errno.EBUSY, RecheckOutcome.UNREACHABLE, "busy"),
        (errno.ECONNRESET, RecheckOutcome.UNREACHABLE, "reset"),
        (errno.EINPROGRESS, RecheckOutcome.UNREACHABLE, "more time"),
        (errno.ENOENT, RecheckOutcome.UNREACHABLE, "lost the request"),
        (errno.ENOTTY, RecheckOutcome.UNREACHABLE, "downgrade"),
        (errno.EPERM, RecheckOutcome.NOT_PERMITTED, "virtual machine"),
        (errno.EACCES, RecheckOutcome.NOT_PERMITTED, "root"),
        (errno.EXFULL, RecheckOutcome.UNREACHABLE, "Exchange full (EXFULL)"),
    ],
)
def test_every_errno_has_an_outcome_and_words(tree: Tree, number: int, outcome: RecheckOutcome, words: str) -> None:
    tree.on_recheck(number)
    found = attempt(tree)
    assert found.error is not None
    assert found.error.errno == number
    assert found.cause.outcome is outcome
    assert words in found.cause.words
    assert found.cause.hint


def test_every_cause_has_a_hint() -> None:
    assert all(cause.words and cause.hint for cause in CAUSES.values())


@pytest.mark.parametrize(("content", "mode"), [(b"tsm0\n", 0o444), (b"\n", 0o444), (b"1\n", 0o600)])
def test_nothing_is_written_where_the_command_means_nothing(tree: Tree, content: bytes, mode: int) -> None:
    tree.authenticated(content, mode)
    found = attempt(tree, NONCE)
    assert found.cause.outcome is RecheckOutcome.UNSUPPORTED
    assert tree.written == []


def test_an_undetermined_device_is_tried_and_stays_suspicious(tree: Tree) -> None:
    tree.authenticated(errno.ENOTTY)
    tree.on_recheck(errno.ENOTTY)
    found = attempt(tree)
    assert found.after.state is Authenticated.UNDETERMINED
    assert found.cause.outcome is RecheckOutcome.UNREACHABLE


def test_a_kernel_that_does_not_know_the_command_is_not_the_devices_fault(tree: Tree) -> None:
    path = tree.authenticated(b"1\n")
    tree.on_recheck(errno.EINVAL)

    def refuse(data: bytes) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    tree.reactions[path] = refuse
    assert attempt(tree).cause.outcome is RecheckOutcome.UNSUPPORTED


def test_no_error_and_no_success_is_no_success(tree: Tree) -> None:
    tree.on_recheck(b"0\n")
    assert attempt(tree).cause.outcome is RecheckOutcome.REJECTED
    tree.authenticated(b"0\n")
    tree.on_recheck(b"maybe\n")
    assert attempt(tree).cause.outcome is RecheckOutcome.UNREACHABLE


def test_a_nonce_is_handed_over_where_the_kernel_takes_one(tree: Tree) -> None:
    tree.on_recheck(b"1\n")
    assert attempt(tree, NONCE).nonce is None
    path = tree.put(tree.folder() / "signatures/next_requester_nonce", b"", 0o200)
    found = attempt(tree, NONCE)
    assert found.nonce == NONCE
    assert path.read_bytes() == NONCE
    with pytest.raises(ValueError, match="32 bytes"):
        attempt(tree, b"short")


def test_many_are_asked_side_by_side_and_answered_in_order(tree: Tree) -> None:
    names = [f"0000:0{number}:00.0" for number in range(2, 6)]
    for name in names:
        tree.add(name)
        tree.authenticated(b"0\n", name=name)
    together = threading.Barrier(len(names), timeout=20)
    for name in names:
        path = tree.folder(name) / "authenticated"

        def react(data: bytes, path: Path = path) -> None:
            together.wait()
            path.write_bytes(b"1\n")

        tree.reactions[path] = react
    found = reauthenticate_all(tree.sysfs, [tree.entry(name) for name in names], 5.0, bytes)
    assert [str(one.function.address) for one in found] == names
    assert all(one.cause.outcome is RecheckOutcome.AUTHENTICATED for one in found)
    assert reauthenticate_all(tree.sysfs, [], 5.0, bytes) == ()


def test_a_kernel_that_does_not_finish_is_left_alone(tree: Tree) -> None:
    def never(path: Path, data: bytes, seconds: float) -> None:
        raise WriteTimeout(errno.ETIMEDOUT, "not finished")

    found = reauthenticate(Sysfs(tree.root, write=never), tree.entry(), 0.01)
    assert found.cause.outcome is RecheckOutcome.UNREACHABLE
    assert "not finished in time" in found.cause.words


def test_a_write_that_blocks_is_waited_for_no_longer_than_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    path = tmp_path / "authenticated"
    path.write_bytes(b"0\n")
    monkeypatch.setattr("cmakeys.devices.sysfs.os.write", lambda _descriptor, data: release.wait(20) and len(data))
    with pytest.raises(WriteTimeout):
        write_attribute(path, b"re", 0.02)
    release.set()
