"""The other certificate that an ECDSA signature makes of one: the same in all that was signed, with another hash.

For a signature (r, s) over a curve of order n, (r, n - s) is one too, and anybody can work it out. So the hash of a
certificate that is signed by ECDSA does not name all that its issuer signed: whoever forbids the one by its hash has to
forbid the other. The curve is the issuer's and the certificate does not say which, so every curve that fits is tried;
a hash of a wrong one is the hash of nothing. Ed25519, RSA (PKCS #1 v1.5) and ML-DSA leave no such choice.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from cmakeys.x509.certificate import Certificate
from cmakeys.x509.der import SEQUENCE, elements, read_element

_BIT_STRING = 0x03
_ECDSA = "1.2.840.10045.4."

ORDERS = tuple(
    int(digits, 16)
    for digits in (
        "ffffffffffffffffffffffff99def836146bc9b1b4d22831",  # P-192
        "ffffffffffffffffffffffffffff16a2e0b8f03e13dd29455c5c2a3d",  # P-224
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",  # P-256
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",  # P-384
        # P-521
        "1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
        "a51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",  # secp256k1
        "a9fb57dba1eea9bc3e660a909d838d718c397aa3b561a6f7901e0e82974856a7",  # brainpoolP256r1
        "8cb91e82a3386d280f5d6f7e50e641df152f7109ed5456b31f166e6cac0425a7cf3ab6af6b7fc3103b883202e9046565",  # …P384r1
        # brainpoolP512r1
        "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca70330870"
        "553e5c414ca92619418661197fac10471db1d381085ddaddb58796829ca90069",
    )
)
"""Orders of the curves whose signatures the library verifies."""


@lru_cache(maxsize=4096)
def twin_fingerprints(certificate: Certificate) -> tuple[str, ...]:
    """SHA-256 of the DER of what may be the certificate's twin, one for each curve; none without an ECDSA signature."""
    if not certificate.parsed.signature_algorithm_oid.dotted_string.startswith(_ECDSA):
        return ()
    try:
        r, s = decode_dss_signature(certificate.parsed.signature)
    except ValueError:
        return ()  # no signature that anybody verifies
    outer = read_element(certificate.der, 0)
    first, second, _ = elements(certificate.der, outer.content, outer.end)
    signed = certificate.der[first.start : second.end]
    orders = [order for order in ORDERS if 0 < r < order and 0 < s < order]
    return tuple(_fingerprint(signed, encode_dss_signature(r, order - s)) for order in orders)


def _fingerprint(signed: bytes, signature: bytes) -> str:
    return hashlib.sha256(_element(SEQUENCE, signed + _element(_BIT_STRING, b"\0" + signature))).hexdigest()


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
