"""Following a recorded conversation into its sessions, with the shared secrets that somebody kept of it.

The listener takes no part: it reassembles, keeps the negotiated facts, and where it was given the secret of a key
exchange or the pre-shared key it derives the keys and opens the records. Nothing it hears is a verdict: an exchange
that breaks the protocol is told with its problem, and listening goes on. A record whose key is not known stays shut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cmakeys.errors import EvidenceProblem
from cmakeys.spdm.agreement import EXCHANGE_SIZES
from cmakeys.spdm.algorithms import SIGNATURE_SIZES
from cmakeys.spdm.challenging import SLOT_PROVISIONED_KEY
from cmakeys.spdm.codes import Capability, RequestCode, ResponseCode, SummaryHash
from cmakeys.spdm.connection import Connection, Exchange
from cmakeys.spdm.messages.certificates import CertificateResponse, Digests
from cmakeys.spdm.messages.encapsulated import DeliverEncapsulatedResponse
from cmakeys.spdm.messages.finish import Finish, FinishResponse
from cmakeys.spdm.messages.header import Layout
from cmakeys.spdm.messages.key_exchange import KeyExchange, KeyExchangeResponse
from cmakeys.spdm.messages.opaque import SecuredParameters
from cmakeys.spdm.messages.psk import PskExchange, PskExchangeResponse, PskFinish
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.spdm.reassembly import Reassembler
from cmakeys.spdm.rules import MEAS
from cmakeys.spdm.schedule import KeySchedule, Secrets, TrafficSecret
from cmakeys.spdm.secured import SESSION_ID_LENGTH, Binding, Channel, Opener, RecordProblem
from cmakeys.spdm.terms import Terms, requester_asym, requester_multi_key
from cmakeys.spdm.wire import Reader, WireError

MAX_SESSIONS = 1024
"""Sessions of one recording that are followed."""


@dataclass(frozen=True, slots=True)
class KeptSecrets:
    """What opens the sessions of a recording: shared secrets in the order of the key exchanges, pre-shared keys by
    their hint."""

    exchanges: Sequence[bytes] = field(default=(), repr=False)
    psks: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Side:
    """One direction of what was heard.

    `message` is the SPDM message, the application data where that is something else (`application`), or the record as
    it came where it could not be opened (`shut`). For what came out of a record, `record`, `padding` and `secret` tell
    how it was in there.
    """

    message: bytes
    application: bool = False
    shut: bool = False
    record: bytes = b""
    padding: bytes = b""
    secret: TrafficSecret | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """One request and its answer as sent. `session` is its SessionID, None outside sessions.

    `exchange` is the whole exchange that ends here, reassembled and at its true length; None while one is under way,
    and for what could not be understood, which `problem` then says.
    """

    request: Side
    response: Side | None
    session: int | None = None
    exchange: Exchange | None = None
    problem: str = ""


class _Direction:
    """The records of one direction under the key that is in use."""

    def __init__(self, channel: Channel, secret: TrafficSecret) -> None:
        self._channel = channel
        self.use(secret)

    def use(self, secret: TrafficSecret) -> None:
        self.secret = secret
        self._opened = 0

    def open(self, record: bytes) -> Side:
        """The content. A record under the next key tells that the sender has updated, whoever asked for it."""
        try:
            return self._try(self.secret, record, self._opened)
        except RecordProblem:
            following = self.secret.updated()
            side = self._try(following, record, 0)
            self.use(following)
            self._opened = 1
            return side

    def _try(self, secret: TrafficSecret, record: bytes, counter: int) -> Side:
        opener = Opener(self._channel, secret.keys(self._channel.aead))
        opener.counter = counter
        opened = opener.open(record)
        self._opened = opener.counter
        return Side(opened.application, record=record, padding=opened.padding, secret=secret)


@dataclass
class Followed:
    """One session while it is followed. `data` are the secrets after its handshake, None before."""

    terms: Terms
    schedule: KeySchedule
    handshake: Secrets
    channel: Channel
    request: _Direction
    response: _Direction
    transcript: bytes
    mutual: int = 0
    own_chain: bytearray = field(default_factory=bytearray)
    data: Secrets | None = None
    reassembler: Reassembler = field(default_factory=Reassembler)

    def enter(self, transcript: bytes) -> None:
        """The handshake is over."""
        self.data = self.schedule.data(transcript)
        self.request.use(self.data.request)
        self.response.use(self.data.response)


class Eavesdropper:
    """Listens to one recording. `connection` is what it knows of the connection; `sessions` are those it could open.

    `key` is the public key of a device that shows no certificates, whose sessions hang on it as others on the chain.
    """

    def __init__(self, binding: Binding | None, secrets: KeptSecrets, key: ProvisionedKey | None = None) -> None:
        self.connection = Connection()
        self.connection.provisioned = key
        self.sessions: list[Followed] = []
        self._binding = binding
        self._exchange_secrets: Iterator[bytes] = iter(secrets.exchanges)
        self._psks = secrets.psks
        self._reassembler = Reassembler()
        self._open: dict[int, Followed | None] = {}
        self._latest: Followed | None = None
        self._first_digests = self._first_own_digests = b""

    def hear(self, request: bytes, response: bytes | None, *, secured: bool) -> Heard:
        """Take a request and its answer, None where there was none; records and messages as the transport had them."""
        if secured:
            return self._hear_records(request, response)
        if response is None:
            return Heard(Side(request), None, problem="there is no answer to it")
        sides = Side(request), Side(response)
        try:
            exchange = self._reassembler.feed(request, response)
            if exchange is None:
                return Heard(*sides)
            self.connection.observe(exchange.request, exchange.response)
            exchange = self.connection.exchanges[-1]
            self._follow(exchange)
        except EvidenceProblem as error:
            return Heard(*sides, problem=str(error))
        return Heard(*sides, exchange=exchange)

    # -- in the clear -------------------------------------------------------------------------------------------------

    def _follow(self, exchange: Exchange) -> None:
        request, response = exchange.request, exchange.response
        code = request[1]
        if code == RequestCode.GET_VERSION:
            self._first_digests = self._first_own_digests = b""
            self._open.clear()
        if response[1] == ResponseCode.ERROR:
            return
        if code == RequestCode.GET_DIGESTS:
            self._first_digests = self._first_digests or response
        elif code == RequestCode.KEY_EXCHANGE:
            self._key_exchange(request, response)
        elif code == RequestCode.PSK_EXCHANGE:
            self._psk_exchange(request, response)
        elif code == RequestCode.DELIVER_ENCAPSULATED_RESPONSE:
            self._delivered(request, self._latest)
        elif code == RequestCode.FINISH and self._latest is not None:
            self._finish(self._latest, request, response)

    def _delivered(self, request: bytes, session: Followed | None) -> None:
        """One of the requester's own answers: its DIGESTS and its chain are hashed in a handshake."""
        message = DeliverEncapsulatedResponse.pull(Reader(request, "DELIVER_ENCAPSULATED_RESPONSE")).message
        reader = Reader(message, "encapsulated response")
        if message[1:2] == bytes((ResponseCode.DIGESTS,)):
            layout, asym = self.connection.layout, requester_asym(self.connection)
            size = SIGNATURE_SIZES[asym] if asym else 0
            Digests.pull(reader, Layout(layout.version, layout.hash_size, size, requester_multi_key(self.connection)))
            self._first_own_digests = self._first_own_digests or reader.consumed()
        elif message[1:2] == bytes((ResponseCode.CERTIFICATE,)) and session is not None and session.data is None:
            session.own_chain += CertificateResponse.pull(reader).portion

    # -- handshakes ---------------------------------------------------------------------------------------------------

    def _digest(self, octets: bytes) -> bytes:
        function = self.connection.hash
        if function is None:
            raise WireError("a session without a negotiated hash", object="recording")
        return function.digest(octets)

    def _chain_hash(self, slot: int) -> bytes:
        identity = self.connection.identity_hash(slot)
        if identity is None and slot == SLOT_PROVISIONED_KEY:
            raise WireError("the provisioned public key of the device was not given", object="KEY_EXCHANGE")
        if identity is None:
            raise WireError(f"the chain of slot {slot} was not read in this recording", object="KEY_EXCHANGE")
        return identity

    def _summarised(self, kind: int) -> bool:
        return kind != SummaryHash.NONE and self.connection.has(MEAS)

    def _key_exchange(self, request: bytes, response: bytes) -> None:
        terms = Terms.of(self.connection)
        if terms.agreement is None:
            raise WireError("KEY_EXCHANGE without a negotiated agreement", object="recording")
        sizes = EXCHANGE_SIZES[terms.agreement]
        asked_reader, reader = Reader(request, "KEY_EXCHANGE"), Reader(response, "KEY_EXCHANGE_RSP")
        asked = KeyExchange.pull(asked_reader, sizes.request)
        answer = KeyExchangeResponse.pull(
            reader,
            terms.layout,
            exchange_size=sizes.response,
            has_summary=self._summarised(asked.summary_hash),
            has_verify_data=not terms.clear_handshake,
        )
        session_id = asked.session_id | answer.session_id << 16
        self._forget(session_id)
        secret = next(self._exchange_secrets, None)
        if secret is None:
            return
        th1 = (
            self.connection.transcript.vca
            + (self._first_digests if terms.layout.multi_key else b"")
            + self._chain_hash(asked.slot)
            + asked_reader.consumed()
            + answer.push_unsigned()
            + answer.signature
        )
        schedule = KeySchedule.of_exchange(terms.version, terms.base_hash, secret)
        session = self._begin(terms, session_id, answer.opaque, schedule, th1, answer.verify_data)
        session.mutual = answer.mutual

    def _psk_exchange(self, request: bytes, response: bytes) -> None:
        terms = Terms.of(self.connection)
        asked_reader, reader = Reader(request, "PSK_EXCHANGE"), Reader(response, "PSK_EXCHANGE_RSP")
        asked = PskExchange.pull(asked_reader)
        answer = PskExchangeResponse.pull(reader, terms.layout, has_summary=self._summarised(asked.summary_hash))
        session_id = asked.session_id | answer.session_id << 16
        self._forget(session_id)
        psk = self._psks.get(asked.hint)
        if psk is None:
            return
        th1 = self.connection.transcript.vca + asked_reader.consumed() + answer.push_unverified()
        schedule = KeySchedule.of_psk(terms.version, terms.base_hash, psk)
        session = self._begin(terms, session_id, answer.opaque, schedule, th1, answer.verify_data)
        if not self.connection.has(Capability.PSK_WITH_CONTEXT):
            session.enter(session.transcript)

    def _forget(self, session_id: int) -> None:
        """A new session; until it could be followed its records stay shut."""
        if len(self._open) >= MAX_SESSIONS:
            raise WireError(f"more than {MAX_SESSIONS} sessions are open at once", object="recording")
        self._open[session_id] = self._latest = None

    def _begin(
        self, terms: Terms, session_id: int, opaque: bytes, schedule: KeySchedule, th1: bytes, verify_data: bytes
    ) -> Followed:
        if self._binding is None:
            raise WireError("this transport carries no records", object="recording")
        parameters = SecuredParameters.pull(opaque, terms.version)
        channel = Channel(session_id, self._binding, terms.aead, terms.kind, parameters.limit_exponent)
        secrets = schedule.handshake(th1)
        if verify_data and not secrets.response.verifies(verify_data, th1):
            raise RecordProblem(
                "the secret given is not the one of this session: ResponderVerifyData does not verify",
                object=f"session {session_id:#010x}",
                hint="secrets belong to key exchanges in their order; give those of this recording",
            )
        request, response = _Direction(channel, secrets.request), _Direction(channel, secrets.response)
        session = Followed(terms, schedule, secrets, channel, request, response, th1 + verify_data)
        self.sessions.append(session)
        self._open[session_id] = self._latest = session
        return session

    def _finish(self, session: Followed, request: bytes, response: bytes) -> None:
        terms = session.terms
        asked_reader, reader = Reader(request, "FINISH"), Reader(response, "FINISH_RSP")
        Finish.pull(asked_reader, terms.layout, terms.requester_signature_size)
        answer = FinishResponse.pull(reader, terms.layout, has_verify_data=terms.clear_handshake)
        transcript = session.transcript
        if session.mutual:
            transcript += self._first_own_digests if terms.requester_multi_key else b""
            transcript += self._digest(bytes(session.own_chain))
        transcript += asked_reader.consumed() + answer.push_unverified()
        session.enter(transcript + answer.verify_data)

    def _psk_finish(self, session: Followed, request: bytes, response: bytes) -> None:
        reader = Reader(request, "PSK_FINISH")
        PskFinish.pull(reader, session.terms.layout)
        session.enter(session.transcript + reader.consumed() + response)

    # -- records ------------------------------------------------------------------------------------------------------

    def _hear_records(self, request: bytes, response: bytes | None) -> Heard:
        session_id = int.from_bytes(request[:SESSION_ID_LENGTH], "little")
        session = self._open.get(session_id)
        shut = Side(request, shut=True), Side(response, shut=True) if response is not None else None
        if session is None:
            return Heard(*shut, session_id)
        try:
            asked = self._opened(session.request.open(request))
        except EvidenceProblem as error:
            return Heard(*shut, session_id, problem=str(error))
        if response is None:
            return Heard(asked, None, session_id, problem="there is no answer to it")
        try:
            answer = self._opened(session.response.open(response))
        except EvidenceProblem as error:
            return Heard(asked, shut[1], session_id, problem=str(error))
        if asked.application or answer.application:
            return Heard(asked, answer, session_id)
        try:
            exchange = session.reassembler.feed(asked.message, answer.message)
            if exchange is not None:
                self._follow_inside(session, session_id, exchange)
        except EvidenceProblem as error:
            return Heard(asked, answer, session_id, problem=str(error))
        return Heard(asked, answer, session_id, exchange)

    def _opened(self, side: Side) -> Side:
        """An opened record with its SPDM message, or the application data of something else."""
        assert self._binding is not None  # noqa: S101 (a session begins only where there is one)
        try:
            message = self._binding.unwrap(side.message)
        except WireError:
            message = None
        if message is None:
            return Side(side.message, application=True, record=side.record, padding=side.padding, secret=side.secret)
        return Side(message, record=side.record, padding=side.padding, secret=side.secret)

    def _follow_inside(self, session: Followed, session_id: int, exchange: Exchange) -> None:
        request, response = exchange.request, exchange.response
        if response[1:2] == bytes((ResponseCode.ERROR,)):
            return
        if request[1] == RequestCode.END_SESSION:
            del self._open[session_id]
        elif session.data is not None:
            return
        elif request[1] == RequestCode.DELIVER_ENCAPSULATED_RESPONSE:
            self._delivered(request, session)
        elif request[1] == RequestCode.FINISH:
            self._finish(session, request, response)
        elif request[1] == RequestCode.PSK_FINISH:
            self._psk_finish(session, request, response)
