"""The requester: flows that say what to send and when to wait, and never touch a socket.

Each operation is a generator of `Send` and `Wait` effects; whoever drives it sends the bytes and returns the answer's
(see `cmakeys.transports.drive`). Getting an answer is `cmakeys.spdm.delivery`'s business, judging it that of
`cmakeys.spdm.connection`; what is decided here is what to ask, and in which order.

Two ways to end badly are kept apart. `ProtocolViolation` and `DeviceRefused` are findings about the device;
`DeviceUnavailable` means that it kept us waiting, and no verdict may be drawn from that.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from cmakeys.spdm.challenging import SLOT_PROVISIONED_KEY_SHORT
from cmakeys.spdm.codes import (
    CONTEXT_LENGTH,
    NONCE_LENGTH,
    Capability,
    ErrorCode,
    RequestCode,
    SummaryHash,
    Version,
)
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.delivery import Delivery
from cmakeys.spdm.effects import DeviceRefused, Flow, Limits
from cmakeys.spdm.messages.certificates import CertificateResponse, Digests, GetCertificate, GetDigests
from cmakeys.spdm.messages.challenge import Challenge, ChallengeAuth
from cmakeys.spdm.messages.measurements import RAW_REQUESTED, SIGNATURE_REQUESTED, GetMeasurements, Measurements
from cmakeys.spdm.messages.version import GetVersion
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.spdm.violation import STEP_NEGOTIATION, STEP_OF_REQUEST, ProtocolViolation

_TOO_MUCH_AT_ONCE = frozenset({ErrorCode.RESPONSE_TOO_LARGE, ErrorCode.UNSPECIFIED})
"""How a device says that all measurements do not fit one answer; Unspecified is what libspdm's responder says."""


class MeasurementMode(Enum):
    """How measurements are asked for."""

    NONE = "none"
    ALL = "all"
    EACH = "each"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one attestation asks of a device.

    `slots` are the slots whose chains are read, None for all provisioned ones; `slot` is the one that must prove
    possession, None for the lowest provisioned. `key` is the public key of a device that shows no certificates.
    """

    slots: frozenset[int] | None = None
    slot: int | None = None
    summary: SummaryHash = SummaryHash.NONE
    measurements: MeasurementMode = MeasurementMode.ALL
    raw: bool = False
    key: ProvisionedKey | None = None


class Requester:
    """Drives one `Connection`. `entropy(n)` gives n random bytes; tests replace it to replay recorded nonces."""

    def __init__(
        self,
        offer: Offer | None = None,
        *,
        known_chains: Mapping[bytes, bytes] | None = None,
        limits: Limits | None = None,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        connection: Connection | None = None,
    ) -> None:
        """`connection` is given for a session's own view of one that exists."""
        self.offer = offer or Offer()
        self.limits = limits or Limits()
        self.connection = connection or Connection(known_chains)
        self.entropy = entropy
        self.delivery = Delivery(self.connection, self.offer, self.limits)

    # -- operations ---------------------------------------------------------------------------------------------------

    def connect(self) -> Flow[None]:
        """GET_VERSION, GET_CAPABILITIES, NEGOTIATE_ALGORITHMS."""
        connection = self.connection
        yield from self.delivery.ask(RequestCode.GET_VERSION, lambda: GetVersion().push())
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
        yield from self.delivery.ask(RequestCode.GET_CAPABILITIES, lambda: self.offer.get_capabilities(version).push())
        flags = connection.capabilities.flags if connection.capabilities else Capability(0)
        yield from self.delivery.ask(
            RequestCode.NEGOTIATE_ALGORITHMS, lambda: self.offer.negotiate_algorithms(version, flags).push()
        )

    def digests(self) -> Flow[Digests]:
        """GET_DIGESTS."""
        answer = yield from self.delivery.ask(RequestCode.GET_DIGESTS, lambda: GetDigests(self._version).push())
        assert isinstance(answer, Digests)  # noqa: S101 (the connection's table says so; this tells the type checker)
        return answer

    def certificate(self, slot: int) -> Flow[bytes]:
        """GET_CERTIFICATE, portion by portion; the chain structure."""
        offset = 0
        large = self.connection.large_chains()
        for _ in range(self.limits.portions):
            request = GetCertificate(self._version, slot, offset, self.offer.portion_length, large)
            answer = yield from self.delivery.ask(RequestCode.GET_CERTIFICATE, request.push)
            assert isinstance(answer, CertificateResponse)  # noqa: S101 (as above)
            offset += len(answer.portion)
            if answer.remainder == 0:
                return self.connection.chains[slot]
        raise ProtocolViolation(
            f"the chain of slot {slot} did not end within {self.limits.portions} portions",
            step=STEP_OF_REQUEST[RequestCode.GET_CERTIFICATE],
            object="CERTIFICATE",
        )

    def challenge(self, slot: int, summary: SummaryHash = SummaryHash.NONE) -> Flow[ChallengeAuth]:
        """CHALLENGE with a fresh nonce for every attempt."""

        def build() -> bytes:
            return Challenge(self._version, slot, self.entropy(NONCE_LENGTH), summary, self._context()).push()

        answer = yield from self.delivery.ask(RequestCode.CHALLENGE, build)
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
                    if refusal.error.code not in _TOO_MUCH_AT_ONCE:
                        raise
                    yield from self._measure_each(plan, slot)
            taken = self.connection.measurements
            if taken is None or taken.content_changed != 1:
                return

    def _measure_each(self, plan: Plan, slot: int) -> Flow[None]:
        yield from self.measurements(0, slot=slot, raw=False, signed=False)
        missing = self.connection.measurement_count or 0
        # Only the number of indices is known, so they are tried in order (the specification reserves 0xF0 upwards). A
        # gap is answered by an ERROR, which resets L1: what was read before the last gap has to be read again.
        found: list[int] = []
        series: list[int] = []
        for index in range(1, 0xFF):
            if len(found) == missing:
                break
            signed = self._signs and len(found) == missing - 1 and series == found
            try:
                yield from self.measurements(index, slot=slot, raw=plan.raw, signed=signed)
            except DeviceRefused:
                series.clear()
                continue
            found.append(index)
            series.append(index)
        if len(found) < missing:
            raise ProtocolViolation(
                f"the device counts {missing} measurement indices and answers for {len(found)}",
                step=STEP_OF_REQUEST[RequestCode.GET_MEASUREMENTS],
                object="MEASUREMENTS",
            )
        lost = found[: len(found) - len(series)]
        if self._signs and lost:
            for index in lost[:-1]:
                yield from self.measurements(index, slot=slot, raw=plan.raw, signed=False)
            yield from self.measurements(lost[-1], slot=slot, raw=plan.raw, signed=True)

    def measurements(self, operation: int, *, slot: int, raw: bool, signed: bool) -> Flow[Measurements]:
        """One GET_MEASUREMENTS: 0 for the count, 0xFF for all, or an index."""
        attributes = (SIGNATURE_REQUESTED if signed else 0) | (
            RAW_REQUESTED if raw and self._version >= Version.V12 else 0
        )

        def build() -> bytes:
            nonce = self.entropy(NONCE_LENGTH) if signed else b""
            short = slot & SLOT_PROVISIONED_KEY_SHORT
            return GetMeasurements(self._version, attributes, operation, nonce, short, self._context()).push()

        answer = yield from self.delivery.ask(RequestCode.GET_MEASUREMENTS, build)
        assert isinstance(answer, Measurements)  # noqa: S101 (as above)
        return answer

    @property
    def _version(self) -> Version:
        return self.connection.version or Version.V10

    @property
    def _signs(self) -> bool:
        return self.connection.has(Capability.MEAS_SIGNED)

    def _context(self) -> bytes:
        return self.entropy(CONTEXT_LENGTH) if self._version >= Version.V13 else b""
