"""GET_CSR and SET_CERTIFICATE with their answers (reference §7.5). Since 1.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import pull_header, push_header
from cmakeys.spdm.wire import Reader, le

OVERWRITE = 0x80
"""Param2 bit 7 of GET_CSR, since 1.3: forget an older request with the same tracking tag."""

ERASE = 0x80
"""Param1 bit 7 of SET_CERTIFICATE, since 1.3."""


@dataclass(frozen=True, slots=True)
class GetCsr:
    """Ask for a certificate signing request.

    `requester_info` is a DER CertificationRequestInfo or empty. `key_pair`, `model`, `tracking_tag` and `overwrite`
    are 0 before 1.3.
    """

    version: Version
    requester_info: bytes = b""
    opaque: bytes = b""
    key_pair: int = 0
    model: int = 0
    tracking_tag: int = 0
    overwrite: bool = False

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.GET_CSR)
        info_length, opaque_length = reader.u16("RequesterInfoLength"), reader.u16("OpaqueDataLength")
        info, opaque = reader.take(info_length, "RequesterInfo"), reader.take(opaque_length, "OpaqueData")
        if header.version < Version.V13:
            return cls(header.version, info, opaque)
        param2 = header.param2
        return cls(
            header.version, info, opaque, header.param1, param2 & 7, param2 >> 3 & 7, overwrite=bool(param2 & OVERWRITE)
        )

    def push(self) -> bytes:
        """Encode."""
        param2 = self.model | self.tracking_tag << 3 | (OVERWRITE if self.overwrite else 0)
        return (
            push_header(self.version, RequestCode.GET_CSR, self.key_pair, param2)
            + le(len(self.requester_info), 2)
            + le(len(self.opaque), 2)
            + self.requester_info
            + self.opaque
        )


@dataclass(frozen=True, slots=True)
class Csr:
    """CSR: CSRLength u16, reserved u16, then a PKCS#10 request in DER."""

    version: Version
    request: bytes

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.CSR)
        length = reader.u16("CSRLength")
        reader.take(2, "reserved")
        return cls(header.version, reader.take(length, "CSRData"))

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, ResponseCode.CSR) + le(len(self.request), 2) + bytes(2) + self.request


@dataclass(frozen=True, slots=True)
class SetCertificate:
    """Write or erase the chain of a slot: understood in recordings, never sent by this program."""

    version: Version
    slot: int
    chain: bytes = b""
    model: int = 0
    erase: bool = False
    key_pair: int = 0

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode. The chain structure carries its own length, so that padding stays outside."""
        header = pull_header(reader, RequestCode.SET_CERTIFICATE)
        modern = header.version >= Version.V13
        erase = modern and bool(header.param1 & ERASE)
        chain = b"" if erase else _pull_chain(reader)
        model = header.param1 >> 4 & 7 if modern else 0
        return cls(header.version, header.param1 & 0x0F, chain, model, erase, header.param2 if modern else 0)

    def push(self) -> bytes:
        """Encode."""
        param1 = self.slot | self.model << 4 | (ERASE if self.erase else 0)
        return push_header(self.version, RequestCode.SET_CERTIFICATE, param1, self.key_pair) + self.chain


def _pull_chain(reader: Reader) -> bytes:
    start = reader.take(2, "Length")
    length = int.from_bytes(start, "little")
    if length < len(start):
        raise reader.fail(f"a chain structure of {length} bytes")
    return start + reader.take(length - len(start), "certificate chain")


@dataclass(frozen=True, slots=True)
class SetCertificateResponse:
    """Param1 is the slot."""

    version: Version
    slot: int

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.SET_CERTIFICATE_RSP)
        return cls(header.version, header.param1 & 0x0F)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, ResponseCode.SET_CERTIFICATE_RSP, self.slot)
