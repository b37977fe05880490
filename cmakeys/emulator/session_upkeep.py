"""HEARTBEAT_ACK, KEY_UPDATE_ACK and END_SESSION_ACK of the emulated responder (reference §5.8)."""

from __future__ import annotations

from cmakeys.emulator.conversation import Conversation, Refusal
from cmakeys.emulator.sessions import OpenSession
from cmakeys.spdm.codes import Capability, ErrorCode, KeyOperation
from cmakeys.spdm.messages.session_control import (
    CLEAR_NEGOTIATED_STATE,
    EndSession,
    EndSessionAck,
    Heartbeat,
    HeartbeatAck,
    KeyUpdate,
    KeyUpdateAck,
)
from cmakeys.spdm.wire import Reader


def _session(talk: Conversation) -> OpenSession:
    if talk.session is None:
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    return talk.session


def answer_heartbeat(talk: Conversation, reader: Reader) -> bytes:
    """HEARTBEAT_ACK; the sign of life was the record itself."""
    request = Heartbeat.pull(reader)
    return talk.encode(HeartbeatAck(request.version))


def answer_key_update(talk: Conversation, reader: Reader) -> bytes:
    """KEY_UPDATE_ACK. The answer to an update of all keys is under the new one; each update has to be verified."""
    request = KeyUpdate.pull(reader)
    session = _session(talk)
    updates = request.operation in (KeyOperation.UPDATE_KEY, KeyOperation.UPDATE_ALL_KEYS)
    verifies = request.operation == KeyOperation.VERIFY_NEW_KEY
    if (not updates and not verifies) or updates == session.updating:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    octets = talk.encode(KeyUpdateAck(request.version, request.operation, request.tag))
    if updates:
        session.update_request_key()
    if request.operation == KeyOperation.UPDATE_ALL_KEYS:
        session.update_response_key()
    session.updating = updates
    return octets


def answer_end_session(talk: Conversation, reader: Reader) -> bytes:
    """END_SESSION_ACK, the last record."""
    request = EndSession.pull(reader)
    if request.attributes & CLEAR_NEGOTIATED_STATE and not talk.flags & Capability.CACHE:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    _session(talk).over = True
    return talk.encode(EndSessionAck(request.version))
