"""CHALLENGE and CHALLENGE_AUTH (reference §4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import CONTEXT_LENGTH, MAX_OPAQUE_LENGTH, NONCE_LENGTH, RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import Layout, pull_header, push_header
from cmakeys.spdm.wire import Reader, le

REQUESTS_AUTHENTICATION = 0x80
"""Param1 bit 7 of CHALLENGE_AUTH, since 1.1: the responder asks in turn who the requester is."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Param1 slot (0xFF: provisioned key), Param2 summary hash type, 4 Nonce 32, 36 RequesterContext 8 [1.3]."""

    version: Version
    slot: int
    nonce: bytes
    summary_hash: int = 0
    context: bytes = b""

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.CHALLENGE)
        nonce = reader.take(NONCE_LENGTH, "Nonce")
        context = reader.take(CONTEXT_LENGTH, "RequesterContext") if header.version >= Version.V13 else b""
        return cls(header.version, header.param1, nonce, header.param2, context)

    def push(self) -> bytes:
        """Encode."""
        return (
            push_header(self.version, RequestCode.CHALLENGE, self.slot, self.summary_hash) + self.nonce + self.context
        )


@dataclass(frozen=True, slots=True)
class ChallengeAuth:
    """The responder's proof of possession.

    | off | size | field |
    | --- | --- | --- |
    | 2 | 1 | slot in bits 3:0; bit 7 basic mutual authentication asked for |
    | 3 | 1 | provisioned slot mask |
    | 4 | H | CertChainHash |
    | 4+H | 32 | Nonce |
    | 36+H | H or 0 | MeasurementSummaryHash |
    | … | 2, n | OpaqueLength, OpaqueData |
    | … | 8 | RequesterContext [1.3] |
    | … | S | Signature |
    """

    version: Version
    param1: int
    slot_mask: int
    chain_hash: bytes
    nonce: bytes
    summary_hash: bytes
    opaque: bytes
    context: bytes
    signature: bytes

    @classmethod
    def pull(cls, reader: Reader, layout: Layout, *, has_summary: bool) -> Self:
        """Decode; whether a summary hash is there follows from the request and the capabilities, not from the bytes."""
        header = pull_header(reader, ResponseCode.CHALLENGE_AUTH)
        chain_hash = reader.take(layout.hash_size, "CertChainHash")
        nonce = reader.take(NONCE_LENGTH, "Nonce")
        summary = reader.take(layout.hash_size, "MeasurementSummaryHash") if has_summary else b""
        opaque = pull_opaque(reader)
        context = reader.take(CONTEXT_LENGTH, "RequesterContext") if header.version >= Version.V13 else b""
        signature = reader.take(layout.signature_size, "Signature")
        return cls(header.version, header.param1, header.param2, chain_hash, nonce, summary, opaque, context, signature)

    def push(self) -> bytes:
        """Encode."""
        return self.push_unsigned() + self.signature

    def push_unsigned(self) -> bytes:
        """Encode without the signature: the part that the signature covers."""
        return (
            push_header(self.version, ResponseCode.CHALLENGE_AUTH, self.param1, self.slot_mask)
            + self.chain_hash
            + self.nonce
            + self.summary_hash
            + le(len(self.opaque), 2)
            + self.opaque
            + self.context
        )


def pull_opaque(reader: Reader) -> bytes:
    """OpaqueLength u16 and OpaqueData, at most 1024 bytes."""
    length = reader.u16("OpaqueLength")
    if length > MAX_OPAQUE_LENGTH:
        raise reader.fail(f"OpaqueLength {length}, at most {MAX_OPAQUE_LENGTH} are allowed")
    return reader.take(length, "OpaqueData")
