"""NEGOTIATE_ALGORITHMS and ALGORITHMS (reference §2.3). Their fixed parts have different offsets.

NEGOTIATE_ALGORITHMS: 4 Length u16, 6 MeasurementSpecification, 7 OtherParamsSupport, 8 BaseAsymAlgo u32,
12 BaseHashAlgo u32, 16 PqcAsymAlgo u32 [1.4], 20 reserved 8, 28 ExtAsymCount, 29 ExtHashCount, 30 reserved,
31 MELspecification [1.3], 32 external algorithms of 4 bytes, then struct tables of 4 bytes.

ALGORITHMS: 4 Length u16, 6 MeasurementSpecificationSel, 7 OtherParamsSelection, 8 MeasurementHashAlgo u32,
12 BaseAsymSel u32, 16 BaseHashSel u32, 20 PqcAsymSel u32 [1.4], 24 reserved 7, 31 MELspecificationSel [1.3],
32 ExtAsymSelCount, 33 ExtHashSelCount, 34 reserved 2, 36 external algorithms, then struct tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.algorithms import BaseAsym, BaseHash, PqcAsym
from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import pull_header, push_header
from cmakeys.spdm.wire import Reader, le

TABLE_DHE = 2
TABLE_AEAD = 3
TABLE_REQ_BASE_ASYM = 4
TABLE_KEY_SCHEDULE = 5
TABLE_REQ_PQC_ASYM = 6
TABLE_KEM = 7

MAX_EXTERNAL = 40
"""External algorithms in one message; the specification allows 20 of each kind."""


@dataclass(frozen=True, slots=True)
class StructTable:
    """One 4-byte table: AlgType, AlgCount (0x20 = two bytes of mask, no external algorithms), AlgSupported mask."""

    type: int
    mask: int
    count: int = 0x20

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode, stepping over external algorithms."""
        kind = reader.u8("AlgType")
        count = reader.u8("AlgCount")
        if count >> 4 != 2:
            raise reader.fail(f"struct table {kind} has a fixed field of {count >> 4} bytes, 2 expected")
        mask = reader.u16("AlgSupported")
        reader.take(4 * (count & 0x0F), "AlgExternal")
        return cls(kind, mask, count)

    def push(self) -> bytes:
        """Encode."""
        return bytes((self.type, self.count)) + le(self.mask, 2) + bytes(4 * (self.count & 0x0F))


def _pull_tail(reader: Reader, ext_count: int, table_count: int, length: int) -> tuple[StructTable, ...]:
    if ext_count > MAX_EXTERNAL:
        raise reader.fail(f"{ext_count} external algorithms, at most {MAX_EXTERNAL} are allowed")
    reader.take(4 * ext_count, "external algorithms")
    tables = tuple(StructTable.pull(reader) for _ in range(table_count))
    if reader.offset != length:
        raise reader.fail(f"Length says {length} bytes, the fields take {reader.offset}")
    return tables


@dataclass(frozen=True, slots=True)
class NegotiateAlgorithms:
    """What the requester offers."""

    version: Version
    base_asym: BaseAsym
    base_hash: BaseHash
    measurement_specification: int = 0
    other_params: int = 0
    pqc_asym: PqcAsym = PqcAsym(0)
    mel_specification: int = 0
    tables: tuple[StructTable, ...] = ()

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.NEGOTIATE_ALGORITHMS)
        length = reader.u16("Length")
        measurement_specification = reader.u8("MeasurementSpecification")
        other_params = reader.u8("OtherParamsSupport")
        base_asym = BaseAsym(reader.u32("BaseAsymAlgo") & 0xFFF)
        base_hash = BaseHash(reader.u32("BaseHashAlgo") & 0x7F)
        pqc = reader.u32("PqcAsymAlgo")
        reader.take(8, "reserved")
        ext_count = reader.u8("ExtAsymCount") + reader.u8("ExtHashCount")
        reader.take(1, "reserved")
        mel = reader.u8("MELspecification")
        tables = _pull_tail(reader, ext_count, header.param1 if header.version > Version.V10 else 0, length)
        return cls(
            header.version,
            base_asym,
            base_hash,
            measurement_specification,
            other_params if header.version >= Version.V12 else 0,
            PqcAsym(pqc & 0x7FFF) if header.version >= Version.V14 else PqcAsym(0),
            mel if header.version >= Version.V13 else 0,
            tables,
        )

    def push(self) -> bytes:
        """Encode."""
        tables = b"".join(table.push() for table in self.tables)
        return (
            push_header(self.version, RequestCode.NEGOTIATE_ALGORITHMS, len(self.tables))
            + le(32 + len(tables), 2)
            + bytes((self.measurement_specification, self.other_params))
            + le(self.base_asym.value, 4)
            + le(self.base_hash.value, 4)
            + le(self.pqc_asym.value, 4)
            + bytes(8 + 3)
            + bytes((self.mel_specification,))
            + tables
        )


@dataclass(frozen=True, slots=True)
class Algorithms:
    """What the responder selected. Masks are kept raw: whether they are one bit and offered is for the connection."""

    version: Version
    base_asym: int
    base_hash: int
    measurement_hash: int = 0
    measurement_specification: int = 0
    other_params: int = 0
    pqc_asym: int = 0
    mel_specification: int = 0
    ext_asym_count: int = 0
    ext_hash_count: int = 0
    tables: tuple[StructTable, ...] = ()

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.ALGORITHMS)
        length = reader.u16("Length")
        measurement_specification = reader.u8("MeasurementSpecificationSel")
        other_params = reader.u8("OtherParamsSelection")
        measurement_hash = reader.u32("MeasurementHashAlgo")
        base_asym = reader.u32("BaseAsymSel")
        base_hash = reader.u32("BaseHashSel")
        pqc = reader.u32("PqcAsymSel")
        reader.take(7, "reserved")
        mel = reader.u8("MELspecificationSel")
        ext_asym = reader.u8("ExtAsymSelCount")
        ext_hash = reader.u8("ExtHashSelCount")
        reader.take(2, "reserved")
        count = header.param1 if header.version > Version.V10 else 0
        tables = _pull_tail(reader, ext_asym + ext_hash, count, length)
        return cls(
            header.version,
            base_asym,
            base_hash,
            measurement_hash,
            measurement_specification,
            other_params if header.version >= Version.V12 else 0,
            pqc if header.version >= Version.V14 else 0,
            mel if header.version >= Version.V13 else 0,
            ext_asym,
            ext_hash,
            tables,
        )

    def push(self) -> bytes:
        """Encode."""
        tables = b"".join(table.push() for table in self.tables)
        external = bytes(4 * (self.ext_asym_count + self.ext_hash_count))
        return (
            push_header(self.version, ResponseCode.ALGORITHMS, len(self.tables))
            + le(36 + len(external) + len(tables), 2)
            + bytes((self.measurement_specification, self.other_params))
            + le(self.measurement_hash, 4)
            + le(self.base_asym, 4)
            + le(self.base_hash, 4)
            + le(self.pqc_asym, 4)
            + bytes(7)
            + bytes((self.mel_specification, self.ext_asym_count, self.ext_hash_count, 0, 0))
            + external
            + tables
        )

    def selected(self, table_type: int) -> int:
        """The mask selected in the struct table of `table_type`, 0 when there is none."""
        return next((table.mask for table in self.tables if table.type == table_type), 0)
