"""GET_KEY_PAIR_INFO and SET_KEY_PAIR_INFO with their answers (reference §7.5). Since 1.3."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Self

from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import pull_header, push_header
from cmakeys.spdm.wire import Reader, le


class KeyPairCapability(IntFlag):
    """What may be done with a key pair."""

    GENERATE = 0x01
    ERASABLE = 0x02
    CERTIFICATE_ASSOCIATION = 0x04
    USAGE_SETTABLE = 0x08
    ALGORITHM_SETTABLE = 0x10
    SHAREABLE = 0x20


class KeyPairAsym(IntFlag):
    """Algorithms of key pairs; the numbering is not that of BaseAsym."""

    RSA2048 = 0x0001
    RSA3072 = 0x0002
    RSA4096 = 0x0004
    ECC256 = 0x0008
    ECC384 = 0x0010
    ECC521 = 0x0020
    SM2 = 0x0040
    ED25519 = 0x0080
    ED448 = 0x0100


class KeyPairOperation(IntEnum):
    """Param1 of SET_KEY_PAIR_INFO."""

    CHANGE = 0
    ERASE = 1
    GENERATE = 2


MAX_PQC_LENGTH = 4
"""Bytes of a post-quantum algorithm mask that are understood; more would be algorithms without a name."""


def _pull_pqc(reader: Reader, field: str) -> int:
    length = reader.u8(f"{field}Len")
    if length > MAX_PQC_LENGTH:
        raise reader.fail(f"{field} of {length} bytes, at most {MAX_PQC_LENGTH} are understood")
    return reader.uint(length, field)


def _push_pqc(mask: int) -> bytes:
    return bytes((MAX_PQC_LENGTH,)) + le(mask, MAX_PQC_LENGTH)


@dataclass(frozen=True, slots=True)
class GetKeyPairInfo:
    """Ask for one key pair; `key_pair` counts from 1."""

    version: Version
    key_pair: int

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.GET_KEY_PAIR_INFO)
        return cls(header.version, reader.u8("KeyPairID"))

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, RequestCode.GET_KEY_PAIR_INFO) + bytes((self.key_pair,))


@dataclass(frozen=True, slots=True)
class KeyPairInfo:
    """KEY_PAIR_INFO.

    | off | size | field |
    | --- | --- | --- |
    | 4 | 1 | TotalKeyPairs |
    | 5 | 1 | KeyPairID |
    | 6 | 2 | Capabilities |
    | 8, 10 | 2, 2 | KeyUsageCapabilities, CurrentKeyUsage |
    | 12, 16 | 4, 4 | AsymAlgoCapabilities, CurrentAsymAlgo |
    | 20 | 2 | PublicKeyInfoLen p |
    | 22 | 1 | AssociatedCertSlotMask |
    | 23 | p | PublicKeyInfo: a DER AlgorithmIdentifier |
    | … | 1+n, 1+n | PqcAsymAlgoCapabilities, CurrentPqcAsymAlgo, each after its length [1.4] |
    """

    version: Version
    total: int
    key_pair: int
    capabilities: int
    usage_capabilities: int
    usage: int
    asym_capabilities: int
    asym: int
    public_key_info: bytes
    slot_mask: int
    pqc_capabilities: int = 0
    pqc: int = 0

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.KEY_PAIR_INFO)
        total, key_pair = reader.u8("TotalKeyPairs"), reader.u8("KeyPairID")
        masks = (
            reader.u16("Capabilities"),
            reader.u16("KeyUsageCapabilities"),
            reader.u16("CurrentKeyUsage"),
            reader.u32("AsymAlgoCapabilities"),
            reader.u32("CurrentAsymAlgo"),
        )
        length, slots = reader.u16("PublicKeyInfoLen"), reader.u8("AssociatedCertSlotMask")
        key = reader.take(length, "PublicKeyInfo")
        pqc = (0, 0)
        if header.version >= Version.V14:
            pqc = _pull_pqc(reader, "PqcAsymAlgoCapabilities"), _pull_pqc(reader, "CurrentPqcAsymAlgo")
        return cls(header.version, total, key_pair, *masks, key, slots, *pqc)

    def push(self) -> bytes:
        """Encode."""
        return (
            push_header(self.version, ResponseCode.KEY_PAIR_INFO)
            + bytes((self.total, self.key_pair))
            + le(self.capabilities, 2)
            + le(self.usage_capabilities, 2)
            + le(self.usage, 2)
            + le(self.asym_capabilities, 4)
            + le(self.asym, 4)
            + le(len(self.public_key_info), 2)
            + bytes((self.slot_mask,))
            + self.public_key_info
            + (_push_pqc(self.pqc_capabilities) + _push_pqc(self.pqc) if self.version >= Version.V14 else b"")
        )


@dataclass(frozen=True, slots=True)
class SetKeyPairInfo:
    """Change, erase or generate a key pair: understood in recordings, never sent by this program."""

    version: Version
    operation: int
    key_pair: int
    usage: int = 0
    asym: int = 0
    slot_mask: int = 0
    pqc: int = 0

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode. An erasure carries nothing but the number."""
        header = pull_header(reader, RequestCode.SET_KEY_PAIR_INFO)
        key_pair = reader.u8("KeyPairID")
        if header.param1 == KeyPairOperation.ERASE:
            return cls(header.version, header.param1, key_pair)
        reader.take(1, "reserved")
        wanted = reader.u16("DesiredKeyUsage"), reader.u32("DesiredAsymAlgo"), reader.u8("DesiredAssocCertSlotMask")
        pqc = _pull_pqc(reader, "DesiredPqcAsymAlgo") if header.version >= Version.V14 else 0
        return cls(header.version, header.param1, key_pair, *wanted, pqc)

    def push(self) -> bytes:
        """Encode."""
        message = push_header(self.version, RequestCode.SET_KEY_PAIR_INFO, self.operation) + bytes((self.key_pair,))
        if self.operation == KeyPairOperation.ERASE:
            return message
        message += b"\0" + le(self.usage, 2) + le(self.asym, 4) + bytes((self.slot_mask,))
        return message + (_push_pqc(self.pqc) if self.version >= Version.V14 else b"")


@dataclass(frozen=True, slots=True)
class SetKeyPairInfoAck:
    """Four bytes."""

    version: Version

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        return cls(pull_header(reader, ResponseCode.SET_KEY_PAIR_INFO_ACK).version)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, ResponseCode.SET_KEY_PAIR_INFO_ACK)
