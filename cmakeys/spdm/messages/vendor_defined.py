"""VENDOR_DEFINED_REQUEST and VENDOR_DEFINED_RESPONSE (reference §7.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import pull_header, push_header
from cmakeys.spdm.wire import Reader, le

LARGE_PAYLOAD = 0x80
"""Param1 bit 7, since 1.4: the length has 32 bits."""


class Registry(IntEnum):
    """StandardID: whose numbers VendorID holds."""

    DMTF = 0
    TCG = 1
    USB = 2
    PCI_SIG = 3
    IANA = 4
    HDBASET = 5
    MIPI = 6
    CXL = 7
    JEDEC = 8
    VESA = 9
    IANA_CBOR = 10
    DMTF_DSP = 11


@dataclass(frozen=True, slots=True)
class Vendor:
    """Who defines a message: a registry and a number in it, as it stands on the wire."""

    registry: int
    number: bytes = b""

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode StandardID u16, Len u8, VendorID."""
        registry = reader.u16("StandardID")
        return cls(registry, reader.take(reader.u8("Len"), "VendorID"))

    def push(self) -> bytes:
        """Encode."""
        return le(self.registry, 2) + bytes((len(self.number),)) + self.number


@dataclass(frozen=True, slots=True)
class _VendorDefined:
    version: Version
    vendor: Vendor
    payload: bytes
    large: bool = False
    unused: int = 0
    """What stands in the 16-bit length of the large form. It means nothing there; libspdm leaves it as it was."""

    @classmethod
    def _pull(cls, reader: Reader, code: RequestCode | ResponseCode) -> Self:
        header = pull_header(reader, code)
        vendor = Vendor.pull(reader)
        length = reader.u16("Length")
        large = header.version >= Version.V14 and bool(header.param1 & LARGE_PAYLOAD)
        if large:
            payload = reader.take(reader.u32("LargeLength"), "payload")
            return cls(header.version, vendor, payload, large, unused=length)
        return cls(header.version, vendor, reader.take(length, "payload"))

    def _push(self, code: RequestCode | ResponseCode) -> bytes:
        header = push_header(self.version, code, LARGE_PAYLOAD if self.large else 0) + self.vendor.push()
        if self.large:
            return header + le(self.unused, 2) + le(len(self.payload), 4) + self.payload
        return header + le(len(self.payload), 2) + self.payload


class VendorDefinedRequest(_VendorDefined):
    """StandardID u16, Len u8, VendorID, ReqLength u16, [large: u32,] payload."""

    __slots__ = ()

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        return cls._pull(reader, RequestCode.VENDOR_DEFINED_REQUEST)

    def push(self) -> bytes:
        """Encode."""
        return self._push(RequestCode.VENDOR_DEFINED_REQUEST)


class VendorDefinedResponse(_VendorDefined):
    """As the request; `vendor` repeats the request's."""

    __slots__ = ()

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        return cls._pull(reader, ResponseCode.VENDOR_DEFINED_RESPONSE)

    def push(self) -> bytes:
        """Encode."""
        return self._push(ResponseCode.VENDOR_DEFINED_RESPONSE)
