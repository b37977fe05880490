"""The connection underneath: how it connects, and the habits it keeps the kernel from."""

from __future__ import annotations

import socket
import threading

import pytest

from cmakeys.transports.base import Deadline, TransportClosed, TransportTimeout
from cmakeys.transports.stream import Stream
from tests.transports.peer import no_port, peer, read, wait_for_end

pytestmark = pytest.mark.system

ADDRESS = "tcp://127.0.0.1:1"


class Watched(socket.socket):
    """A socket that writes down how it is used."""

    log: list[str]

    def sendall(self, data: bytes, flags: int = 0) -> None:  # type: ignore[override]  # fewer buffer types suffice
        self.log.append("send")
        super().sendall(data, flags)

    def recv(self, size: int, flags: int = 0) -> bytes:
        self.log.append("peek" if flags & socket.MSG_PEEK else "recv")
        return super().recv(size, flags)

    def setsockopt(self, *arguments: int) -> None:  # type: ignore[override]  # only numbers are set here
        names = {socket.TCP_NODELAY: "nodelay", socket.TCP_QUICKACK: "quickack"}
        self.log.append(names.get(arguments[1], "other"))
        super().setsockopt(*arguments)


def test_one_send_per_message_no_delay_and_quick_acknowledgement_after_every_read() -> None:
    def echo(connection: socket.socket) -> None:
        connection.sendall(read(connection, 4))
        wait_for_end(connection)

    with peer(echo) as port:
        connection = Watched(socket.AF_INET, socket.SOCK_STREAM)
        connection.log = []
        connection.connect(("127.0.0.1", port))
        conversation = Stream(connection, ADDRESS)
        conversation.send(b"abcd", Deadline.after(5))
        assert conversation.receive(4, Deadline.after(5)) == b"abcd"
        conversation.abandon()
    assert connection.log == ["nodelay", "quickack", "peek", "send", "recv", "quickack"]


def test_nobody_listening_says_so() -> None:
    with pytest.raises(TransportClosed, match="Connection refused") as caught:
        Stream.connect("127.0.0.1", no_port(), ADDRESS, Deadline.after(5))
    assert (caught.value.object, "running?" in caught.value.hint) == (ADDRESS, True)


@pytest.mark.parametrize("host", ["name.invalid", "a" * 300, "..", "x\u2024y.invalid"])
def test_a_host_that_cannot_be_looked_up_is_closed_or_timed_out(host: str) -> None:
    with pytest.raises((TransportClosed, TransportTimeout)):
        Stream.connect(host, 1, ADDRESS, Deadline.after(2))


def test_a_resolver_that_sleeps_does_not_hold_us(monkeypatch: pytest.MonkeyPatch) -> None:
    awake = threading.Event()

    def sleep(*_arguments: object, **_options: object) -> list[object]:
        awake.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", sleep)
    with pytest.raises(TransportTimeout, match="looking up slow took too long"):
        Stream.connect("slow", 1, ADDRESS, Deadline.after(0.1))
    awake.set()


def test_a_name_is_resolved_and_its_endpoints_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(wait_for_end) as port:
        endpoints = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", no_port())),
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: endpoints)
        Stream.connect("two-faced", port, ADDRESS, Deadline.after(5)).abandon()


def test_no_time_left_connects_nowhere() -> None:
    with pytest.raises(TransportTimeout, match="while connecting"):
        Stream.connect("127.0.0.1", no_port(), ADDRESS, Deadline.after(-1))
