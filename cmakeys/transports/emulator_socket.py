"""The socket of DMTF's SPDM emulator: what `spdm_responder_emu`, QEMU's SPDM devices and our own emulator speak.

Each direction carries frames of a 12-byte big-endian header and one whole transport frame:

==== ==== ========= ==================================================================
off  size field     meaning
==== ==== ========= ==================================================================
0    4    command   1 NORMAL, 0xDEAD TEST (hello), 0xFFFD CONTINUE, 0xFFFE SHUTDOWN
4    4    transport 0 none, 1 MCTP, 2 PCI DOE, 3 TCP; must be the responder's own
8    4    size      bytes that follow
==== ==== ========= ==================================================================

How the conversation ends matters to the peer: DMTF's emulator exits when a connection closes without a word. So the
default is to say CONTINUE, which leaves it waiting for the next connection; `SHUTDOWN` ends its process and is sent
only when asked for. A connection on which something went wrong is closed without either.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, IntEnum

from cmakeys.transports.base import Deadline, TransportClosed, TransportFramingError, TransportTimeout
from cmakeys.transports.framing import DOE_MAXIMUM, Framing, unwrap_answer, wrap
from cmakeys.transports.stream import Stream
from cmakeys.transports.tcp import called

DEFAULT_PORT = 2323
CLIENT_HELLO = b"Client Hello!\0"
SERVER_HELLO = b"Server Hello!\0"
GOODBYE_SECONDS = 1.0

HEADER = struct.Struct(">III")


class Command(IntEnum):
    """What a frame of the socket asks for."""

    NORMAL = 0x0001
    OOB_ENCAP_KEY_UPDATE = 0x8001
    OOB_ENCAP_ENDPOINT_INFO = 0x8002
    CONTINUE = 0xFFFD
    SHUTDOWN = 0xFFFE
    UNKNOWN = 0xFFFF
    TEST = 0xDEAD


class End(Enum):
    """How to take leave of the peer."""

    CONTINUE = "continue"
    SHUTDOWN = "shutdown"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class SocketFrame:
    """One frame of the socket; command and transport as numbers, since a peer may send any."""

    command: int
    transport: int
    payload: bytes

    def pack(self) -> bytes:
        """Header and payload in one piece, for one send."""
        return HEADER.pack(self.command, self.transport, len(self.payload)) + self.payload


def payload_size(header: bytes, limit: int, source: str = "") -> int:
    """The size in a header, if it is not beyond `limit`."""
    size: int = HEADER.unpack(header)[2]
    if size > limit:
        raise TransportFramingError(f"a frame of {size} bytes is announced, at most {limit} are taken", object=source)
    return size


class EmulatorSocket:
    """A connection to an emulator; see `Transport` for the contract."""

    def __init__(self, stream: Stream, framing: Framing, *, end: End = End.CONTINUE, limit: int = DOE_MAXIMUM) -> None:
        self._stream = stream
        self._limit = limit
        self._closed = False
        self.framing = framing
        self.end = end

    @classmethod
    def connect(
        cls,
        host: str,
        port: int,
        address: str,
        deadline: Deadline,
        *,
        framing: Framing = Framing.PCI_DOE,
        hello: bool = False,
        end: End = End.CONTINUE,
        limit: int = DOE_MAXIMUM,
    ) -> EmulatorSocket:
        """Connect and, where asked for, exchange the hello that tells an emulator from any other server."""
        transport = cls(Stream.connect(host, port, address, deadline), framing, end=end, limit=limit)
        if hello:
            transport._say_hello(deadline)
        return transport

    @classmethod
    def accept(
        cls, host: str, port: int, address: str, deadline: Deadline, *, framing: Framing, end: End = End.CONTINUE
    ) -> EmulatorSocket:
        """Wait for the emulator to connect, as it does with its TCP subtype RI, and to ask for our role."""
        return cls(called(host, port, address, deadline), framing, end=end)

    @property
    def address(self) -> str:
        """The URL this connection was made for."""
        return self._stream.address

    def exchange(self, message: bytes, deadline: Deadline, *, secured: bool = False) -> bytes:
        """Send one message and return the payload of the answer; see `Transport`."""
        request = wrap(self.framing, message, secured=secured)
        answer = self._round_trip(SocketFrame(Command.NORMAL, self.framing, request), deadline)
        try:
            if answer.command != Command.NORMAL:
                raise TransportFramingError(f"answered with command {answer.command:#x}", object=self.address)
            if answer.transport != self.framing:
                raise TransportFramingError(
                    f"answered as transport {answer.transport}, asked as {int(self.framing)} ({self.framing.name})",
                    object=self.address,
                    hint="choose the responder's own transport with ?transport=doe, mctp, tcp or none",
                )
            return unwrap_answer(self.framing, answer.payload, self.address, secured=secured)
        except TransportFramingError:
            self._stream.abandon()
            raise

    def close(self) -> None:
        """Take leave as chosen, waiting a second for the echo at most, and close."""
        if self._closed:
            return
        self._closed = True
        if self._stream.usable and self.end is not End.CLOSE:
            command = Command.SHUTDOWN if self.end is End.SHUTDOWN else Command.CONTINUE
            self._take_leave(SocketFrame(command, self.framing, b""))
        self._stream.abandon()

    def _take_leave(self, goodbye: SocketFrame) -> bool:
        """Whether the peer echoed our last word; nothing depends on it, since the connection ends either way."""
        try:
            return self._round_trip(goodbye, Deadline.after(GOODBYE_SECONDS)).command == goodbye.command
        except (TransportTimeout, TransportClosed, TransportFramingError):
            return False

    def _say_hello(self, deadline: Deadline) -> None:
        answer = self._round_trip(SocketFrame(Command.TEST, self.framing, CLIENT_HELLO), deadline)
        if answer.command != Command.TEST or answer.payload != SERVER_HELLO:
            self._stream.abandon()
            raise TransportFramingError(
                "the peer does not answer the emulator's hello",
                object=self.address,
                hint="is this port an SPDM emulator's? A responder without the hello is reached with ?hello=no",
            )

    def _round_trip(self, frame: SocketFrame, deadline: Deadline) -> SocketFrame:
        self._stream.send(frame.pack(), deadline)
        header = self._stream.receive(HEADER.size, deadline)
        try:
            size = payload_size(header, self._limit, self.address)
        except TransportFramingError:
            self._stream.abandon()
            raise
        command, transport, _ = HEADER.unpack(header)
        return SocketFrame(command, transport, self._stream.receive(size, deadline))
