"""What an emulated device measures: an index, what it is, and the value or the octets that are hashed.

Before 1.2 there are no version, secure-version-number and device-mode blocks, before 1.3 nothing of type 8 and above
(reference §4.2), so one set of measurements answers every version with the part of it that the version knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from cmakeys.spdm.algorithms import MEASUREMENT_HASH_FUNCTIONS, HashFunction, MeasurementHash
from cmakeys.spdm.codes import MeasurementType, SummaryHash, Version
from cmakeys.spdm.messages.extension_log import pull_log
from cmakeys.spdm.messages.measurements import MAX_BLOCKS, MeasurementBlock

RAW = 0x80
INDEX_FIRMWARE = 2
INDEX_SVN = 0x10
INDEX_MANIFEST = 0xFD
INDEX_DEVICE_MODE = 0xFE

MODE_NORMAL = 0x04
"""Operational mode bit 2: normal."""

DEBUG_INVASIVE = 0x02
"""Device mode bit 1: invasive debug is active."""

_SINCE = {
    MeasurementType.DEVICE_MODE: Version.V12,
    MeasurementType.VERSION: Version.V12,
    MeasurementType.SECURE_VERSION_NUMBER: Version.V12,
    MeasurementType.HASH_EXTENDED: Version.V13,
    MeasurementType.INFORMATIONAL: Version.V13,
    MeasurementType.STRUCTURED_MANIFEST: Version.V13,
}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured thing. `raw` ones are always given as they are, others as a digest unless raw is asked for."""

    index: int
    kind: MeasurementType
    value: bytes
    raw: bool = False

    def block(self, algorithm: MeasurementHash, *, raw: bool) -> MeasurementBlock:
        """The block under a measurement hash."""
        if raw or self.raw or algorithm == MeasurementHash.RAW_ONLY:
            return MeasurementBlock(self.index, RAW | self.kind, self.value)
        function = MEASUREMENT_HASH_FUNCTIONS[algorithm]
        if self.kind is MeasurementType.HASH_EXTENDED:
            return MeasurementBlock(self.index, self.kind, _extended(self.value, function))
        return MeasurementBlock(self.index, self.kind, function.digest(self.value))


def _extended(log: bytes, function: HashFunction) -> bytes:
    """The digest that a log's entries are extended into, one after the other (reference §7.3)."""
    digest = bytes(function.size)
    for entry in pull_log(log):
        digest = function.digest(digest + entry.push())
    return digest


@dataclass(frozen=True, slots=True)
class MeasurementSet:
    """All measurements of a device, ascending by index, each index once."""

    measurements: tuple[Measurement, ...]

    def __post_init__(self) -> None:
        indices = [measurement.index for measurement in self.measurements]
        if indices != sorted(set(indices)) or not all(1 <= index <= MAX_BLOCKS for index in indices):
            raise ValueError(f"measurement indices {indices} are not ascending numbers from 1 to {MAX_BLOCKS}")

    @classmethod
    def of(cls, measurements: Iterable[Measurement]) -> Self:
        """Put measurements in order."""
        return cls(tuple(sorted(measurements, key=lambda measurement: measurement.index)))

    def known_to(self, version: Version) -> tuple[Measurement, ...]:
        """Those whose type the version defines."""
        return tuple(one for one in self.measurements if _SINCE.get(one.kind, Version.V10) <= version)

    def changed(self, index: int, value: bytes) -> Self:
        """The same set with another value at `index`. Raises `KeyError` when there is none."""
        if all(one.index != index for one in self.measurements):
            raise KeyError(index)
        return replace(
            self,
            measurements=tuple(replace(one, value=value) if one.index == index else one for one in self.measurements),
        )

    def summary(self, version: Version, kind: int, algorithm: MeasurementHash, function: HashFunction) -> bytes:
        """The measurement summary hash of CHALLENGE_AUTH: TCB components (immutable ROM and firmware) or all."""
        tcb = (MeasurementType.IMMUTABLE_ROM, MeasurementType.MUTABLE_FIRMWARE)
        chosen = [one for one in self.known_to(version) if kind == SummaryHash.ALL or one.kind in tcb]
        return function.digest(*(one.block(algorithm, raw=False).push() for one in chosen))


def device_mode(*, debug: int = 0) -> bytes:
    """The 16 bytes of a device-mode block: operational capabilities and state, device capabilities and state."""
    fields = (MODE_NORMAL, MODE_NORMAL, DEBUG_INVASIVE, debug)
    return b"".join(field.to_bytes(4, "little") for field in fields)


def standard_measurements(firmware: bytes = b"firmware 1", svn: int = 7) -> MeasurementSet:
    """What a device of ordinary make measures: ROM, firmware, two configurations, SVN, manifest, device mode."""
    return MeasurementSet(
        (
            Measurement(1, MeasurementType.IMMUTABLE_ROM, b"boot ROM of the emulated device"),
            Measurement(INDEX_FIRMWARE, MeasurementType.MUTABLE_FIRMWARE, firmware),
            Measurement(3, MeasurementType.HARDWARE_CONFIGURATION, b"straps 0x00000000"),
            Measurement(4, MeasurementType.FIRMWARE_CONFIGURATION, b"configuration 1"),
            Measurement(INDEX_SVN, MeasurementType.SECURE_VERSION_NUMBER, svn.to_bytes(8, "little"), raw=True),
            Measurement(INDEX_MANIFEST, MeasurementType.MEASUREMENT_MANIFEST, b"emulated device manifest", raw=True),
            Measurement(INDEX_DEVICE_MODE, MeasurementType.DEVICE_MODE, device_mode(), raw=True),
        )
    )
