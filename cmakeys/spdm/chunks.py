"""Large messages in pieces: the rules of reference §7.1 for both directions.

`split` cuts a message for sending, `ChunkAssembler` puts one together and refuses every inconsistency before it
allocates: sizes are known from chunk 0 and capped by what this side announced.
"""

from __future__ import annotations

from collections.abc import Iterator

from cmakeys.spdm.codes import MIN_DATA_TRANSFER_SIZE, Version
from cmakeys.spdm.messages.chunking import CHUNK_HEADER_LENGTH, ChunkResponse, ChunkSend
from cmakeys.spdm.wire import WireError

LARGE_SIZE_LENGTH = 4
"""Bytes of LargeMessageSize in chunk 0."""

_ACK_HEADER_LENGTH = {Version.V12: 6, Version.V13: 6, Version.V14: 8}


class ChunkAssembler:
    """Reassembles one large message."""

    def __init__(self, version: Version, handle: int, max_message_size: int) -> None:
        self._version = version
        self._handle = handle
        self._limit = max_message_size
        self._parts: list[bytes] = []
        self._received = 0
        self._size = 0

    @property
    def sequence(self) -> int:
        """The sequence number of the next chunk."""
        return len(self._parts)

    def add(self, chunk: ChunkResponse | ChunkSend) -> bytes | None:
        """Take the next chunk; the whole message once the last one is in.

        Raises `WireError` on a wrong handle, order or size.
        """
        if chunk.handle != self._handle:
            raise self._fail(f"handle {chunk.handle} in a transfer with handle {self._handle}")
        if chunk.sequence != self.sequence:
            raise self._fail(f"chunk {chunk.sequence} where {self.sequence} is due")
        if chunk.sequence == 0:
            self._begin(chunk)
        elif not chunk.chunk:
            raise self._fail(f"chunk {chunk.sequence} is empty")
        self._received += len(chunk.chunk)
        if self._received > self._size:
            raise self._fail(f"chunks add up to {self._received} bytes, {self._size} were announced")
        if chunk.last != (self._received == self._size):
            state = "marked last" if chunk.last else "not marked last"
            raise self._fail(f"chunk {chunk.sequence} is {state} at {self._received} of {self._size} bytes")
        if not chunk.last and len(chunk.push()) < MIN_DATA_TRANSFER_SIZE:
            raise self._fail(f"chunk {chunk.sequence} is a message of less than {MIN_DATA_TRANSFER_SIZE} bytes")
        self._parts.append(chunk.chunk)
        return b"".join(self._parts) if chunk.last else None

    def _begin(self, chunk: ChunkResponse | ChunkSend) -> None:
        if chunk.large_size > self._limit:
            raise self._fail(f"LargeMessageSize {chunk.large_size} exceeds the announced maximum of {self._limit}")
        if self._version not in _ACK_HEADER_LENGTH:
            raise self._fail(f"a message of SPDM {self._version} in chunks, which came with 1.2")
        # A response that only just fails to fit behind a CHUNK_SEND_ACK header may be this small.
        smallest = MIN_DATA_TRANSFER_SIZE - _ACK_HEADER_LENGTH[self._version]
        if chunk.large_size <= smallest:
            raise self._fail(f"LargeMessageSize {chunk.large_size} needs no chunks")
        self._size = chunk.large_size

    def _fail(self, message: str) -> WireError:
        return WireError(message, object="chunked message")


def split(message: bytes, version: Version, handle: int, transfer_size: int) -> Iterator[ChunkSend]:
    """Cut a message into CHUNK_SENDs of at most `transfer_size` bytes each."""
    offset = sequence = 0
    while offset < len(message):
        room = transfer_size - CHUNK_HEADER_LENGTH - (LARGE_SIZE_LENGTH if sequence == 0 else 0)
        piece = message[offset : offset + room]
        offset += len(piece)
        yield ChunkSend(version, handle, sequence, piece, offset == len(message), len(message) if sequence == 0 else 0)
        sequence += 1
