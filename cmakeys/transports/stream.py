"""A TCP connection that keeps to a deadline: the ground that the emulator socket and the TCP binding stand on.

Each message goes out in one send with Nagle's algorithm off, and delayed acknowledgements are switched off anew after
each read (the kernel forgets that wish): a conversation is many small questions, and either habit costs 40 ms for each.
Every wait is bounded by the deadline, whatever the peer does: silence, one byte a second, or a name server that sleeps.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import queue
import socket
import threading
from typing import Any

from cmakeys.errors import UsageProblem
from cmakeys.transports.base import Deadline, TransportClosed, TransportFramingError, TransportTimeout

READ_SIZE = 1 << 16

_Endpoint = tuple[int, Any]


class Stream:
    """One connection to `host`:`port`; `address` is what messages call it."""

    def __init__(self, connection: socket.socket, address: str) -> None:
        self._socket = connection
        self.address = address
        self._usable = True
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._acknowledge_at_once()

    @classmethod
    def connect(cls, host: str, port: int, address: str, deadline: Deadline) -> Stream:
        """Connect to the first endpoint of `host` that answers."""
        last: OSError | None = None
        for family, endpoint in _resolve(host, port, address, deadline):
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(deadline.require("while connecting", address))
                connection.connect(endpoint)
                return cls(connection, address)
            except OSError as error:
                connection.close()
                last = error
            except BaseException:
                connection.close()
                raise
        raise _trouble(last or OSError(errno.EADDRNOTAVAIL, ""), "while connecting", address)

    @classmethod
    def accept(cls, host: str, port: int, address: str, deadline: Deadline) -> Stream:
        """Wait for one peer to connect to us; `host` is a literal address of the loopback.

        Raises `UsageProblem` for any other, `TransportTimeout` when nobody comes.
        """
        literal = _loopback(host, address)
        family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((str(literal), port))
                listener.listen(1)
                listener.settimeout(deadline.require("while waiting for the device to connect", address))
                connection, _ = listener.accept()
            except OSError as error:
                raise _trouble(error, "while waiting for the device to connect", address) from error
        return cls(connection, address)

    @property
    def usable(self) -> bool:
        """Whether nothing has gone wrong yet."""
        return self._usable

    def send(self, frame: bytes, deadline: Deadline) -> None:
        """Send one message whole. Data that arrived unasked before it makes the connection useless."""
        self._check_quiet()
        try:
            self._socket.settimeout(deadline.require("to send the request", self.address))
            self._socket.sendall(frame)
        except OSError as error:
            raise self._give_up(error, "while the request was sent") from error
        except TransportTimeout:
            self.abandon()
            raise

    def receive(self, size: int, deadline: Deadline) -> bytes:
        """Read exactly `size` bytes; memory grows with what arrives, not with what was announced."""
        received = bytearray()
        while len(received) < size:
            try:
                self._socket.settimeout(deadline.require("while waiting for the answer", self.address))
                piece = self._socket.recv(min(size - len(received), READ_SIZE))
                self._acknowledge_at_once()
            except OSError as error:
                raise self._give_up(error, "while waiting for the answer") from error
            except TransportTimeout:
                self.abandon()
                raise
            if not piece:
                self.abandon()
                raise TransportClosed(
                    f"the peer closed the connection after {len(received)} of {size} bytes"
                    if received
                    else "the peer closed the connection instead of answering",
                    object=self.address,
                    hint="a responder closes on a message it refuses; its own log may say why",
                )
            received += piece
        return bytes(received)

    def abandon(self) -> None:
        """Close, because an answer may be under way that nobody could tell from the next one."""
        self._usable = False
        self._socket.close()

    def _check_quiet(self) -> None:
        if not self._usable:
            raise TransportClosed("the connection was given up after an earlier failure", object=self.address)
        try:
            self._socket.settimeout(0)
            unasked = self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._give_up(error, "before the request was sent") from error
        self.abandon()
        if unasked:
            raise TransportFramingError("the peer sent more than one answer", object=self.address)
        raise TransportClosed("the peer has closed the connection", object=self.address)

    def _give_up(self, error: OSError, when: str) -> TransportTimeout | TransportClosed:
        self.abandon()
        return _trouble(error, when, self.address)

    def _acknowledge_at_once(self) -> None:
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _loopback(host: str, address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        literal = None
    if literal is None or not literal.is_loopback:
        raise UsageProblem(
            "a device is awaited on an address of the loopback only", object=address, hint="write 127.0.0.1 or [::1]"
        )
    return literal


def _resolve(host: str, port: int, address: str, deadline: Deadline) -> list[_Endpoint]:
    """The endpoints of a host. The system's resolver knows no deadline, so a name is looked up in a thread."""
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return _look_up(host, port, address, deadline)
    family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
    return [(family, (host, port))]


def _look_up(host: str, port: int, address: str, deadline: Deadline) -> list[_Endpoint]:
    answer: queue.SimpleQueue[list[_Endpoint] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            answer.put(error)
        except UnicodeError:
            answer.put(socket.gaierror(socket.EAI_NONAME, "no name of a host"))
        else:
            answer.put([(family, endpoint) for family, _, _, _, endpoint in found])

    threading.Thread(target=ask, daemon=True, name=f"look up {host}").start()
    try:
        result = answer.get(timeout=deadline.require("to look up the host", address))
    except queue.Empty:
        raise TransportTimeout(f"looking up {host} took too long", object=address) from None
    if isinstance(result, OSError):
        raise TransportClosed(f"{host} cannot be looked up: {result.strerror}", object=address)
    return result


def _trouble(error: OSError, when: str, address: str) -> TransportTimeout | TransportClosed:
    """An OSError of a socket in words; never anything but a temporary problem."""
    if isinstance(error, TimeoutError):
        return TransportTimeout(
            f"no answer in time {when}", object=address, hint="the device may be busy; try again, or allow more time"
        )
    words = os.strerror(error.errno) if error.errno else str(error)
    hint = "nobody listens there; is the responder running?" if error.errno == errno.ECONNREFUSED else ""
    return TransportClosed(f"{words} ({errno.errorcode.get(error.errno or 0, '?')}) {when}", object=address, hint=hint)
