"""SPDM over bare TCP (DSP0287): a 4-byte header of length, binding version and message type before each message."""

from __future__ import annotations

from cmakeys.transports.base import Deadline, TransportFramingError
from cmakeys.transports.framing import Framing, pack_tcp, tcp_payload_size, unwrap_answer
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
