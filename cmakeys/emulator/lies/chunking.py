"""Lies about large messages. They show where the device has a small DataTransferSize, which each of them asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cmakeys.emulator.lies.fault import Fault, Where, rejected
from cmakeys.emulator.lies.kinds import Amend, Refuse, Transmit, cut_last_byte
from cmakeys.emulator.lies.lie import Lie
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.spdm.codes import ErrorCode, RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.chunking import ChunkGet, ChunkResponse, ChunkSendAck
from cmakeys.spdm.wire import Reader

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation

_SMALL = 128
"""DataTransferSize at which the chain needs several chunks."""

_SMALLEST = 42
"""DataTransferSize at which a CHALLENGE of 1.3 needs two chunks."""


class Endless(Lie):
    """Full chunks of a message of the largest size the requester takes, none of them the last."""

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        """Answer CHUNK_GET from nowhere."""
        if request[1] != RequestCode.CHUNK_GET or talk.version is None:
            return None
        asked = ChunkGet.pull(Reader(request, "CHUNK_GET"))
        room = (talk.transfer_size() or _SMALL) - (16 if asked.sequence == 0 else 12)
        size = talk.max_message_size or 0
        return ChunkResponse(
            talk.version, asked.handle, asked.sequence, bytes(room), False, size if asked.sequence == 0 else 0
        ).push()


def _no_chunking(settings: DeviceSettings) -> DeviceSettings:
    return replace(settings, chunking=False)


def _no_more_than_one_chunk(settings: DeviceSettings) -> DeviceSettings:
    return replace(settings, max_message_size=_SMALLEST)


def _later(message: ChunkResponse, changed: ChunkResponse) -> ChunkResponse:
    """Lie about every chunk but the first."""
    return changed if message.sequence else message


def _response(name: str, description: str, lie: Lie) -> Fault:
    # These lies keep no state, so one instance serves every device.
    return rejected(Where.CHUNKS, 2, name, description, lambda: lie, since=Version.V12, transfer_size=_SMALL)


def _request(name: str, description: str, lie: Lie) -> Fault:
    return rejected(Where.CHUNKS, 11, name, description, lambda: lie, since=Version.V13, transfer_size=_SMALLEST)


_CHUNK_GET = frozenset({RequestCode.CHUNK_GET})

FAULTS: tuple[Fault, ...] = (
    _response(
        "nested-large-response",
        "CHUNK_GET is answered by another LargeResponse",
        Refuse(ErrorCode.LARGE_RESPONSE, _CHUNK_GET, extended=b"\x01"),
    ),
    _response("chunk-error", "CHUNK_GET is answered by ERROR", Refuse(ErrorCode.UNSPECIFIED, _CHUNK_GET)),
    _response(
        "chunk-wrong-handle",
        "chunks carry another handle than was announced",
        Amend(ChunkResponse, lambda m: replace(m, handle=m.handle ^ 1)),
    ),
    _response(
        "chunk-skip-sequence",
        "a chunk is left out of the count",
        Amend(ChunkResponse, lambda m: _later(m, replace(m, sequence=m.sequence + 1))),
    ),
    _response(
        "chunk-overflow",
        "the chunks are more than was announced",
        Amend(ChunkResponse, lambda m: m if m.sequence else replace(m, large_size=m.large_size - 8)),
    ),
    _response(
        "chunk-underflow",
        "the chunks are less than was announced",
        Amend(ChunkResponse, lambda m: m if m.sequence else replace(m, large_size=m.large_size + 8)),
    ),
    _response(
        "chunk-huge",
        "a message of 4 GiB is announced",
        Amend(ChunkResponse, lambda m: m if m.sequence else replace(m, large_size=0xFFFFFFFF)),
    ),
    _response(
        "chunk-early-last",
        "the first chunk is marked last",
        Amend(ChunkResponse, lambda m: m if m.sequence else replace(m, last=True)),
    ),
    _response("chunk-never-last", "no chunk is marked last", Amend(ChunkResponse, lambda m: replace(m, last=False))),
    _response("chunk-endless", "chunks without end", Endless()),
    _response(
        "chunk-empty",
        "a chunk of no bytes",
        Amend(ChunkResponse, lambda m: _later(m, replace(m, chunk=b"", last=False))),
    ),
    _response(
        "chunk-short",
        "a chunk message below the minimum that is not the last",
        Amend(ChunkResponse, lambda m: _later(m, replace(m, chunk=m.chunk[:5], last=False))),
    ),
    _response(
        "truncated-chunk-response",
        "CHUNK_RESPONSE ends one byte early",
        Transmit(ResponseCode.CHUNK_RESPONSE, cut_last_byte),
    ),
    rejected(
        Where.CHUNKS,
        2,
        "large-response-unnegotiated",
        "LargeResponse though the device announced no chunking",
        lambda: Refuse(ErrorCode.LARGE_RESPONSE, frozenset({RequestCode.GET_DIGESTS}), extended=b"\x01"),
        since=Version.V12,
        settings=_no_chunking,
    ),
    rejected(
        Where.CHUNKS,
        11,
        "message-size-below-challenge",
        "MaxSPDMmsgSize is 42, less than a CHALLENGE has",
        since=Version.V13,
        transfer_size=_SMALLEST,
        settings=_no_more_than_one_chunk,
    ),
    _request(
        "chunk-ack-wrong-handle",
        "CHUNK_SEND_ACK carries another handle",
        Amend(ChunkSendAck, lambda m: replace(m, handle=m.handle ^ 1)),
    ),
    _request(
        "chunk-ack-wrong-sequence",
        "CHUNK_SEND_ACK acknowledges another chunk",
        Amend(ChunkSendAck, lambda m: replace(m, sequence=m.sequence + 1)),
    ),
    _request(
        "truncated-chunk-send-ack",
        "CHUNK_SEND_ACK ends inside its header",
        Transmit(ResponseCode.CHUNK_SEND_ACK, lambda octets: octets[:5]),
    ),
)
