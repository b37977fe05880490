"""SPDM over storage (DSP0286, reference §9.4): what NVMe Security Send/Receive, SCSI and ATA Trusted commands carry.

A command names the security protocol 0xE8 and 16 bits that are specific to it: operation and connection. A SEND brings
a request and a RECEIVE fetches its answer, both without any header of their own; how long an answer is says PENDING.
No device that speaks this could be had, so this rests on the specification's tables and libspdm's sources alone.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from cmakeys.transports.base import TransportFramingError

SECURITY_PROTOCOL = 0xE8
"""DMTF's own security protocol."""

DISCOVERY_LENGTH = 32
PENDING_LENGTH = 12
BINDING_VERSION = 0x1000
MAX_CONNECTION = 3
RESERVED_LENGTH = 4
"""Bytes before the record of a secured message."""

_DISCOVERY = struct.Struct("<HHB3xB7x16x")
_PENDING = struct.Struct("<HHII")
_PENDING_FLAG = 0x1


class Operation(IntEnum):
    """What a command is about."""

    DISCOVERY = 1
    PENDING_INFO = 2
    MESSAGE = 5
    SECURED_MESSAGE = 6


def protocol_specific(operation: Operation, connection: int = 0) -> int:
    """SP-specific: the connection in bits 1:0 and the operation in bits 7:2. Raises `ValueError` for a connection that
    does not exist."""
    if not 0 <= connection <= MAX_CONNECTION:
        raise ValueError(f"connection {connection}: there are 0 to {MAX_CONNECTION}")
    return operation << 2 | connection


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a device says of itself.

    ==== ==== ==========================
    off  size field
    ==== ==== ==========================
    0    2    data length, 32
    2    2    version of the binding
    4    1    connection parameters
    5    3    reserved
    8    1    supported operations
    9    23   reserved
    ==== ==== ==========================
    """

    version: int
    parameters: int
    operations: int

    @classmethod
    def unpack(cls, data: bytes, source: str = "") -> Discovery:
        """Take the answer apart. Raises `TransportFramingError`."""
        if len(data) < DISCOVERY_LENGTH:
            raise TransportFramingError(f"{len(data)} bytes are too few for a discovery", object=source)
        length, version, parameters, operations = _DISCOVERY.unpack_from(data)
        if length < DISCOVERY_LENGTH:
            raise TransportFramingError(f"a discovery of {length} bytes", object=source)
        return cls(version, parameters, operations)

    def pack(self) -> bytes:
        """The answer of a device."""
        return _DISCOVERY.pack(DISCOVERY_LENGTH, self.version, self.parameters, self.operations)


@dataclass(frozen=True, slots=True)
class PendingInfo:
    """Whether an answer waits, and its bytes: length u16, version u16, flag u32, response length u32."""

    pending: bool
    length: int

    @classmethod
    def unpack(cls, data: bytes, source: str = "") -> PendingInfo:
        """Take the answer apart. Raises `TransportFramingError`."""
        if len(data) < PENDING_LENGTH:
            raise TransportFramingError(f"{len(data)} bytes are too few for pending information", object=source)
        size, _, flags, length = _PENDING.unpack_from(data)
        if size < PENDING_LENGTH:
            raise TransportFramingError(f"pending information of {size} bytes", object=source)
        return cls(bool(flags & _PENDING_FLAG), length)

    def pack(self) -> bytes:
        """The answer of a device."""
        return _PENDING.pack(PENDING_LENGTH, BINDING_VERSION, _PENDING_FLAG if self.pending else 0, self.length)


def pack_secured(record: bytes) -> bytes:
    """The data of a secured message: four reserved bytes, then the record."""
    return bytes(RESERVED_LENGTH) + record


def unpack_secured(data: bytes, source: str = "") -> bytes:
    """The record of a secured message. Raises `TransportFramingError`."""
    if len(data) <= RESERVED_LENGTH or any(data[:RESERVED_LENGTH]):
        raise TransportFramingError("a secured message without its four reserved bytes", object=source)
    return data[RESERVED_LENGTH:]
