"""A family is there, is not there, or could not be asked for; whoever answers cannot make it anything else."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from cmakeys.devices.netlink import FAMILIES, find_family
from cmakeys.devices.netlink_codec import (
    GENL_ID_CTRL,
    NLMSG_ERROR,
    Attribute,
    Family,
    Message,
    NetlinkProblem,
    push_attributes,
    push_messages,
)
from cmakeys.errors import NotPermitted, Temporary


def described(name: str, sequence: int = 1) -> bytes:
    values = [
        Attribute(2, name.encode() + b"\0"),
        Attribute(1, struct.pack("=H", 33)),
        Attribute(3, struct.pack("=I", 1)),
    ]
    payload = struct.pack("=BBH", 1, 2, 0) + push_attributes(values)
    return push_messages([Message(GENL_ID_CTRL, 0, sequence, 7, payload)])


def refused(number: int, sequence: int = 1) -> bytes:
    return push_messages([Message(NLMSG_ERROR, 0, sequence, 7, struct.pack("=i", -number) + bytes(16))])


Kernel = Callable[..., Callable[[], socket.socket]]


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """A kernel that gives these answers, in order."""
    with ExitStack() as stack:

        def answering(*datagrams: bytes) -> Callable[[], socket.socket]:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            stack.enter_context(ours)
            stack.enter_context(theirs)
            for datagram in datagrams:
                theirs.send(datagram)
            return lambda: ours

        yield answering


def test_a_family_that_is_there_is_found(kernel: Kernel) -> None:
    assert find_family("spdm", connect=kernel(described("spdm"))) == Family("spdm", 33, 1)


def test_enoent_means_that_it_is_absent(kernel: Kernel) -> None:
    assert find_family("spdm", connect=kernel(refused(errno.ENOENT))) is None


def test_an_answer_to_another_question_is_passed_over(kernel: Kernel) -> None:
    connect = kernel(described("spdm", sequence=9), refused(errno.ENOENT))
    assert find_family("spdm", connect=connect) is None


def test_another_refusal_is_not_absence(kernel: Kernel) -> None:
    with pytest.raises(NotPermitted):
        find_family("spdm", connect=kernel(refused(errno.EPERM)))


@pytest.mark.parametrize("answer", [described("pci-tsm"), b"\1", described("spdm")[:-8], b""])
def test_another_answer_is_no_answer(answer: bytes, kernel: Kernel) -> None:
    with pytest.raises(NetlinkProblem):
        find_family("spdm", connect=kernel(answer))


def test_silence_ends_with_the_time(kernel: Kernel) -> None:
    with pytest.raises(Temporary):
        find_family("spdm", connect=kernel(), seconds=0.05)


@pytest.mark.system
def test_this_kernel_has_the_controller_itself() -> None:
    family = find_family("nlctrl")
    assert family is not None
    assert family.number == GENL_ID_CTRL


@pytest.mark.system
@pytest.mark.parametrize("name", FAMILIES)
def test_this_kernel_says_whether_it_has_the_family(name: str) -> None:
    family = find_family(name)
    assert family is None or family.name == name
