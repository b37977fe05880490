"""FINISH and FINISH_RSP (reference §5.2): both sides prove that they have derived the same keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.challenge import pull_opaque
from cmakeys.spdm.messages.header import Layout, pull_header, push_header
from cmakeys.spdm.wire import Reader, le

SIGNATURE_INCLUDED = 0x01
"""Param1 bit 0 of FINISH."""


def pull_late_opaque(reader: Reader, version: Version) -> bytes:
    """The OpaqueData that 1.4 put into the messages that end a handshake; nothing before."""
    return pull_opaque(reader) if version >= Version.V14 else b""


def push_late_opaque(opaque: bytes, version: Version) -> bytes:
    """Its encoding."""
    return le(len(opaque), 2) + opaque if version >= Version.V14 else b""


@dataclass(frozen=True, slots=True)
class Finish:
    """FINISH; a signature is there exactly with mutual authentication.

    | off | size | field |
    | --- | --- | --- |
    | 2 | 1 | bit 0 signature included |
    | 3 | 1 | requester's slot, 0xFF for a provisioned key, 0 without mutual authentication |
    | 4 | 2, n | OpaqueDataLength, OpaqueData [1.4] |
    | … | S or 0 | Signature |
    | … | H | RequesterVerifyData |
    """

    version: Version
    verify_data: bytes
    slot: int = 0
    signature: bytes = b""
    opaque: bytes = b""

    @classmethod
    def pull(cls, reader: Reader, layout: Layout, requester_signature_size: int) -> Self:
        """Decode. Raises `WireError` for a signature where no algorithm was negotiated for the requester."""
        header = pull_header(reader, RequestCode.FINISH)
        opaque = pull_late_opaque(reader, header.version)
        signature = b""
        if header.param1 & SIGNATURE_INCLUDED:
            if not requester_signature_size:
                raise reader.fail("a requester's signature without a negotiated algorithm")
            signature = reader.take(requester_signature_size, "Signature")
        verify_data = reader.take(layout.hash_size, "RequesterVerifyData")
        return cls(header.version, verify_data, header.param2, signature, opaque)

    def push(self) -> bytes:
        """Encode."""
        attributes = SIGNATURE_INCLUDED if self.signature else 0
        return push_finish_start(self.version, attributes, self.slot, self.opaque) + self.signature + self.verify_data


def push_finish_start(version: Version, attributes: int, slot: int, opaque: bytes = b"") -> bytes:
    """FINISH up to its signature: what the requester signs, and hashes before its verify data is known."""
    return push_header(version, RequestCode.FINISH, attributes, slot) + push_late_opaque(opaque, version)


@dataclass(frozen=True, slots=True)
class FinishResponse:
    """FINISH_RSP: header, OpaqueData [1.4], and ResponderVerifyData when the handshake is in the clear."""

    version: Version
    verify_data: bytes = b""
    opaque: bytes = b""

    @classmethod
    def pull(cls, reader: Reader, layout: Layout, *, has_verify_data: bool) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.FINISH_RSP)
        opaque = pull_late_opaque(reader, header.version)
        verify_data = reader.take(layout.hash_size, "ResponderVerifyData") if has_verify_data else b""
        return cls(header.version, verify_data, opaque)

    def push(self) -> bytes:
        """Encode."""
        return self.push_unverified() + self.verify_data

    def push_unverified(self) -> bytes:
        """Encode without the verify data: the part that it covers."""
        return push_header(self.version, ResponseCode.FINISH_RSP) + push_late_opaque(self.opaque, self.version)
