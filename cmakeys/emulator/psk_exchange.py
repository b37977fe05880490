"""PSK_EXCHANGE_RSP and PSK_FINISH_RSP of the emulated responder (reference §5.3)."""

from __future__ import annotations

from dataclasses import replace

from cmakeys.emulator.attestation import measurement_summary
from cmakeys.emulator.conversation import Conversation, Refusal
from cmakeys.emulator.key_exchange import selected_version, session_channel, session_terms
from cmakeys.emulator.sessions import OpenSession
from cmakeys.spdm.codes import Capability, ErrorCode
from cmakeys.spdm.messages.psk import PskExchange, PskExchangeResponse, PskFinish, PskFinishResponse
from cmakeys.spdm.schedule import KeySchedule
from cmakeys.spdm.wire import Reader


def answer_psk_exchange(talk: Conversation, reader: Reader) -> bytes:
    """PSK_EXCHANGE_RSP; without a context of the device the session is established by it."""
    settings, terms = session_terms(talk)
    request = PskExchange.pull(reader)
    key = talk.hardware.psks.get(request.hint)
    if key is None:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    with_context = bool(talk.flags & Capability.PSK_WITH_CONTEXT)
    response = talk.amend(
        PskExchangeResponse(
            request.version,
            settings.heartbeat if terms.heartbeat else 0,
            talk.sessions.free_half(),
            measurement_summary(talk, request.summary_hash),
            talk.hardware.random(talk.hash().size) if with_context else b"",
            selected_version(settings, request.opaque, request.version),
            b"",
        )
    )
    unverified = response.push_unverified()
    talk.check_size(len(unverified) + talk.hash().size)
    th1 = talk.transcript.vca + reader.consumed() + unverified
    schedule = KeySchedule.of_psk(terms.version, terms.base_hash, key)
    channel = session_channel(talk, terms, request.session_id, response.session_id)
    session = OpenSession(
        talk,
        channel,
        schedule,
        schedule.handshake(th1),
        th1,
        heartbeat=response.heartbeat,
        policy=request.policy,
        psk=True,
    )
    response = replace(response, verify_data=talk.hardware.lies.verify_data(session.verify_data(th1), session.talk))
    session.transcript += response.verify_data
    if not with_context:
        session.established(session.transcript)
        session.settle()
    talk.sessions.add(session)
    return talk.hardware.lies.encode(response.push(), talk)


def answer_psk_finish(talk: Conversation, reader: Reader) -> bytes:
    """PSK_FINISH_RSP, once the requester has proven the key; else the session is over."""
    session = talk.session
    if session is None or not session.psk or talk.terms is None:
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    request = PskFinish.pull(reader, talk.terms.layout)
    message = reader.consumed()
    covered = session.transcript + message[: len(message) - len(request.verify_data)]
    if not session.verifies(request.verify_data, covered):
        session.over = True
        raise Refusal(ErrorCode.DECRYPT_ERROR)
    octets = talk.encode(PskFinishResponse(request.version))
    session.established(covered + request.verify_data + octets)
    return octets
