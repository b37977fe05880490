"""ERROR and RESPOND_IF_READY (reference §1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import ErrorCode, RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import pull_header, push_header
from cmakeys.spdm.wire import Reader, le

MAX_EXTENDED_DATA = 32
"""Bytes of ExtendedErrorData."""

_EXTENDED_SIZES = {
    ErrorCode.LARGE_RESPONSE: 1,
    ErrorCode.RESPONSE_TOO_LARGE: 4,
    ErrorCode.DATA_TOO_LARGE: 4,
    ErrorCode.RESPONSE_NOT_READY: 4,
}


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """ERROR. `code` is Param1 as sent, `data` Param2, `extended` the ExtendedErrorData of 0 to 32 bytes."""

    version: Version
    code: int
    data: int = 0
    extended: bytes = b""

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode. Extended data is cut to what its code defines; a code without a definition keeps none."""
        header = pull_header(reader, ResponseCode.ERROR)
        if header.param1 == ErrorCode.VENDOR_DEFINED_ERROR:
            size = min(reader.remaining, MAX_EXTENDED_DATA)
        else:
            size = _EXTENDED_SIZES.get(_known(header.param1) or ErrorCode.UNSPECIFIED, 0)
        return cls(header.version, header.param1, header.param2, reader.take(size, "ExtendedErrorData"))

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, ResponseCode.ERROR, self.code, self.data) + self.extended

    @property
    def name(self) -> str:
        """The code's name, or its number when the specification has none."""
        known = _known(self.code)
        return known.name if known else f"error {self.code:#04x}"


@dataclass(frozen=True, slots=True)
class NotReady:
    """Extended data of ResponseNotReady: RDTExponent, RequestCode, Token, RDTM, one byte each."""

    rdt_exponent: int
    request_code: int
    token: int
    rdtm: int

    @classmethod
    def pull(cls, extended: bytes) -> Self:
        """Decode the four bytes."""
        reader = Reader(extended, "ResponseNotReady")
        return cls(reader.u8("RDTExponent"), reader.u8("RequestCode"), reader.u8("Token"), reader.u8("RDTM"))

    def push(self) -> bytes:
        """Encode the four bytes."""
        return bytes((self.rdt_exponent, self.request_code, self.token, self.rdtm))


@dataclass(frozen=True, slots=True)
class RespondIfReady:
    """Param1 the original request's code, Param2 the token."""

    version: Version
    request_code: int
    token: int

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.RESPOND_IF_READY)
        return cls(header.version, header.param1, header.param2)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, RequestCode.RESPOND_IF_READY, self.request_code, self.token)


def extended_u32(value: int) -> bytes:
    """Extended data of ResponseTooLarge and DataTooLarge."""
    return le(value, 4)


def _known(code: int) -> ErrorCode | None:
    try:
        return ErrorCode(code)
    except ValueError:
        return None
