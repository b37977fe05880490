"""Opaque data in the general format, and the secured-message version that two sides settle in it (reference §5.5).

Header since 1.2: TotalElements u8, reserved 3. Header in 1.1: SpecID u32, OpaqueVersion u8, TotalElements u8,
reserved 2. Each element is padded with zeros to a multiple of four bytes.

| off | size | field of an element |
| --- | --- | --- |
| 0 | 1 | ID: the registry, 0 is DMTF |
| 1 | 1 | VendorLen v |
| 2 | v | VendorID |
| 2+v | 2 | OpaqueElementDataLen |
| 4+v | n | OpaqueElementData |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from cmakeys.spdm.codes import Version
from cmakeys.spdm.wire import Reader, le

SPECIFICATION_ID = 0x444D5446
"""SpecID of the 1.1 header, on the wire `FTMD`."""

REGISTRY_DMTF = 0
LAST_REGISTRY = 0x0B
"""The highest registry number that the specification defines."""

_ALIGNMENT = 4
_DMTF_DATA_VERSION = 1
_DATA_SELECTION = 0
_DATA_SUPPORTED = 1
_DATA_AEAD_LIMIT = 2
_MAX_LIMIT_EXPONENT = 64


class SecuredVersion(IntEnum):
    """Versions of the secured-message specification (DSP0277), numbered like the version byte of a message."""

    V10 = 0x10
    V11 = 0x11
    V12 = 0x12
    V13 = 0x13


@dataclass(frozen=True, slots=True)
class OpaqueElement:
    """One element: whose registry, that registry's vendor number if it has one, and the data."""

    registry: int
    data: bytes
    vendor: bytes = b""

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode one element and step over its padding."""
        start = reader.offset
        registry = reader.u8("opaque element ID")
        if registry > LAST_REGISTRY:
            raise reader.fail(f"opaque element of the undefined registry {registry}")
        vendor = reader.take(reader.u8("VendorLen"), "VendorID")
        data = reader.take(reader.u16("OpaqueElementDataLen"), "OpaqueElementData")
        if any(reader.take(-(reader.offset - start) % _ALIGNMENT, "padding of an opaque element")):
            raise reader.fail("the padding of an opaque element is not zero")
        return cls(registry, data, vendor)

    def push(self) -> bytes:
        """Encode with padding."""
        element = bytes((self.registry, len(self.vendor))) + self.vendor + le(len(self.data), 2) + self.data
        return element + bytes(-len(element) % _ALIGNMENT)


def pull_elements(opaque: bytes, version: Version) -> tuple[OpaqueElement, ...]:
    """The elements of an OpaqueData field, which they must fill exactly. Raises `WireError`."""
    reader = Reader(opaque, "OpaqueData")
    if version >= Version.V12:
        count = reader.u8("TotalElements")
        reader.take(3, "reserved")
    else:
        if reader.u32("SpecID") != SPECIFICATION_ID:
            raise reader.fail("the opaque data is not in DMTF's format")
        if reader.u8("OpaqueVersion") != 1:
            raise reader.fail("unknown version of the opaque data")
        count = reader.u8("TotalElements")
        reader.take(2, "reserved")
    elements = tuple(OpaqueElement.pull(reader) for _ in range(count))
    if reader.remaining:
        raise reader.fail(f"{reader.remaining} bytes after the last of {count} opaque elements")
    return elements


def push_elements(elements: Iterable[OpaqueElement], version: Version) -> bytes:
    """An OpaqueData field of these elements."""
    pushed = [element.push() for element in elements]
    count = len(pushed)
    header = bytes((count, 0, 0, 0))
    if version < Version.V12:
        header = le(SPECIFICATION_ID, 4) + bytes((1, count, 0, 0))
    return header + b"".join(pushed)


def supported_versions(versions: Iterable[SecuredVersion]) -> OpaqueElement:
    """The requester's element: the secured-message versions it offers, ascending."""
    entries = sorted(versions)
    data = bytes((_DMTF_DATA_VERSION, _DATA_SUPPORTED, len(entries)))
    return OpaqueElement(REGISTRY_DMTF, data + b"".join(le(entry << 8, 2) for entry in entries))


def version_selection(version: SecuredVersion) -> OpaqueElement:
    """The responder's element: the version it chose."""
    return OpaqueElement(REGISTRY_DMTF, bytes((_DMTF_DATA_VERSION, _DATA_SELECTION)) + le(version << 8, 2))


@dataclass(frozen=True, slots=True)
class SecuredParameters:
    """What the DMTF elements of a key exchange say; version numbers as they came, which may be unknown ones.

    `offered` is what a requester lists, `selected` what a responder chose (None when it chose nothing);
    `limit_exponent` allows 2 to its power records for each key.
    """

    offered: tuple[int, ...] = ()
    selected: int | None = None
    limit_exponent: int = _MAX_LIMIT_EXPONENT

    @classmethod
    def pull(cls, opaque: bytes, version: Version) -> Self:
        """Decode. Elements of other registries are stepped over; a DMTF element may come once. Raises `WireError`."""
        offered: tuple[int, ...] = ()
        selected: int | None = None
        exponent = _MAX_LIMIT_EXPONENT
        seen: set[int] = set()
        for element in pull_elements(opaque, version):
            if element.registry != REGISTRY_DMTF:
                continue
            reader = Reader(element.data, "DMTF opaque element")
            if reader.u8("SMDataVersion") != _DMTF_DATA_VERSION:
                raise reader.fail("unknown version of a secured-message element")
            kind = reader.u8("SMDataID")
            if kind in seen:
                raise reader.fail(f"two secured-message elements of kind {kind}")
            seen.add(kind)
            if kind == _DATA_SUPPORTED:
                offered = tuple(reader.u16("version entry") >> 8 for _ in range(reader.u8("VersionCount")))
            elif kind == _DATA_SELECTION:
                selected = reader.u16("SelectedVersion") >> 8
            elif kind == _DATA_AEAD_LIMIT:
                exponent = reader.u8("AEAD limit exponent")
                if exponent > _MAX_LIMIT_EXPONENT:
                    raise reader.fail(f"AEAD limit exponent {exponent} is more than {_MAX_LIMIT_EXPONENT}")
            else:
                raise reader.fail(f"unknown secured-message element {kind}")
            if reader.remaining:
                raise reader.fail(f"{reader.remaining} bytes too many in a secured-message element")
        return cls(offered, selected, exponent)
