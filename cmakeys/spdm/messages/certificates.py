"""GET_DIGESTS, DIGESTS, GET_CERTIFICATE, CERTIFICATE and the certificate chain structure (reference §3.1 to 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import Layout, pull_header, push_header
from cmakeys.spdm.wire import Reader, le

LARGE_CHAIN = 0x80
"""Param1 bit 7, since 1.4: the 16-byte form with 32-bit offsets."""

CHAIN_HEADER_LENGTH = 4
"""Bytes before the root hash in a chain structure: length u16 and reserved u16, or one u32 in the large form."""


@dataclass(frozen=True, slots=True)
class GetDigests:
    """Four bytes, both parameters 0."""

    version: Version

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        return cls(pull_header(reader, RequestCode.GET_DIGESTS).version)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, RequestCode.GET_DIGESTS)


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """What 1.3 adds for each provisioned slot of a multi-key connection."""

    key_pair_id: int
    certificate_info: int
    key_usage: int


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests of the provisioned slots, ascending.

    | off | size | field |
    | --- | --- | --- |
    | 2 | 1 | SupportedSlotMask [1.3] |
    | 3 | 1 | SlotMask (provisioned) |
    | 4 | H·n | digests |
    | … | n, n, 2n | KeyPairID, CertificateInfo, KeyUsageMask [1.3, multi-key] |
    """

    version: Version
    provisioned: int
    digests: tuple[bytes, ...]
    supported: int = 0
    info: tuple[SlotInfo, ...] = ()

    @classmethod
    def pull(cls, reader: Reader, layout: Layout) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.DIGESTS)
        count = header.param2.bit_count()
        digests = tuple(reader.take(layout.hash_size, "Digest") for _ in range(count))
        info: tuple[SlotInfo, ...] = ()
        if layout.multi_key:
            ids = reader.take(count, "KeyPairID")
            models = reader.take(count, "CertificateInfo")
            usages = [reader.u16("KeyUsageMask") for _ in range(count)]
            info = tuple(SlotInfo(*row) for row in zip(ids, models, usages, strict=True))
        supported = header.param1 if header.version >= Version.V13 else 0
        return cls(header.version, header.param2, digests, supported, info)

    def push(self) -> bytes:
        """Encode."""
        return (
            push_header(self.version, ResponseCode.DIGESTS, self.supported, self.provisioned)
            + b"".join(self.digests)
            + bytes(slot.key_pair_id for slot in self.info)
            + bytes(slot.certificate_info for slot in self.info)
            + b"".join(le(slot.key_usage, 2) for slot in self.info)
        )

    @property
    def slots(self) -> tuple[int, ...]:
        """Numbers of the provisioned slots, in the order of `digests`."""
        return tuple(slot for slot in range(8) if self.provisioned >> slot & 1)

    def digest_of(self, slot: int) -> bytes | None:
        """The digest of one slot, None when it is not provisioned."""
        return dict(zip(self.slots, self.digests, strict=False)).get(slot)

    def info_of(self, slot: int) -> SlotInfo | None:
        """The multi-key facts of one slot, None when there are none."""
        return dict(zip(self.slots, self.info, strict=False)).get(slot)


@dataclass(frozen=True, slots=True)
class GetCertificate:
    """Ask for `length` bytes of a slot's chain from `offset`; `large` is the 1.4 form."""

    version: Version
    slot: int
    offset: int
    length: int
    large: bool = False
    param2: int = 0

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.GET_CERTIFICATE)
        offset, length = reader.u16("Offset"), reader.u16("Length")
        large = header.version >= Version.V14 and bool(header.param1 & LARGE_CHAIN)
        if large:
            offset, length = reader.u32("LargeOffset"), reader.u32("LargeLength")
        return cls(header.version, header.param1 & 0x0F, offset, length, large, header.param2)

    def push(self) -> bytes:
        """Encode."""
        param1 = self.slot | (LARGE_CHAIN if self.large else 0)
        header = push_header(self.version, RequestCode.GET_CERTIFICATE, param1, self.param2)
        if self.large:
            return header + bytes(4) + le(self.offset, 4) + le(self.length, 4)
        return header + le(self.offset, 2) + le(self.length, 2)


@dataclass(frozen=True, slots=True)
class CertificateResponse:
    """CERTIFICATE: one portion of a chain.

    | off | size | field |
    | --- | --- | --- |
    | 2 | 1 | slot in bits 3:0; bit 7 [1.4] large form |
    | 3 | 1 | bits 2:0 certificate model [1.3, multi-key] |
    | 4 | 2 | PortionLength |
    | 6 | 2 | RemainderLength |
    | 8 | 4, 4 | LargePortionLength, LargeRemainderLength (large form) |
    | 8 or 16 | … | portion |
    """

    version: Version
    slot: int
    portion: bytes
    remainder: int
    large: bool = False
    model: int = 0

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.CERTIFICATE)
        length, remainder = reader.u16("PortionLength"), reader.u16("RemainderLength")
        large = header.version >= Version.V14 and bool(header.param1 & LARGE_CHAIN)
        if large:
            length, remainder = reader.u32("LargePortionLength"), reader.u32("LargeRemainderLength")
        portion = reader.take(length, "CertChain")
        return cls(header.version, header.param1 & 0x0F, portion, remainder, large, header.param2)

    def push(self) -> bytes:
        """Encode."""
        param1 = self.slot | (LARGE_CHAIN if self.large else 0)
        header = push_header(self.version, ResponseCode.CERTIFICATE, param1, self.model)
        if self.large:
            return header + bytes(4) + le(len(self.portion), 4) + le(self.remainder, 4) + self.portion
        return header + le(len(self.portion), 2) + le(self.remainder, 2) + self.portion


def push_chain_structure(root_hash: bytes, certificates: bytes) -> bytes:
    """The chain structure of reference §3.3: length, reserved, root hash, DER certificates from the top down."""
    return le(CHAIN_HEADER_LENGTH + len(root_hash) + len(certificates), 4) + root_hash + certificates
