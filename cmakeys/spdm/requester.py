"""The requester: flows that say what to send and when to wait, and never touch a socket.

Each operation is a generator of `Send` and `Wait` effects; whoever drives it sends the bytes and returns the answer's
(see `cmakeys.transports.drive`). Everything that is about *getting* an answer lives here: chunking both ways, Busy,
ResponseNotReady, RequestResynch, each bounded. Everything about *judging* it lives in `cmakeys.spdm.connection`.

Two ways to end badly are kept apart. `ProtocolViolation` and `DeviceRefused` are findings about the device;
`DeviceUnavailable` means that it kept us waiting, and no verdict may be drawn from that.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from cmakeys.errors import EvidenceProblem, Temporary
from cmakeys.spdm.chunks import ChunkAssembler, split
from cmakeys.spdm.codes import (
    CONTEXT_LENGTH,
    NONCE_LENGTH,
    Capability,
    ErrorCode,
    RequestCode,
    ResponseCode,
    SummaryHash,
    Version,
)
from cmakeys.spdm.connection import STEP_NEGOTIATION, STEP_OF_REQUEST, Connection, ProtocolViolation, Response
from cmakeys.spdm.messages.certificates import CertificateResponse, Digests, GetCertificate, GetDigests
from cmakeys.spdm.messages.challenge import Challenge, ChallengeAuth
from cmakeys.spdm.messages.chunking import ChunkGet, ChunkResponse, ChunkSendAck
from cmakeys.spdm.messages.error import ErrorResponse, NotReady, RespondIfReady
from cmakeys.spdm.messages.header import HEADER_LENGTH
from cmakeys.spdm.messages.measurements import RAW_REQUESTED, SIGNATURE_REQUESTED, GetMeasurements, Measurements
from cmakeys.spdm.messages.version import GetVersion
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.wire import Reader, WireError

T = TypeVar("T")

_PORTION_HEADER = 16
"""Bytes of the longest CERTIFICATE header."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send one SPDM message and answer with the response's bytes, padding allowed. `timeout` is seconds."""

    message: bytes
    timeout: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for `seconds`; answer with empty bytes."""

    seconds: float


Flow = Generator[Send | Wait, bytes, T]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on a device's patience games. Times are seconds."""

    busy_retries: int = 6
    busy_delay: float = 0.05
    not_ready_rounds: int = 8
    not_ready_delay: float = 10.0
    resynchronisations: int = 2
    chunks: int = 8192
    portions: int = 4096
    content_changed_repeats: int = 2
    answer_timeout: float = 1.0
    crypto_timeout: float = 10.0


class DeviceUnavailable(Temporary):
    """The device answered, but only to put us off: Busy, not ready or resynchronising beyond the limits."""

    code = "device-unavailable"


class DeviceRefused(EvidenceProblem):
    """The device answered a required request with ERROR. `step` is the verification step this belongs to."""

    code = "device-refused"

    def __init__(self, error: ErrorResponse, request: RequestCode) -> None:
        super().__init__(
            f"the device answered ERROR {error.name}",
            object=request.name,
            hint="see what the device supports; a device under reset or update may refuse for a while",
        )
        self.error = error
        self.step = STEP_OF_REQUEST.get(request, STEP_NEGOTIATION)


class _Resynchronise(Exception):
    """The device forgot the connection: start again at GET_VERSION."""


class MeasurementMode(Enum):
    """How measurements are asked for."""

    NONE = "none"
    ALL = "all"
    EACH = "each"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one attestation asks of a device.

    `slots` are the slots whose chains are read, None for all provisioned ones; `slot` is the one that must prove
    possession, None for the lowest provisioned. `skip_chains` allows a chain that is known by its digest.
    """

    slots: frozenset[int] | None = None
    slot: int | None = None
    summary: SummaryHash = SummaryHash.NONE
    measurements: MeasurementMode = MeasurementMode.ALL
    raw: bool = False


class Requester:
    """Drives one `Connection`. `entropy(n)` gives n random bytes; tests replace it to replay recorded nonces."""

    def __init__(
        self,
        offer: Offer | None = None,
        *,
        known_chains: Mapping[bytes, bytes] | None = None,
        limits: Limits | None = None,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.offer = offer or Offer()
        self.limits = limits or Limits()
        self.connection = Connection(known_chains)
        self._entropy = entropy
        self._handle = 0

    # -- one attestation ----------------------------------------------------------------------------------------------

    def attest(self, plan: Plan) -> Flow[None]:
        """The whole authentication; what was learnt is in `connection` afterwards.

        Raises `ProtocolViolation`, `DeviceRefused` or `DeviceUnavailable`.
        """
        for _ in range(self.limits.resynchronisations + 1):
            try:
                yield from self._attest_once(plan)
            except _Resynchronise:
                continue
            return
        raise DeviceUnavailable(
            f"the device asked to start again {self.limits.resynchronisations + 1} times",
            object="connection",
            hint="it may be resetting or shared with another requester; try again later",
        )

    def _attest_once(self, plan: Plan) -> Flow[None]:
        yield from self.connect()
        slot = 0
        if self.connection.has(Capability.CERT):
            digests = yield from self.digests()
            slot = self._choose_slot(plan, digests)
            wanted = set(digests.slots) if plan.slots is None else set(plan.slots) & set(digests.slots)
            # The slot that proves possession comes last, so that nothing stands between its chain and the CHALLENGE.
            for number in (*sorted(wanted - {slot}), slot):
                if self.connection.cached_chain(number) is None:
                    yield from self.certificate(number)
        if self.connection.has(Capability.CHAL):
            yield from self.challenge(slot, plan.summary)
        if plan.measurements is not MeasurementMode.NONE and self.connection.has(
            Capability.MEAS_SIGNED, Capability.MEAS_UNSIGNED
        ):
            yield from self.measure(plan, slot)

    def _choose_slot(self, plan: Plan, digests: Digests) -> int:
        if plan.slot is None:
            return digests.slots[0]
        if plan.slot not in digests.slots:
            present = ", ".join(map(str, digests.slots))
            raise ProtocolViolation(
                f"slot {plan.slot} is not provisioned", step=2, object="DIGESTS", hint=f"provisioned slots: {present}"
            )
        return plan.slot

    # -- operations ---------------------------------------------------------------------------------------------------

    def connect(self) -> Flow[None]:
        """GET_VERSION, GET_CAPABILITIES, NEGOTIATE_ALGORITHMS."""
        connection = self.connection
        yield from self._ask(RequestCode.GET_VERSION, lambda: GetVersion().push())
        common = connection.offered_versions & self.offer.versions
        if not common:
            offered = ", ".join(map(str, sorted(connection.offered_versions))) or "none that this program knows"
            wanted = ", ".join(map(str, sorted(self.offer.versions)))
            raise ProtocolViolation(
                f"no common SPDM version: the device offers {offered}, policy allows {wanted}",
                step=STEP_NEGOTIATION,
                object="VERSION",
                hint="allow the version in the policy if the device is to be accepted with it",
            )
        version = max(common)
        yield from self._ask(RequestCode.GET_CAPABILITIES, lambda: self.offer.get_capabilities(version).push())
        flags = connection.capabilities.flags if connection.capabilities else Capability(0)
        yield from self._ask(
            RequestCode.NEGOTIATE_ALGORITHMS, lambda: self.offer.negotiate_algorithms(version, flags).push()
        )

    def digests(self) -> Flow[Digests]:
        """GET_DIGESTS."""
        answer = yield from self._ask(RequestCode.GET_DIGESTS, lambda: GetDigests(self._version).push())
        assert isinstance(answer, Digests)  # noqa: S101 (the connection's table says so; this tells the type checker)
        return answer

    def certificate(self, slot: int) -> Flow[bytes]:
        """GET_CERTIFICATE, portion by portion; the chain structure."""
        offset = 0
        large = self.connection.large_chains()
        length = min(self.offer.portion_length, self.offer.data_transfer_size - _PORTION_HEADER)
        if self.connection.chunking():
            length = self.offer.portion_length
        for _ in range(self.limits.portions):
            request = GetCertificate(self._version, slot, offset, length, large)
            answer = yield from self._ask(RequestCode.GET_CERTIFICATE, request.push)
            assert isinstance(answer, CertificateResponse)  # noqa: S101 (as above)
            offset += len(answer.portion)
            if answer.remainder == 0:
                return self.connection.chains[slot]
            if not large:
                length = min(self.offer.portion_length, length, answer.remainder) or length
        raise ProtocolViolation(
            f"the chain of slot {slot} did not end within {self.limits.portions} portions",
            step=STEP_OF_REQUEST[RequestCode.GET_CERTIFICATE],
            object="CERTIFICATE",
        )

    def challenge(self, slot: int, summary: SummaryHash = SummaryHash.NONE) -> Flow[ChallengeAuth]:
        """CHALLENGE with a fresh nonce for every attempt."""

        def build() -> bytes:
            return Challenge(self._version, slot, self._entropy(NONCE_LENGTH), summary, self._context()).push()

        answer = yield from self._ask(RequestCode.CHALLENGE, build)
        assert isinstance(answer, ChallengeAuth)  # noqa: S101 (as above)
        return answer

    def measure(self, plan: Plan, slot: int) -> Flow[None]:
        """All measurements, signed where the device can; repeated while the device says that they just changed."""
        for _ in range(self.limits.content_changed_repeats + 1):
            if plan.measurements is MeasurementMode.EACH:
                yield from self._measure_each(plan, slot)
            else:
                try:
                    yield from self.measurements(0xFF, slot=slot, raw=plan.raw, signed=self._signs)
                except DeviceRefused as refusal:
                    if refusal.error.code != ErrorCode.RESPONSE_TOO_LARGE:
                        raise
                    yield from self._measure_each(plan, slot)
            taken = self.connection.measurements
            if taken is None or taken.content_changed != 1:
                return

    def _measure_each(self, plan: Plan, slot: int) -> Flow[None]:
        yield from self.measurements(0, slot=slot, raw=False, signed=False)
        missing = self.connection.measurement_count or 0
        # Only the number of indices is known, so they are tried in order; the specification reserves 0xF0 upwards, and
        # a gap is answered by an ERROR, which resets L1. So the indices are found first and read in one series after.
        found: list[int] = []
        for index in range(1, 0xFF):
            if len(found) == missing:
                break
            try:
                yield from self.measurements(index, slot=slot, raw=plan.raw, signed=False)
            except DeviceRefused:
                continue
            found.append(index)
        if len(found) < missing:
            raise ProtocolViolation(
                f"the device counts {missing} measurement indices and answers for {len(found)}",
                step=STEP_OF_REQUEST[RequestCode.GET_MEASUREMENTS],
                object="MEASUREMENTS",
            )
        contiguous = found == list(range(1, missing + 1))
        if self._signs:
            series = [] if contiguous else found[:-1]
            if not contiguous:
                for index in series:
                    yield from self.measurements(index, slot=slot, raw=plan.raw, signed=False)
            yield from self.measurements(found[-1], slot=slot, raw=plan.raw, signed=True)

    def measurements(self, operation: int, *, slot: int, raw: bool, signed: bool) -> Flow[Measurements]:
        """One GET_MEASUREMENTS: 0 for the count, 0xFF for all, or an index."""
        attributes = (SIGNATURE_REQUESTED if signed else 0) | (
            RAW_REQUESTED if raw and self._version >= Version.V12 else 0
        )

        def build() -> bytes:
            nonce = self._entropy(NONCE_LENGTH) if signed else b""
            return GetMeasurements(self._version, attributes, operation, nonce, slot, self._context()).push()

        answer = yield from self._ask(RequestCode.GET_MEASUREMENTS, build)
        assert isinstance(answer, Measurements)  # noqa: S101 (as above)
        return answer

    @property
    def _version(self) -> Version:
        return self.connection.version or Version.V10

    @property
    def _signs(self) -> bool:
        return self.connection.has(Capability.MEAS_SIGNED)

    def _context(self) -> bytes:
        return self._entropy(CONTEXT_LENGTH) if self._version >= Version.V13 else b""

    # -- getting one answer -------------------------------------------------------------------------------------------

    def _ask(self, code: RequestCode, build: Callable[[], bytes]) -> Flow[Response]:
        """Send what `build` makes until the device gives a real answer; every attempt is built anew (fresh nonce)."""
        delay = self.limits.busy_delay
        for _ in range(self.limits.busy_retries + 1):
            request = build()
            response = yield from self._deliver(code, request)
            answer = self.connection.observe(request, response)
            if not isinstance(answer, ErrorResponse):
                return answer
            if answer.code in (ErrorCode.REQUEST_RESYNCH, ErrorCode.VERSION_MISMATCH):
                raise _Resynchronise
            if answer.code != ErrorCode.BUSY:
                raise DeviceRefused(answer, code)
            yield Wait(delay)
            delay *= 2
        raise DeviceUnavailable(
            f"the device was still busy after {self.limits.busy_retries + 1} attempts",
            object=code.name,
            hint="another requester or the device's own start-up may hold it; try again later",
        )

    def _deliver(self, code: RequestCode, request: bytes) -> Flow[bytes]:
        """The answer to a request: chunked out if it is too large, awaited if not ready, chunked in if it is large."""
        capabilities = self.connection.capabilities
        peer_size = capabilities.data_transfer_size if capabilities and code != RequestCode.GET_VERSION else 0
        if peer_size and len(request) > peer_size:
            response = yield from self._send_chunks(code, request, peer_size)
        else:
            response = yield Send(request, self._timeout(code))
        for _ in range(self.limits.not_ready_rounds):
            error = self._error_of(response)
            if error is None:
                return response
            if error.code == ErrorCode.LARGE_RESPONSE:
                return (yield from self._receive_chunks(code, error))
            if error.code != ErrorCode.RESPONSE_NOT_READY:
                return response
            response = yield from self._await_ready(code, error)
        raise DeviceUnavailable(
            f"the answer was not ready after {self.limits.not_ready_rounds} rounds",
            object=code.name,
            hint="the device is overloaded or stuck; try again later",
        )

    def _timeout(self, code: RequestCode) -> float:
        capabilities = self.connection.capabilities
        if code in (RequestCode.GET_VERSION, RequestCode.GET_CAPABILITIES, RequestCode.NEGOTIATE_ALGORITHMS):
            return self.limits.answer_timeout
        # CTExponent 0 is common and no promise of one microsecond, hence the floor (reference §11.2).
        announced = 2.0 ** min(capabilities.ct_exponent, 31) / 1e6 if capabilities else 0.0
        return min(max(announced, self.limits.answer_timeout), self.limits.crypto_timeout)

    def _error_of(self, response: bytes) -> ErrorResponse | None:
        if len(response) < HEADER_LENGTH or response[1] != ResponseCode.ERROR:
            return None
        try:
            return ErrorResponse.pull(Reader(response, "ERROR"))
        except WireError:
            return None  # the connection names what is wrong with it

    def _await_ready(self, code: RequestCode, error: ErrorResponse) -> Flow[bytes]:
        step = STEP_OF_REQUEST.get(code, STEP_NEGOTIATION)
        promise = NotReady.pull(error.extended)
        if step == STEP_NEGOTIATION:
            raise ProtocolViolation("ResponseNotReady is not allowed before ALGORITHMS", step=step, object=code.name)
        if promise.request_code != code:
            raise ProtocolViolation(
                f"ResponseNotReady names request {promise.request_code:#04x}", step=step, object=code.name
            )
        if promise.rdt_exponent > 31 or promise.rdtm < 1:
            raise ProtocolViolation(
                f"ResponseNotReady with RDTExponent {promise.rdt_exponent} and RDTM {promise.rdtm}",
                step=step,
                object=code.name,
            )
        delay = 2.0**promise.rdt_exponent / 1e6
        if delay > self.limits.not_ready_delay:
            raise DeviceUnavailable(
                f"the answer is promised in {delay:.0f} s, more than the {self.limits.not_ready_delay:.0f} s allowed",
                object=code.name,
                hint="raise the time budget if this device needs so long",
            )
        yield Wait(delay)
        message = RespondIfReady(self._version, code, promise.token).push()
        return (yield Send(message, self._timeout(code)))

    # -- chunks -------------------------------------------------------------------------------------------------------

    def _receive_chunks(self, code: RequestCode, error: ErrorResponse) -> Flow[bytes]:
        step = STEP_OF_REQUEST.get(code, STEP_NEGOTIATION)
        if not self.connection.chunking():
            raise ProtocolViolation("LargeResponse though chunking was not negotiated", step=step, object=code.name)
        handle = error.extended[0]
        assembler = ChunkAssembler(self._version, handle, self.offer.max_message_size)
        try:
            for _ in range(self.limits.chunks):
                response = yield Send(ChunkGet(self._version, handle, assembler.sequence).push(), self._timeout(code))
                failure = self._error_of(response)
                if failure is not None:
                    if failure.code == ErrorCode.LARGE_RESPONSE:
                        raise ProtocolViolation("LargeResponse inside a chunked response", step=step, object=code.name)
                    return response
                reader = Reader(response, "CHUNK_RESPONSE")
                whole = assembler.add(ChunkResponse.pull(reader))
                if reader.offset > self.offer.data_transfer_size:
                    raise reader.fail(f"a chunk larger than our DataTransferSize {self.offer.data_transfer_size}")
                if whole is not None:
                    if self._error_of(whole) is not None and whole[2] == ErrorCode.LARGE_RESPONSE:
                        raise reader.fail("LargeResponse inside a chunked response")
                    return whole
        except WireError as problem:
            raise ProtocolViolation(problem.message, step=step, object=f"chunked answer to {code.name}") from problem
        raise ProtocolViolation(f"more than {self.limits.chunks} chunks", step=step, object=code.name)

    def _send_chunks(self, code: RequestCode, request: bytes, transfer_size: int) -> Flow[bytes]:
        step = STEP_OF_REQUEST.get(code, STEP_NEGOTIATION)
        if not self.connection.chunking():
            raise ProtocolViolation(
                f"the request needs {len(request)} bytes, the device takes {transfer_size} and does not chunk",
                step=step,
                object=code.name,
            )
        handle = self._handle
        self._handle = (self._handle + 1) & 0xFF
        for chunk in split(request, self._version, handle, transfer_size):
            response = yield Send(chunk.push(), self._timeout(code))
            if self._error_of(response) is not None:
                return response
            try:
                acknowledgement = ChunkSendAck.pull(Reader(response, "CHUNK_SEND_ACK"))
            except WireError as problem:
                raise ProtocolViolation(problem.message, step=step, object="CHUNK_SEND_ACK") from problem
            if (acknowledgement.handle, acknowledgement.sequence) != (handle, chunk.sequence):
                raise ProtocolViolation(
                    f"acknowledges chunk {acknowledgement.sequence} of transfer {acknowledgement.handle},"
                    f" chunk {chunk.sequence} of transfer {handle} was sent",
                    step=step,
                    object="CHUNK_SEND_ACK",
                )
            if acknowledgement.early_error or chunk.last:
                return acknowledgement.response
        raise ProtocolViolation("the last chunk was not acknowledged", step=step, object=code.name)
