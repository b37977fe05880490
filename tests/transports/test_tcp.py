"""SPDM over bare TCP, well behaved and not."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from cmakeys.errors import UsageProblem
from cmakeys.transports.base import Deadline, TransportClosed, TransportFramingError, TransportTimeout
from cmakeys.transports.tcp import TcpTransport
from tests.transports.peer import Script, no_port, peer, read, wait_for_end

pytestmark = pytest.mark.system

ADDRESS = "tcp://127.0.0.1:4194"
REQUEST = bytes.fromhex("10840000")
FRAMED_REQUEST = bytes.fromhex("0600010510840000")
ANSWER = bytes.fromhex("1004000000010012")
FRAMED_ANSWER = bytes.fromhex("0a0001051004000000010012")


@contextlib.contextmanager
def connected(port: int) -> Iterator[TcpTransport]:
    with contextlib.closing(TcpTransport.connect("127.0.0.1", port, ADDRESS, Deadline.after(5))) as transport:
        yield transport


def replying(data: bytes, *, stay: bool = False) -> Script:
    def script(connection: socket.socket) -> None:
        assert read(connection, 8) == FRAMED_REQUEST
        connection.sendall(data)
        if stay:
            wait_for_end(connection)

    return script


def test_a_message_goes_out_and_its_answer_comes_back() -> None:
    with peer(replying(FRAMED_ANSWER)) as port, connected(port) as transport:
        assert transport.exchange(REQUEST, Deadline.after(5)) == ANSWER
        assert transport.address == ADDRESS


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("000001bf", "which role we play"),
        ("020001c0", "too large"),
        ("000001c3", "cannot act as responder"),
        ("0a0002051004000000010012", "version 2"),
        ("0a0001061004000000010012", "as a secured record"),
        ("0000010510", "no room"),
    ],
)
def test_role_inquiry_errors_and_garbage_are_named(data: str, complaint: str) -> None:
    with peer(replying(bytes.fromhex(data), stay=True)) as port, connected(port) as transport:
        with pytest.raises(TransportFramingError, match=complaint):
            transport.exchange(REQUEST, Deadline.after(5))
        with pytest.raises(TransportClosed):
            transport.exchange(REQUEST, Deadline.after(5))


@pytest.mark.parametrize("size", range(12))
def test_an_answer_cut_short_by_silence_or_by_closing_is_neither_answer_nor_verdict(size: int) -> None:
    part = FRAMED_ANSWER[:size]
    with peer(replying(part)) as port, connected(port) as transport, pytest.raises(TransportClosed):
        transport.exchange(REQUEST, Deadline.after(5))
    with peer(replying(part, stay=True)) as port, connected(port) as transport, pytest.raises(TransportTimeout):
        transport.exchange(REQUEST, Deadline.after(0.05))


def test_a_message_beyond_the_binding_is_not_sent() -> None:
    refused = pytest.raises(TransportFramingError, match="65533")
    with peer(wait_for_end) as port, connected(port) as transport, refused:
        transport.exchange(bytes(65534), Deadline.after(5))


# -- a device that connects to us --------------------------------------------------------------------------------------


def calling(port: int, data: str) -> threading.Thread:
    """A device that connects, says `data`, and answers what it then is asked."""

    def call() -> None:
        for _ in range(200):
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)) as device:
                device.settimeout(5)
                device.sendall(bytes.fromhex(data))
                with contextlib.suppress(OSError):
                    assert read(device, 8) == FRAMED_REQUEST
                    device.sendall(FRAMED_ANSWER)
                    wait_for_end(device)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=call)
    thread.start()
    return thread


@pytest.mark.parametrize("inquiry", ["000001bf", "020001bf"])
def test_a_device_that_connects_and_asks_for_our_role_is_asked(inquiry: str) -> None:
    port = no_port()
    device = calling(port, inquiry)
    with contextlib.closing(TcpTransport.accept("127.0.0.1", port, ADDRESS, Deadline.after(5))) as transport:
        assert transport.exchange(REQUEST, Deadline.after(5)) == ANSWER
    device.join(5)


def test_a_device_that_begins_otherwise_is_not_asked() -> None:
    port = no_port()
    device = calling(port, "0600010510840000")
    with pytest.raises(TransportFramingError, match="not with a role inquiry"):
        TcpTransport.accept("127.0.0.1", port, ADDRESS, Deadline.after(5))
    device.join(5)


def test_nobody_connects_and_we_do_not_wait_for_ever() -> None:
    with pytest.raises(TransportTimeout):
        TcpTransport.accept("127.0.0.1", no_port(), ADDRESS, Deadline.after(0.05))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "host", "::"])  # noqa: S104 (it must be refused)
def test_nothing_listens_beyond_the_loopback(host: str) -> None:
    with pytest.raises(UsageProblem, match="loopback only"):
        TcpTransport.accept(host, 4194, ADDRESS, Deadline.after(5))
