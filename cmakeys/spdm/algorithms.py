"""What can be negotiated: each algorithm's bit, name and sizes, and the one hash function behind each name.

The two hash fields differ by one bit on the wire (bit 0 of MeasurementHashAlgo means "raw bit stream only"), so they
are two types here and cannot be mixed up. A table row that a library on this machine cannot compute stays listed, so
that it can be named in a report, but is left out of `SUPPORTED_*` and therefore never offered.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Flag
from functools import lru_cache
from importlib.util import find_spec


class BaseHash(Flag):
    """BaseHashAlgo / BaseHashSel."""

    SHA_256 = 0x01
    SHA_384 = 0x02
    SHA_512 = 0x04
    SHA3_256 = 0x08
    SHA3_384 = 0x10
    SHA3_512 = 0x20
    SM3_256 = 0x40


class MeasurementHash(Flag):
    """MeasurementHashAlgo: one bit higher than `BaseHash`, bit 0 means that only raw bit streams are given."""

    RAW_ONLY = 0x01
    SHA_256 = 0x02
    SHA_384 = 0x04
    SHA_512 = 0x08
    SHA3_256 = 0x10
    SHA3_384 = 0x20
    SHA3_512 = 0x40
    SM3_256 = 0x80


class BaseAsym(Flag):
    """BaseAsymAlgo / BaseAsymSel, and ReqBaseAsymAlg of the struct tables."""

    RSASSA_2048 = 0x001
    RSAPSS_2048 = 0x002
    RSASSA_3072 = 0x004
    RSAPSS_3072 = 0x008
    ECDSA_P256 = 0x010
    RSASSA_4096 = 0x020
    RSAPSS_4096 = 0x040
    ECDSA_P384 = 0x080
    ECDSA_P521 = 0x100
    SM2 = 0x200
    ED25519 = 0x400
    ED448 = 0x800


class PqcAsym(Flag):
    """PqcAsymAlgo / PqcAsymSel, since 1.4."""

    ML_DSA_44 = 0x0001
    ML_DSA_65 = 0x0002
    ML_DSA_87 = 0x0004
    SLH_DSA_SHA2_128S = 0x0008
    SLH_DSA_SHAKE_128S = 0x0010
    SLH_DSA_SHA2_128F = 0x0020
    SLH_DSA_SHAKE_128F = 0x0040
    SLH_DSA_SHA2_192S = 0x0080
    SLH_DSA_SHAKE_192S = 0x0100
    SLH_DSA_SHA2_192F = 0x0200
    SLH_DSA_SHAKE_192F = 0x0400
    SLH_DSA_SHA2_256S = 0x0800
    SLH_DSA_SHAKE_256S = 0x1000
    SLH_DSA_SHA2_256F = 0x2000
    SLH_DSA_SHAKE_256F = 0x4000


class Dhe(Flag):
    """Struct table 2."""

    FFDHE_2048 = 0x01
    FFDHE_3072 = 0x02
    FFDHE_4096 = 0x04
    SECP256R1 = 0x08
    SECP384R1 = 0x10
    SECP521R1 = 0x20
    SM2_P256 = 0x40


class Aead(Flag):
    """Struct table 3."""

    AES_128_GCM = 0x1
    AES_256_GCM = 0x2
    CHACHA20_POLY1305 = 0x4
    SM4_128_GCM = 0x8


class Kem(Flag):
    """Struct table 7, since 1.4."""

    ML_KEM_512 = 0x1
    ML_KEM_768 = 0x2
    ML_KEM_1024 = 0x4


class OpaqueFormat(Flag):
    """OtherParamsSupport bits 3:0, since 1.2."""

    NONE = 0
    FORMAT_0 = 0x1
    GENERAL = 0x2


MULTI_KEY_CONN = 0x10
"""OtherParams bit 4, since 1.3: ResponderMultiKeyConn in the request, RequesterMultiKeyConnSel in the response."""

MEASUREMENT_SPECIFICATION_DMTF = 0x01
MEL_SPECIFICATION_DMTF = 0x01

SIGNATURE_SIZES: dict[BaseAsym | PqcAsym, int] = {
    BaseAsym.RSASSA_2048: 256,
    BaseAsym.RSAPSS_2048: 256,
    BaseAsym.RSASSA_3072: 384,
    BaseAsym.RSAPSS_3072: 384,
    BaseAsym.ECDSA_P256: 64,
    BaseAsym.RSASSA_4096: 512,
    BaseAsym.RSAPSS_4096: 512,
    BaseAsym.ECDSA_P384: 96,
    BaseAsym.ECDSA_P521: 132,
    BaseAsym.SM2: 64,
    BaseAsym.ED25519: 64,
    BaseAsym.ED448: 114,
    PqcAsym.ML_DSA_44: 2420,
    PqcAsym.ML_DSA_65: 3309,
    PqcAsym.ML_DSA_87: 4627,
    PqcAsym.SLH_DSA_SHA2_128S: 7856,
    PqcAsym.SLH_DSA_SHAKE_128S: 7856,
    PqcAsym.SLH_DSA_SHA2_128F: 17088,
    PqcAsym.SLH_DSA_SHAKE_128F: 17088,
    PqcAsym.SLH_DSA_SHA2_192S: 16224,
    PqcAsym.SLH_DSA_SHAKE_192S: 16224,
    PqcAsym.SLH_DSA_SHA2_192F: 35664,
    PqcAsym.SLH_DSA_SHAKE_192F: 35664,
    PqcAsym.SLH_DSA_SHA2_256S: 29792,
    PqcAsym.SLH_DSA_SHAKE_256S: 29792,
    PqcAsym.SLH_DSA_SHA2_256F: 49856,
    PqcAsym.SLH_DSA_SHAKE_256F: 49856,
}
"""Bytes of a signature on the wire (reference §2.3.3)."""

ED448_AVAILABLE = find_spec("Crypto") is not None
"""Ed448 needs a context string (reference §4.3), which `cryptography` does not offer; pycryptodome does."""

SUPPORTED_BASE_ASYM = (
    BaseAsym.RSASSA_2048
    | BaseAsym.RSAPSS_2048
    | BaseAsym.RSASSA_3072
    | BaseAsym.RSAPSS_3072
    | BaseAsym.RSASSA_4096
    | BaseAsym.RSAPSS_4096
    | BaseAsym.ECDSA_P256
    | BaseAsym.ECDSA_P384
    | BaseAsym.ECDSA_P521
    | BaseAsym.ED25519
    | (BaseAsym.ED448 if ED448_AVAILABLE else BaseAsym(0))
)
SUPPORTED_PQC_ASYM = PqcAsym.ML_DSA_44 | PqcAsym.ML_DSA_65 | PqcAsym.ML_DSA_87
SUPPORTED_BASE_HASH = (
    BaseHash.SHA_256 | BaseHash.SHA_384 | BaseHash.SHA_512 | BaseHash.SHA3_256 | BaseHash.SHA3_384 | BaseHash.SHA3_512
)


@dataclass(frozen=True, slots=True)
class HashFunction:
    """A hash by its hashlib name and its output size in bytes."""

    name: str
    size: int

    def digest(self, *parts: bytes) -> bytes:
        """The digest of the concatenation of `parts`."""
        state = hashlib.new(self.name)
        for part in parts:
            state.update(part)
        return state.digest()


_HASHES = {
    "SHA_256": HashFunction("sha256", 32),
    "SHA_384": HashFunction("sha384", 48),
    "SHA_512": HashFunction("sha512", 64),
    "SHA3_256": HashFunction("sha3_256", 32),
    "SHA3_384": HashFunction("sha3_384", 48),
    "SHA3_512": HashFunction("sha3_512", 64),
    "SM3_256": HashFunction("sm3", 32),
}

BASE_HASH_FUNCTIONS: dict[BaseHash, HashFunction] = {BaseHash[name]: h for name, h in _HASHES.items()}
MEASUREMENT_HASH_FUNCTIONS: dict[MeasurementHash, HashFunction] = {
    MeasurementHash[name]: h for name, h in _HASHES.items()
}


def is_single_bit(mask: int) -> bool:
    """Exactly one bit is set."""
    return mask > 0 and mask & (mask - 1) == 0


@lru_cache(maxsize=256, typed=True)
def algorithm_name(algorithm: Flag) -> str:
    """An algorithm, or a set of them, in words: `ECDSA-P384`, `SHA-256, SHA-384`, `none`."""
    if not algorithm:
        return "none"
    names = []
    rest = int(algorithm.value)
    bit = 1
    while rest:
        if rest & bit:
            member = type(algorithm)(bit)
            names.append((member.name or f"{bit:#x}").replace("_", "-"))
            rest &= ~bit
        bit <<= 1
    return ", ".join(names)
