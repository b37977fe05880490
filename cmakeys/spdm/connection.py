"""One SPDM connection as its requester must see it: every exchange is checked here and nowhere else.

`Connection.observe` takes a request and its answer, finds the answer's true length, checks every rule of reference
§11.3 that applies before sessions, and keeps the transcripts. The live requester calls it after each exchange, and a
saved conversation is judged by calling it for each exchange again: evidence is worth the same today and in a year.

Signatures are not checked here. The connection hands out `Statement`s, octets with their signature, and
`cmakeys.verify` checks them under the leaf that the chain steps have accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass

from cmakeys.spdm import inventory
from cmakeys.spdm.algorithms import (
    BASE_HASH_FUNCTIONS,
    SIGNATURE_SIZES,
    BaseAsym,
    BaseHash,
    HashFunction,
    MeasurementHash,
    OpaqueFormat,
    PqcAsym,
)
from cmakeys.spdm.challenging import SLOT_PROVISIONED_KEY, check_answer
from cmakeys.spdm.codes import Capability, ErrorCode, RequestCode, ResponseCode, Version
from cmakeys.spdm.inventory import FurtherAnswer, Inventory
from cmakeys.spdm.measuring import SignedMeasurements, check_block, check_operation
from cmakeys.spdm.messages.capabilities import Capabilities, GetCapabilities
from cmakeys.spdm.messages.certificates import (
    CertificateResponse,
    Digests,
    GetCertificate,
)
from cmakeys.spdm.messages.challenge import Challenge, ChallengeAuth
from cmakeys.spdm.messages.endpoint_info import EndpointInfo, GetEndpointInfo
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.messages.header import Layout, peek_version
from cmakeys.spdm.messages.measurements import GetMeasurements, MeasurementBlock, Measurements
from cmakeys.spdm.messages.negotiation import Algorithms, NegotiateAlgorithms
from cmakeys.spdm.messages.version import VersionResponse
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.spdm.repeated import pull_again
from cmakeys.spdm.requests import REQUEST_CODECS
from cmakeys.spdm.rules import MEAS, BadSelection, capabilities_fault, check_selection
from cmakeys.spdm.signing import Context, Statement
from cmakeys.spdm.slots import Slots
from cmakeys.spdm.states import IllegalRequest, State, after
from cmakeys.spdm.transcript import Transcript
from cmakeys.spdm.violation import STEP_NEGOTIATION, STEP_OF_REQUEST, ProtocolViolation, violation
from cmakeys.spdm.wire import Reader, WireError

REQUESTS = {code.value: code for code in RequestCode}
REQUEST_NAMES = {code: code.name for code in RequestCode}
"""Looked up for every message; asking the enumeration takes ten times as long."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer, both at their true length: reassembled, without transport framing or padding.

    `session` is the SessionID of the session whose records they came in, None in the clear.
    """

    request: bytes
    response: bytes
    session: int | None = None


Response = (
    VersionResponse
    | Capabilities
    | Algorithms
    | Digests
    | CertificateResponse
    | ChallengeAuth
    | Measurements
    | FurtherAnswer
    | ErrorResponse
    | None
)


_SIGNED_BY = {
    Context.CHALLENGE_AUTH: RequestCode.CHALLENGE,
    Context.MEASUREMENTS: RequestCode.GET_MEASUREMENTS,
    Context.ENDPOINT_INFO: RequestCode.GET_ENDPOINT_INFO,
}


def _check_pair(code: RequestCode, answer: int) -> None:
    """A message that is only recorded must at least be the answer to its request, whose code it has without bit 7."""
    if answer != code & 0x7F:
        raise violation(code, f"answered with code {answer:#04x}, not {code & 0x7F:#04x}")


class Connection:
    """The requester's view of one connection. Raises `ProtocolViolation` from `observe`; then it is finished."""

    def __init__(self, known_chains: Mapping[bytes, bytes] | None = None) -> None:
        """`known_chains` maps a slot digest to a chain structure that need not be read again."""
        self.state = State.NOT_STARTED
        self.exchanges: list[Exchange] = []
        self._known_chains = dict(known_chains or {})
        self.provisioned: ProvisionedKey | None = None
        self._reset()

    def _reset(self) -> None:
        self.offered_versions: frozenset[Version] = frozenset()
        self.version: Version | None = None
        self.requester_flags = Capability(0)
        self.capabilities: Capabilities | None = None
        self.offer: NegotiateAlgorithms | None = None
        self.algorithms: Algorithms | None = None
        self.asym: BaseAsym | PqcAsym | None = None
        self.base_hash: BaseHash | None = None
        self.measurement_hash: MeasurementHash | None = None
        self.opaque_format = OpaqueFormat.NONE
        self.layout = Layout(Version.V10)
        self.transcript = Transcript()
        self.slots = Slots(self._known_chains)
        self.inventory = Inventory()
        self.challenge: Statement | None = None
        self.endpoint_info: Statement | None = None
        self.measurements: SignedMeasurements | None = None
        self.measurement_count: int | None = None
        self._series: list[MeasurementBlock] = []

    # -- what the rest of the program asks --------------------------------------------------------------------------

    @property
    def hash(self) -> HashFunction | None:
        """The negotiated base hash function."""
        return BASE_HASH_FUNCTIONS[self.base_hash] if self.base_hash else None

    def has(self, *flags: Capability) -> bool:
        """The responder announced at least one of these."""
        if self.capabilities is None:
            return False
        announced = int(self.capabilities.flags)  # flags combine slowly, and this is asked often
        return any(announced & int(flag) for flag in flags)

    def chunking(self) -> bool:
        """Both sides may chunk."""
        return self.has(Capability.CHUNK) and bool(self.requester_flags & Capability.CHUNK)

    def identity_hash(self, slot: int) -> bytes | None:
        """The hash of the chain that was read from a slot, or of the public key that was provisioned in its place."""
        if slot == SLOT_PROVISIONED_KEY:
            identity = self.provisioned.info if self.provisioned is not None else None
        else:
            identity = self.chains.get(slot)
        return self.hash.digest(identity) if identity is not None and self.hash is not None else None

    def large_chains(self) -> bool:
        """The 1.4 large form of GET_CERTIFICATE is in use."""
        return self.version == Version.V14 and self.has(Capability.LARGE_RESP)

    def again(self, known_chains: Mapping[bytes, bytes]) -> Connection:
        """Another connection that has come as far as this one, of which no more than the set-up is done."""
        other = copy(self)
        other._known_chains = dict(known_chains)
        other.exchanges, other.transcript = list(self.exchanges), self.transcript.again()
        other.slots, other.inventory, other._series = Slots(other._known_chains), Inventory(), []
        other.slots.hash = self.slots.hash
        return other

    def in_session(self) -> Connection:
        """This connection as a new session on it sees it: what was settled and read, and exchanges of its own."""
        view = copy(self)
        view.state = State.HANDSHAKE
        view.exchanges = []
        view.transcript = self.transcript.of_session()
        view.inventory = Inventory()
        view.challenge = view.measurements = view.endpoint_info = None
        view._series = []
        return view

    @property
    def digests(self) -> Digests | None:
        """The last DIGESTS."""
        return self.slots.digests

    @property
    def chains(self) -> dict[int, bytes]:
        """The chain structures read so far, by slot."""
        return self.slots.chains

    # -- observing ----------------------------------------------------------------------------------------------------

    def observe(self, request: bytes, response: bytes) -> Response:
        """Judge one exchange; `response` may carry transport padding after its true end.

        Returns the decoded answer, an `ErrorResponse`, or None for a message this version of the program only
        records. Raises `ProtocolViolation`.
        """
        code, request, following = self._admit(request)
        self.transcript.begin(code)
        if code != RequestCode.GET_MEASUREMENTS:
            self._series.clear()
        name = f"answer to {REQUEST_NAMES[code]}"
        reader = Reader(response, name)
        self.exchanges.append(Exchange(request, response))
        try:
            version = peek_version(response, reader)
            if response[1] == ResponseCode.ERROR:
                return self._observe_error(code, request, response)
            self._check_version_byte(code, version)
            observer = self._OBSERVERS.get(code)
            if observer is None:
                _check_pair(code, response[1])
                self.state = following
                return None
            answer = observer(self, request, reader)
        except WireError as error:
            step = STEP_OF_REQUEST.get(code, STEP_NEGOTIATION)
            raise ProtocolViolation(error.message, step=step, object=name) from error
        if reader.remaining:
            self.exchanges[-1] = Exchange(request, reader.consumed())
        self.state = following
        return answer

    def _admit(self, request: bytes) -> tuple[RequestCode, bytes, State]:
        """The request's code, its bytes at true length, and the state its answer leads to.

        The live requester never sends what is refused here (`states.after` stops it before); a recording may hold
        anything. A recorded request may also carry its transport's padding, which was never hashed.
        """
        try:
            code = REQUESTS[request[1]]
            reader = Reader(request, REQUEST_NAMES[code])
            version = peek_version(request, reader)
            if code in REQUEST_CODECS:
                pull_again(REQUEST_CODECS[code], reader)
                request = reader.consumed()
            if code == RequestCode.GET_VERSION:
                if self.exchanges:
                    self._reset()
            elif self.version is not None and version != self.version:
                raise reader.fail(f"version byte {version} on a connection of version {self.version}")
            return code, request, after(self.state, code)
        except (WireError, IllegalRequest, LookupError) as error:
            raise ProtocolViolation(
                f"the conversation holds a request that a requester may not send: {error}",
                step=STEP_NEGOTIATION,
                object=f"exchange {len(self.exchanges)}",
                hint="the file was changed, or recorded from a requester that breaks the protocol",
            ) from error

    def _check_version_byte(self, code: RequestCode, version: Version) -> None:
        expected = Version.V10 if code == RequestCode.GET_VERSION else (self.version or version)
        if version != expected:
            raise violation(code, f"version byte {version} on a connection of version {expected}")

    def _observe_error(self, code: RequestCode, request: bytes, response: bytes) -> ErrorResponse:
        reader = Reader(response, f"ERROR answering {code.name}")
        error = ErrorResponse.pull(reader)
        expected = self.version or Version.V10
        # With nothing negotiated, or for a message of the wrong version, an ERROR carries 1.0 (reference §1.1).
        if error.version not in (expected, Version.V10, Version(request[0])):
            raise violation(code, f"ERROR with version {error.version} on a connection of version {expected}")
        self.exchanges[-1] = Exchange(request, response[: reader.offset])
        if code == RequestCode.GET_MEASUREMENTS:
            self.transcript.reset_l1()
            self._series.clear()
        if error.code in (ErrorCode.REQUEST_RESYNCH, ErrorCode.VERSION_MISMATCH):
            self.state = State.NOT_STARTED
        return error

    # -- connection set-up --------------------------------------------------------------------------------------------

    def _observe_version(self, request: bytes, reader: Reader) -> VersionResponse:
        answer = pull_again(VersionResponse.pull, reader)
        if not answer.entries:
            raise violation(RequestCode.GET_VERSION, "VERSION lists no version")
        self.offered_versions = answer.versions
        self.transcript.add_vca(request, reader.consumed())
        return answer

    def _observe_capabilities(self, request: bytes, reader: Reader) -> Capabilities:
        asked = pull_again(GetCapabilities.pull, Reader(request, "GET_CAPABILITIES"))
        if asked.version not in self.offered_versions:
            raise violation(RequestCode.GET_CAPABILITIES, f"version {asked.version} was not offered in VERSION")
        answer = pull_again(Capabilities.pull, reader)
        if answer.version != asked.version:
            raise violation(
                RequestCode.GET_CAPABILITIES, f"version byte {answer.version} where {asked.version} was asked"
            )
        fault = capabilities_fault(answer)
        if fault:
            raise violation(RequestCode.GET_CAPABILITIES, fault)
        self.version = self.transcript.version = asked.version
        self.requester_flags = asked.flags
        self.capabilities = answer
        self.transcript.add_vca(request, reader.consumed())
        return answer

    def _observe_algorithms(self, request: bytes, reader: Reader) -> Algorithms:
        offer = pull_again(NegotiateAlgorithms.pull, Reader(request, "NEGOTIATE_ALGORITHMS"))
        answer = pull_again(Algorithms.pull, reader)
        flags = self.capabilities.flags if self.capabilities else Capability(0)
        try:
            selection = check_selection(offer, answer, flags)
        except BadSelection as error:
            raise violation(RequestCode.NEGOTIATE_ALGORITHMS, str(error)) from error
        self.offer, self.algorithms = offer, answer
        self.asym, self.base_hash = selection.asym, selection.base_hash
        self.measurement_hash, self.opaque_format = selection.measurement_hash, selection.opaque_format
        self.slots.hash = self.hash
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
            raise violation(
                RequestCode.NEGOTIATE_ALGORITHMS, "the device only makes multi-key connections, and none was asked for"
            )
        return asked and bool(flags & (Capability.MULTI_KEY_ONLY | Capability.MULTI_KEY_NEGOTIABLE))

    # -- digests and certificates -------------------------------------------------------------------------------------

    def _observe_digests(self, request: bytes, reader: Reader) -> Digests:
        answer = Digests.pull(reader, self.layout)
        self.slots.take_digests(answer)
        self.transcript.add_b(request, reader.consumed())
        return answer

    def _observe_certificate(self, request: bytes, reader: Reader) -> CertificateResponse:
        asked = pull_again(GetCertificate.pull, Reader(request, "GET_CERTIFICATE"))
        answer = CertificateResponse.pull(reader)
        self.slots.take_portion(asked, answer, multi_key=self.layout.multi_key)
        self.transcript.add_b(request, reader.consumed())
        return answer

    # -- challenge ----------------------------------------------------------------------------------------------------

    def _observe_challenge_auth(self, request: bytes, reader: Reader) -> ChallengeAuth:
        asked = pull_again(Challenge.pull, Reader(request, "CHALLENGE"))
        has_summary = self.has(MEAS) and asked.summary_hash != 0
        answer = ChallengeAuth.pull(reader, self.layout, has_summary=has_summary)
        check_answer(
            asked,
            answer,
            mutual=bool(self.requester_flags & Capability.MUT_AUTH) and self.has(Capability.MUT_AUTH),
            chain_hash=self.identity_hash(asked.slot),
            info=self.digests.info_of(asked.slot) if self.digests else None,
        )
        self._check_opaque(RequestCode.CHALLENGE, answer.opaque)
        message = reader.consumed()
        unsigned = message[: len(message) - len(answer.signature)]
        self.challenge = self._statement(
            Context.CHALLENGE_AUTH,
            asked.slot,
            self.transcript.m1(request, unsigned),
            answer.signature,
            (asked.nonce, answer.nonce),
        )
        self._check_nonces(RequestCode.CHALLENGE)
        self.transcript.challenged()
        return answer

    def _statement(
        self, context: Context, slot: int, transcript: bytes, signature: bytes, nonces: tuple[bytes, bytes]
    ) -> Statement:
        code = _SIGNED_BY[context]
        if self.asym is None or self.base_hash is None or self.version is None:
            raise violation(code, "a signature without a negotiated algorithm")
        return Statement(
            context, self.version, self.asym, self.base_hash, slot, transcript, signature, nonces[0], nonces[1]
        )

    def _check_opaque(self, code: RequestCode, opaque: bytes) -> None:
        if opaque and self.layout.version >= Version.V12 and self.opaque_format == OpaqueFormat.NONE:
            raise violation(code, f"{len(opaque)} bytes of opaque data though no opaque format was negotiated")

    def _check_nonces(self, code: RequestCode) -> None:
        statements = [self.challenge] if self.challenge else []
        statements += [self.measurements.statement] if self.measurements else []
        statements += [self.endpoint_info] if self.endpoint_info else []
        nonces = [statement.responder_nonce for statement in statements]
        if len(set(nonces)) != len(nonces):
            raise violation(code, "the device signed twice with the same nonce of its own")

    # -- measurements -------------------------------------------------------------------------------------------------

    def _observe_measurements(self, request: bytes, reader: Reader) -> Measurements:
        asked = pull_again(GetMeasurements.pull, Reader(request, "GET_MEASUREMENTS"))
        answer = Measurements.pull(reader, self.layout, signed=asked.signed)
        code = RequestCode.GET_MEASUREMENTS
        blocks = answer.blocks()
        self.measurement_count = check_operation(asked, answer, blocks) or self.measurement_count
        for block in blocks:
            check_block(block, self.measurement_hash)
        if asked.signed and answer.version > Version.V10 and answer.slot != asked.slot:
            raise violation(code, f"slot {answer.slot} signed where slot {asked.slot} was asked")
        if answer.context != asked.context:
            raise violation(code, "RequesterContext is not the one that was sent")
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

    # -- everything else ----------------------------------------------------------------------------------------------

    def _observe_further(self, request: bytes, reader: Reader) -> FurtherAnswer:
        answer = self.inventory.observe(RequestCode(request[1]), request, reader, self.layout)
        if isinstance(answer, EndpointInfo) and answer.signature:
            asked = GetEndpointInfo.pull(Reader(request, "GET_ENDPOINT_INFO"))
            message = reader.consumed()
            covered = self.transcript.vca + request + message[: len(message) - len(answer.signature)]
            nonces = asked.nonce, answer.nonce
            self.endpoint_info = self._statement(Context.ENDPOINT_INFO, asked.slot, covered, answer.signature, nonces)
            self._check_nonces(RequestCode.GET_ENDPOINT_INFO)
        return answer

    _OBSERVERS: Mapping[RequestCode, Callable[[Connection, bytes, Reader], Response]] = {
        RequestCode.GET_VERSION: _observe_version,
        RequestCode.GET_CAPABILITIES: _observe_capabilities,
        RequestCode.NEGOTIATE_ALGORITHMS: _observe_algorithms,
        RequestCode.GET_DIGESTS: _observe_digests,
        RequestCode.GET_CERTIFICATE: _observe_certificate,
        RequestCode.CHALLENGE: _observe_challenge_auth,
        RequestCode.GET_MEASUREMENTS: _observe_measurements,
        **dict.fromkeys(inventory.OBSERVERS, _observe_further),
    }
