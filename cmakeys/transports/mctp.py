"""MCTP through the kernel's own sockets (AF_MCTP, Linux 5.15 and later): one datagram is one whole message.

The kernel makes and reads the packets (DSP0236), chooses the tag, and gives an answer to the socket whose question it
belongs to. The message type, 5 for SPDM and 6 for secured records (DSP0275, DSP0276), travels in the address and not in
the data. Python knows no such address family, so sending and receiving go through the C library.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from cmakeys.errors import Unsupported
from cmakeys.transports.base import Deadline, TransportClosed, TransportFramingError, TransportTimeout
from cmakeys.transports.framing import Framing, MctpType

AF_MCTP = 45
ANY_NETWORK = 0
FIRST_EID, LAST_EID = 8, 254
"""Endpoint ids of devices; the others are reserved (DSP0236)."""

TAG_OWNER = 0x08
MESSAGE_MAXIMUM = 0x20000
"""Bytes of one message that are taken; the kernel itself takes 64 KiB."""

_ADDRESS = struct.Struct("=HHIBBBB")
"""struct sockaddr_mctp: family, pad, network, endpoint, type, tag, pad."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a device is: its endpoint id, 8 to 254, and the network, 0 for the default one."""

    eid: int
    network: int = ANY_NETWORK

    def pack(self, kind: int, tag: int) -> bytes:
        """The kernel's form of the address."""
        return _ADDRESS.pack(AF_MCTP, 0, self.network, self.eid, kind, tag, 0)


@dataclass(frozen=True, slots=True)
class Datagram:
    """A message that came: from which endpoint, of which type, and what is in it."""

    source: Endpoint
    kind: int
    payload: bytes


class MctpSocket(Protocol):
    """What the transport needs of a socket; the kernel's is `KernelSocket`."""

    def send(self, message: bytes, target: Endpoint, kind: int) -> None:
        """Send one message as the owner of its tag. Raises `OSError`."""

    def receive(self, seconds: float) -> Datagram | None:
        """The next message, None when none came in time. Raises `OSError`."""

    def close(self) -> None:
        """Close it."""


class KernelSocket:
    """A datagram socket of the kernel's MCTP stack."""

    def __init__(self) -> None:
        self._socket = socket.socket(AF_MCTP, socket.SOCK_DGRAM, 0)
        self._libc = ctypes.CDLL(None, use_errno=True)

    def send(self, message: bytes, target: Endpoint, kind: int) -> None:
        """Send one message; see `MctpSocket`."""
        address = target.pack(kind, TAG_OWNER)
        sent = self._libc.sendto(self._socket.fileno(), message, len(message), 0, address, len(address))
        if sent != len(message):
            raise _last_error()

    def receive(self, seconds: float) -> Datagram | None:
        """The next message; see `MctpSocket`."""
        ready, _, _ = select.select([self._socket], [], [], seconds)
        if not ready:
            return None
        buffer = ctypes.create_string_buffer(MESSAGE_MAXIMUM + 1)
        address = ctypes.create_string_buffer(_ADDRESS.size)
        size = ctypes.c_uint32(_ADDRESS.size)
        flags = socket.MSG_DONTWAIT | socket.MSG_TRUNC
        length = self._libc.recvfrom(self._socket.fileno(), buffer, len(buffer), flags, address, ctypes.byref(size))
        if length < 0:
            raise _last_error()
        _, _, network, eid, kind, _, _ = _ADDRESS.unpack(address.raw)
        return Datagram(Endpoint(eid, network), kind, buffer.raw[: min(length, len(buffer))])

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


class MctpTransport:
    """A conversation with one endpoint; see `Transport`."""

    framing = Framing.MCTP

    def __init__(self, connection: MctpSocket, target: Endpoint, address: str) -> None:
        self._socket = connection
        self._target = target
        self._address = address
        self._usable = True

    @classmethod
    def open(cls, target: Endpoint, address: str, *, make: Callable[[], MctpSocket] = KernelSocket) -> Self:
        """A socket for one endpoint. Raises `Unsupported` where the kernel has no MCTP."""
        try:
            return cls(make(), target, address)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:
                raise Unsupported(
                    "this kernel has no MCTP",
                    object=address,
                    hint="it needs CONFIG_MCTP, a driver for the bus, and an endpoint that mctpd or mctp(8) has set up",
                ) from error
            raise TransportClosed(f"{error.strerror} while the socket was made", object=address) from error

    @property
    def address(self) -> str:
        """The URL of the endpoint."""
        return self._address

    def exchange(self, message: bytes, deadline: Deadline, *, secured: bool = False) -> bytes:
        """Send one message and wait for its answer; see `Transport`."""
        if not self._usable:
            raise TransportClosed("the socket was given up after an earlier failure", object=self._address)
        self._usable = False
        kind = MctpType.SECURED_SPDM if secured else MctpType.SPDM
        try:
            self._socket.send(message, self._target, kind)
            answer = self._receive(deadline)
        except OSError as error:
            raise self._trouble(error) from error
        if answer.kind != kind:
            raise TransportFramingError(
                f"a message of type {kind:#04x} was answered with type {answer.kind:#04x}", object=self._address
            )
        self._usable = True
        return answer.payload

    def _receive(self, deadline: Deadline) -> Datagram:
        """The next message of our endpoint. The kernel matches tags; a stranger's message is not waited for longer."""
        answer = self._socket.receive(deadline.require("while waiting for the answer", self._address))
        if answer is None:
            raise TransportTimeout("no answer in time", object=self._address, hint="is the endpoint set up? mctp route")
        if answer.source.eid != self._target.eid:
            raise TransportFramingError(f"endpoint {answer.source.eid} answered instead", object=self._address)
        if len(answer.payload) > MESSAGE_MAXIMUM:
            raise TransportFramingError(f"an answer of more than {MESSAGE_MAXIMUM} bytes", object=self._address)
        return answer

    def _trouble(self, error: OSError) -> TransportClosed:
        hint = ""
        if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            hint = "there is no route to this endpoint: see mctp route, and mctp address"
        return TransportClosed(f"{error.strerror} while the endpoint was asked", object=self._address, hint=hint)

    def close(self) -> None:
        """Close the socket."""
        self._usable = False
        self._socket.close()
