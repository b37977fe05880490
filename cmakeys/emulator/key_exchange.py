"""KEY_EXCHANGE_RSP and FINISH_RSP of the emulated responder (reference §5.1, §5.2; the transcript TH in §5.4)."""

from __future__ import annotations

from dataclasses import replace

from cmakeys.emulator.attestation import measurement_summary
from cmakeys.emulator.authentication import (
    begin_session_authentication,
    encapsulation,
    policy_refusal,
    provisioned_requester,
    verify_requester,
)
from cmakeys.emulator.conversation import Conversation, Refusal
from cmakeys.emulator.session_settings import SessionSettings
from cmakeys.emulator.sessions import Asked, OpenSession
from cmakeys.spdm.agreement import EXCHANGE_SIZES, AgreementProblem, answer
from cmakeys.spdm.codes import NONCE_LENGTH, ErrorCode, MutualAuthentication, Version
from cmakeys.spdm.messages.finish import Finish, FinishResponse
from cmakeys.spdm.messages.key_exchange import KeyExchange, KeyExchangeResponse
from cmakeys.spdm.messages.opaque import SecuredParameters, push_elements, version_selection
from cmakeys.spdm.schedule import KeySchedule
from cmakeys.spdm.secured import Channel
from cmakeys.spdm.signing import Context
from cmakeys.spdm.terms import Terms
from cmakeys.spdm.wire import Reader


def session_terms(talk: Conversation) -> tuple[SessionSettings, Terms]:
    """What a session is made by. Raises `Refusal` where none can be made, or no more."""
    settings = talk.hardware.settings.sessions
    if settings is None or talk.terms is None or talk.binding is None:
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    if len(talk.sessions.all()) >= settings.limit:
        raise Refusal(ErrorCode.SESSION_LIMIT_EXCEEDED)
    return settings, talk.terms


def selected_version(settings: SessionSettings, opaque: bytes, version: Version) -> bytes:
    """The opaque data that selects the highest common version of secured messages. Raises `Refusal`, `WireError`."""
    offered = SecuredParameters.pull(opaque, version).offered
    common = [one for one in settings.secured_versions if one in offered]
    if not common:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    return push_elements([version_selection(max(common))], version)


def session_channel(talk: Conversation, terms: Terms, requester_half: int, responder_half: int) -> Channel:
    """What the records of a new session have in common."""
    if talk.binding is None:
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    return Channel(requester_half | responder_half << 16, talk.binding, terms.aead, terms.kind)


def answer_key_exchange(talk: Conversation, reader: Reader) -> bytes:
    """KEY_EXCHANGE_RSP; the session's handshake begins with it."""
    settings, terms = session_terms(talk)
    algorithm = terms.agreement
    if algorithm is None:
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    request = KeyExchange.pull(reader, EXCHANGE_SIZES[algorithm].request)
    chain = talk.slot(request.slot)
    summary = measurement_summary(talk, request.summary_hash)
    opaque = selected_version(settings, request.opaque, request.version)
    asked = _asked(talk, settings)
    try:
        exchange, shared_secret = answer(algorithm, request.exchange)
    except AgreementProblem as problem:
        raise Refusal(ErrorCode.INVALID_REQUEST) from problem
    response = talk.amend(
        KeyExchangeResponse(
            request.version,
            settings.heartbeat if terms.heartbeat else 0,
            talk.sessions.free_half(),
            asked.mode,
            asked.slot if asked.mode is MutualAuthentication.REQUESTED else 0,
            talk.hardware.random(NONCE_LENGTH),
            exchange,
            summary,
            opaque,
            b"",
        )
    )
    unsigned = response.push_unsigned()
    verified = 0 if terms.clear_handshake else talk.hash().size
    talk.check_size(len(unsigned) + talk.signature_size() + verified)
    transcript = talk.transcript.vca + talk.first_digests + chain.digest + reader.consumed() + unsigned
    nonces = request.random, response.random
    response = replace(response, signature=talk.sign(Context.KEY_EXCHANGE_RSP, request.slot, transcript, nonces))
    th1 = transcript + response.signature
    schedule = KeySchedule.of_exchange(terms.version, terms.base_hash, shared_secret)
    channel = session_channel(talk, terms, request.session_id, response.session_id)
    session = OpenSession(
        talk,
        channel,
        schedule,
        schedule.handshake(th1),
        th1,
        heartbeat=response.heartbeat,
        policy=request.policy,
        asked=asked,
    )
    if not terms.clear_handshake:
        response = replace(response, verify_data=talk.hardware.lies.verify_data(session.verify_data(th1), session.talk))
        session.transcript += response.verify_data
    talk.sessions.add(session)
    begin_session_authentication(session, talk if terms.clear_handshake else session.talk)
    return talk.hardware.lies.encode(response.push(), talk)


def _asked(talk: Conversation, settings: SessionSettings) -> Asked:
    """How this requester is asked who it is: as the settings say, where it can answer."""
    mode = settings.mutual
    if mode is MutualAuthentication.NONE:
        return Asked()
    able = talk.terms is not None and talk.terms.mutual
    if mode is not MutualAuthentication.REQUESTED:
        able = able and encapsulation(talk)
    if able:
        return Asked(mode, settings.requester_slot)
    if settings.insists:
        raise policy_refusal(talk)
    return Asked()


# -- FINISH ----------------------------------------------------------------------------------------------------------


def answer_finish(talk: Conversation, reader: Reader) -> bytes:
    """FINISH_RSP, once the requester has proven the keys, and who it is if it was asked; else the session is over."""
    session = _finishing(talk)
    terms = session.talk.terms
    if terms is None:
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    request = Finish.pull(reader, terms.layout, terms.requester_signature_size)
    if bool(request.signature) != (session.asked.mode is not MutualAuthentication.NONE):
        raise Refusal(ErrorCode.INVALID_REQUEST)
    message = reader.consumed()
    start = message[: len(message) - len(request.signature) - len(request.verify_data)]
    transcript = session.transcript
    try:
        if request.signature:
            transcript += _check_requester(session, request, start)
        signed = transcript + start + request.signature
        if not session.verifies(request.verify_data, signed):
            raise Refusal(ErrorCode.DECRYPT_ERROR)
    except Refusal as refusal:
        if refusal.code == ErrorCode.DECRYPT_ERROR:
            session.over = True
        raise
    response = FinishResponse(request.version)
    th = signed + request.verify_data + response.push_unverified()
    if terms.clear_handshake:
        verify_data = talk.hardware.lies.verify_data(session.verify_data(th), session.talk)
        response = replace(response, verify_data=verify_data)
    session.established(th + response.verify_data)
    if terms.clear_handshake:
        session.settle()
    return talk.encode(response)


def _finishing(talk: Conversation) -> OpenSession:
    """The session that a FINISH means: the one that it came in, or the latest where the handshake is in the clear."""
    clear = talk.terms is not None and talk.terms.clear_handshake
    if clear == (talk.session is not None):
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    session = talk.session or talk.sessions.latest_handshake()
    if session is None or session.psk:
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    return session


def _check_requester(session: OpenSession, request: Finish, start: bytes) -> bytes:
    """What mutual authentication adds to TH before FINISH; its signature is verified over all of it."""
    talk = session.talk
    if session.asked.mode is MutualAuthentication.REQUESTED:
        session.requester = provisioned_requester(talk)
        if request.slot != session.asked.slot:
            raise Refusal(ErrorCode.INVALID_REQUEST)
    if session.requester is None:
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    digests = session.digests_heard if talk.requester_multi_key else b""
    added = digests + talk.hash().digest(session.requester.structure)
    transcript = session.transcript + added + start
    verify_requester(talk, session.requester, Context.FINISH, request.slot, transcript, request.signature)
    return added
