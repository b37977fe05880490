"""Large messages of the emulated responder, both ways (reference §7.1).

A response that does not fit is announced by ERROR LargeResponse and fetched with CHUNK_GET; a request that does not
fit arrives by CHUNK_SEND. One transfer is open at a time; the wrappers enter no transcript.
"""

from __future__ import annotations

from collections.abc import Callable

from cmakeys.emulator.conversation import Conversation, Refusal
from cmakeys.spdm.chunks import ChunkAssembler, split
from cmakeys.spdm.codes import ErrorCode, RequestCode, Version
from cmakeys.spdm.messages.chunking import ChunkGet, ChunkResponse, ChunkSend, ChunkSendAck
from cmakeys.spdm.wire import Reader, WireError

CHUNK_CODES = frozenset({RequestCode.CHUNK_GET, RequestCode.CHUNK_SEND})


def deliver(talk: Conversation, octets: bytes) -> bytes:
    """A whole response, or the LargeResponse that announces it in pieces."""
    most = talk.transfer_size()
    if most is None or len(octets) <= most or not talk.chunking():
        return octets
    return _announce(talk, octets, most)


def _announce(talk: Conversation, octets: bytes, transfer_size: int) -> bytes:
    talk.handle = (talk.handle + 1) & 0xFF
    talk.outgoing = split(octets, talk.negotiated_version(), talk.handle, transfer_size)
    talk.sequence = 0
    return talk.error(Refusal(ErrorCode.LARGE_RESPONSE, extended=bytes((talk.handle,))))


def answer_chunk_get(talk: Conversation, reader: Reader) -> bytes:
    """The next piece of a large response."""
    request = ChunkGet.pull(reader)
    if talk.outgoing is None:
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    if request.handle != talk.handle or request.sequence != talk.sequence:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    piece = next(talk.outgoing)
    talk.sequence += 1
    if piece.last:
        talk.outgoing = None
    answer = ChunkResponse(piece.version, piece.handle, piece.sequence, piece.chunk, piece.last, piece.large_size)
    return talk.amend(answer).push()


def answer_chunk_send(talk: Conversation, reader: Reader, process: Callable[[bytes], bytes]) -> bytes:
    """Take a piece of a large request; `process` answers the whole one, once it is here."""
    piece = ChunkSend.pull(reader)
    if talk.outgoing is not None:
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    if talk.incoming is None:
        settings = talk.hardware.settings
        talk.incoming = ChunkAssembler(piece.version, piece.handle, settings.max_message_size)
    try:
        if len(reader.consumed()) > talk.hardware.settings.data_transfer_size:
            raise reader.fail("a chunk message larger than DataTransferSize")
        whole = talk.incoming.add(piece)
    except WireError:
        talk.incoming = None
        refused = talk.error(Refusal(ErrorCode.INVALID_REQUEST))
        return _acknowledge(talk, piece, refused, early_error=True)
    if whole is None:
        return _acknowledge(talk, piece, b"", early_error=False)
    talk.incoming = None
    if len(whole) < 2 or whole[1] in CHUNK_CODES | {RequestCode.GET_VERSION}:
        return _acknowledge(talk, piece, talk.error(Refusal(ErrorCode.INVALID_REQUEST)), early_error=False)
    answer = process(whole)
    header = 8 if piece.version >= Version.V14 else 6
    most = talk.transfer_size()
    if most is not None and header + len(answer) > most:
        # Too large to follow an acknowledgement: announced without one, as libspdm does.
        return _announce(talk, answer, most)
    return _acknowledge(talk, piece, answer, early_error=False)


def _acknowledge(talk: Conversation, piece: ChunkSend, response: bytes, *, early_error: bool) -> bytes:
    ack = ChunkSendAck(piece.version, piece.handle, piece.sequence, early_error, response)
    return talk.amend(ack).push()
