"""One SPDM connection as its requester must see it: every exchange is checked here and nowhere else.

`Connection.observe` takes a request and its answer, finds the answer's true length, checks every rule of reference
§11.3 that applies before sessions, and keeps the transcripts. The live requester calls it after each exchange, and a
saved conversation is judged by calling it for each exchange again: evidence is worth the same today and in a year.

Signatures are not checked here. The connection hands out `Statement`s, octets with their signature, and
`cmakeys.verify` checks them under the leaf that the chain steps have accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cmakeys.errors import EvidenceProblem
from cmakeys.spdm.algorithms import (
    BASE_HASH_FUNCTIONS,
    MEASUREMENT_HASH_FUNCTIONS,
    SIGNATURE_SIZES,
    BaseAsym,
    BaseHash,
    HashFunction,
    MeasurementHash,
    OpaqueFormat,
    PqcAsym,
)
from cmakeys.spdm.codes import Capability, CertificateModel, ErrorCode, KeyUsage, RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.capabilities import Capabilities, GetCapabilities
from cmakeys.spdm.messages.certificates import (
    CHAIN_HEADER_LENGTH,
    CertificateResponse,
    Digests,
    GetCertificate,
    GetDigests,
)
from cmakeys.spdm.messages.challenge import Challenge, ChallengeAuth
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.messages.header import Layout, peek_header
from cmakeys.spdm.messages.measurements import GetMeasurements, MeasurementBlock, Measurements
from cmakeys.spdm.messages.negotiation import Algorithms, NegotiateAlgorithms
from cmakeys.spdm.messages.version import GetVersion, VersionResponse
from cmakeys.spdm.rules import MEAS, BadSelection, capabilities_fault, check_selection
from cmakeys.spdm.signing import Context, Statement
from cmakeys.spdm.states import State, after
from cmakeys.spdm.transcript import Transcript
from cmakeys.spdm.wire import Reader, WireError

MAX_CHAIN_SIZE = 0xFFFF
"""Bytes of a chain structure in the classic form."""

MAX_LARGE_CHAIN_SIZE = 0x100000
"""Bytes of a chain structure in the 1.4 large form that this program accepts; the format allows 4 GiB."""

SLOT_PROVISIONED_KEY = 0xFF
"""Slot number of a public key that was provisioned out of band."""

STEP_NEGOTIATION = 1
STEP_CHAIN = 2
STEP_POSSESSION = 11
STEP_MEASUREMENTS = 12

STEP_OF_REQUEST: dict[RequestCode, int] = {
    RequestCode.GET_VERSION: STEP_NEGOTIATION,
    RequestCode.GET_CAPABILITIES: STEP_NEGOTIATION,
    RequestCode.NEGOTIATE_ALGORITHMS: STEP_NEGOTIATION,
    RequestCode.GET_DIGESTS: STEP_CHAIN,
    RequestCode.GET_CERTIFICATE: STEP_CHAIN,
    RequestCode.CHALLENGE: STEP_POSSESSION,
    RequestCode.GET_MEASUREMENTS: STEP_MEASUREMENTS,
}
"""The verification step that a bad answer to each request belongs to."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer, both at their true length: reassembled, without transport framing or padding."""

    request: bytes
    response: bytes


class ProtocolViolation(EvidenceProblem):
    """An answer that SPDM does not allow. `step` is the verification step it belongs to."""

    code = "protocol"

    def __init__(self, message: str, *, step: int, object: str = "", hint: str = "") -> None:  # noqa: A002 (see base)
        super().__init__(message, object=object, hint=hint)
        self.step = step


@dataclass(frozen=True, slots=True)
class SignedMeasurements:
    """One signed MEASUREMENTS and all blocks of the series that its L1 covers."""

    statement: Statement
    blocks: tuple[MeasurementBlock, ...]
    content_changed: int


Response = (
    VersionResponse
    | Capabilities
    | Algorithms
    | Digests
    | CertificateResponse
    | ChallengeAuth
    | Measurements
    | ErrorResponse
    | None
)


@dataclass(slots=True)
class _PartialChain:
    data: bytearray = field(default_factory=bytearray)
    total: int = 0


class Connection:
    """The requester's view of one connection. Raises `ProtocolViolation` from `observe`; then it is finished."""

    def __init__(self, known_chains: Mapping[bytes, bytes] | None = None) -> None:
        """`known_chains` maps a slot digest to a chain structure that need not be read again."""
        self.state = State.NOT_STARTED
        self.exchanges: list[Exchange] = []
        self._known_chains = dict(known_chains or {})
        self._reset()

    def _reset(self) -> None:
        self.offered_versions: frozenset[Version] = frozenset()
        self.version: Version | None = None
        self.requester_flags = Capability(0)
        self.capabilities: Capabilities | None = None
        self.offer: NegotiateAlgorithms | None = None
        self.asym: BaseAsym | PqcAsym | None = None
        self.base_hash: BaseHash | None = None
        self.measurement_hash: MeasurementHash | None = None
        self.opaque_format = OpaqueFormat.NONE
        self.layout = Layout(Version.V10)
        self.transcript = Transcript()
        self.digests: Digests | None = None
        self.chains: dict[int, bytes] = {}
        self.models: dict[int, int] = {}
        self.challenge: Statement | None = None
        self.measurements: SignedMeasurements | None = None
        self.measurement_count: int | None = None
        self._partial: dict[int, _PartialChain] = {}
        self._series: list[MeasurementBlock] = []

    # -- what the rest of the program asks --------------------------------------------------------------------------

    @property
    def hash(self) -> HashFunction | None:
        """The negotiated base hash function."""
        return BASE_HASH_FUNCTIONS[self.base_hash] if self.base_hash else None

    def has(self, *flags: Capability) -> bool:
        """The responder announced at least one of these."""
        return self.capabilities is not None and any(self.capabilities.flags & flag for flag in flags)

    def chunking(self) -> bool:
        """Both sides may chunk."""
        return self.has(Capability.CHUNK) and bool(self.requester_flags & Capability.CHUNK)

    def large_chains(self) -> bool:
        """The 1.4 large form of GET_CERTIFICATE is in use."""
        return self.version == Version.V14 and self.has(Capability.LARGE_RESP)

    def cached_chain(self, slot: int) -> bytes | None:
        """A chain known from before whose digest the device reports for `slot`; adopting it skips the download."""
        digest = self.digests.digest_of(slot) if self.digests else None
        chain = self._known_chains.get(digest) if digest else None
        if chain is None or digest is None or self.hash is None or self.hash.digest(chain) != digest:
            return None
        self.chains[slot] = chain
        return chain

    # -- observing ----------------------------------------------------------------------------------------------------

    def observe(self, request: bytes, response: bytes) -> Response:
        """Judge one exchange; `response` may carry transport padding after its true end.

        Returns the decoded answer, an `ErrorResponse`, or None for a message this version of the program only
        records. Raises `ProtocolViolation`, and `IllegalRequest` when the request itself was out of order.
        """
        code = RequestCode(request[1])
        if code == RequestCode.GET_VERSION:
            self._reset()
        following = after(self.state, code)
        step = STEP_OF_REQUEST.get(code, STEP_NEGOTIATION)
        self.transcript.begin(code)
        if code != RequestCode.GET_MEASUREMENTS:
            self._series.clear()
        name = f"answer to {code.name}"
        reader = Reader(response, name)
        self.exchanges.append(Exchange(request, response))
        try:
            header = peek_header(response[:4], Reader(response[:4], name))
            if header.code == ResponseCode.ERROR:
                return self._observe_error(code, request, response)
            self._check_version_byte(code, header.version)
            observer = self._OBSERVERS.get(code)
            if observer is None:
                return None
            answer = observer(self, request, reader)
        except WireError as error:
            raise ProtocolViolation(error.message, step=step, object=name) from error
        self.exchanges[-1] = Exchange(request, response[: reader.offset])
        self.state = following
        return answer

    def _check_version_byte(self, code: RequestCode, version: Version) -> None:
        expected = Version.V10 if code == RequestCode.GET_VERSION else (self.version or version)
        if version != expected:
            raise self._violation(code, f"version byte {version} on a connection of version {expected}")

    def _violation(self, code: RequestCode, message: str, hint: str = "") -> ProtocolViolation:
        return ProtocolViolation(
            message, step=STEP_OF_REQUEST.get(code, STEP_NEGOTIATION), object=f"answer to {code.name}", hint=hint
        )

    def _observe_error(self, code: RequestCode, request: bytes, response: bytes) -> ErrorResponse:
        reader = Reader(response, f"ERROR answering {code.name}")
        error = ErrorResponse.pull(reader)
        expected = self.version or Version.V10
        # With nothing negotiated, or for a message of the wrong version, an ERROR carries 1.0 (reference §1.1).
        if error.version not in (expected, Version.V10, Version(request[0])):
            raise self._violation(code, f"ERROR with version {error.version} on a connection of version {expected}")
        self.exchanges[-1] = Exchange(request, response[: reader.offset])
        if code == RequestCode.GET_MEASUREMENTS:
            self.transcript.reset_l1()
            self._series.clear()
        if error.code in (ErrorCode.REQUEST_RESYNCH, ErrorCode.VERSION_MISMATCH):
            self.state = State.NOT_STARTED
        return error

    # -- connection set-up --------------------------------------------------------------------------------------------

    def _observe_version(self, request: bytes, reader: Reader) -> VersionResponse:
        GetVersion.pull(Reader(request, "GET_VERSION"))
        answer = VersionResponse.pull(reader)
        if not answer.entries:
            raise self._violation(RequestCode.GET_VERSION, "VERSION lists no version")
        self.offered_versions = answer.versions
        self.transcript.add_vca(request, reader.consumed())
        return answer

    def _observe_capabilities(self, request: bytes, reader: Reader) -> Capabilities:
        asked = GetCapabilities.pull(Reader(request, "GET_CAPABILITIES"))
        if asked.version not in self.offered_versions:
            raise self._violation(RequestCode.GET_CAPABILITIES, f"version {asked.version} was not offered in VERSION")
        answer = Capabilities.pull(reader)
        if answer.version != asked.version:
            raise self._violation(
                RequestCode.GET_CAPABILITIES, f"version byte {answer.version} where {asked.version} was asked"
            )
        fault = capabilities_fault(answer)
        if fault:
            raise self._violation(RequestCode.GET_CAPABILITIES, fault)
        self.version = self.transcript.version = asked.version
        self.requester_flags = asked.flags
        self.capabilities = answer
        self.transcript.add_vca(request, reader.consumed())
        return answer

    def _observe_algorithms(self, request: bytes, reader: Reader) -> Algorithms:
        offer = NegotiateAlgorithms.pull(Reader(request, "NEGOTIATE_ALGORITHMS"))
        answer = Algorithms.pull(reader)
        flags = self.capabilities.flags if self.capabilities else Capability(0)
        try:
            selection = check_selection(offer, answer, flags)
        except BadSelection as error:
            raise self._violation(RequestCode.NEGOTIATE_ALGORITHMS, str(error)) from error
        self.offer = offer
        self.asym, self.base_hash = selection.asym, selection.base_hash
        self.measurement_hash, self.opaque_format = selection.measurement_hash, selection.opaque_format
        self.layout = Layout(
            answer.version,
            BASE_HASH_FUNCTIONS[self.base_hash].size if self.base_hash else 0,
            SIGNATURE_SIZES[self.asym] if self.asym else 0,
            self._multi_key(offer, flags),
        )
        self.transcript.add_vca(request, reader.consumed())
        return answer

    def _multi_key(self, offer: NegotiateAlgorithms, flags: Capability) -> bool:
        asked = bool(offer.other_params & 0x10)
        if flags & Capability.MULTI_KEY_ONLY and not asked:
            raise self._violation(
                RequestCode.NEGOTIATE_ALGORITHMS, "the device only makes multi-key connections, and none was asked for"
            )
        return asked and bool(flags & (Capability.MULTI_KEY_ONLY | Capability.MULTI_KEY_NEGOTIABLE))

    # -- digests and certificates -------------------------------------------------------------------------------------

    def _observe_digests(self, request: bytes, reader: Reader) -> Digests:
        GetDigests.pull(Reader(request, "GET_DIGESTS"))
        answer = Digests.pull(reader, self.layout)
        code = RequestCode.GET_DIGESTS
        if not answer.provisioned:
            raise self._violation(
                code,
                "no slot holds a certificate chain",
                hint="provision the device with its vendor's tool; there is nothing to authenticate yet",
            )
        if answer.version >= Version.V13 and answer.provisioned & ~answer.supported:
            raise self._violation(
                code, f"slots {answer.provisioned:#04x} are provisioned, only {answer.supported:#04x} supported"
            )
        for slot in answer.slots:
            info = answer.info_of(slot)
            if info is not None:
                self._check_slot_info(slot, info.certificate_info & 7, info.key_usage, answer.digest_of(slot) or b"")
        self.digests = answer
        self.transcript.add_b(request, reader.consumed())
        return answer

    def _check_slot_info(self, slot: int, model: int, usage: int, digest: bytes) -> None:
        code = RequestCode.GET_DIGESTS
        if model > CertificateModel.GENERIC:
            raise self._violation(code, f"slot {slot} has the undefined certificate model {model}")
        if model == CertificateModel.NONE and any(digest):
            raise self._violation(code, f"slot {slot} has a digest but no certificate model")
        if slot == 0 and model == CertificateModel.GENERIC:
            raise self._violation(code, "slot 0 may not hold a generic certificate")
        if slot == 0 and not usage & 0x000F:
            raise self._violation(code, "the key of slot 0 may be used for nothing")

    def _observe_certificate(self, request: bytes, reader: Reader) -> CertificateResponse:
        asked = GetCertificate.pull(Reader(request, "GET_CERTIFICATE"))
        answer = CertificateResponse.pull(reader)
        code = RequestCode.GET_CERTIFICATE
        if answer.slot != asked.slot:
            raise self._violation(code, f"slot {answer.slot} answered where slot {asked.slot} was asked")
        if answer.large != asked.large:
            raise self._violation(code, "the large form is used on one side only")
        size_only = bool(asked.param2 & 1) or asked.length == 0
        if not size_only:
            self._take_portion(asked, answer)
        self.transcript.add_b(request, reader.consumed())
        return answer

    def _take_portion(self, asked: GetCertificate, answer: CertificateResponse) -> None:
        code = RequestCode.GET_CERTIFICATE
        portion = len(answer.portion)
        if portion == 0:
            raise self._violation(code, f"an empty portion of slot {asked.slot} at offset {asked.offset}")
        if portion > asked.length:
            raise self._violation(code, f"a portion of {portion} bytes where {asked.length} were asked")
        total = asked.offset + portion + answer.remainder
        limit = MAX_LARGE_CHAIN_SIZE if asked.large else MAX_CHAIN_SIZE
        if total > limit:
            raise self._violation(code, f"the chain of slot {asked.slot} is {total} bytes, more than {limit}")
        if not self.layout.multi_key and answer.model:
            raise self._violation(code, f"certificate model {answer.model} outside a multi-key connection")
        if asked.offset == 0:
            self._partial[asked.slot] = _PartialChain(total=total)
            self.models[asked.slot] = answer.model & 7
        partial = self._partial.get(asked.slot)
        if partial is None or asked.offset != len(partial.data):
            return  # a portion out of order, read on purpose: part of the transcript, not of a chain
        if total != partial.total:
            raise self._violation(
                code, f"slot {asked.slot} was {partial.total} bytes long and is now {total} at offset {asked.offset}"
            )
        if answer.model & 7 != self.models[asked.slot]:
            raise self._violation(code, f"the certificate model of slot {asked.slot} changes between portions")
        partial.data += answer.portion
        if len(partial.data) == partial.total:
            self._complete_chain(asked.slot, bytes(self._partial.pop(asked.slot).data))

    def _complete_chain(self, slot: int, chain: bytes) -> None:
        code = RequestCode.GET_CERTIFICATE
        if len(chain) <= CHAIN_HEADER_LENGTH + self.layout.hash_size:
            raise self._violation(
                code, f"the chain of slot {slot} is {len(chain)} bytes: there is no certificate in it"
            )
        length = int.from_bytes(chain[:2] if len(chain) <= MAX_CHAIN_SIZE else chain[:4], "little")
        if length != len(chain):
            raise self._violation(code, f"the chain of slot {slot} says {length} bytes and has {len(chain)}")
        digest = self.digests.digest_of(slot) if self.digests else None
        if digest is not None and self.hash is not None and self.hash.digest(chain) != digest:
            raise self._violation(code, f"the chain of slot {slot} does not have the digest that DIGESTS gave for it")
        self.chains[slot] = chain

    # -- challenge ----------------------------------------------------------------------------------------------------

    def _observe_challenge_auth(self, request: bytes, reader: Reader) -> ChallengeAuth:
        asked = Challenge.pull(Reader(request, "CHALLENGE"))
        has_summary = self.has(MEAS) and asked.summary_hash != 0
        answer = ChallengeAuth.pull(reader, self.layout, has_summary=has_summary)
        code = RequestCode.CHALLENGE
        if answer.version == Version.V10 or asked.slot == SLOT_PROVISIONED_KEY:
            answered, expected = answer.param1 & (0xFF if answer.version == Version.V10 else 0x0F), asked.slot & 0x0F
        else:
            answered, expected = answer.param1 & 0x0F, asked.slot
        if answered != expected:
            raise self._violation(code, f"slot {answered} answered where slot {expected} was challenged")
        if asked.slot != SLOT_PROVISIONED_KEY and not answer.slot_mask >> asked.slot & 1:
            raise self._violation(code, f"the mask {answer.slot_mask:#04x} lacks the challenged slot {asked.slot}")
        if answer.param1 & 0x80 and not (self.requester_flags & Capability.MUT_AUTH and self.has(Capability.MUT_AUTH)):
            raise self._violation(code, "mutual authentication is requested though it was not negotiated")
        chain = self.chains.get(asked.slot)
        if chain is not None and self.hash is not None and self.hash.digest(chain) != answer.chain_hash:
            raise self._violation(code, f"CertChainHash is not the hash of the chain read from slot {asked.slot}")
        info = self.digests.info_of(asked.slot) if self.digests else None
        if info is not None and not info.key_usage & KeyUsage.CHALLENGE:
            raise self._violation(code, f"the key of slot {asked.slot} may not be used for CHALLENGE")
        self._check_opaque(code, answer.opaque)
        if answer.context != asked.context:
            raise self._violation(code, "RequesterContext is not the one that was sent")
        message = reader.consumed()
        unsigned = message[: len(message) - len(answer.signature)]
        self.challenge = self._statement(
            Context.CHALLENGE_AUTH,
            asked.slot,
            self.transcript.m1(request, unsigned),
            answer.signature,
            (asked.nonce, answer.nonce),
        )
        self._check_nonces(code)
        self.transcript.challenged()
        return answer

    def _statement(
        self, context: Context, slot: int, transcript: bytes, signature: bytes, nonces: tuple[bytes, bytes]
    ) -> Statement:
        code = RequestCode.CHALLENGE if context == Context.CHALLENGE_AUTH else RequestCode.GET_MEASUREMENTS
        if self.asym is None or self.base_hash is None or self.version is None:
            raise self._violation(code, "a signature without a negotiated algorithm")
        return Statement(
            context, self.version, self.asym, self.base_hash, slot, transcript, signature, nonces[0], nonces[1]
        )

    def _check_opaque(self, code: RequestCode, opaque: bytes) -> None:
        if opaque and self.layout.version >= Version.V12 and self.opaque_format == OpaqueFormat.NONE:
            raise self._violation(code, f"{len(opaque)} bytes of opaque data though no opaque format was negotiated")

    def _check_nonces(self, code: RequestCode) -> None:
        statements = [self.challenge] if self.challenge else []
        statements += [self.measurements.statement] if self.measurements else []
        nonces = [statement.responder_nonce for statement in statements]
        if len(set(nonces)) != len(nonces):
            raise self._violation(code, "the device signed twice with the same nonce of its own")

    # -- measurements -------------------------------------------------------------------------------------------------

    def _observe_measurements(self, request: bytes, reader: Reader) -> Measurements:
        asked = GetMeasurements.pull(Reader(request, "GET_MEASUREMENTS"))
        answer = Measurements.pull(reader, self.layout, signed=asked.signed)
        code = RequestCode.GET_MEASUREMENTS
        blocks = answer.blocks()
        self._check_operation(asked, answer, blocks)
        for block in blocks:
            self._check_block(block)
        if asked.signed and answer.version > Version.V10 and answer.slot != asked.slot:
            raise self._violation(code, f"slot {answer.slot} signed where slot {asked.slot} was asked")
        if answer.context != asked.context:
            raise self._violation(code, "RequesterContext is not the one that was sent")
        self._check_opaque(code, answer.opaque)
        self._series += blocks
        message = reader.consumed()
        self.transcript.add_l1(request, message[: len(message) - len(answer.signature)])
        if asked.signed:
            statement = self._statement(
                Context.MEASUREMENTS, asked.slot, self.transcript.l1(), answer.signature, (asked.nonce, answer.nonce)
            )
            changed = answer.content_changed if answer.version >= Version.V12 else 0
            self.measurements = SignedMeasurements(statement, tuple(self._series), changed)
            self._check_nonces(code)
            self.transcript.reset_l1()
            self._series.clear()
        return answer

    def _check_operation(
        self, asked: GetMeasurements, answer: Measurements, blocks: tuple[MeasurementBlock, ...]
    ) -> None:
        code = RequestCode.GET_MEASUREMENTS
        if asked.operation == 0:
            if blocks or answer.record:
                raise self._violation(code, "blocks in the answer to a question for their number")
            if answer.param1 in (0, 0xFF):
                raise self._violation(code, f"{answer.param1} is no number of measurement indices")
            self.measurement_count = answer.param1
        elif asked.operation == 0xFF:
            if not blocks:
                raise self._violation(code, "no block in the answer to a request for all measurements")
            indices = [block.index for block in blocks]
            if len(set(indices)) != len(indices):
                raise self._violation(code, "two blocks have the same index")
        elif [block.index for block in blocks] != [asked.operation]:
            got = ", ".join(str(block.index) for block in blocks) or "none"
            raise self._violation(code, f"block {asked.operation} was asked, the answer holds {got}")

    def _check_block(self, block: MeasurementBlock) -> None:
        code = RequestCode.GET_MEASUREMENTS
        if block.index in (0, 0xFF):
            raise self._violation(code, f"a block with the reserved index {block.index}")
        if block.specification != 1:
            raise self._violation(
                code, f"block {block.index} has the measurement specification {block.specification:#x}, not DMTF"
            )
        function = MEASUREMENT_HASH_FUNCTIONS.get(self.measurement_hash) if self.measurement_hash else None
        if not block.raw and function is not None and len(block.value) != function.size:
            raise self._violation(
                code,
                f"block {block.index} has a digest of {len(block.value)} bytes, {function.name} has {function.size}",
            )

    _OBSERVERS: Mapping[RequestCode, Callable[[Connection, bytes, Reader], Response]] = {
        RequestCode.GET_VERSION: _observe_version,
        RequestCode.GET_CAPABILITIES: _observe_capabilities,
        RequestCode.NEGOTIATE_ALGORITHMS: _observe_algorithms,
        RequestCode.GET_DIGESTS: _observe_digests,
        RequestCode.GET_CERTIFICATE: _observe_certificate,
        RequestCode.CHALLENGE: _observe_challenge_auth,
        RequestCode.GET_MEASUREMENTS: _observe_measurements,
    }
