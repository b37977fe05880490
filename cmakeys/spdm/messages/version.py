"""GET_VERSION and VERSION (reference §2.1). Both always carry version byte 0x10."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import pull_header, push_header
from cmakeys.spdm.wire import Reader, le


@dataclass(frozen=True, slots=True)
class GetVersion:
    """`10 84 00 00`."""

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.GET_VERSION)
        if header.version != Version.V10:
            raise reader.fail(f"GET_VERSION carries version {header.version}, not 1.0")
        return cls()

    def push(self) -> bytes:
        """Encode."""
        return push_header(Version.V10, RequestCode.GET_VERSION)


@dataclass(frozen=True, slots=True)
class VersionResponse:
    """The versions a responder speaks.

    | off | size | field |
    | --- | --- | --- |
    | 4 | 1 | reserved |
    | 5 | 1 | VersionNumberEntryCount n |
    | 6 | 2n | entries: bits 15:12 major, 11:8 minor, 7:4 update, 3:0 alpha |
    """

    entries: tuple[int, ...]

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.VERSION)
        if header.version != Version.V10:
            raise reader.fail(f"VERSION carries version {header.version}, not 1.0")
        reader.take(1, "reserved")
        count = reader.u8("VersionNumberEntryCount")
        return cls(tuple(reader.u16("VersionNumberEntry") for _ in range(count)))

    def push(self) -> bytes:
        """Encode."""
        body = b"".join(le(entry, 2) for entry in self.entries)
        return push_header(Version.V10, ResponseCode.VERSION) + bytes((0, len(self.entries))) + body

    @property
    def versions(self) -> frozenset[Version]:
        """The versions listed that this program knows; update and alpha nibbles do not matter."""
        known = set(Version)
        return frozenset(Version(entry >> 8) for entry in self.entries if entry >> 8 in known)
