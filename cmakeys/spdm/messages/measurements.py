"""GET_MEASUREMENTS, MEASUREMENTS and the measurement blocks (reference §4.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import CONTEXT_LENGTH, NONCE_LENGTH, MeasurementType, RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.challenge import pull_opaque
from cmakeys.spdm.messages.header import Layout, pull_header, push_header
from cmakeys.spdm.wire import Reader, le

SIGNATURE_REQUESTED = 0x01
RAW_REQUESTED = 0x02
NEW_MEASUREMENT = 0x04
"""Param1 of GET_MEASUREMENTS: bit 0 signature, bit 1 raw bit stream [1.2], bit 2 new measurement [1.3]."""

MAX_BLOCKS = 254

_BLOCK = struct.Struct("<BBHBH")
"""What stands before a block's value; read in one go, since evidence is mostly blocks."""


@dataclass(frozen=True, slots=True)
class GetMeasurements:
    """Param2 is 0 (count), 0xFF (all) or an index; nonce and slot travel only with a signature request."""

    version: Version
    attributes: int
    operation: int
    nonce: bytes = b""
    slot: int = 0
    context: bytes = b""

    @property
    def signed(self) -> bool:
        """A signature is requested."""
        return bool(self.attributes & SIGNATURE_REQUESTED)

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.GET_MEASUREMENTS)
        nonce, slot = b"", 0
        if header.param1 & SIGNATURE_REQUESTED:
            nonce = reader.take(NONCE_LENGTH, "Nonce")
            if header.version >= Version.V11:
                slot = reader.u8("SlotIDParam") & 0x0F
        context = reader.take(CONTEXT_LENGTH, "RequesterContext") if header.version >= Version.V13 else b""
        return cls(header.version, header.param1, header.param2, nonce, slot, context)

    def push(self) -> bytes:
        """Encode."""
        message = push_header(self.version, RequestCode.GET_MEASUREMENTS, self.attributes, self.operation)
        if self.signed:
            message += self.nonce
            if self.version >= Version.V11:
                message += bytes((self.slot,))
        return message + self.context


@dataclass(frozen=True, slots=True)
class MeasurementBlock:
    """One block in DMTF form.

    | off | size | field |
    | --- | --- | --- |
    | 0 | 1 | Index |
    | 1 | 1 | MeasurementSpecification |
    | 2 | 2 | MeasurementSize = 3 + value size |
    | 4 | 1 | DMTFSpecMeasurementValueType: bit 7 raw, bits 6:0 type |
    | 5 | 2 | DMTFSpecMeasurementValueSize |
    | 7 | v | value |
    """

    index: int
    value_type: int
    value: bytes
    specification: int = 1

    @property
    def raw(self) -> bool:
        """The value is a raw bit stream, not a digest."""
        return bool(self.value_type & 0x80)

    @property
    def kind(self) -> MeasurementType | int:
        """What is measured; a number the specification does not define is given as it came."""
        number = self.value_type & 0x7F
        try:
            return MeasurementType(number)
        except ValueError:
            return number

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode one block. Raises `WireError` when its sizes contradict each other."""
        index, specification, size, value_type, value_size = _BLOCK.unpack(reader.take(_BLOCK.size, "block"))
        if size != value_size + 3:
            raise reader.fail(f"block {index}: MeasurementSize {size} is not 3 + value size {value_size}")
        return cls(index, value_type, reader.take(value_size, f"value of block {index}"), specification)

    def push(self) -> bytes:
        """Encode."""
        return (
            bytes((self.index, self.specification))
            + le(len(self.value) + 3, 2)
            + bytes((self.value_type,))
            + le(len(self.value), 2)
            + self.value
        )


def pull_blocks(record: bytes, count: int) -> tuple[MeasurementBlock, ...]:
    """Decode a measurement record that must consist of exactly `count` blocks."""
    reader = Reader(record, "MeasurementRecord")
    blocks = tuple(MeasurementBlock.pull(reader) for _ in range(count))
    if reader.remaining:
        raise reader.fail(f"{reader.remaining} bytes after the last of {count} blocks")
    return blocks


@dataclass(frozen=True, slots=True)
class Measurements:
    """MEASUREMENTS.

    | off | size | field |
    | --- | --- | --- |
    | 2 | 1 | number of indices (operation 0) |
    | 3 | 1 | slot in bits 3:0, content changed in bits 5:4 [1.2] |
    | 4 | 1 | NumberOfBlocks |
    | 5 | 3 | MeasurementRecordLength |
    | 8 | L | MeasurementRecord |
    | 8+L | 32 | Nonce |
    | … | 2, n | OpaqueLength, OpaqueData |
    | … | 8 | RequesterContext [1.3] |
    | … | S | Signature, if requested |
    """

    version: Version
    param1: int
    param2: int
    block_count: int
    record: bytes
    nonce: bytes
    opaque: bytes = b""
    context: bytes = b""
    signature: bytes = b""

    @classmethod
    def pull(cls, reader: Reader, layout: Layout, *, signed: bool) -> Self:
        """Decode; whether a signature follows is known from the request."""
        header = pull_header(reader, ResponseCode.MEASUREMENTS)
        block_count = reader.u8("NumberOfBlocks")
        length = reader.uint(3, "MeasurementRecordLength")
        record = reader.take(length, "MeasurementRecord")
        nonce = reader.take(NONCE_LENGTH, "Nonce")
        opaque = pull_opaque(reader)
        context = reader.take(CONTEXT_LENGTH, "RequesterContext") if header.version >= Version.V13 else b""
        signature = reader.take(layout.signature_size, "Signature") if signed else b""
        return cls(header.version, header.param1, header.param2, block_count, record, nonce, opaque, context, signature)

    @property
    def slot(self) -> int:
        """Slot whose key signed."""
        return self.param2 & 0x0F

    @property
    def content_changed(self) -> int:
        """0 not detected, 1 changed during the exchange, 2 unchanged, 3 reserved."""
        return self.param2 >> 4 & 3

    def blocks(self) -> tuple[MeasurementBlock, ...]:
        """The blocks of the record, strictly decoded."""
        return pull_blocks(self.record, self.block_count)

    def push(self) -> bytes:
        """Encode."""
        return self.push_unsigned() + self.signature

    def push_unsigned(self) -> bytes:
        """Encode without the signature."""
        return (
            push_header(self.version, ResponseCode.MEASUREMENTS, self.param1, self.param2)
            + bytes((self.block_count,))
            + le(len(self.record), 3)
            + self.record
            + self.nonce
            + le(len(self.opaque), 2)
            + self.opaque
            + self.context
        )
