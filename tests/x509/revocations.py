"""Revocation lists and OCSP responses for the tests, right or wrong in one chosen way. Dates are fixed and far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from cmakeys.x509.crl import RevocationList
from cmakeys.x509.ocsp import OcspResponse
from tests.x509.pki import LEAF_USAGE, NOW, Issued, issue, name

DAY = timedelta(days=1)
CRL_URL = "http://pki.example/ca.crl"
OCSP_URL = "http://pki.example/ocsp"
LIST_SIGNER = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.1"), b"\x05\x00")

Reasons = Mapping[int, x509.ReasonFlags | None]


def published_at(*urls: str) -> tuple[x509.ExtensionType, bool]:
    points = [x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None) for url in urls]
    return x509.CRLDistributionPoints(points), False


def asked_at(url: str) -> tuple[x509.ExtensionType, bool]:
    access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url))
    return x509.AuthorityInformationAccess([access]), False


@cache
def chain(kind: str = "p256") -> tuple[Issued, Issued, Issued]:
    """A root, an intermediate and a leaf, the lower two naming where their revocation is published."""
    places = [published_at(CRL_URL), asked_at(OCSP_URL)]
    root = issue("Root", kind=kind, key_usage=LIST_SIGNER)
    middle = issue("Middle", root, kind=kind, number=1, key_usage=LIST_SIGNER, extensions=places)
    leaf = issue("Leaf", middle, kind=kind, number=2, ca=False, key_usage=LEAF_USAGE, extensions=places)
    return root, middle, leaf


def crl(
    issuer: Issued,
    revoked: Reasons | Sequence[Issued] = (),
    *,
    this_update: datetime = NOW - DAY,
    next_update: datetime | None = NOW + DAY,
    number: int | None = 1,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    entry_extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    key: CertificateIssuerPrivateKeyTypes | None = None,
    issuer_name: str | None = None,
    source: str = "test.crl",
) -> RevocationList:
    """A list by `issuer`; `revoked` are serial numbers with their reasons, or certificates without any."""
    der = crl_der(
        issuer,
        revoked,
        this_update=this_update,
        next_update=next_update,
        number=number,
        extensions=extensions,
        entry_extensions=entry_extensions,
        key=key,
        issuer_name=issuer_name,
    )
    return RevocationList.from_der(der, source)


def crl_der(
    issuer: Issued,
    revoked: Reasons | Sequence[Issued] = (),
    *,
    this_update: datetime = NOW - DAY,
    next_update: datetime | None = NOW + DAY,
    number: int | None = 1,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    entry_extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    key: CertificateIssuerPrivateKeyTypes | None = None,
    issuer_name: str | None = None,
) -> bytes:
    subject = issuer.certificate.parsed.subject if issuer_name is None else name(issuer_name)
    builder = x509.CertificateRevocationListBuilder().issuer_name(subject).last_update(this_update)
    builder = builder.next_update(next_update or this_update)
    if not isinstance(revoked, Mapping):
        revoked = {one.certificate.serial_number: None for one in revoked}
    for serial, reason in revoked.items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(this_update - DAY)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        for extension, critical in entry_extensions:
            entry = entry.add_extension(extension, critical)
        builder = builder.add_revoked_certificate(entry.build())
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = key or issuer.key
    return builder.sign(signer, algorithm(signer)).public_bytes(Encoding.DER)


def algorithm(key: CertificateIssuerPrivateKeyTypes) -> hashes.SHA256 | None:
    return hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None


def scope(**only: object) -> tuple[x509.ExtensionType, bool]:
    """An issuing distribution point with these restrictions."""
    fields: dict[str, object] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
        **only,
    }
    return x509.IssuingDistributionPoint(**fields), True  # type: ignore[arg-type]  # the caller names its fields


def responder(issuer: Issued, *, ocsp_signing: bool = True, **changes: object) -> Issued:
    """Somebody whom `issuer` certified to answer in its place, or for something else."""
    purpose = ExtendedKeyUsageOID.OCSP_SIGNING if ocsp_signing else ExtendedKeyUsageOID.SERVER_AUTH
    extensions = [(x509.ExtendedKeyUsage([purpose]), False)]
    given: dict[str, object] = {
        "number": 5,
        "ca": False,
        "key_usage": LEAF_USAGE,
        "extensions": extensions,
        **changes,
    }
    return issue("Responder", issuer, **given)  # type: ignore[arg-type]  # the caller names arguments of issue


def response(
    certificate: Issued,
    issuer: Issued,
    *,
    signer: Issued | None = None,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    reason: x509.ReasonFlags | None = None,
    this_update: datetime = NOW - DAY,
    next_update: datetime | None = NOW + DAY,
    by_name: bool = False,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    source: str = "test.ocsp",
) -> OcspResponse:
    """A response about `certificate` by its issuer, or by `signer` whose certificate goes with it."""
    by = signer or issuer
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    encoding = ocsp.OCSPResponderEncoding.NAME if by_name else ocsp.OCSPResponderEncoding.HASH
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            certificate.certificate.parsed,
            issuer.certificate.parsed,
            hashes.SHA256(),
            status,
            this_update,
            next_update,
            this_update - DAY if revoked else None,
            reason,
        )
        .responder_id(encoding, by.certificate.parsed)
    )
    if signer is not None:
        builder = builder.certificates([signer.certificate.parsed])
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signed = builder.sign(by.key, algorithm(by.key))
    return OcspResponse.from_der(signed.public_bytes(Encoding.DER), source)
