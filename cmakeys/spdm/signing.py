"""What an SPDM signature covers and how each algorithm signs it (reference §4.3).

1.0 and 1.1 sign the hash of the transcript. From 1.2 the signed message is a 100-byte prefix that names version and
purpose, followed by the hash of the transcript, and RSA and ECDSA hash that message once more. The prefix is what
keeps a signature made for one purpose from being used for another, so it is built in exactly one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cmakeys.errors import EvidenceProblem
from cmakeys.spdm.algorithms import (
    BASE_HASH_FUNCTIONS,
    SIGNATURE_SIZES,
    BaseAsym,
    BaseHash,
    PqcAsym,
    algorithm_name,
)
from cmakeys.spdm.codes import Version

PREFIX_LENGTH = 100
"""Bytes of the combined prefix: four times `dmtf-spdm-v1.X.*`, zeros, the context right-aligned."""


class SignatureProblem(EvidenceProblem):
    """A signature does not verify, or the key cannot have made it."""

    code = "signature"


class Context(StrEnum):
    """The context strings of reference §4.3; capitals and underscores differ from the messages' names on purpose."""

    CHALLENGE_AUTH = "responder-challenge_auth signing"
    REQUESTER_CHALLENGE_AUTH = "requester-challenge_auth signing"
    MEASUREMENTS = "responder-measurements signing"
    KEY_EXCHANGE_RSP = "responder-key_exchange_rsp signing"
    FINISH = "requester-finish signing"
    ENDPOINT_INFO = "responder-endpoint_info signing"
    REQUESTER_ENDPOINT_INFO = "requester-endpoint_info signing"


def combined_prefix(version: Version, context: Context) -> bytes:
    """The 100-byte prefix for 1.2 and later."""
    text = context.value.encode("ascii")
    versions = f"dmtf-spdm-v{version}.*".encode("ascii") * 4
    return versions + bytes(PREFIX_LENGTH - len(versions) - len(text)) + text


_RSA_SIZES = {
    BaseAsym.RSASSA_2048: 2048,
    BaseAsym.RSAPSS_2048: 2048,
    BaseAsym.RSASSA_3072: 3072,
    BaseAsym.RSAPSS_3072: 3072,
    BaseAsym.RSASSA_4096: 4096,
    BaseAsym.RSAPSS_4096: 4096,
}
_RSA_PSS = BaseAsym.RSAPSS_2048 | BaseAsym.RSAPSS_3072 | BaseAsym.RSAPSS_4096
_CURVES = {BaseAsym.ECDSA_P256: "secp256r1", BaseAsym.ECDSA_P384: "secp384r1", BaseAsym.ECDSA_P521: "secp521r1"}
_MLDSA: dict[PqcAsym, type[mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey]] = {
    PqcAsym.ML_DSA_44: mldsa.MLDSA44PublicKey,
    PqcAsym.ML_DSA_65: mldsa.MLDSA65PublicKey,
    PqcAsym.ML_DSA_87: mldsa.MLDSA87PublicKey,
}
_HASH_CLASSES: dict[BaseHash, type[hashes.HashAlgorithm]] = {
    BaseHash.SHA_256: hashes.SHA256,
    BaseHash.SHA_384: hashes.SHA384,
    BaseHash.SHA_512: hashes.SHA512,
    BaseHash.SHA3_256: hashes.SHA3_256,
    BaseHash.SHA3_384: hashes.SHA3_384,
    BaseHash.SHA3_512: hashes.SHA3_512,
}


def asym_of_key(key: CertificatePublicKeyTypes) -> tuple[BaseAsym | PqcAsym, ...]:
    """The negotiable algorithms that a public key can serve; empty when SPDM has none for it."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return tuple(asym for asym, curve in _CURVES.items() if curve == key.curve.name)
    if isinstance(key, rsa.RSAPublicKey):
        return tuple(asym for asym, size in _RSA_SIZES.items() if size == key.key_size)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return (BaseAsym.ED25519,)
    if isinstance(key, ed448.Ed448PublicKey):
        return (BaseAsym.ED448,)
    return tuple(asym for asym, kind in _MLDSA.items() if isinstance(key, kind))


def hash_algorithm(base_hash: BaseHash) -> hashes.HashAlgorithm:
    """The library's object for a base hash."""
    return _HASH_CLASSES[base_hash]()


@dataclass(frozen=True, slots=True)
class Statement:
    """Something a responder signed: the transcript octets, the signature, and how to check them.

    `transcript` is M1 or L1 without the signature. `slot` is the slot whose leaf key signed, None when the source
    does not say.
    """

    context: Context
    version: Version
    asym: BaseAsym | PqcAsym
    base_hash: BaseHash
    slot: int | None
    transcript: bytes
    signature: bytes
    requester_nonce: bytes
    responder_nonce: bytes

    def signed_message(self) -> bytes:
        """The bytes the signature algorithm is given: the prefix and the transcript's hash from 1.2 on.

        For 1.0 and 1.1 this is the transcript itself, which the algorithm hashes.
        """
        if self.version < Version.V12:
            return self.transcript
        digest = BASE_HASH_FUNCTIONS[self.base_hash].digest(self.transcript)
        return combined_prefix(self.version, self.context) + digest


def verify_statement(statement: Statement, key: CertificatePublicKeyTypes) -> None:
    """Check a statement's signature under the leaf's public key.

    Raises `SignatureProblem` when the key is not of the negotiated algorithm or the signature is wrong.
    """
    asym = statement.asym
    name = algorithm_name(asym)
    if asym not in asym_of_key(key):
        raise SignatureProblem(
            f"the leaf's key cannot make the negotiated {name} signatures",
            object=statement.context.value,
            hint="the device presents a certificate for another key type; read the chain again with another algorithm",
        )
    if len(statement.signature) != SIGNATURE_SIZES[asym]:
        raise SignatureProblem(
            f"signature of {len(statement.signature)} bytes, {name} has {SIGNATURE_SIZES[asym]}",
            object=statement.context.value,
        )
    try:
        _verify(statement, key)
    except (InvalidSignature, ValueError) as error:
        raise SignatureProblem(
            f"the {name} signature does not verify",
            object=statement.context.value,
            hint="the device does not hold the leaf's private key, or the conversation was changed on its way",
        ) from error


def _verify(statement: Statement, key: CertificatePublicKeyTypes) -> None:
    message, signature = statement.signed_message(), statement.signature
    if isinstance(key, ec.EllipticCurvePublicKey):
        half = len(signature) // 2
        r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hash_algorithm(statement.base_hash)))
    elif isinstance(key, rsa.RSAPublicKey):
        algorithm = hash_algorithm(statement.base_hash)
        if isinstance(statement.asym, BaseAsym) and statement.asym in _RSA_PSS:
            pss = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
            key.verify(signature, message, pss, algorithm)
        else:
            key.verify(signature, message, padding.PKCS1v15(), algorithm)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, message)
    elif isinstance(key, ed448.Ed448PublicKey):
        verify_ed448(key, signature, message, statement.context)
    elif isinstance(key, (mldsa.MLDSA44PublicKey, mldsa.MLDSA65PublicKey, mldsa.MLDSA87PublicKey)):
        key.verify(signature, message, statement.context.value.encode("ascii"))
    else:
        raise InvalidSignature


def verify_ed448(key: ed448.Ed448PublicKey, signature: bytes, message: bytes, context: Context) -> None:
    """Ed448 with SPDM's context string, by pycryptodome: `cryptography` offers no context parameter.

    Raises `ValueError` when the signature is wrong.
    """
    from Crypto.PublicKey import ECC
    from Crypto.Signature import eddsa

    public = ECC.import_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    eddsa.new(public, "rfc8032", context=context.value.encode("ascii")).verify(message, signature)
