"""The other certificate that an ECDSA signature makes of one is known by its hash, for every curve."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from cmakeys.x509.certificate import Certificate
from cmakeys.x509.issuing import signature_problem
from cmakeys.x509.twins import ORDERS, twin_fingerprints
from tests.x509.pki import CURVES, Issued, issue


def holding_twins(one: Certificate, issuer: Certificate) -> list[Certificate]:
    """The certificates with n - s in the place of s that verify, made another way than the code under test does it."""
    old = one.parsed.signature
    r, s = decode_dss_signature(old)
    assert one.der.endswith(old)
    found = []
    for order in ORDERS:
        if 0 < s < order:
            new = encode_dss_signature(r, order - s)
            body = one.parsed.tbs_certificate_bytes
            algorithm = one.der[one.der.index(body) + len(body) :]
            algorithm = algorithm[: 2 + algorithm[1]]
            bits = bytes([0x03, *size(len(new) + 1), 0]) + new
            content = body + algorithm + bits
            found.append(Certificate.from_der(bytes([0x30, *size(len(content))]) + content))
    return [twin for twin in found if signature_problem(twin, issuer) is None]


def size(length: int) -> bytes:
    if length < 0x80:
        return bytes([length])
    return bytes([0x81, length]) if length < 0x100 else bytes([0x82, length >> 8, length & 0xFF])


@pytest.mark.parametrize("kind", CURVES)
def test_the_twin_holds_as_the_original_does_and_is_among_the_hashes(kind: str) -> None:
    authority = issue("authority", kind=kind)
    child = issue("child", authority).certificate
    (twin,) = holding_twins(child, authority.certificate)
    assert twin.fingerprint != child.fingerprint
    assert twin.fingerprint in twin_fingerprints(child)
    assert child.fingerprint in twin_fingerprints(twin)


@pytest.mark.parametrize("kind", ["rsa2048", "ed25519", "mldsa65"])
def test_other_signatures_have_no_twin(kind: str) -> None:
    authority: Issued = issue("authority", kind=kind)
    assert twin_fingerprints(authority.certificate) == ()


def test_a_hash_of_its_own_certificate_is_never_among_them() -> None:
    assert isinstance(issue("self").key, ec.EllipticCurvePrivateKey)
    one = issue("self").certificate
    assert one.fingerprint not in twin_fingerprints(one)
