"""The four bytes that begin every message, and the negotiated facts that decide how long the rest is.

| off | size | field |
| --- | --- | --- |
| 0 | 1 | SPDMVersion |
| 1 | 1 | RequestResponseCode |
| 2 | 1 | Param1 |
| 3 | 1 | Param2 |

Every message class has one `pull` (from a `Reader`, leaving its offset at the message's true length, so that a
transport's padding is never hashed) and one `push`. `pull` checks bounds and layout only; whether a value is
acceptable is decided in `cmakeys.spdm.connection`, which also lets the emulated device push lies.
"""

from __future__ import annotations

from dataclasses import dataclass

from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.wire import Reader

HEADER_LENGTH = 4

_VERSIONS = {version.value: version for version in Version}


@dataclass(frozen=True, slots=True)
class Header:
    """Version, code and the two parameters of a message."""

    version: Version
    code: int
    param1: int
    param2: int


@dataclass(frozen=True, slots=True)
class Layout:
    """What ALGORITHMS and CAPABILITIES settled about the sizes of later messages.

    `hash_size` (H) and `signature_size` (S) are bytes; `multi_key` is the reference's multi_key_conn_rsp (§2.3.4).
    """

    version: Version
    hash_size: int = 0
    signature_size: int = 0
    multi_key: bool = False


def pull_header(reader: Reader, code: RequestCode | ResponseCode) -> Header:
    """Read the header of a message that must have `code`. Raises `WireError` for another code or version."""
    header = peek_header(reader.take(HEADER_LENGTH, "header"), reader)
    if header.code != code:
        raise reader.fail(f"code {header.code:#04x} where {code.name} ({code.value:#04x}) is expected")
    return header


def peek_header(data: bytes, reader: Reader | None = None) -> Header:
    """The header of any message; an unknown version byte is an error."""
    version = peek_version(data, reader or Reader(data, "message"))
    return Header(version, data[1], data[2], data[3])


def peek_version(data: bytes, reader: Reader) -> Version:
    """The version of any message, which has a header at least; an unknown version byte is an error."""
    if len(data) < HEADER_LENGTH:
        raise reader.fail(f"{len(data)} bytes are no SPDM message")
    version = _VERSIONS.get(data[0])
    if version is None:
        raise reader.fail(f"unknown SPDM version byte {data[0]:#04x}")
    return version


def push_header(version: Version, code: RequestCode | ResponseCode, param1: int = 0, param2: int = 0) -> bytes:
    """The four header bytes."""
    return bytes((version, code, param1, param2))
