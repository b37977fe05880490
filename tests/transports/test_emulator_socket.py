"""The emulator's socket, well behaved and not: every wait ends, and no trouble is a verdict."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from cmakeys.transports.base import Deadline, TransportClosed, TransportFramingError, TransportTimeout
from cmakeys.transports.emulator_socket import (
    CLIENT_HELLO,
    HEADER,
    SERVER_HELLO,
    Command,
    EmulatorSocket,
    End,
    SocketFrame,
    payload_size,
)
from cmakeys.transports.framing import Framing, unwrap, wrap
from tests.transports.peer import Script, peer, read, read_frame, wait_for_end

pytestmark = pytest.mark.system

REQUEST = bytes.fromhex("10840000")
ANSWER = bytes.fromhex("1004000000010012")
ADDRESS = "emu://127.0.0.1:2323?transport=doe"


@contextlib.contextmanager
def connected(port: int, **options: object) -> Iterator[EmulatorSocket]:
    options.setdefault("end", End.CLOSE)
    transport = EmulatorSocket.connect("127.0.0.1", port, ADDRESS, Deadline.after(5), **options)  # type: ignore[arg-type]  # options vary by test
    with contextlib.closing(transport):
        yield transport


def answering(framing: Framing, answer: bytes = ANSWER) -> Script:
    def script(connection: socket.socket) -> None:
        while True:
            frame = read_frame(connection)
            secured = unwrap(framing, frame.payload).secured
            reply = SocketFrame(frame.command, frame.transport, wrap(framing, answer, secured=secured))
            connection.sendall(reply.pack())

    return script


def sending(data: bytes) -> Script:
    """Answer the first request with exactly these bytes, and close."""

    def script(connection: socket.socket) -> None:
        read_frame(connection)
        connection.sendall(data)

    return script


@pytest.mark.parametrize("framing", Framing)
def test_a_message_goes_out_and_its_answer_comes_back(framing: Framing) -> None:
    with peer(answering(framing)) as port, connected(port, framing=framing) as transport:
        for _ in range(3):
            assert transport.exchange(REQUEST, Deadline.after(5)) == ANSWER
        assert transport.address == ADDRESS


def test_a_secured_record_is_marked_and_answered_as_one() -> None:
    with peer(answering(Framing.PCI_DOE)) as port, connected(port) as transport:
        assert transport.exchange(b"abcd", Deadline.after(5), secured=True) == ANSWER


def test_an_answer_of_a_megabyte_arrives_whole() -> None:
    large = bytes(range(256)) * 4095
    with peer(answering(Framing.MCTP, large)) as port, connected(port, framing=Framing.MCTP) as transport:
        assert transport.exchange(REQUEST, Deadline.after(10)) == large


def test_an_answer_in_single_bytes_arrives_whole() -> None:
    def dribble(connection: socket.socket) -> None:
        frame = read_frame(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in SocketFrame(1, frame.transport, wrap(Framing.PCI_DOE, ANSWER)).pack():
            connection.sendall(bytes([byte]))
        wait_for_end(connection)

    with peer(dribble) as port, connected(port) as transport:
        assert transport.exchange(REQUEST, Deadline.after(5)) == ANSWER


def test_silence_ends_at_the_deadline_and_the_connection_with_it() -> None:
    with peer(wait_for_end) as port, connected(port) as transport:
        with pytest.raises(TransportTimeout) as caught:
            transport.exchange(REQUEST, Deadline.after(0.1))
        assert caught.value.object == ADDRESS
        with pytest.raises(TransportClosed, match="given up"):
            transport.exchange(REQUEST, Deadline.after(5))


def test_a_deadline_already_past_sends_nothing() -> None:
    received: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        received.append(connection.recv(1))

    with peer(listen) as port, connected(port) as transport, pytest.raises(TransportTimeout):
        transport.exchange(REQUEST, Deadline.after(-1))
    assert received == [b""]


def test_endless_dribbling_ends_at_the_deadline() -> None:
    def dribble(connection: socket.socket) -> None:
        read_frame(connection)
        connection.sendall(HEADER.pack(1, 2, 1 << 20))
        connection.settimeout(0.01)
        for _ in range(1000):
            connection.sendall(b"\0")
            with contextlib.suppress(TimeoutError):
                if not connection.recv(1):
                    return

    with peer(dribble) as port, connected(port) as transport, pytest.raises(TransportTimeout):
        transport.exchange(REQUEST, Deadline.after(0.2))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "instead of answering"),
        (b"\0\0\0", "after 3 of 12 bytes"),
        (HEADER.pack(1, 2, 20), "instead of answering"),
        (HEADER.pack(1, 2, 20) + bytes(7), "after 7 of 20 bytes"),
    ],
)
def test_a_connection_closed_in_the_middle_is_closed(data: bytes, complaint: str) -> None:
    with peer(sending(data)) as port, connected(port) as transport, pytest.raises(TransportClosed, match=complaint):
        transport.exchange(REQUEST, Deadline.after(5))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (HEADER.pack(1, 2, 0xFFFFFFFF), "4294967295 bytes is announced"),
        (HEADER.pack(1, 2, (1 << 20) + 1), "at most 1048576"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is announced"),
        (SocketFrame(0xFFFE, 2, b"").pack(), "command 0xfffe"),
        (SocketFrame(1, 1, wrap(Framing.MCTP, ANSWER)).pack(), "answered as transport 1"),
        (SocketFrame(1, 99, b"").pack(), "answered as transport 99"),
        (SocketFrame(1, 2, b"garbage!").pack(), "DOE"),
        (SocketFrame(1, 2, b"").pack(), "too few"),
        (SocketFrame(1, 2, wrap(Framing.PCI_DOE, ANSWER, secured=True)).pack(), "as a secured record"),
    ],
)
def test_what_is_no_answer_is_a_framing_error_and_ends_the_connection(data: bytes, complaint: str) -> None:
    with peer(sending(data)) as port, connected(port) as transport:
        with pytest.raises(TransportFramingError, match=complaint) as caught:
            transport.exchange(REQUEST, Deadline.after(5))
        assert caught.value.object == ADDRESS
        with pytest.raises(TransportClosed):
            transport.exchange(REQUEST, Deadline.after(5))


def test_a_smaller_limit_is_kept() -> None:
    refused = pytest.raises(TransportFramingError, match="16 bytes is announced, at most 15")
    with peer(answering(Framing.PCI_DOE)) as port, connected(port, limit=15) as transport, refused:
        transport.exchange(REQUEST, Deadline.after(5))


def test_a_second_answer_is_not_taken_for_the_next_one() -> None:
    both = SocketFrame(1, 2, wrap(Framing.PCI_DOE, ANSWER)).pack() * 2

    def twice(connection: socket.socket) -> None:
        read_frame(connection)
        connection.sendall(both)
        wait_for_end(connection)

    with peer(twice) as port, connected(port) as transport:
        assert transport.exchange(REQUEST, Deadline.after(5)) == ANSWER
        with pytest.raises(TransportFramingError, match="more than one answer"):
            transport.exchange(REQUEST, Deadline.after(5))


def test_a_reset_is_closed() -> None:
    def reset(connection: socket.socket) -> None:
        read_frame(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with peer(reset) as port, connected(port) as transport, pytest.raises(TransportClosed):
        transport.exchange(REQUEST, Deadline.after(5))


def test_a_connection_that_the_peer_has_ended_between_messages_is_closed() -> None:
    ended = threading.Event()

    def answer_once(connection: socket.socket) -> None:
        sending(SocketFrame(1, 2, wrap(Framing.PCI_DOE, ANSWER)).pack())(connection)
        connection.close()
        ended.set()

    with peer(answer_once) as port, connected(port) as transport:
        assert transport.exchange(REQUEST, Deadline.after(5)) == ANSWER
        assert ended.wait(5)
        with pytest.raises(TransportClosed):
            transport.exchange(REQUEST, Deadline.after(5))


@pytest.mark.parametrize(
    ("end", "command"), [(End.CONTINUE, Command.CONTINUE), (End.SHUTDOWN, Command.SHUTDOWN), (End.CLOSE, None)]
)
def test_the_farewell_is_the_chosen_one_and_said_once(end: End, command: Command | None) -> None:
    heard: list[SocketFrame] = []

    def listen(connection: socket.socket) -> None:
        while True:
            frame = read_frame(connection)
            heard.append(frame)
            connection.sendall(frame.pack())

    with peer(listen) as port, connected(port, end=end) as transport:
        transport.close()
        transport.close()
    assert heard == ([SocketFrame(command, Framing.PCI_DOE, b"")] if command else [])


@pytest.mark.parametrize("echo", [b"", b"\0", HEADER.pack(1, 2, 0xFFFFFFFF), SocketFrame(7, 7, b"x").pack()])
def test_a_farewell_without_its_echo_still_ends_quietly(echo: bytes) -> None:
    with peer(sending(echo)) as port, connected(port, end=End.CONTINUE) as transport:
        transport.close()
        with pytest.raises(TransportClosed):
            transport.exchange(REQUEST, Deadline.after(5))


def test_no_farewell_follows_a_failure() -> None:
    heard: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        read_frame(connection)
        heard.append(connection.recv(1))

    with peer(listen) as port, connected(port, end=End.SHUTDOWN) as transport, pytest.raises(TransportTimeout):
        transport.exchange(REQUEST, Deadline.after(0.1))
    assert heard == [b""]


def test_the_hello_is_exchanged_before_anything_else() -> None:
    def greet(connection: socket.socket) -> None:
        frame = read_frame(connection)
        assert frame == SocketFrame(Command.TEST, Framing.PCI_DOE, CLIENT_HELLO)
        connection.sendall(SocketFrame(Command.TEST, Framing.PCI_DOE, SERVER_HELLO).pack())
        answering(Framing.PCI_DOE)(connection)

    with peer(greet) as port, connected(port, hello=True) as transport:
        assert transport.exchange(REQUEST, Deadline.after(5)) == ANSWER


@pytest.mark.parametrize(
    "reply", [SocketFrame(Command.TEST, 2, b"Bonjour!\0"), SocketFrame(Command.NORMAL, 2, SERVER_HELLO)]
)
def test_a_server_that_does_not_know_the_hello_is_no_emulator(reply: SocketFrame) -> None:
    with peer(sending(reply.pack())) as port, pytest.raises(TransportFramingError, match="hello"):
        EmulatorSocket.connect("127.0.0.1", port, ADDRESS, Deadline.after(5), hello=True)


def test_the_largest_size_allowed_passes_and_one_more_does_not() -> None:
    assert payload_size(HEADER.pack(1, 2, 100), 100) == 100
    with pytest.raises(TransportFramingError):
        payload_size(HEADER.pack(1, 2, 101), 100)


def test_the_frame_is_big_endian_and_goes_out_in_one_piece() -> None:
    seen: list[bytes] = []

    def look(connection: socket.socket) -> None:
        seen.append(read(connection, 24))

    with peer(look) as port, connected(port) as transport, pytest.raises(TransportClosed):
        transport.exchange(REQUEST, Deadline.after(5))
    assert seen == [bytes.fromhex("00000001 00000002 0000000c 010001000300000010840000")]
