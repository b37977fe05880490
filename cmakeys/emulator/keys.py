"""The key types an emulated device can have.

Ed448 is there only where pycryptodome is, because SPDM's Ed448 takes a context string (reference §4.3).
"""

from __future__ import annotations

from enum import Enum

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from cmakeys.errors import UsageProblem
from cmakeys.spdm.algorithms import ED448_AVAILABLE, BaseAsym, PqcAsym
from cmakeys.spdm.signer import PrivateKey


class KeyType(Enum):
    """A key type by the name the command line uses."""

    ECDSA_P256 = "p256"
    ECDSA_P384 = "p384"
    ECDSA_P521 = "p521"
    RSA_2048 = "rsa2048"
    RSA_3072 = "rsa3072"
    RSA_4096 = "rsa4096"
    ED25519 = "ed25519"
    ED448 = "ed448"
    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"

    @property
    def base_asym(self) -> BaseAsym:
        """The classic algorithms that a key of this type serves."""
        return _BASE_ASYM.get(self, BaseAsym(0))

    @property
    def pqc_asym(self) -> PqcAsym:
        """The post-quantum algorithm that a key of this type serves."""
        return _PQC_ASYM.get(self, PqcAsym(0))

    @property
    def certificate_hash(self) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
        """The hash with which such a key signs certificates; None where the algorithm brings its own."""
        if self in (KeyType.ECDSA_P256, KeyType.RSA_2048):
            return hashes.SHA256()
        if self == KeyType.ECDSA_P521:
            return hashes.SHA512()
        return hashes.SHA384() if self in (KeyType.ECDSA_P384, KeyType.RSA_3072, KeyType.RSA_4096) else None

    def generate(self) -> PrivateKey:
        """A new key. RSA takes up to a second, the others milliseconds.

        Raises `UsageProblem` for Ed448 without pycryptodome.
        """
        if self in _CURVES:
            return ec.generate_private_key(_CURVES[self]())
        if self in _RSA_BITS:
            return rsa.generate_private_key(65537, _RSA_BITS[self])
        if self == KeyType.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        if self == KeyType.ED448:
            if not ED448_AVAILABLE:
                raise UsageProblem(
                    "Ed448 needs pycryptodome, which is not installed", hint="pip install 'cmakeys[ed448]'"
                )
            return ed448.Ed448PrivateKey.generate()
        return _MLDSA[self].generate()


_BASE_ASYM: dict[KeyType, BaseAsym] = {
    KeyType.ECDSA_P256: BaseAsym.ECDSA_P256,
    KeyType.ECDSA_P384: BaseAsym.ECDSA_P384,
    KeyType.ECDSA_P521: BaseAsym.ECDSA_P521,
    KeyType.RSA_2048: BaseAsym.RSASSA_2048 | BaseAsym.RSAPSS_2048,
    KeyType.RSA_3072: BaseAsym.RSASSA_3072 | BaseAsym.RSAPSS_3072,
    KeyType.RSA_4096: BaseAsym.RSASSA_4096 | BaseAsym.RSAPSS_4096,
    KeyType.ED25519: BaseAsym.ED25519,
    KeyType.ED448: BaseAsym.ED448,
}
_PQC_ASYM: dict[KeyType, PqcAsym] = {
    KeyType.ML_DSA_44: PqcAsym.ML_DSA_44,
    KeyType.ML_DSA_65: PqcAsym.ML_DSA_65,
    KeyType.ML_DSA_87: PqcAsym.ML_DSA_87,
}
_CURVES: dict[KeyType, type[ec.EllipticCurve]] = {
    KeyType.ECDSA_P256: ec.SECP256R1,
    KeyType.ECDSA_P384: ec.SECP384R1,
    KeyType.ECDSA_P521: ec.SECP521R1,
}
_RSA_BITS = {KeyType.RSA_2048: 2048, KeyType.RSA_3072: 3072, KeyType.RSA_4096: 4096}
_MLDSA: dict[KeyType, type[mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey]] = {
    KeyType.ML_DSA_44: mldsa.MLDSA44PrivateKey,
    KeyType.ML_DSA_65: mldsa.MLDSA65PrivateKey,
    KeyType.ML_DSA_87: mldsa.MLDSA87PrivateKey,
}


def push_key(key: PrivateKey) -> bytes:
    """The key as unencrypted PKCS #8 PEM. Only test keys ever come here."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pull_key(pem: bytes) -> PrivateKey:
    """Read back what `push_key` wrote. Raises `ValueError` for anything else."""
    key: PrivateKeyTypes = load_pem_private_key(pem, None)
    if not isinstance(key, PrivateKey):
        raise ValueError(f"{type(key).__name__} cannot sign for an SPDM device")  # noqa: TRY004 (bad data, not a bad call)
    return key


def type_of_key(key: PrivateKey) -> KeyType:
    """The type of a key. Raises `ValueError` for a curve or size that SPDM does not have."""
    for key_type, curve in _CURVES.items():
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, curve):
            return key_type
    for key_type, bits in _RSA_BITS.items():
        if isinstance(key, rsa.RSAPrivateKey) and key.key_size == bits:
            return key_type
    for key_type, kind in _MLDSA.items():
        if isinstance(key, kind):
            return key_type
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return KeyType.ED25519
    if isinstance(key, ed448.Ed448PrivateKey):
        return KeyType.ED448
    raise ValueError("a key of a size or curve that SPDM does not have")
