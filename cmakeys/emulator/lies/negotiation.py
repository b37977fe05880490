"""Lies in VERSION, CAPABILITIES and ALGORITHMS."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cmakeys.emulator.lies.fault import Fault, Outcome, Where, rejected, tolerated
from cmakeys.emulator.lies.kinds import Amend, Encode, Refuse, Transmit, cut_last_byte, flip_bit_at
from cmakeys.emulator.lies.lie import Lie, M
from cmakeys.emulator.settings import DeviceSettings, MeasurementSupport
from cmakeys.spdm.algorithms import SIGNATURE_SIZES, BaseAsym, BaseHash, MeasurementHash, OpaqueFormat
from cmakeys.spdm.codes import Capability, ErrorCode, RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.capabilities import Capabilities
from cmakeys.spdm.messages.error import NotReady
from cmakeys.spdm.messages.negotiation import Algorithms, StructTable
from cmakeys.spdm.messages.version import VersionResponse
from cmakeys.spdm.signing import Statement

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation


class WrongVersionByte(Lie):
    """Every response after VERSION carries the version byte of another minor version."""

    def encode(self, octets: bytes, talk: Conversation) -> bytes:
        """Change the byte."""
        return octets if octets[1] == ResponseCode.VERSION else bytes((octets[0] ^ 1,)) + octets[1:]


class Unoffered(Lie):
    """Selects an algorithm outside the offer; which bits those are is known when the request comes."""

    def __init__(self, *, asym: bool) -> None:
        self._asym = asym
        self._offered = 0

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        """Note the offer."""
        if request[1] == RequestCode.NEGOTIATE_ALGORITHMS:
            start = 8 if self._asym else 12
            self._offered = int.from_bytes(request[start : start + 4], "little")
        return None

    def amend(self, message: M, talk: Conversation) -> M:
        """Select the lowest bit that was not offered."""
        if not isinstance(message, Algorithms):
            return message
        known: type[BaseAsym | BaseHash] = BaseAsym if self._asym else BaseHash
        bit = next(one.value for one in known if not one.value & self._offered)
        if self._asym:
            return replace(message, base_asym=bit, pqc_asym=0)
        return replace(message, base_hash=bit)


class AnotherKeysAlgorithm(Lie):
    """Selects RSA-2048, whatever the leaf's key is, and gives signatures of that size."""

    def amend(self, message: M, talk: Conversation) -> M:
        """Select it."""
        if not isinstance(message, Algorithms):
            return message
        return replace(message, base_asym=BaseAsym.RSASSA_2048.value, pqc_asym=0)

    def signature(self, signature: bytes, statement: Statement) -> bytes:
        """What the device's own key made, as long as the other's."""
        return signature.ljust(SIGNATURE_SIZES[BaseAsym.RSASSA_2048], b"\0")


def _no_hash_but_sha_256(settings: DeviceSettings) -> DeviceSettings:
    # The measurement hash would follow the base hash, and what is measured would seem to have changed.
    return replace(settings, hashes=(BaseHash.SHA_256,), measurement_hashes=(MeasurementHash.SHA_384,))


def _never_signing(settings: DeviceSettings) -> DeviceSettings:
    return replace(settings, challenge=False, measurements=MeasurementSupport.NONE)


def _never_chunking(settings: DeviceSettings) -> DeviceSettings:
    return replace(settings, chunking=False)


def _out_of_order(message: VersionResponse) -> VersionResponse:
    """Versions that nobody knows at the beginning, and the lowest of the others at the end."""
    return replace(message, entries=(0x2000, 0x1F00, *message.entries[1:], *message.entries[:1]))


def _only_old_versions(settings: DeviceSettings) -> DeviceSettings:
    return replace(settings, versions=tuple(one for one in settings.versions if one <= Version.V11) or (Version.V11,))


def _drop_highest_version(octets: bytes) -> bytes:
    """VERSION with the last entry taken out, as somebody in the middle who wants a downgrade would."""
    if octets[5] < 2:
        return octets
    return octets[:5] + bytes((octets[5] - 1,)) + octets[6:-2]


def _length_lies(octets: bytes) -> bytes:
    return octets[:4] + (len(octets) + 4).to_bytes(2, "little") + octets[6:]


def _fault(step: int, name: str, description: str, *changes: Lie, since: Version = Version.V10) -> Fault:
    # These lies keep no state, so one instance serves every device.
    return rejected(
        Where.NEGOTIATION, step, name, description, *((lambda one=one: one) for one in changes), since=since
    )


V12, V14 = Version.V12, Version.V14

FAULTS: tuple[Fault, ...] = (
    Fault(
        "version-downgrade",
        "VERSION lists nothing above 1.1",
        Where.NEGOTIATION,
        Outcome.REJECTED,
        1,
        enrolled=True,
        settings=_only_old_versions,
    ),
    _fault(
        11,
        "version-tampered",
        "somebody in the middle takes the highest version out of VERSION",
        Transmit(ResponseCode.VERSION, _drop_highest_version),
    ),
    tolerated(
        Where.NEGOTIATION,
        "version-order",
        "VERSION lists its versions in no order, beside some that there are not",
        lambda: Amend(VersionResponse, _out_of_order),
    ),
    Fault(
        "hash-weak",
        "the device has no hash but SHA-256",
        Where.NEGOTIATION,
        Outcome.TOLERATED,
        settings=_no_hash_but_sha_256,
    ),
    rejected(
        Where.NEGOTIATION,
        11,
        "algorithm-of-another-key",
        "ALGORITHMS selects RSA-2048, which is not the leaf's key",
        AnotherKeysAlgorithm,
    ),
    _fault(1, "version-empty", "VERSION lists no version", Amend(VersionResponse, lambda m: replace(m, entries=()))),
    _fault(1, "wrong-version-byte", "responses carry the version byte of another version", WrongVersionByte()),
    _fault(1, "truncated-version", "VERSION ends one byte early", Encode(ResponseCode.VERSION, cut_last_byte)),
    _fault(
        1,
        "truncated-capabilities",
        "CAPABILITIES ends one byte early",
        Encode(ResponseCode.CAPABILITIES, cut_last_byte),
    ),
    _fault(1, "truncated-algorithms", "ALGORITHMS ends one byte early", Encode(ResponseCode.ALGORITHMS, cut_last_byte)),
    _fault(
        1,
        "capabilities-inconsistent",
        "CAPABILITIES has CHAL_CAP without CERT_CAP",
        Amend(Capabilities, lambda m: replace(m, flags=m.flags & ~Capability.CERT)),
    ),
    _fault(
        1,
        "capabilities-illegal-measurement",
        "CAPABILITIES has the illegal MEAS_CAP value 3",
        Amend(Capabilities, lambda m: replace(m, flags=m.flags | Capability.MEAS_UNSIGNED | Capability.MEAS_SIGNED)),
    ),
    Fault(
        "proves-nothing",
        "the device has certificates, and announces nothing that it would sign",
        Where.NEGOTIATION,
        Outcome.REJECTED,
        1,
        since=Version.V11,
        settings=_never_signing,
    ),
    rejected(
        Where.NEGOTIATION,
        1,
        "message-size-without-chunking",
        "MaxSPDMmsgSize is more than DataTransferSize, and there is no chunking",
        lambda: Amend(Capabilities, lambda m: replace(m, max_message_size=m.data_transfer_size + 1)),
        since=Version.V12,
        settings=_never_chunking,
    ),
    _fault(
        11,
        "capabilities-tampered",
        "somebody in the middle takes MEAS_FRESH_CAP out of CAPABILITIES",
        Transmit(ResponseCode.CAPABILITIES, lambda octets: octets[:8] + bytes((octets[8] & ~0x20,)) + octets[9:]),
    ),
    _fault(
        1,
        "ct-exponent-too-large",
        "CTExponent is 32, more than an hour",
        Amend(Capabilities, lambda m: replace(m, ct_exponent=32)),
    ),
    _fault(
        1,
        "data-transfer-size-too-small",
        "DataTransferSize is 41, one below the minimum",
        Amend(Capabilities, lambda m: replace(m, data_transfer_size=41)),
        since=V12,
    ),
    _fault(
        1,
        "message-size-below-transfer-size",
        "MaxSPDMmsgSize is smaller than DataTransferSize",
        Amend(Capabilities, lambda m: replace(m, max_message_size=m.data_transfer_size - 1)),
        since=V12,
    ),
    _fault(
        1,
        "two-selection-bits-asym",
        "ALGORITHMS selects two signature algorithms",
        Amend(Algorithms, lambda m: replace(m, base_asym=m.base_asym | (0x90 if m.base_asym != 0x90 else 0x110))),
    ),
    _fault(
        1,
        "two-selection-bits-hash",
        "ALGORITHMS selects two hashes",
        Amend(Algorithms, lambda m: replace(m, base_hash=m.base_hash | 3)),
    ),
    _fault(
        1,
        "two-selection-bits-measurement-hash",
        "ALGORITHMS selects two measurement hashes",
        Amend(Algorithms, lambda m: replace(m, measurement_hash=m.measurement_hash | 6)),
    ),
    rejected(
        Where.NEGOTIATION,
        1,
        "superset-selection",
        "ALGORITHMS selects a signature algorithm that was not offered",
        lambda: Unoffered(asym=True),
    ),
    rejected(
        Where.NEGOTIATION,
        1,
        "superset-selection-hash",
        "ALGORITHMS selects a hash that was not offered",
        lambda: Unoffered(asym=False),
    ),
    _fault(
        1,
        "no-selection",
        "ALGORITHMS selects no signature algorithm",
        Amend(Algorithms, lambda m: replace(m, base_asym=0, pqc_asym=0)),
    ),
    _fault(
        1,
        "classic-and-pqc-selection",
        "ALGORITHMS selects a classic and a post-quantum algorithm at once",
        Amend(Algorithms, lambda m: replace(m, base_asym=m.base_asym or 0x80, pqc_asym=m.pqc_asym or 0x2)),
        since=V14,
    ),
    _fault(1, "no-hash-selection", "ALGORITHMS selects no hash", Amend(Algorithms, lambda m: replace(m, base_hash=0))),
    _fault(
        1,
        "measurement-specification-unoffered",
        "ALGORITHMS selects a measurement specification that was not offered",
        Amend(Algorithms, lambda m: replace(m, measurement_specification=2)),
    ),
    _fault(
        1,
        "log-specification-unoffered",
        "ALGORITHMS selects a log specification that was not offered",
        Amend(Algorithms, lambda m: replace(m, mel_specification=1)),
        since=Version.V13,
    ),
    _fault(
        1,
        "external-selection",
        "ALGORITHMS selects an external algorithm that was not offered",
        Amend(Algorithms, lambda m: replace(m, ext_asym_count=1)),
    ),
    _fault(
        1,
        "opaque-format-unoffered",
        "ALGORITHMS selects the vendor's opaque format, which was not offered",
        Amend(Algorithms, lambda m: replace(m, other_params=OpaqueFormat.FORMAT_0.value)),
        since=V12,
    ),
    _fault(
        1,
        "struct-table-unoffered",
        "ALGORITHMS answers a struct table that was not asked",
        Amend(Algorithms, lambda m: replace(m, tables=(*m.tables, StructTable(5, 1)))),
        since=Version.V11,
    ),
    _fault(1, "algorithms-length", "ALGORITHMS lies about its length", Encode(ResponseCode.ALGORITHMS, _length_lies)),
    _fault(
        11,
        "algorithms-tampered",
        "somebody in the middle changes a reserved byte of ALGORITHMS",
        Transmit(ResponseCode.ALGORITHMS, flip_bit_at(24)),
    ),
    _fault(
        1,
        "not-ready-early",
        "NEGOTIATE_ALGORITHMS is answered ResponseNotReady, which is not allowed there",
        Refuse(
            ErrorCode.RESPONSE_NOT_READY,
            frozenset({RequestCode.NEGOTIATE_ALGORITHMS}),
            extended=NotReady(10, RequestCode.NEGOTIATE_ALGORITHMS, 1, 2).push(),
        ),
    ),
)
