"""Making an SPDM signature: the counterpart of `cmakeys.spdm.signing`, which says what is signed and checks it.

Requesters sign when a device asks who they are, emulated devices all the time.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cmakeys.spdm.algorithms import SIGNATURE_SIZES, BaseAsym
from cmakeys.spdm.signing import Statement, hash_algorithm

PrivateKey = (
    ec.EllipticCurvePrivateKey
    | rsa.RSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)

_RSA_PSS = BaseAsym.RSAPSS_2048 | BaseAsym.RSAPSS_3072 | BaseAsym.RSAPSS_4096


def sign_statement(statement: Statement, key: PrivateKey) -> bytes:
    """The signature over a statement's transcript, in wire form; the statement's own `signature` is ignored."""
    message = statement.signed_message()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hash_algorithm(statement.base_hash))))
        half = SIGNATURE_SIZES[statement.asym] // 2
        return r.to_bytes(half, "big") + s.to_bytes(half, "big")
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = hash_algorithm(statement.base_hash)
        if isinstance(statement.asym, BaseAsym) and statement.asym in _RSA_PSS:
            return key.sign(message, padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm)
        return key.sign(message, padding.PKCS1v15(), algorithm)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    context = statement.context.value.encode("ascii")
    if isinstance(key, ed448.Ed448PrivateKey):
        return _sign_ed448(key, message, context)
    return key.sign(message, context)


def _sign_ed448(key: ed448.Ed448PrivateKey, message: bytes, context: bytes) -> bytes:
    from Crypto.PublicKey import ECC
    from Crypto.Signature import eddsa

    private = ECC.import_key(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    return bytes(eddsa.new(private, "rfc8032", context=context).sign(message))
