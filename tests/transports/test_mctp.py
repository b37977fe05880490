"""MCTP through the kernel's sockets: a socket that a test plays, and the kernel's own where it has any."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from cmakeys.errors import CmakeysError, Unsupported
from cmakeys.transports.base import Deadline, TransportClosed, TransportFramingError, TransportTimeout
from cmakeys.transports.mctp import (
    AF_MCTP,
    MESSAGE_MAXIMUM,
    TAG_OWNER,
    Datagram,
    Endpoint,
    KernelSocket,
    MctpTransport,
)

ADDRESS = "mctp:9"
TARGET = Endpoint(9)
REQUEST = bytes.fromhex("10840000")
ANSWER = bytes.fromhex("1004000000010012")


class Played:
    """A socket whose answers and errors a test chooses."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Endpoint, int]] = []
        self.answer: Datagram | None = Datagram(TARGET, 5, ANSWER)
        self.error = 0
        self.closed = False

    def send(self, message: bytes, target: Endpoint, kind: int) -> None:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        self.sent.append((message, target, kind))

    def receive(self, _seconds: float) -> Datagram | None:
        return self.answer

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def played() -> Played:
    return Played()


@pytest.fixture
def transport(played: Played) -> MctpTransport:
    return MctpTransport.open(TARGET, ADDRESS, make=lambda: played)


def test_a_message_goes_out_by_its_type_and_its_answer_comes_back(transport: MctpTransport, played: Played) -> None:
    assert transport.exchange(REQUEST, Deadline.after(1)) == ANSWER
    played.answer = Datagram(TARGET, 6, b"record")
    assert transport.exchange(b"mine", Deadline.after(1), secured=True) == b"record"
    assert played.sent == [(REQUEST, TARGET, 5), (b"mine", TARGET, 6)]
    transport.close()
    assert played.closed


@pytest.mark.parametrize(
    ("answer", "problem", "message"),
    [
        (None, TransportTimeout, "no answer in time"),
        (Datagram(TARGET, 6, ANSWER), TransportFramingError, "answered with type 0x06"),
        (Datagram(Endpoint(10), 5, ANSWER), TransportFramingError, "endpoint 10 answered"),
        (Datagram(TARGET, 5, bytes(MESSAGE_MAXIMUM + 1)), TransportFramingError, "more than"),
    ],
)
def test_what_is_not_the_answer_ends_the_conversation(
    transport: MctpTransport, played: Played, answer: Datagram | None, problem: type[CmakeysError], message: str
) -> None:
    played.answer = answer
    with pytest.raises(problem, match=message):
        transport.exchange(REQUEST, Deadline.after(1))
    with pytest.raises(TransportClosed, match="given up"):
        transport.exchange(REQUEST, Deadline.after(1))


def test_an_endpoint_without_a_route_is_named_with_what_to_do(transport: MctpTransport, played: Played) -> None:
    played.error = errno.EHOSTUNREACH
    with pytest.raises(TransportClosed) as caught:
        transport.exchange(REQUEST, Deadline.after(1))
    assert "mctp route" in caught.value.hint


def test_a_kernel_without_mctp_says_so() -> None:
    def make() -> Played:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    with pytest.raises(Unsupported, match="no MCTP"):
        MctpTransport.open(TARGET, ADDRESS, make=make)


def test_an_address_has_the_kernels_form() -> None:
    assert Endpoint(9, 1).pack(5, TAG_OWNER) == bytes.fromhex("2d00 0000 01000000 09 05 08 00")


def test_this_kernel_has_mctp_or_says_that_it_has_none() -> None:
    """The C library's calls, with an answer of the real kernel in either case."""
    try:
        socket.socket(AF_MCTP, socket.SOCK_DGRAM).close()
    except OSError:
        with pytest.raises(Unsupported, match="no MCTP"):
            MctpTransport.open(TARGET, ADDRESS)
        return
    transport = MctpTransport.open(Endpoint(254, 7), ADDRESS)
    with pytest.raises(TransportClosed):
        transport.exchange(REQUEST, Deadline.after(1))


def test_the_librarys_calls_carry_what_a_datagram_socket_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's socket replaced by a pair of the local kind, which takes no address."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    monkeypatch.setattr("cmakeys.transports.mctp.socket.socket", lambda *_: ours)
    kernel = KernelSocket()
    with theirs:
        assert kernel.receive(0.01) is None
        theirs.send(ANSWER)
        received = kernel.receive(1)
        assert received is not None
        assert received.payload == ANSWER
        with pytest.raises(OSError, match=r".+"):
            kernel.send(REQUEST, TARGET, 5)  # a local socket does not know such an address
    kernel.close()
