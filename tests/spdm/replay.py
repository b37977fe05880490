"""Our requester in the place of the recorded one: it has to send every message and every record that was sent.

What it cannot invent is given to it: the randomness of the recorded requests and of their padding, the shared secret
of each exchange, and for mutual authentication what the reference requester delivered and signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from cmakeys.spdm.agreement import EXCHANGE_SIZES, Agreement
from cmakeys.spdm.algorithms import BaseAsym, BaseHash, Dhe, Kem, OpaqueFormat, PqcAsym
from cmakeys.spdm.codes import KeyOperation, MutualAuthentication, RequestCode, ResponseCode, SummaryHash, Version
from cmakeys.spdm.connection import Exchange
from cmakeys.spdm.effects import DeviceRefused, Flow, Send
from cmakeys.spdm.encapsulated import serve
from cmakeys.spdm.handshake import PreSharedKey, SessionPlan, key_exchange, psk_exchange
from cmakeys.spdm.messages.capabilities import GetCapabilities
from cmakeys.spdm.messages.certificates import CertificateResponse, GetCertificate
from cmakeys.spdm.messages.challenge import Challenge
from cmakeys.spdm.messages.finish import Finish
from cmakeys.spdm.messages.key_exchange import KeyExchange
from cmakeys.spdm.messages.measurements import GetMeasurements
from cmakeys.spdm.messages.negotiation import NegotiateAlgorithms
from cmakeys.spdm.messages.opaque import SecuredParameters, SecuredVersion
from cmakeys.spdm.messages.psk import PskExchange
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.reassembly import Reassembler
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.secured import Binding
from cmakeys.spdm.session import Session
from cmakeys.spdm.signing import Context, Statement, verify_statement
from cmakeys.spdm.states import State
from cmakeys.spdm.terms import Terms
from cmakeys.spdm.wire import Reader
from tests.spdm.conversations import leaf_key
from tests.spdm.recorded_sessions import Item, Recording, delivered

T = TypeVar("T")


def recorded_offer(exchanges: list[Exchange]) -> Offer:
    capabilities = GetCapabilities.pull(Reader(exchanges[1].request, "GET_CAPABILITIES"))
    algorithms = NegotiateAlgorithms.pull(Reader(exchanges[2].request, "NEGOTIATE_ALGORITHMS"))
    portions = [
        GetCertificate.pull(Reader(exchange.request, "GET_CERTIFICATE")).length
        for exchange in exchanges
        if exchange.request[1] == RequestCode.GET_CERTIFICATE
    ]
    return Offer(
        versions=frozenset({capabilities.version}),
        base_asym=algorithms.base_asym,
        pqc_asym=algorithms.pqc_asym,
        base_hash=algorithms.base_hash,
        requester_flags=capabilities.flags,
        ct_exponent=capabilities.ct_exponent,
        data_transfer_size=capabilities.data_transfer_size or 0x10000,
        max_message_size=capabilities.max_message_size or 0x10000,
        measurement_specification=algorithms.measurement_specification,
        opaque_format=OpaqueFormat(algorithms.other_params & 3),
        mel_specification=algorithms.mel_specification,
        tables=algorithms.tables,
        multi_key=bool(algorithms.other_params & 0x10),
        portion_length=portions[0] if portions else 0x1000,
    )


class Given:
    """An exchange whose secret is known from the recording."""

    def __init__(self, public: bytes, secret: bytes) -> None:
        self.public = public
        self._secret = secret

    def agree(self, answer: bytes) -> bytes:
        return self._secret


class RecordedIdentity:
    """The reference requester's own answers and signature, as they were recorded."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._chain = bytearray()

    def answer(self, request: bytes) -> bytes:
        message = delivered(self._replay.upcoming.request[4:], Terms.of(self._replay.requester.connection))
        assert message[1] == request[1] & 0x7F
        if message[1] == ResponseCode.CERTIFICATE:
            self._chain += CertificateResponse.pull(Reader(message, "CERTIFICATE")).portion
        return message

    def chain_structure(self, slot: int) -> bytes:
        return bytes(self._chain)

    def sign(
        self, slot: int, version: Version, asym: BaseAsym | PqcAsym, base_hash: BaseHash, context: Context, data: bytes
    ) -> bytes:
        """The recorded signature, which must be one of our transcript under the delivered chain's key."""
        terms = Terms.of(self._replay.requester.connection)
        reader = Reader(self._replay.upcoming.request, "FINISH")
        signature = Finish.pull(reader, terms.layout, terms.requester_signature_size).signature
        statement = Statement(context, version, asym, base_hash, slot, data, signature, b"", b"")
        verify_statement(statement, leaf_key(self.chain_structure(slot), terms.layout.hash_size))
        self._replay.verified += 1
        return signature


class Replay:
    """Drives our requester through a recording."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.position = 0
        self.verified = 0
        self.sessions: dict[int, Session] = {}
        self.tamper: Callable[[int, bytes], bytes] = lambda position, answer: answer
        """Changes the recorded answer at a position before our requester sees it."""
        self.identified = True
        """Our requester has an identity to show."""
        self.insists = True
        """Our requester must send what was recorded."""
        self._draws = self._recorded_draws()
        self._secrets = iter(recording.shared_secrets)
        reassembler = Reassembler()
        clear = [item for item in recording.items if item.session is None]
        exchanges = [exchange for item in clear if (exchange := reassembler.feed(item.request, item.response))]
        self.requester = Requester(recorded_offer(exchanges), entropy=self._entropy)

    @property
    def upcoming(self) -> Item:
        return self.recording.items[self.position]

    def run(self, until: int | None = None) -> None:
        """Go on to the end, or to a position that an operation of ours ends at."""
        while self.position < (len(self.recording.items) if until is None else until):
            before = self.position
            item = self.upcoming
            if item.session is None:
                self._outside(item)
            else:
                self._inside(item, self.sessions[item.session])
            assert self.position > before

    # -- the responder's half -----------------------------------------------------------------------------------------

    def drive(self, flow: Flow[T]) -> T:
        answer: bytes | None = None
        while True:
            try:
                effect = next(flow) if answer is None else flow.send(answer)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # a generator's return value is untyped
            assert isinstance(effect, Send), "the reference pair never made us wait"
            item = self.upcoming
            assert effect.secured == (item.session is not None)
            recorded = item.request_record if effect.secured else item.request
            if self.insists:
                assert recorded.startswith(effect.message)
                assert not any(recorded[len(effect.message) :])
                assert len(recorded) - len(effect.message) < 4
            answer = self.tamper(self.position, item.response_record if effect.secured else item.response)
            self.position += 1

    # -- what the recording gives us ----------------------------------------------------------------------------------

    def _entropy(self, count: int) -> bytes:
        drawn = next(self._draws)
        assert len(drawn) == count
        return drawn

    def _recorded_draws(self) -> Iterator[bytes]:
        for item in self.recording.items:
            if not item.application:
                yield from self._drawn_for(item.request)
            if item.session is not None and self.recording.binding is Binding.MCTP:
                yield bytes((len(item.request_padding) - 1,))
                yield item.request_padding

    def _drawn_for(self, request: bytes) -> Iterator[bytes]:
        reader = Reader(request, "recorded request")
        asked: Challenge | GetMeasurements
        match request[1]:
            case RequestCode.CHALLENGE:
                asked = Challenge.pull(reader)
                yield from (part for part in (asked.nonce, asked.context) if part)
            case RequestCode.GET_MEASUREMENTS:
                asked = GetMeasurements.pull(reader)
                yield from (part for part in (asked.nonce, asked.context) if part)
            case RequestCode.KEY_EXCHANGE:
                yield request[8:40]
            case RequestCode.PSK_EXCHANGE:
                yield PskExchange.pull(reader).context
            case RequestCode.KEY_UPDATE:
                yield request[3:4]

    # -- what our requester does --------------------------------------------------------------------------------------

    def _outside(self, item: Item) -> None:
        requester = self.requester
        match item.request[1]:
            case RequestCode.GET_VERSION:
                self.drive(requester.connect())
            case RequestCode.KEY_EXCHANGE:
                self._key_exchange(item)
            case RequestCode.PSK_EXCHANGE:
                self._psk_exchange(item)
            case RequestCode.GET_ENCAPSULATED_REQUEST:
                self.drive(serve(requester, RecordedIdentity(self), MutualAuthentication.ENCAPSULATED))
            case _:
                self._ask(item, None)

    def _key_exchange(self, item: Item) -> None:
        connection = self.requester.connection
        algorithm = Terms.of(connection).agreement
        assert algorithm is not None
        asked = KeyExchange.pull(Reader(item.request, "KEY_EXCHANGE"), EXCHANGE_SIZES[algorithm].request)
        plan = self._plan(asked.slot, asked.summary_hash, asked.session_id, asked.policy, asked.opaque)
        secret = next(self._secrets)

        def begin(wanted: Dhe | Kem) -> Agreement:
            assert wanted == algorithm
            return Given(asked.exchange, secret)

        key = self._key(asked.slot)
        identity = RecordedIdentity(self) if self.identified else None
        opened = self.drive(key_exchange(self.requester, plan, key, identity=identity, begin=begin))
        assert opened.statement is not None
        self.verified += 1
        self._opened(opened.session)

    def _psk_exchange(self, item: Item) -> None:
        asked = PskExchange.pull(Reader(item.request, "PSK_EXCHANGE"))
        plan = self._plan(0, asked.summary_hash, asked.session_id, asked.policy, asked.opaque)
        psk = PreSharedKey(asked.hint, next(self._secrets))
        opened = self.drive(psk_exchange(self.requester, plan, psk, context_length=len(asked.context)))
        assert opened.statement is None
        self._opened(opened.session)

    def _plan(self, slot: int, summary: int, session_id: int, policy: int, opaque: bytes) -> SessionPlan:
        offered = SecuredParameters.pull(opaque, self.requester.connection.layout.version).offered
        versions = frozenset(map(SecuredVersion, offered))
        return SessionPlan(self.recording.binding, slot, SummaryHash(summary), session_id, policy, versions)

    def _key(self, slot: int) -> CertificatePublicKeyTypes:
        connection = self.requester.connection
        return leaf_key(connection.chains[slot], connection.layout.hash_size)

    def _opened(self, session: Session) -> None:
        assert session.state is State.SESSION
        self.sessions[len(self.sessions)] = session

    def _inside(self, item: Item, session: Session) -> None:
        if item.application:
            assert self.drive(session.application(item.request, 1.0)) == item.response
            return
        match item.request[1]:
            case RequestCode.HEARTBEAT:
                self.drive(session.heartbeat())
            case RequestCode.KEY_UPDATE:
                self.drive(session.update_keys(KeyOperation(item.request[2])))
            case RequestCode.END_SESSION:
                self.drive(session.end())
                assert session.state is State.ENDED
            case _:
                self._ask(item, session)

    def _through(self, session: Session | None, flow: Flow[T]) -> T:
        return self.drive(flow if session is None else session.protect(flow))

    def _ask(self, item: Item, session: Session | None) -> None:
        request = item.request
        requester = self.requester if session is None else session.requester
        connection = requester.connection
        match request[1]:
            case RequestCode.GET_DIGESTS:
                self._through(session, requester.digests())
            case RequestCode.GET_CERTIFICATE:
                chain = self._through(session, requester.certificate(request[2] & 0x0F))
                assert chain == connection.chains[request[2] & 0x0F]
            case RequestCode.CHALLENGE:
                self._through(session, requester.challenge(request[2], SummaryHash(request[3])))
                assert connection.challenge is not None
                self._verify(connection.challenge)
            case RequestCode.GET_MEASUREMENTS:
                asked = GetMeasurements.pull(Reader(request, "GET_MEASUREMENTS"))
                raw = bool(asked.attributes & 2)
                self._through(
                    session, requester.measurements(asked.operation, slot=asked.slot, raw=raw, signed=asked.signed)
                )
                if asked.signed:
                    assert connection.measurements is not None
                    self._verify(connection.measurements.statement)
            case code:
                self._repeat(item, RequestCode(code), session)

    def _verify(self, statement: Statement) -> None:
        assert statement.slot is not None
        verify_statement(statement, self._key(statement.slot))
        self.verified += 1

    def _repeat(self, item: Item, code: RequestCode, session: Session | None) -> None:
        """A request that our requester has no operation for is delivered as it was recorded."""
        requester = self.requester if session is None else session.requester
        try:
            self._through(session, requester.delivery.ask(code, lambda: item.request))
        except DeviceRefused:
            assert item.response[1] == ResponseCode.ERROR
