"""The signed parts of a certificate, as bytes."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cmakeys.x509.certificate import Certificate
from cmakeys.x509.der import elements, read_element
from cmakeys.x509.tbs import issuer_der, key_bits, subject_der
from tests.x509.pki import device_chain, issue


@pytest.mark.parametrize("kind", ["p256", "rsa2048", "ed25519", "mldsa65"])
def test_the_parts_are_those_that_the_library_sees(kind: str) -> None:
    for issued in device_chain(kind):
        certificate = issued.certificate
        assert issuer_der(certificate) == certificate.parsed.issuer.public_bytes()
        assert subject_der(certificate) == certificate.parsed.subject.public_bytes()
        identifier = x509.SubjectKeyIdentifier.from_public_key(issued.key.public_key())
        assert identifier.digest == _sha1(key_bits(certificate))
        spki = issued.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert spki.endswith(key_bits(certificate))


def _sha1(data: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA1())  # noqa: S303 the key identifier is made with it, RFC 5280 §4.2.1.2
    digest.update(data)
    return digest.finalize()


def test_a_certificate_of_version_1_has_the_same_parts() -> None:
    """Version 1 leaves the version field out, so that everything stands one place further to the front."""
    certificate = version_1(issue("Old").certificate)
    assert certificate.parsed.version is x509.Version.v1
    assert issuer_der(certificate) == subject_der(certificate) == certificate.parsed.subject.public_bytes()


def version_1(certificate: Certificate) -> Certificate:
    """The certificate without version and extensions; its signature no longer fits."""
    tbs = certificate.parsed.tbs_certificate_bytes
    outer = read_element(tbs, 0)
    fields = [one for one in elements(tbs, outer.content, outer.end) if one.tag not in (0xA0, 0xA3)]
    rest = certificate.der[read_element(certificate.der, 0).content + len(tbs) :]
    return Certificate.from_der(sequence(sequence(b"".join(tbs[one.start : one.end] for one in fields)) + rest))


def sequence(content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([0x30, size]) + content
    digits = size.to_bytes(2, "big").lstrip(b"\0")
    return bytes([0x30, 0x80 + len(digits)]) + digits + content
