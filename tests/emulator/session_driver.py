"""Our requester against the emulated device, in one process and without a clock: what the session tests share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from cmakeys.emulator.device import Device
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.pki import DeviceCredentials, DeviceRequest, VendorAuthority
from cmakeys.emulator.session_settings import SessionSettings
from cmakeys.emulator.settings import DeviceSettings, MultiKey
from cmakeys.errors import Temporary
from cmakeys.spdm.algorithms import BASE_HASH_FUNCTIONS, BaseAsym, BaseHash, HashFunction, PqcAsym
from cmakeys.spdm.codes import Capability, ErrorCode, RequestCode, SummaryHash, Version
from cmakeys.spdm.effects import Flow, Limits, Send
from cmakeys.spdm.encapsulated import Identity
from cmakeys.spdm.handshake import Established, PreSharedKey, SessionPlan, key_exchange, psk_exchange
from cmakeys.spdm.messages.certificates import CertificateResponse, Digests, GetCertificate, SlotInfo
from cmakeys.spdm.messages.challenge import Challenge, ChallengeAuth
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.messages.negotiation import TABLE_REQ_BASE_ASYM, TABLE_REQ_PQC_ASYM, StructTable
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.secured import Binding
from cmakeys.spdm.session import Session
from cmakeys.spdm.signer import PrivateKey, sign_statement
from cmakeys.spdm.signing import Context, Statement
from cmakeys.spdm.terms import with_sessions
from cmakeys.spdm.transcript import Transcript
from cmakeys.spdm.wire import Reader, WireError
from tests.emulator.conftest import credentials
from tests.spdm.conversations import leaf_key

T = TypeVar("T")
PSK = PreSharedKey(b"hint of the key", b"thirty-two bytes of pre-shared key")
MUTUAL = Capability.CERT | Capability.MUT_AUTH | Capability.ENCAP | Capability.CHAL
NONE = Capability(0)
LIMITS = Limits(busy_retries=2)


class NoAnswer(Temporary):
    code = "none"


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Line:
    """Carries messages between the two. `meddle` may change what the device answers to a record."""

    device: Device
    binding: Binding = Binding.PCI_DOE
    meddle: Callable[[bytes], bytes] | None = None
    meddle_request: Callable[[bytes], bytes] | None = None
    records: list[bytes] = field(default_factory=list)
    messages: int = 0

    def run(self, flow: Flow[T]) -> T:
        answer = b""
        try:
            effect = next(flow)
            while True:
                if isinstance(effect, Send):
                    answer = self.carry(effect.message, secured=effect.secured)
                effect = flow.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def until(self, flow: Flow[object], code: RequestCode) -> bytes:
        """Run a flow up to the message of this code, which is not sent."""
        effect = next(flow)
        while not isinstance(effect, Send) or effect.secured or effect.message[1] != code:
            answer = self.carry(effect.message, secured=effect.secured) if isinstance(effect, Send) else b""
            effect = flow.send(answer)
        return effect.message

    def carry(self, message: bytes, *, secured: bool) -> bytes:
        self.messages += 1
        if secured and self.meddle_request:
            message = self.meddle_request(message)
        if self.binding is Binding.PCI_DOE:
            message += bytes(-len(message) % 4)
        response = self.device.respond(message, secured=secured, binding=self.binding)
        if response is None:
            raise NoAnswer("no answer", object="emulated device")
        if secured:
            self.records.append(response)
            if self.meddle:
                response = self.meddle(response)
        return response + bytes(-len(response) % 4) if self.binding is Binding.PCI_DOE else response


@cache
def requester_vendor() -> VendorAuthority:
    return VendorAuthority.create("Host vendor")


@cache
def requester_credentials(key_type: KeyType) -> DeviceCredentials:
    return requester_vendor().issue_device(DeviceRequest("host-1", None, key_type))


@dataclass
class Host:
    """An identity of the requester: one chain in `slot`, and answers to what a device asks."""

    connection: Requester
    key_type: KeyType = KeyType.ECDSA_P384
    slot: int = 0
    multi_key: bool = False
    refuse: frozenset[int] = frozenset()
    asked: list[int] = field(default_factory=list)
    transcript: Transcript = field(default_factory=Transcript)
    spoil: bool = False
    certificate: Callable[[CertificateResponse], CertificateResponse] = lambda answer: answer
    challenge: Callable[[ChallengeAuth], ChallengeAuth] = lambda answer: answer
    """Changes to CHALLENGE_AUTH, before it is signed."""

    @property
    def credentials(self) -> DeviceCredentials:
        return requester_credentials(self.key_type)

    @property
    def function(self) -> HashFunction:
        base_hash = self.connection.connection.base_hash
        assert base_hash
        return BASE_HASH_FUNCTIONS[base_hash]

    @property
    def version(self) -> Version:
        assert self.connection.connection.version
        return self.connection.connection.version

    def chain_structure(self, slot: int) -> bytes:
        if slot != self.slot:
            raise WireError(f"no slot {slot}", object="host")
        return self.credentials.structure(self.function)

    def sign(
        self, slot: int, version: Version, asym: BaseAsym | PqcAsym, base_hash: BaseHash, context: Context, data: bytes
    ) -> bytes:
        assert slot == self.slot
        statement = Statement(context, version, asym, base_hash, slot, data, b"", b"", b"")
        key: PrivateKey = self.key_type.generate() if self.spoil else self.credentials.key
        return sign_statement(statement, key)

    def answer(self, request: bytes) -> bytes:
        code = request[1]
        self.asked.append(code)
        if code in self.refuse:
            return ErrorResponse(self.version, ErrorCode.UNSUPPORTED_REQUEST, code).push()
        self.transcript.begin(RequestCode(code))
        structure = self.chain_structure(self.slot)
        if code == RequestCode.GET_DIGESTS:
            info = (SlotInfo(1, 1, 0x3),) if self.multi_key else ()
            mask = 1 << self.slot if self.version >= Version.V13 else 0
            octets = Digests(self.version, 1 << self.slot, (self.function.digest(structure),), mask, info).push()
            self.transcript.add_b(request[:4], octets)
            return octets
        if code == RequestCode.GET_CERTIFICATE:
            reader = Reader(request, "GET_CERTIFICATE")
            asked = GetCertificate.pull(reader)
            portion = structure[asked.offset : asked.offset + min(asked.length, 700)]
            left = len(structure) - asked.offset - len(portion)
            octets = self.certificate(CertificateResponse(self.version, asked.slot, portion, left, asked.large)).push()
            self.transcript.add_b(reader.consumed(), octets)
            return octets
        if code == RequestCode.CHALLENGE:
            return self.challenged(request)
        return ErrorResponse(self.version, ErrorCode.UNSUPPORTED_REQUEST, code).push()

    def challenged(self, request: bytes) -> bytes:
        reader = Reader(request, "CHALLENGE")
        asked = Challenge.pull(reader)
        answer = ChallengeAuth(
            self.version,
            self.slot,
            1 << self.slot,
            self.function.digest(self.chain_structure(self.slot)),
            bytes(32),
            b"",
            b"",
            asked.context,
            b"",
        )
        answer = self.challenge(answer)
        connection = self.connection.connection
        terms_vca = connection.transcript.vca if self.version >= Version.V12 else b""
        data = terms_vca + self.transcript.m1(reader.consumed(), answer.push_unsigned())
        assert connection.base_hash
        asym = requester_algorithm(self.key_type)
        base_hash = connection.base_hash
        signature = self.sign(self.slot, self.version, asym, base_hash, Context.REQUESTER_CHALLENGE_AUTH, data)
        return replace(answer, signature=signature).push()


def requester_algorithm(key_type: KeyType) -> BaseAsym | PqcAsym:
    if key_type.base_asym:
        return BaseAsym(key_type.base_asym.value & -key_type.base_asym.value)
    return key_type.pqc_asym


def as_requester(offer: Offer, key_type: KeyType = KeyType.ECDSA_P384, extra: Capability = NONE) -> Offer:
    """The offer of a requester that has a certificate."""
    algorithm = requester_algorithm(key_type)
    kind = TABLE_REQ_BASE_ASYM if isinstance(algorithm, BaseAsym) else TABLE_REQ_PQC_ASYM
    tables = tuple(sorted((*offer.tables, StructTable(kind, algorithm.value)), key=lambda table: table.type))
    return replace(offer, tables=tables, requester_flags=offer.requester_flags | MUTUAL | extra)


@dataclass
class Talk:
    """A connected requester, its line and the device's key."""

    line: Line
    requester: Requester
    key: CertificatePublicKeyTypes | None = None

    @property
    def device(self) -> Device:
        return self.line.device

    def run(self, flow: Flow[T]) -> T:
        return self.line.run(flow)

    def plan(self, session_id: int = 0xFFFF, summary: SummaryHash = SummaryHash.ALL, policy: int = 0) -> SessionPlan:
        return SessionPlan(self.line.binding, 0, summary, session_id, policy)

    def open(self, identity: Identity | None = None, plan: SessionPlan | None = None) -> Established:
        assert self.key is not None
        return self.run(key_exchange(self.requester, plan or self.plan(), self.key, identity=identity))

    def open_psk(self, psk: PreSharedKey = PSK, plan: SessionPlan | None = None) -> Established:
        return self.run(psk_exchange(self.requester, plan or self.plan(), psk))

    def inside(self, session: Session, flow: Flow[T]) -> T:
        return self.run(session.protect(flow))


def session_device(
    sessions: SessionSettings | None = None,
    key_type: KeyType = KeyType.ECDSA_P384,
    clock: Clock | None = None,
    data_transfer_size: int = 0x1200,
    multi_key: MultiKey = MultiKey.NONE,
) -> Device:
    hardware = Hardware(
        {0: (credentials(key_type),)},
        DeviceSettings(
            sessions=sessions or SessionSettings(), data_transfer_size=data_transfer_size, multi_key=multi_key
        ),
        psks={PSK.hint: PSK.key},
    )
    if clock is not None:
        hardware.clock = clock
    return Device(hardware)


def converse(
    device: Device, offer: Offer | None = None, version: Version = Version.V12, binding: Binding = Binding.PCI_DOE
) -> Talk:
    """Connect, and read the chain that a key exchange needs."""
    offer = replace(offer or with_sessions(Offer()), versions=frozenset({version}))
    talk = Talk(Line(device, binding), Requester(offer, limits=LIMITS))
    talk.run(talk.requester.connect())
    talk.run(talk.requester.digests())
    chain = talk.run(talk.requester.certificate(0))
    talk.key = leaf_key(chain, talk.requester.connection.layout.hash_size)
    return talk
