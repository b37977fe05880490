"""SPDM over bare TCP (DSP0287): a 4-byte header of length, binding version and message type before each message.

Mostly the requester connects. A device may connect instead, and then asks first which role the other side plays; the
answer to its role inquiry is the first request.
"""

from __future__ import annotations

from cmakeys.transports.base import Deadline, TransportFramingError
from cmakeys.transports.framing import Framing, is_role_inquiry, pack_tcp, tcp_payload_size, unwrap_answer
from cmakeys.transports.stream import Stream

DEFAULT_PORT = 4194
HEADER_SIZE = 4


class TcpTransport:
    """A connection to a responder that listens; see `Transport` for the contract.

    A frame holds at most 65,533 bytes of payload, so no further limit is needed.
    """

    framing = Framing.TCP

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @classmethod
    def connect(cls, host: str, port: int, address: str, deadline: Deadline) -> TcpTransport:
        """Connect to a responder."""
        return cls(Stream.connect(host, port, address, deadline))

    @classmethod
    def accept(cls, host: str, port: int, address: str, deadline: Deadline) -> TcpTransport:
        """Wait for a responder to connect and to ask for our role."""
        return cls(called(host, port, address, deadline))

    @property
    def address(self) -> str:
        """The URL this connection was made for."""
        return self._stream.address

    def exchange(self, message: bytes, deadline: Deadline, *, secured: bool = False) -> bytes:
        """Send one message and return the payload of the answer; see `Transport`."""
        self._stream.send(pack_tcp(message, secured=secured), deadline)
        header = self._stream.receive(HEADER_SIZE, deadline)
        try:
            size = tcp_payload_size(header, self.address)
            frame = header + self._stream.receive(size, deadline)
            return unwrap_answer(Framing.TCP, frame, self.address, secured=secured)
        except TransportFramingError:
            self._stream.abandon()
            raise

    def close(self) -> None:
        """Close the connection; the binding knows no farewell."""
        self._stream.abandon()


def called(host: str, port: int, address: str, deadline: Deadline) -> Stream:
    """The connection of a device that connected to us and has asked which role we play."""
    stream = Stream.accept(host, port, address, deadline)
    try:
        header = stream.receive(HEADER_SIZE, deadline)
        if not is_role_inquiry(header):
            raise TransportFramingError(
                f"the device began with {header.hex()}, not with a role inquiry",
                object=address,
                hint="a device that is itself a requester has to be asked by its own means",
            )
    except BaseException:
        stream.abandon()
        raise
    return stream
