"""A small requester for the tests: it speaks the codecs, keeps the transcripts in its own simple way and trusts all.

It is written apart from `cmakeys.spdm.transcript` on purpose, so that a mistake in either shows as a bad signature.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cmakeys.emulator.device import Device
from cmakeys.spdm.algorithms import (
    BASE_HASH_FUNCTIONS,
    MULTI_KEY_CONN,
    SIGNATURE_SIZES,
    SUPPORTED_BASE_ASYM,
    SUPPORTED_BASE_HASH,
    SUPPORTED_PQC_ASYM,
    BaseAsym,
    BaseHash,
    PqcAsym,
)
from cmakeys.spdm.chunks import ChunkAssembler, split
from cmakeys.spdm.codes import Capability, ErrorCode, MeasurementOperation, ResponseCode, Version
from cmakeys.spdm.messages.capabilities import Capabilities, GetCapabilities
from cmakeys.spdm.messages.certificates import CertificateResponse, Digests, GetCertificate, GetDigests
from cmakeys.spdm.messages.challenge import Challenge, ChallengeAuth
from cmakeys.spdm.messages.chunking import ChunkGet, ChunkResponse, ChunkSendAck
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.messages.header import Layout
from cmakeys.spdm.messages.measurements import GetMeasurements, Measurements
from cmakeys.spdm.messages.negotiation import Algorithms, NegotiateAlgorithms
from cmakeys.spdm.messages.version import GetVersion
from cmakeys.spdm.signing import Context, Statement, verify_statement
from cmakeys.spdm.wire import Reader
from cmakeys.x509.bundle import SpdmChain
from cmakeys.x509.certificate import Certificate

NONCE = bytes(range(32))
CONTEXT = b"context!"


class Answered(Exception):
    """The device answered with an ERROR."""

    def __init__(self, error: ErrorResponse) -> None:
        super().__init__(error.name)
        self.error = error


@dataclass
class Driver:
    """Drives one device. `transfer_size` is this side's DataTransferSize."""

    device: Device
    version: Version = Version.V12
    chunking: bool = True
    transfer_size: int = 0x10000
    max_size: int = 0x100000
    base_asym: BaseAsym = SUPPORTED_BASE_ASYM
    base_hash: BaseHash = SUPPORTED_BASE_HASH
    pqc_asym: PqcAsym = SUPPORTED_PQC_ASYM
    multi_key: bool = False
    vca: list[bytes] = field(default_factory=list)
    b: list[bytes] = field(default_factory=list)
    l1: list[bytes] = field(default_factory=list)
    chunk_messages: int = 0
    peer: Capabilities | None = None
    algorithms: Algorithms | None = None

    # -- octets ----------------------------------------------------------------------------------------------

    def send(self, request: bytes) -> bytes:
        """One logical exchange, through chunks where it must be; ERRORs raise `Answered`."""
        if self.peer and self.chunking and len(request) > self.peer.data_transfer_size > 0:
            response = self._send_chunks(request)
        else:
            response = self.raw(request)
        if response[1] == ResponseCode.ERROR:
            error = ErrorResponse.pull(Reader(response, "ERROR"))
            if error.code != ErrorCode.LARGE_RESPONSE:
                raise Answered(error)
            return self._get_chunks(error.extended[0])
        return response

    def raw(self, request: bytes) -> bytes:
        response = self.device.respond(request)
        assert response is not None, "no answer"
        if self.peer and self.version >= Version.V12:
            assert len(response) <= self.transfer_size
        return response

    def _send_chunks(self, request: bytes) -> bytes:
        assert self.peer
        response = b""
        for piece in split(request, self.version, 7, self.peer.data_transfer_size):
            self.chunk_messages += 1
            octets = self.raw(piece.push())
            if octets[1] == ResponseCode.ERROR:
                return octets
            ack = ChunkSendAck.pull(Reader(octets, "ack"))
            assert (ack.handle, ack.sequence) == (7, piece.sequence)
            response = ack.response
        return response

    def _get_chunks(self, handle: int) -> bytes:
        assembler = ChunkAssembler(self.version, handle, self.max_size)
        while True:
            self.chunk_messages += 1
            octets = self.raw(ChunkGet(self.version, handle, assembler.sequence).push())
            if octets[1] == ResponseCode.ERROR:
                raise Answered(ErrorResponse.pull(Reader(octets, "ERROR")))
            whole = assembler.add(ChunkResponse.pull(Reader(octets, "chunk")))
            if whole is not None:
                return whole

    # -- set-up ----------------------------------------------------------------------------------------------

    def connect(self) -> Driver:
        """GET_VERSION to ALGORITHMS."""
        self.vca, self.b, self.l1 = [], [], []
        self.peer = None
        flags = Capability.CHUNK if self.chunking and self.version >= Version.V12 else Capability(0)
        if self.multi_key:
            flags |= Capability(0)
        maximum = self.max_size if self.chunking else self.transfer_size
        ask = GetCapabilities(self.version, flags, 20, self.transfer_size, maximum)
        if self.version < Version.V12:
            ask = GetCapabilities(self.version, flags, 20 if self.version > Version.V10 else 0)
        self.exchange_vca(GetVersion().push())
        capabilities = self.exchange_vca(ask.push())
        self.peer = Capabilities.pull(Reader(capabilities, "CAPABILITIES"))
        other = (2 | (MULTI_KEY_CONN if self.multi_key else 0)) if self.version >= Version.V12 else 0
        offer = NegotiateAlgorithms(
            self.version,
            self.base_asym if self.version >= Version.V12 else self.base_asym & BaseAsym(0x1FF),
            self.base_hash,
            1,
            other,
            self.pqc_asym if self.version >= Version.V14 else PqcAsym(0),
        )
        self.algorithms = Algorithms.pull(Reader(self.exchange_vca(offer.push()), "ALGORITHMS"))
        return self

    def exchange_vca(self, request: bytes) -> bytes:
        response = self.send(request)
        self.vca += [request, response]
        return response

    @property
    def asym(self) -> BaseAsym | PqcAsym:
        assert self.algorithms
        return BaseAsym(self.algorithms.base_asym) if self.algorithms.base_asym else PqcAsym(self.algorithms.pqc_asym)

    @property
    def hash_size(self) -> int:
        assert self.algorithms
        return BASE_HASH_FUNCTIONS[BaseHash(self.algorithms.base_hash)].size

    @property
    def layout(self) -> Layout:
        return Layout(self.version, self.hash_size, SIGNATURE_SIZES[self.asym], self.multi_key)

    # -- attestation -----------------------------------------------------------------------------------------

    def digests(self) -> Digests:
        request = GetDigests(self.version).push()
        response = self.send(request)
        self.b, self.l1 = [request, response], []
        return Digests.pull(Reader(response, "DIGESTS"), self.layout)

    def portion(self, slot: int, offset: int, length: int, *, large: bool = False) -> CertificateResponse:
        request = GetCertificate(self.version, slot, offset, length, large).push()
        response = self.send(request)
        self.b += [request, response]
        self.l1 = []
        return CertificateResponse.pull(Reader(response, "CERTIFICATE"))

    def chain(self, slot: int = 0, length: int = 1024, *, large: bool = False) -> bytes:
        data = b""
        while True:
            portion = self.portion(slot, len(data), length, large=large)
            data += portion.portion
            assert portion.portion
            if not portion.remainder:
                return data

    def leaf(self, slot: int = 0) -> Certificate:
        return SpdmChain.parse(self.chain(slot), self.hash_size, "slot").certificates[-1]

    def challenge(self, slot: int = 0, summary: int = 0) -> tuple[ChallengeAuth, Statement]:
        request = Challenge(self.version, slot, NONCE, summary, self.context).push()
        response = self.send(request)
        answer = ChallengeAuth.pull(Reader(response, "CHALLENGE_AUTH"), self.layout, has_summary=summary != 0)
        transcript = b"".join((*self.vca, *self.b, request, answer.push_unsigned()))
        self.b, self.l1 = [], []
        return answer, self.statement(Context.CHALLENGE_AUTH, slot, transcript, answer.signature, answer.nonce)

    def measurements(
        self, operation: int = MeasurementOperation.ALL, attributes: int = 1, slot: int = 0
    ) -> tuple[Measurements, Statement | None]:
        signed = bool(attributes & 1)
        request = GetMeasurements(
            self.version, attributes, operation, NONCE if signed else b"", slot, self.context
        ).push()
        self.b = []
        try:
            response = self.send(request)
        except Answered:
            self.l1 = []
            raise
        answer = Measurements.pull(Reader(response, "MEASUREMENTS"), self.layout, signed=signed)
        self.l1 += [request, answer.push_unsigned()]
        if not signed:
            return answer, None
        vca = self.vca if self.version >= Version.V12 else []
        transcript = b"".join((*vca, *self.l1))
        self.l1 = []
        return answer, self.statement(Context.MEASUREMENTS, slot, transcript, answer.signature, answer.nonce)

    def statement(self, context: Context, slot: int, transcript: bytes, signature: bytes, nonce: bytes) -> Statement:
        assert self.algorithms
        base_hash = BaseHash(self.algorithms.base_hash)
        return Statement(context, self.version, self.asym, base_hash, slot, transcript, signature, NONCE, nonce)

    @property
    def context(self) -> bytes:
        return CONTEXT if self.version >= Version.V13 else b""

    def attest(self, slot: int = 0) -> None:
        """Everything, with every signature checked under the leaf that the device gave."""
        self.connect()
        self.digests()
        leaf = self.leaf(slot)
        _, statement = self.challenge(slot, 0xFF)
        verify_statement(statement, leaf.public_key)
        _, signed = self.measurements(slot=slot)
        assert signed is not None
        verify_statement(signed, leaf.public_key)


def error_of(octets: bytes | None) -> tuple[int, int, int]:
    """Version, code and data of an ERROR."""
    assert octets is not None
    assert octets[1] == ResponseCode.ERROR
    return octets[0], octets[2], octets[3]
