"""CHUNK_SEND, CHUNK_SEND_ACK, CHUNK_GET and CHUNK_RESPONSE (reference §7.1), since 1.2.

ChunkSeqNo is two bytes up to 1.3, followed by two reserved ones in CHUNK_SEND and CHUNK_RESPONSE, and four bytes in
1.4; LargeMessageSize is there only in chunk 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import Header, pull_header, push_header
from cmakeys.spdm.wire import Reader, le

LAST_CHUNK = 0x01
EARLY_ERROR = 0x01
CHUNK_HEADER_LENGTH = 12
"""Bytes before the chunk, without LargeMessageSize."""


def _pull_sequence(reader: Reader, header: Header, *, padded: bool) -> int:
    if header.version >= Version.V14:
        return reader.u32("ChunkSeqNo")
    number = reader.u16("ChunkSeqNo")
    if padded:
        reader.take(2, "reserved")
    return number


def _push_sequence(version: Version, number: int, *, padded: bool) -> bytes:
    if version >= Version.V14 or padded:
        return le(number, 4)
    return le(number, 2)


@dataclass(frozen=True, slots=True)
class ChunkSend:
    """One chunk of a large request; CHUNK_RESPONSE has the same layout."""

    version: Version
    handle: int
    sequence: int
    chunk: bytes
    last: bool = False
    large_size: int = 0

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        return cls(*_pull_chunk(reader, RequestCode.CHUNK_SEND))

    def push(self) -> bytes:
        """Encode."""
        return _push_chunk(
            RequestCode.CHUNK_SEND, self.version, self.handle, self.sequence, self.chunk, self.last, self.large_size
        )


@dataclass(frozen=True, slots=True)
class ChunkResponse:
    """One chunk of a large response."""

    version: Version
    handle: int
    sequence: int
    chunk: bytes
    last: bool = False
    large_size: int = 0

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        return cls(*_pull_chunk(reader, ResponseCode.CHUNK_RESPONSE))

    def push(self) -> bytes:
        """Encode."""
        return _push_chunk(
            ResponseCode.CHUNK_RESPONSE,
            self.version,
            self.handle,
            self.sequence,
            self.chunk,
            self.last,
            self.large_size,
        )


def _pull_chunk(reader: Reader, code: RequestCode | ResponseCode) -> tuple[Version, int, int, bytes, bool, int]:
    header = pull_header(reader, code)
    sequence = _pull_sequence(reader, header, padded=True)
    size = reader.u32("ChunkSize")
    large_size = reader.u32("LargeMessageSize") if sequence == 0 else 0
    chunk = reader.take(size, "SPDMchunk")
    return header.version, header.param2, sequence, chunk, bool(header.param1 & LAST_CHUNK), large_size


def _push_chunk(
    code: RequestCode | ResponseCode,
    version: Version,
    handle: int,
    sequence: int,
    chunk: bytes,
    last: bool,
    large_size: int,
) -> bytes:
    message = push_header(version, code, LAST_CHUNK if last else 0, handle)
    message += _push_sequence(version, sequence, padded=True) + le(len(chunk), 4)
    if sequence == 0:
        message += le(large_size, 4)
    return message + chunk


@dataclass(frozen=True, slots=True)
class ChunkSendAck:
    """Acknowledges one chunk; `response` is what follows the header: the answer after the last chunk, or an ERROR."""

    version: Version
    handle: int
    sequence: int
    early_error: bool = False
    response: bytes = b""

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode. Everything after the header is the response; its own codec finds its true length."""
        header = pull_header(reader, ResponseCode.CHUNK_SEND_ACK)
        sequence = _pull_sequence(reader, header, padded=False)
        response = reader.take(reader.remaining, "ResponseToLargeRequest")
        return cls(header.version, header.param2, sequence, bool(header.param1 & EARLY_ERROR), response)

    def push(self) -> bytes:
        """Encode."""
        param1 = EARLY_ERROR if self.early_error else 0
        header = push_header(self.version, ResponseCode.CHUNK_SEND_ACK, param1, self.handle)
        return header + _push_sequence(self.version, self.sequence, padded=False) + self.response


@dataclass(frozen=True, slots=True)
class ChunkGet:
    """Ask for one chunk: Param2 Handle, 4 ChunkSeqNo u16 (u32 in 1.4)."""

    version: Version
    handle: int
    sequence: int

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.CHUNK_GET)
        return cls(header.version, header.param2, _pull_sequence(reader, header, padded=False))

    def push(self) -> bytes:
        """Encode."""
        header = push_header(self.version, RequestCode.CHUNK_GET, 0, self.handle)
        return header + _push_sequence(self.version, self.sequence, padded=False)
