"""What an emulated device has to tell beyond attestation, as values."""

from __future__ import annotations

from dataclasses import dataclass

from cmakeys.spdm.codes import Capability, MeasurementType
from cmakeys.spdm.messages.endpoint_info import ClassIdentifier
from cmakeys.spdm.messages.extension_log import LogEntry

INDEX_LOG = 0x11
"""The measurement that the log extends."""

RAW = 0x80


@dataclass(frozen=True, slots=True)
class Disclosures:
    """What there is to tell. `ide_registers` are those of the IDE capability of every port, as 32-bit words.

    With `trusted_place` the device is still where it was made: slot 0 takes a chain too, and no session is needed.
    `identifiers` are a multiple of four bytes long by default, since libspdm's requester takes the padding of DOE
    behind a signed ENDPOINT_INFO for a part of it.
    """

    log: tuple[LogEntry, ...] = (
        LogEntry(1, INDEX_LOG, RAW | MeasurementType.INFORMATIONAL, b"boot ROM"),
        LogEntry(2, INDEX_LOG, RAW | MeasurementType.INFORMATIONAL, b"firmware loader"),
        LogEntry(3, INDEX_LOG, RAW | MeasurementType.VERSION, bytes((1, 2, 0, 0))),
    )
    identifiers: tuple[ClassIdentifier, ...] = (ClassIdentifier(3, b"\x36\x1b", (b"\x02\x08\x01", b"\x02")),)
    ide_registers: tuple[int, ...] = (0x00000001, 0x00000000)
    trusted_place: bool = False

    @staticmethod
    def flags() -> Capability:
        """The capabilities that say so."""
        told = Capability.MEL | Capability.EP_INFO_SIGNED | Capability.EVENT | Capability.GET_KEY_PAIR_INFO
        return told | Capability.CSR | Capability.SET_CERT
