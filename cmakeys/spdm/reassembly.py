"""From messages on the wire to exchanges: the passive counterpart of the requester's `_deliver`.

A recording holds every message that went back and forth, chunk wrappers and postponements included. Evidence holds
exchanges: a request, and the answer it finally got. This module turns one into the other without talking to anyone,
under the same bounds as the live requester.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cmakeys.spdm.chunks import ChunkAssembler
from cmakeys.spdm.codes import ErrorCode, RequestCode, ResponseCode
from cmakeys.spdm.connection import Exchange
from cmakeys.spdm.messages.chunking import ChunkGet, ChunkResponse, ChunkSend, ChunkSendAck
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.messages.header import HEADER_LENGTH
from cmakeys.spdm.wire import Reader, WireError

MAX_MESSAGE_SIZE = 0x1000000
"""Bytes of one reassembled message in a recording; whether it was allowed is the connection's business."""


class Reassembler:
    """Feed it message pairs in order; it gives an exchange whenever one is complete."""

    def __init__(self) -> None:
        self._pending: bytes | None = None
        """A request whose answer is still to come by RESPOND_IF_READY or CHUNK_GET."""
        self._outgoing: ChunkAssembler | None = None
        self._incoming: ChunkAssembler | None = None

    def feed(self, request: bytes, response: bytes) -> Exchange | None:
        """Take one message pair. Raises `WireError` when chunks do not fit together."""
        if len(request) < HEADER_LENGTH:
            raise WireError(f"{len(request)} bytes are no SPDM request", object="recording")
        code = request[1]
        if code == RequestCode.CHUNK_SEND:
            return self._feed_chunk_send(request, response)
        if code == RequestCode.CHUNK_GET:
            return self._feed_chunk_get(request, response)
        if code == RequestCode.RESPOND_IF_READY:
            if self._pending is None:
                raise WireError("RESPOND_IF_READY without a postponed request", object="recording")
            return self._answered(self._pending, response)
        return self._answered(request, response)

    def _answered(self, request: bytes, response: bytes) -> Exchange | None:
        error = self._error_of(response)
        if error is not None and error.code == ErrorCode.RESPONSE_NOT_READY:
            self._pending = request
            return None
        if error is not None and error.code == ErrorCode.LARGE_RESPONSE:
            self._pending = request
            self._incoming = ChunkAssembler(error.version, error.extended[0], MAX_MESSAGE_SIZE)
            return None
        self._pending = self._incoming = None
        return Exchange(request, response)

    def _feed_chunk_send(self, request: bytes, response: bytes) -> Exchange | None:
        chunk = ChunkSend.pull(Reader(request, "CHUNK_SEND"))
        if chunk.sequence == 0:
            self._outgoing = ChunkAssembler(chunk.version, chunk.handle, MAX_MESSAGE_SIZE)
        if self._outgoing is None:
            raise WireError(f"chunk {chunk.sequence} without a first one", object="recording")
        whole = self._outgoing.add(chunk)
        if whole is None:
            return None
        self._outgoing = None
        if self._error_of(response) is not None:
            return self._answered(whole, response)
        return self._answered(whole, ChunkSendAck.pull(Reader(response, "CHUNK_SEND_ACK")).response)

    def _feed_chunk_get(self, request: bytes, response: bytes) -> Exchange | None:
        ChunkGet.pull(Reader(request, "CHUNK_GET"))
        if self._incoming is None or self._pending is None:
            raise WireError("CHUNK_GET without a large response", object="recording")
        if self._error_of(response) is not None:
            return self._answered(self._pending, response)
        whole = self._incoming.add(ChunkResponse.pull(Reader(response, "CHUNK_RESPONSE")))
        return None if whole is None else self._answered(self._pending, whole)

    def _error_of(self, response: bytes) -> ErrorResponse | None:
        if len(response) < HEADER_LENGTH or response[1] != ResponseCode.ERROR:
            return None
        return ErrorResponse.pull(Reader(response, "ERROR"))


def logical_exchanges(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[Exchange]:
    """The exchanges of a conversation given as (request, response) message pairs, transport framing removed.

    An exchange that the recording breaks off is left out. Raises `WireError`.
    """
    reassembler = Reassembler()
    for request, response in pairs:
        exchange = reassembler.feed(request, response)
        if exchange is not None:
            yield exchange
