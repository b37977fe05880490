"""GET_CAPABILITIES and CAPABILITIES (reference §2.2).

| off | size | field | request | response |
| --- | --- | --- | --- | --- |
| 4 | 1 | reserved | 1.1+ | 1.0+ |
| 5 | 1 | CTExponent, µs | 1.1+ | 1.0+ |
| 6 | 2 | reserved, ExtFlags [1.4 response] | 1.1+ | 1.0+ |
| 8 | 4 | Flags | 1.1+ | 1.0+ |
| 12 | 4 | DataTransferSize, bytes | 1.2+ | 1.2+ |
| 16 | 4 | MaxSPDMmsgSize, bytes | 1.2+ | 1.2+ |
| 20 | … | Supported Algorithms block | – | 1.3+, if Param1 bit 0 |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import REQUESTER_FLAGS, RESPONDER_FLAGS, Capability, RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import pull_header, push_header
from cmakeys.spdm.wire import Reader, le

SUPPORTED_ALGORITHMS = 0x01
"""Param1 bit 0, since 1.3: the Supported Algorithms block is wanted, or present."""


@dataclass(frozen=True, slots=True)
class GetCapabilities:
    """The requester's capabilities. Fields that a version does not carry are not encoded and read back as 0."""

    version: Version
    flags: Capability = Capability(0)
    ct_exponent: int = 0
    data_transfer_size: int = 0
    max_message_size: int = 0
    param1: int = 0

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.GET_CAPABILITIES)
        version = header.version
        if version == Version.V10:
            return cls(version)
        reader.take(1, "reserved")
        ct_exponent = reader.u8("CTExponent")
        reader.take(2, "reserved")
        flags = Capability(reader.u32("Flags") & REQUESTER_FLAGS[version])
        if version < Version.V12:
            return cls(version, flags, ct_exponent)
        transfer = reader.u32("DataTransferSize")
        maximum = reader.u32("MaxSPDMmsgSize")
        param1 = header.param1 if version >= Version.V13 else 0
        return cls(version, flags, ct_exponent, transfer, maximum, param1)

    def push(self) -> bytes:
        """Encode."""
        message = push_header(self.version, RequestCode.GET_CAPABILITIES, self.param1)
        if self.version == Version.V10:
            return message
        message += bytes((0, self.ct_exponent, 0, 0)) + le(int(self.flags), 4)
        if self.version < Version.V12:
            return message
        return message + le(self.data_transfer_size, 4) + le(self.max_message_size, 4)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The responder's capabilities; `flags` keeps only what has a meaning in this version."""

    version: Version
    flags: Capability
    ct_exponent: int = 0
    data_transfer_size: int = 0
    max_message_size: int = 0
    ext_flags: int = 0
    algorithms_block: bytes = b""

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.CAPABILITIES)
        version = header.version
        reader.take(1, "reserved")
        ct_exponent = reader.u8("CTExponent")
        ext_flags = reader.u16("ExtFlags")
        flags = Capability(reader.u32("Flags") & RESPONDER_FLAGS[version])
        if version < Version.V12:
            return cls(version, flags, ct_exponent)
        transfer = reader.u32("DataTransferSize")
        maximum = reader.u32("MaxSPDMmsgSize")
        block = b""
        if version >= Version.V13 and header.param1 & SUPPORTED_ALGORITHMS:
            prefix = reader.take(4, "Supported Algorithms")
            length = int.from_bytes(prefix[2:4], "little")
            if length < 30:
                raise reader.fail(f"Supported Algorithms block of {length} bytes, at least 30 needed")
            block = prefix + reader.take(length - 4, "Supported Algorithms")
        return cls(version, flags, ct_exponent, transfer, maximum, ext_flags if version >= Version.V14 else 0, block)

    def push(self) -> bytes:
        """Encode."""
        param1 = SUPPORTED_ALGORITHMS if self.algorithms_block else 0
        message = push_header(self.version, ResponseCode.CAPABILITIES, param1)
        message += bytes((0, self.ct_exponent)) + le(self.ext_flags, 2) + le(int(self.flags), 4)
        if self.version < Version.V12:
            return message
        return message + le(self.data_transfer_size, 4) + le(self.max_message_size, 4) + self.algorithms_block
