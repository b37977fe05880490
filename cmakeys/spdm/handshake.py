"""From a negotiated connection to a session: KEY_EXCHANGE with FINISH, or PSK_EXCHANGE with PSK_FINISH.

What TH hashes, in order (reference §5.4): VCA, DIGESTS on multi-key connections, the hash of the responder's chain,
KEY_EXCHANGE, KEY_EXCHANGE_RSP (its signature is over all before it; TH1 ends here), ResponderVerifyData, with mutual
authentication our DIGESTS and the hash of our chain, FINISH, FINISH_RSP; TH2 is over everything. A pre-shared key has
no chains in it. Every check of §11.3 for a key exchange stands here, the signature before any key is derived.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cmakeys.spdm import agreement
from cmakeys.spdm.agreement import EXCHANGE_SIZES, Agreement, AgreementProblem
from cmakeys.spdm.algorithms import BASE_HASH_FUNCTIONS, Dhe, Kem
from cmakeys.spdm.challenging import SLOT_PROVISIONED_KEY
from cmakeys.spdm.codes import (
    NONCE_LENGTH,
    Capability,
    KeyUsage,
    MutualAuthentication,
    RequestCode,
    SummaryHash,
    Version,
)
from cmakeys.spdm.connection import Connection, Exchange
from cmakeys.spdm.effects import Flow
from cmakeys.spdm.encapsulated import Identity, first_digests, serve
from cmakeys.spdm.messages.finish import SIGNATURE_INCLUDED, FinishResponse, push_finish_start
from cmakeys.spdm.messages.key_exchange import KeyExchange, KeyExchangeResponse
from cmakeys.spdm.messages.opaque import SecuredParameters, SecuredVersion, push_elements, supported_versions
from cmakeys.spdm.messages.psk import PskExchange, PskExchangeResponse, PskFinishResponse, push_psk_finish_start
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.rules import MEAS, PSK
from cmakeys.spdm.schedule import KeySchedule, Secrets
from cmakeys.spdm.secured import Binding, Channel
from cmakeys.spdm.session import Session
from cmakeys.spdm.signing import Context, SignatureProblem, Statement, verify_statement
from cmakeys.spdm.states import IllegalRequest
from cmakeys.spdm.terms import Terms
from cmakeys.spdm.violation import decoded, violation
from cmakeys.spdm.wire import Reader

T = TypeVar("T")

MAX_SESSION_ID = 0xFFFF


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """How a session is asked for.

    `session_id` is our half of its number, different for each session that is open; `slot` the slot whose key has to
    prove possession, 0xFF for a provisioned key; `policy` the SessionPolicy byte, sent since 1.2.
    """

    binding: Binding
    slot: int = 0
    summary: SummaryHash = SummaryHash.NONE
    session_id: int = MAX_SESSION_ID
    policy: int = 0
    secured_versions: frozenset[SecuredVersion] = frozenset(
        {SecuredVersion.V10, SecuredVersion.V11, SecuredVersion.V12}
    )


@dataclass(frozen=True, slots=True)
class PreSharedKey:
    """A key that both sides were given: `hint` tells the device which one, and is sent in the clear."""

    hint: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Established:
    """A session, and what of its handshake is evidence: the responder's signature (none of a pre-shared key)."""

    session: Session
    statement: Statement | None
    summary_hash: bytes


def free_session_id(open_sessions: list[Session]) -> int:
    """Our half of a number that no open session has, from 0xFFFF downwards."""
    taken = {session.channel.session_id & 0xFFFF for session in open_sessions}
    return next(number for number in range(MAX_SESSION_ID, -1, -1) if number not in taken)


# -- KEY_EXCHANGE ----------------------------------------------------------------------------------------------------


def key_exchange(
    requester: Requester,
    plan: SessionPlan,
    key: CertificatePublicKeyTypes,
    *,
    identity: Identity | None = None,
    begin: Callable[[Dhe | Kem], Agreement] = agreement.begin,
) -> Flow[Established]:
    """Open a session with the device that holds the private half of `key`, the leaf's of the slot in `plan`.

    Without an `identity` of ours, a device that demands mutual authentication is refused. `begin` makes the fresh key
    of each attempt. Raises `ProtocolViolation`, `DeviceRefused` or `DeviceUnavailable`.
    """
    code = RequestCode.KEY_EXCHANGE
    connection = requester.connection
    terms = Terms.of(connection)
    algorithm = terms.agreement
    if algorithm is None:
        raise violation(RequestCode.NEGOTIATE_ALGORITHMS, "no key agreement is selected")
    start = connection.transcript.vca + _digests(connection) + _chain_hash(connection, terms, plan.slot, key)
    fresh: list[Agreement] = []

    def build() -> bytes:
        random = requester.entropy(NONCE_LENGTH)
        fresh[:] = [begin(algorithm)]
        opaque = push_elements([supported_versions(plan.secured_versions)], terms.version)
        head = (terms.version, plan.summary, plan.slot, plan.session_id, _policy(plan, terms))
        return KeyExchange(*head, random, fresh[0].public, opaque).push()

    yield from requester.delivery.ask(code, build)
    statement, answer = _said(connection, terms, algorithm, start, connection.exchanges[-1])
    mode = _check_mutual(answer, terms, identity)
    channel = _channel(code, plan, terms, answer.session_id, answer.heartbeat, answer.opaque)
    try:
        verify_statement(statement, key)
    except SignatureProblem as problem:
        raise violation(code, problem.message, problem.hint) from problem
    try:
        shared_secret = fresh.pop().agree(answer.exchange)
    except AgreementProblem as problem:
        raise violation(code, problem.message, problem.hint) from problem
    th1 = statement.transcript + answer.signature
    schedule = KeySchedule.of_exchange(terms.version, terms.base_hash, shared_secret)
    secrets = schedule.handshake(th1)
    if not terms.clear_handshake and not secrets.response.verifies(answer.verify_data, th1):
        raise violation(code, "ResponderVerifyData does not verify")
    session = Session(requester, terms, channel, secrets, answer.heartbeat)
    transcript, mutual = th1 + answer.verify_data, (mode, answer.requester_slot & 0x0F)
    yield from _guarded(session, _finish(requester, session, schedule, secrets, transcript, mutual, identity))
    return Established(session, statement, answer.summary_hash)


def _guarded(session: Session, flow: Flow[T]) -> Flow[T]:
    """A handshake that is not completed leaves nothing behind."""
    try:
        return (yield from flow)
    except BaseException:
        session.close()
        raise


def _policy(plan: SessionPlan, terms: Terms) -> int:
    return plan.policy if terms.version >= Version.V12 else 0


def _digests(connection: Connection) -> bytes:
    """D: on a multi-key connection the first DIGESTS since its set-up, which `Requester` always asks for first."""
    if not connection.layout.multi_key:
        return b""
    found = b""
    for exchange in connection.exchanges:
        if exchange.request[1] == RequestCode.GET_VERSION:
            found = b""
        elif exchange.request[1] == RequestCode.GET_DIGESTS and not found:
            found = exchange.response
    return found


def _chain_hash(connection: Connection, terms: Terms, slot: int, key: CertificatePublicKeyTypes) -> bytes:
    """Ct: the hash of the chain structure of the slot, or of a provisioned public key as SubjectPublicKeyInfo."""
    function = BASE_HASH_FUNCTIONS[terms.base_hash]
    if slot == SLOT_PROVISIONED_KEY:
        return function.digest(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    chain = connection.chains.get(slot)
    if chain is None:
        raise IllegalRequest(f"KEY_EXCHANGE for slot {slot}, whose chain was not read")
    info = connection.digests.info_of(slot) if connection.digests else None
    if info is not None and not info.key_usage & KeyUsage.KEY_EXCHANGE:
        raise violation(RequestCode.KEY_EXCHANGE, f"the key of slot {slot} may not be used for KEY_EXCHANGE")
    return function.digest(chain)


def _check_mutual(answer: KeyExchangeResponse, terms: Terms, identity: Identity | None) -> MutualAuthentication:
    code = RequestCode.KEY_EXCHANGE
    try:
        mode = MutualAuthentication(answer.mutual)
    except ValueError:
        raise violation(code, f"MutAuthRequested {answer.mutual:#x} is not defined") from None
    if mode is MutualAuthentication.NONE:
        return mode
    if not terms.mutual:
        raise violation(code, "mutual authentication is requested though it was not negotiated")
    if identity is None or terms.requester_asym is None:
        raise violation(
            code, "the device demands to know who asks", "give the certificate and key that it is to accept"
        )
    if mode is MutualAuthentication.REQUESTED and not answer.requester_slot & 0x0F < 8:
        raise violation(code, f"our slot {answer.requester_slot & 0x0F} is requested, which cannot exist")
    return mode


def _channel(
    code: RequestCode, plan: SessionPlan, terms: Terms, responder_id: int, heartbeat: int, opaque: bytes
) -> Channel:
    """What the records of the session will look like, once heartbeat and version selection are found in order."""
    if heartbeat and not terms.heartbeat:
        raise violation(code, f"a heartbeat of {heartbeat} s though it was not negotiated")
    parameters = decoded(code, lambda: SecuredParameters.pull(opaque, terms.version))
    if parameters.selected not in plan.secured_versions:
        chosen = "none" if parameters.selected is None else f"{parameters.selected:#04x}"
        raise violation(code, f"the version selected for secured messages is {chosen}, which was not offered")
    session_id = plan.session_id | responder_id << 16
    return Channel(session_id, plan.binding, terms.aead, terms.kind, parameters.limit_exponent)


def exchange_statement(connection: Connection, exchange: Exchange) -> Statement:
    """What a responder signed in KEY_EXCHANGE_RSP, for whoever judges a saved conversation as far as this exchange.

    Raises `ProtocolViolation` for one that says nothing, as with a provisioned key that nobody gave.
    """
    terms = Terms.of(connection)
    code = RequestCode.KEY_EXCHANGE
    if terms.agreement is None:
        raise violation(RequestCode.NEGOTIATE_ALGORITHMS, "no key agreement is selected")
    reader = Reader(exchange.request, code.name)
    size = EXCHANGE_SIZES[terms.agreement].request
    asked = decoded(code, lambda: KeyExchange.pull(reader, size))
    identity = connection.identity_hash(asked.slot)
    if identity is None:
        what = "public key is not known" if asked.slot == SLOT_PROVISIONED_KEY else "chain was not read before"
        raise violation(code, f"slot {asked.slot}: its {what}")
    start = connection.transcript.vca + _digests(connection) + identity
    return _said(connection, terms, terms.agreement, start, exchange)[0]


def _said(
    connection: Connection, terms: Terms, algorithm: Dhe | Kem, start: bytes, exchange: Exchange
) -> tuple[Statement, KeyExchangeResponse]:
    """KEY_EXCHANGE_RSP and the statement in it; `start` is TH as far as KEY_EXCHANGE."""
    code = RequestCode.KEY_EXCHANGE
    if connection.asym is None or connection.base_hash is None:
        raise violation(code, "a signature without a negotiated algorithm")
    sizes = EXCHANGE_SIZES[algorithm]
    request = Reader(exchange.request, code.name)
    asked = decoded(code, lambda: KeyExchange.pull(request, sizes.request))
    reader = Reader(exchange.response, "KEY_EXCHANGE_RSP")
    answer = decoded(
        code,
        lambda: KeyExchangeResponse.pull(
            reader,
            terms.layout,
            exchange_size=sizes.response,
            has_summary=connection.has(MEAS) and asked.summary_hash != SummaryHash.NONE,
            has_verify_data=not terms.clear_handshake,
        ),
    )
    message = reader.consumed()
    unsigned = message[: len(message) - len(answer.signature) - len(answer.verify_data)]
    statement = Statement(
        Context.KEY_EXCHANGE_RSP,
        answer.version,
        connection.asym,
        connection.base_hash,
        asked.slot,
        start + request.consumed() + unsigned,
        answer.signature,
        asked.random,
        answer.random,
    )
    return statement, answer


def _finish(
    requester: Requester,
    session: Session,
    schedule: KeySchedule,
    secrets: Secrets,
    transcript: bytes,
    mutual: tuple[MutualAuthentication, int],
    identity: Identity | None,
) -> Flow[None]:
    """FINISH: our proof of the keys, with mutual authentication also of who we are; then the device's answer.

    `transcript` is TH up to here, `mutual` what the device asked for and the slot of ours that it named.
    """
    terms = session.terms
    speaker = requester if terms.clear_handshake else session.requester
    slot, mode = 0, mutual[0]
    attributes = 0
    if mode is not MutualAuthentication.NONE and identity is not None:
        attributes, slot = SIGNATURE_INCLUDED, mutual[1]
        if mode is not MutualAuthentication.REQUESTED:
            slot = yield from _spoken(session, serve(speaker, identity, mode))
            if terms.requester_multi_key:
                transcript += first_digests((*requester.connection.exchanges, *session.requester.connection.exchanges))
        # The device names the slot, and may name one that we do not have.
        own_chain = decoded(RequestCode.FINISH, lambda: identity.chain_structure(slot))
        transcript += BASE_HASH_FUNCTIONS[terms.base_hash].digest(own_chain)
    start = push_finish_start(terms.version, attributes, slot)
    signed = transcript + start
    if attributes and identity is not None and terms.requester_asym is not None:
        algorithms = (terms.requester_asym, terms.base_hash)
        signed += identity.sign(slot, terms.version, *algorithms, Context.FINISH, transcript + start)
    verify_data = secrets.request.verify_data(signed)
    message = signed[len(transcript) :] + verify_data
    yield from _spoken(session, speaker.delivery.ask(RequestCode.FINISH, lambda: message))
    reader = Reader(speaker.connection.exchanges[-1].response, "FINISH_RSP")
    answer = decoded(
        RequestCode.FINISH,
        lambda: FinishResponse.pull(reader, terms.layout, has_verify_data=terms.clear_handshake),
    )
    body = reader.consumed()
    covered = signed + verify_data + body[: len(body) - len(answer.verify_data)]
    if terms.clear_handshake and not secrets.response.verifies(answer.verify_data, covered):
        raise violation(RequestCode.FINISH, "ResponderVerifyData does not verify")
    session.established(schedule.data(covered + answer.verify_data), RequestCode.FINISH)


def _spoken(session: Session, flow: Flow[T]) -> Flow[T]:
    return flow if session.terms.clear_handshake else session.protect(flow)


# -- PSK_EXCHANGE ----------------------------------------------------------------------------------------------------


def psk_exchange(
    requester: Requester, plan: SessionPlan, psk: PreSharedKey, *, context_length: int = NONCE_LENGTH
) -> Flow[Established]:
    """Open a session with a device that has the same key. Raises as `key_exchange`; proves no certificate."""
    code = RequestCode.PSK_EXCHANGE
    connection = requester.connection
    terms = Terms.of(connection)
    with_context = connection.has(Capability.PSK_WITH_CONTEXT)
    if not connection.requester_flags & PSK or not connection.has(Capability.PSK, Capability.PSK_WITH_CONTEXT):
        raise violation(RequestCode.GET_CAPABILITIES, "pre-shared keys are not supported by both sides")

    def build() -> bytes:
        opaque = push_elements([supported_versions(plan.secured_versions)], terms.version)
        context = requester.entropy(context_length)
        head = (terms.version, plan.summary, _policy(plan, terms), plan.session_id)
        return PskExchange(*head, psk.hint, context, opaque).push()

    yield from requester.delivery.ask(code, build)
    exchange = connection.exchanges[-1]
    reader = Reader(exchange.response, "PSK_EXCHANGE_RSP")
    has_summary = connection.has(MEAS) and plan.summary is not SummaryHash.NONE
    answer = decoded(code, lambda: PskExchangeResponse.pull(reader, terms.layout, has_summary=has_summary))
    if bool(answer.context) != with_context:
        raise violation(code, f"a context of {len(answer.context)} bytes contradicts the announced PSK_CAP")
    channel = _channel(code, plan, terms, answer.session_id, answer.heartbeat, answer.opaque)
    body = reader.consumed()
    th1 = connection.transcript.vca + exchange.request + body[: len(body) - len(answer.verify_data)]
    schedule = KeySchedule.of_psk(terms.version, terms.base_hash, psk.key)
    secrets = schedule.handshake(th1)
    if not secrets.response.verifies(answer.verify_data, th1):
        raise violation(code, "ResponderVerifyData does not verify", "the device does not have the same pre-shared key")
    session = Session(requester, terms, channel, secrets, answer.heartbeat)
    transcript = th1 + answer.verify_data
    if with_context:
        yield from _guarded(session, _psk_finish(session, schedule, secrets, transcript))
    else:
        session.established(schedule.data(transcript), RequestCode.PSK_FINISH)
    return Established(session, None, answer.summary_hash)


def _psk_finish(session: Session, schedule: KeySchedule, secrets: Secrets, transcript: bytes) -> Flow[None]:
    code = RequestCode.PSK_FINISH
    covered = transcript + push_psk_finish_start(session.terms.version)
    verify_data = secrets.request.verify_data(covered)
    message = covered[len(transcript) :] + verify_data
    yield from session.protect(session.requester.delivery.ask(code, lambda: message))
    reader = Reader(session.requester.connection.exchanges[-1].response, "PSK_FINISH_RSP")
    decoded(code, lambda: PskFinishResponse.pull(reader))
    session.established(schedule.data(covered + verify_data + reader.consumed()), code)
