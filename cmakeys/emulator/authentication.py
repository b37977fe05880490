"""How the device asks who the requester is, and changes its own key: the encapsulated flows (reference §5.7).

The device never speaks first: what it wants to ask lies in `Conversation.interview` until the requester comes for it.
"""

from __future__ import annotations

from collections.abc import Generator

from cmakeys.emulator.conversation import Conversation, Refusal
from cmakeys.emulator.questions import Interview, Questionnaire
from cmakeys.emulator.requester_identity import RequesterIdentity
from cmakeys.emulator.sessions import OpenSession
from cmakeys.errors import EvidenceProblem
from cmakeys.spdm.codes import (
    CONTEXT_LENGTH,
    NONCE_LENGTH,
    Capability,
    ErrorCode,
    KeyOperation,
    MutualAuthentication,
    ResponseCode,
    SummaryHash,
    Version,
)
from cmakeys.spdm.messages.certificates import CertificateResponse, Digests, GetCertificate, GetDigests
from cmakeys.spdm.messages.challenge import Challenge, ChallengeAuth
from cmakeys.spdm.messages.encapsulated import (
    AckPayload,
    DeliverEncapsulatedResponse,
    EncapsulatedRequest,
    EncapsulatedResponseAck,
    GetEncapsulatedRequest,
)
from cmakeys.spdm.messages.session_control import KeyUpdate, KeyUpdateAck
from cmakeys.spdm.signing import Context, SignatureProblem, Statement, verify_statement
from cmakeys.spdm.wire import Reader, WireError
from cmakeys.x509.bundle import MAX_CHAIN_SIZE, MAX_LARGE_CHAIN_SIZE

_ENCAPSULATED = 8
"""Bytes that carry an encapsulated response."""

_CERTIFICATE_HEADER = 16
_MAX_PORTION = 0x1000
_MAX_PORTIONS = 4096


# -- the two requests of the requester -----------------------------------------------------------------------------


def answer_get_encapsulated_request(talk: Conversation, reader: Reader) -> bytes:
    """ENCAPSULATED_REQUEST: the question that is due, the same again if it was asked for before."""
    request = GetEncapsulatedRequest.pull(reader)
    if talk.interview is None:
        late = request.version >= Version.V13
        raise Refusal(ErrorCode.NO_PENDING_REQUESTS if late else ErrorCode.UNEXPECTED_REQUEST)
    question = talk.interview.current()
    return talk.encode(EncapsulatedRequest(request.version, talk.interview.number, question))


def answer_deliver_encapsulated_response(talk: Conversation, reader: Reader) -> bytes:
    """ENCAPSULATED_RESPONSE_ACK, with the next question if there is one."""
    request = DeliverEncapsulatedResponse.pull(reader)
    interview = talk.interview
    if interview is None or not interview.question:
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    number = interview.number
    if request.request_id != number:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    try:
        slot = interview.take(request.message)
    except (Refusal, WireError) as problem:
        talk.interview = None
        raise Refusal(ErrorCode.INVALID_RESPONSE_CODE) from problem
    if slot is None:
        answer = EncapsulatedResponseAck(
            request.version, interview.number, AckPayload.REQUEST, number, interview.question
        )
    else:
        talk.interview = None
        kind = AckPayload.REQUESTER_SLOT if slot else AckPayload.ABSENT
        answer = EncapsulatedResponseAck(request.version, 0, kind, number, bytes((slot,)) if slot else b"")
    return talk.encode(answer)


# -- who is there ----------------------------------------------------------------------------------------------------


def begin_basic_authentication(talk: Conversation) -> bool:
    """Whether CHALLENGE_AUTH asks the requester in turn; if so, the questions lie ready."""
    sessions = talk.hardware.settings.sessions
    if sessions is None or not sessions.basic_mutual:
        return False
    if talk.requester_asym is None or not encapsulation(talk):
        if sessions.insists:
            raise policy_refusal(talk)
        return False
    talk.interview = Interview(_challenge_requester(talk))
    return True


def begin_session_authentication(session: OpenSession, talk: Conversation) -> None:
    """Lay the questions ready that a session's requester has to answer before FINISH; `talk` is where it will."""
    mode = session.asked.mode
    if mode is MutualAuthentication.ENCAPSULATED:
        talk.interview = Interview(_identify(session))
    elif mode is MutualAuthentication.IMPLICIT_DIGESTS:
        talk.interview = Interview.begun(_identify(session))


def encapsulation(talk: Conversation) -> bool:
    """Both sides have encapsulated requests; on 1.2 MUT_AUTH_CAP implies them (reference §2.2.2)."""
    enough = Capability.ENCAP
    if talk.negotiated_version() == Version.V12:
        enough |= Capability.MUT_AUTH
    return bool(talk.flags & enough and talk.requester_flags & enough)


def policy_refusal(talk: Conversation) -> Refusal:
    """What a requester is told that cannot say who it is and has to."""
    late = talk.negotiated_version() >= Version.V13
    return Refusal(ErrorCode.INVALID_POLICY if late else ErrorCode.UNSPECIFIED)


def provisioned_requester(talk: Conversation) -> RequesterIdentity | None:
    """The requester that the device knows without asking: it answered a challenge, or its chain was put in."""
    if talk.requester is not None:
        return talk.requester
    chain = talk.hardware.requester_chain
    return RequesterIdentity.provisioned(chain, talk.hash()) if chain else None


def _identify(session: OpenSession) -> Questionnaire:
    """DIGESTS and CERTIFICATE of the requester; its FINISH will prove that it has the key."""
    heard: list[bytes] = []
    identity, slot = yield from _read_chain(session.talk, heard)
    session.requester, session.digests_heard = identity, heard[1]
    return slot


def _challenge_requester(talk: Conversation) -> Questionnaire:
    """DIGESTS, CERTIFICATE and CHALLENGE_AUTH of the requester, in the clear."""
    heard: list[bytes] = []
    identity, slot = yield from _read_chain(talk, heard)
    version, nonce = talk.negotiated_version(), talk.hardware.random(NONCE_LENGTH)
    context = talk.hardware.random(CONTEXT_LENGTH) if version >= Version.V13 else b""
    request = Challenge(version, slot, nonce, SummaryHash.NONE, context).push()
    reader = Reader((yield request), "CHALLENGE_AUTH of the requester")
    answer = ChallengeAuth.pull(reader, talk.requester_layout(), has_summary=False)
    if answer.param1 & 0x0F != slot or answer.context != context:
        raise reader.fail("CHALLENGE_AUTH is for another slot or another challenge")
    if answer.chain_hash != talk.hash().digest(identity.structure):
        raise reader.fail("CertChainHash is not that of the chain")
    prefix = talk.transcript.vca if version >= Version.V12 else b""
    unsigned = reader.consumed()[: -len(answer.signature)]
    transcript = b"".join((prefix, *heard, request, unsigned))
    verify_requester(
        talk, identity, Context.REQUESTER_CHALLENGE_AUTH, slot, transcript, answer.signature, (answer.nonce, nonce)
    )
    talk.requester = identity
    return 0


def verify_requester(
    talk: Conversation,
    identity: RequesterIdentity,
    context: Context,
    slot: int,
    transcript: bytes,
    signature: bytes,
    nonces: tuple[bytes, bytes] = (b"", b""),
) -> None:
    """Check a signature of the requester. Raises `Refusal` for one that does not verify."""
    if talk.requester_asym is None or talk.base_hash is None:
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    version = talk.negotiated_version()
    statement = Statement(
        context, version, talk.requester_asym, talk.base_hash, slot, transcript, signature, nonces[0], nonces[1]
    )
    try:
        verify_statement(statement, identity.leaf.public_key)
    except SignatureProblem as problem:
        raise Refusal(ErrorCode.DECRYPT_ERROR) from problem


class _Portions:
    """A chain of the requester while it is read."""

    def __init__(self, talk: Conversation, slot: int) -> None:
        self._talk = talk
        self._slot = slot
        self._version = talk.negotiated_version()
        self._large = self._version >= Version.V14 and bool(talk.requester_flags & Capability.LARGE_RESP)
        room = talk.room(_ENCAPSULATED + _CERTIFICATE_HEADER)
        self._length = max(1, min(room, _MAX_PORTION))
        self._limit = MAX_LARGE_CHAIN_SIZE if self._large else MAX_CHAIN_SIZE
        self.structure = b""
        self.complete = False

    def request(self) -> bytes:
        """Ask for what follows."""
        return GetCertificate(self._version, self._slot, len(self.structure), self._length, self._large).push()

    def take(self, reader: Reader) -> None:
        """Append a portion. Raises `WireError` for one that was not asked for."""
        answer = CertificateResponse.pull(reader)
        if answer.slot != self._slot or answer.large != self._large:
            raise reader.fail("CERTIFICATE of another slot or form")
        if not 0 < len(answer.portion) <= self._length:
            raise reader.fail(f"a portion of {len(answer.portion)} bytes where {self._length} were asked for")
        self.structure += answer.portion
        if len(self.structure) > self._limit:
            raise reader.fail(f"a chain of more than {self._limit} bytes")
        self.complete = answer.remainder == 0


def _read_chain(talk: Conversation, heard: list[bytes]) -> Generator[bytes, bytes, tuple[RequesterIdentity, int]]:
    """Ask for the digests and the chain of the lowest slot; `heard` receives every message in its true length."""
    request = GetDigests(talk.negotiated_version()).push()
    reader = Reader((yield request), "DIGESTS of the requester")
    digests = Digests.pull(reader, talk.requester_layout())
    heard += (request, reader.consumed())
    if not digests.slots:
        raise reader.fail("the requester has no chain")
    slot = digests.slots[0]
    chain = _Portions(talk, slot)
    for _ in range(_MAX_PORTIONS):
        request = chain.request()
        reader = Reader((yield request), "CERTIFICATE of the requester")
        chain.take(reader)
        heard += (request, reader.consumed())
        if chain.complete:
            break
    if not chain.complete or talk.hash().digest(chain.structure) != digests.digest_of(slot):
        raise reader.fail("the chain is not that of DIGESTS")
    try:
        return RequesterIdentity.read(chain.structure, talk.hash(), talk.hardware.requester_roots), slot
    except EvidenceProblem as problem:
        raise Refusal(ErrorCode.INVALID_RESPONSE_CODE) from problem


# -- the device's own key --------------------------------------------------------------------------------------------


def ask_key_update(session: OpenSession) -> bool:
    """Lay a KEY_UPDATE of the response direction ready, where both sides can; whether it was."""
    terms = session.talk.terms
    if terms is None or not terms.key_update or not encapsulation(session.talk) or session.talk.interview is not None:
        return False
    session.talk.interview = Interview(_update_own_key(session))
    return True


def _update_own_key(session: OpenSession) -> Questionnaire:
    """UpdateKey and VerifyNewKey; a requester that refuses the first leaves the key as it was."""
    for operation in (KeyOperation.UPDATE_KEY, KeyOperation.VERIFY_NEW_KEY):
        question = KeyUpdate(session.talk.negotiated_version(), operation, session.talk.hardware.random(1)[0])
        answer = yield question.push()
        if operation is KeyOperation.UPDATE_KEY and answer[1:2] == bytes((ResponseCode.ERROR,)):
            return 0
        reader = Reader(answer, "KEY_UPDATE_ACK of the requester")
        acknowledged = KeyUpdateAck.pull(reader)
        if (acknowledged.operation, acknowledged.tag) != (question.operation, question.tag):
            raise reader.fail("another key update is acknowledged than was asked for")
        if operation is KeyOperation.UPDATE_KEY:
            session.update_response_key()
    return 0
