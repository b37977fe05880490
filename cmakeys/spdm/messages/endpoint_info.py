"""GET_ENDPOINT_INFO, ENDPOINT_INFO and the device class identifier (reference §7.4). Since 1.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import NONCE_LENGTH, RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import Layout, pull_header, push_header
from cmakeys.spdm.wire import Reader, le

DEVICE_CLASS_IDENTIFIER = 1
"""Param1 of GET_ENDPOINT_INFO: the only subcode that is defined."""

SIGNATURE_REQUESTED = 0x01


@dataclass(frozen=True, slots=True)
class GetEndpointInfo:
    """`nonce` is empty when no signature is asked for; `slot` must then be 0."""

    version: Version
    slot: int = 0
    nonce: bytes = b""
    subcode: int = DEVICE_CLASS_IDENTIFIER

    @property
    def signed(self) -> bool:
        """A signature is requested."""
        return bool(self.nonce)

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.GET_ENDPOINT_INFO)
        signed = reader.u8("RequestAttributes") & SIGNATURE_REQUESTED
        reader.take(3, "reserved")
        nonce = reader.take(NONCE_LENGTH, "Nonce") if signed else b""
        return cls(header.version, header.param2 & 0x0F, nonce, header.param1)

    def push(self) -> bytes:
        """Encode."""
        header = push_header(self.version, RequestCode.GET_ENDPOINT_INFO, self.subcode, self.slot)
        return header + bytes((SIGNATURE_REQUESTED if self.signed else 0, 0, 0, 0)) + self.nonce


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """ENDPOINT_INFO.

    | off | size | field |
    | --- | --- | --- |
    | 3 | 1 | slot in bits 3:0 |
    | 4 | 4 | reserved |
    | 8 | 32 | Nonce, with a signature |
    | … | 4, n | EPInfoLen, EPInfo |
    | … | S | Signature over IL1 |
    """

    version: Version
    slot: int
    information: bytes
    nonce: bytes = b""
    signature: bytes = b""

    @classmethod
    def pull(cls, reader: Reader, layout: Layout, *, signed: bool) -> Self:
        """Decode; whether a signature follows is known from the request."""
        header = pull_header(reader, ResponseCode.ENDPOINT_INFO)
        reader.take(4, "reserved")
        nonce = reader.take(NONCE_LENGTH, "Nonce") if signed else b""
        information = reader.take(reader.u32("EPInfoLen"), "EPInfo")
        signature = reader.take(layout.signature_size, "Signature") if signed else b""
        return cls(header.version, header.param2 & 0x0F, information, nonce, signature)

    def push_unsigned(self) -> bytes:
        """Encode without the signature."""
        header = push_header(self.version, ResponseCode.ENDPOINT_INFO, 0, self.slot)
        return header + bytes(4) + self.nonce + le(len(self.information), 4) + self.information

    def push(self) -> bytes:
        """Encode."""
        return self.push_unsigned() + self.signature


@dataclass(frozen=True, slots=True)
class ClassIdentifier:
    """One identifier: who says so (`registry` and `vendor`), and what the device is in that registry's terms."""

    registry: int
    vendor: bytes
    parts: tuple[bytes, ...]

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode. Raises `WireError` when IdElemLength is not the length of what it announces."""
        length = reader.u8("IdElemLength")
        start = reader.offset
        registry = reader.u8("SVH registry")
        vendor = reader.take(reader.u8("VendorIDLen"), "VendorID")
        parts = tuple(reader.take(reader.u8("SubIDLen"), "SubIdentifier") for _ in range(reader.u8("NumSubIds")))
        if reader.offset - start != length:
            raise reader.fail(f"IdElemLength {length}, the element takes {reader.offset - start} bytes")
        return cls(registry, vendor, parts)

    def push(self) -> bytes:
        """Encode."""
        parts = b"".join(bytes((len(part),)) + part for part in self.parts)
        body = bytes((self.registry, len(self.vendor))) + self.vendor + bytes((len(self.parts),)) + parts
        return bytes((len(body),)) + body


def pull_class_identifiers(information: bytes) -> tuple[ClassIdentifier, ...]:
    """Decode the information of subcode `DEVICE_CLASS_IDENTIFIER`. Raises `WireError`."""
    reader = Reader(information, "device class identifier")
    count = reader.u8("NumIdentifiers")
    reader.take(3, "reserved")
    found = tuple(ClassIdentifier.pull(reader) for _ in range(count))
    if reader.remaining:
        raise reader.fail(f"{reader.remaining} bytes after the last of {count} identifiers")
    return found


def push_class_identifiers(identifiers: tuple[ClassIdentifier, ...]) -> bytes:
    """Encode."""
    return bytes((len(identifiers), 0, 0, 0)) + b"".join(one.push() for one in identifiers)
