"""A test PKI in a few nouns: keys by kind, and `issue` for any certificate, right or wrong in one chosen way.

Dates are fixed and far, so that no test depends on today; keys are made once per run and signatures (but ML-DSA's) are
deterministic, so the same call gives the same certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes, CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cmakeys.x509.certificate import Certificate

NOT_BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
NOW = datetime(2040, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(2090, 1, 1, tzinfo=UTC)
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

CURVES: dict[str, type[ec.EllipticCurve]] = {
    "p192": ec.SECP192R1,
    "p224": ec.SECP224R1,
    "p256": ec.SECP256R1,
    "p384": ec.SECP384R1,
    "p521": ec.SECP521R1,
    "secp256k1": ec.SECP256K1,
    "brainpool": ec.BrainpoolP256R1,
}


@cache
def make_key(kind: str, number: int = 0) -> CertificateIssuerPrivateKeyTypes:
    """The key of a kind (`p256`, `rsa2048`, `ed25519`, `mldsa65`, …); another `number` gives another key."""
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind]())
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    match kind:
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "ed448":
            return ed448.Ed448PrivateKey.generate()
        case "mldsa65":
            return mldsa.MLDSA65PrivateKey.generate()
    raise ValueError(kind)


@dataclass(frozen=True)
class Issued:
    """A certificate with its private key, so that it can issue others."""

    key: CertificateIssuerPrivateKeyTypes
    certificate: Certificate


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])


def usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


CA_USAGE = usage(key_cert_sign=True)
LEAF_USAGE = usage(digital_signature=True)


def issue(
    subject: str,
    by: Issued | None = None,
    *,
    kind: str = "p256",
    number: int = 0,
    public_key: CertificatePublicKeyTypes | None = None,
    ca: bool | None = True,
    path_length: int | None = None,
    key_usage: x509.KeyUsage | None = CA_USAGE,
    not_before: datetime = NOT_BEFORE,
    not_after: datetime = NOT_AFTER,
    issuer_name: str | None = None,
    signing_key: CertificateIssuerPrivateKeyTypes | None = None,
    pss: bool = False,
    subject_key_id: bool = True,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Issued:
    """Issue a certificate for `subject`, by `by` or self-signed.

    `ca=None` leaves basicConstraints out; with `public_key` the certificate is about a key that nobody here holds.
    """
    key = make_key(kind, number)
    public = public_key or key.public_key()
    issuer = by.certificate.parsed.subject if by else name(subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(issuer if issuer_name is None else name(issuer_name))
        .public_key(public)
        .serial_number(int.from_bytes(subject.encode()[:8], "big") + 1)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if key_usage is not None:
        builder = builder.add_extension(key_usage, critical=True)
    if subject_key_id:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = signing_key or (by.key if by else key)
    algorithm = hashes.SHA256() if isinstance(signer, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if pss else None
    deterministic = True if isinstance(signer, ec.EllipticCurvePrivateKey) else None
    signed = builder.sign(signer, algorithm, rsa_padding=scheme, ecdsa_deterministic=deterministic)
    return Issued(key, Certificate.from_der(signed.public_bytes(Encoding.DER), f"test PKI, {subject}"))


def rolled_over(old: Issued, number: int = 1) -> Issued:
    """The same CA's next key, vouched for by the old one: equal names, and the old key's identifier as authority."""
    subject = old.certificate.parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert isinstance(subject, str)
    old_key = old.certificate.parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(old_key)
    return issue(subject, old, number=number, extensions=[(authority, False)])


def authority(
    issuer: Issued, *, key_id: bytes | None = None, serial: int | None = None, by_name: bool = True
) -> tuple[x509.ExtensionType, bool]:
    """The whole authority key identifier for what `issuer` signs: key, name and serial; or a wrong one."""
    whose = issuer.certificate.parsed
    own = whose.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    return x509.AuthorityKeyIdentifier(
        own if key_id is None else key_id,
        [x509.DirectoryName(whose.issuer)] if by_name else None,
        (whose.serial_number if serial is None else serial) if by_name else None,
    ), False


def other_name(oid: str, value: bytes) -> x509.OtherName:
    return x509.OtherName(x509.ObjectIdentifier(oid), value)


def utf8_string(text: str) -> bytes:
    data = text.encode()
    assert len(data) < 128
    return bytes([0x0C, len(data)]) + data


def subject_alt_name(*names: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(names)


def device_chain(kind: str = "p256") -> tuple[Issued, Issued, Issued]:
    """A root, an intermediate and a device leaf, faultless in every step."""
    root = issue("Test Root", kind=kind)
    intermediate = issue("Test Intermediate", root, kind=kind, number=1, path_length=0)
    leaf = issue("Test Device", intermediate, kind=kind, number=2, ca=False, key_usage=LEAF_USAGE)
    return root, intermediate, leaf


def leaf_of(issuer: Issued, **changes: object) -> Issued:
    """A device leaf by `issuer`, faultless but for what `changes` to the arguments of `issue`."""
    return issue("Test Device", issuer, **{"number": 2, "ca": False, "key_usage": LEAF_USAGE, **changes})  # type: ignore[arg-type]


def certificates(*issued: Issued) -> tuple[Certificate, ...]:
    return tuple(one.certificate for one in issued)


def spdm_chain(hash_size: int, *chain: Certificate) -> bytes:
    """An SPDM certificate chain with a made-up root hash."""
    body = bytes(range(hash_size)) + b"".join(certificate.der for certificate in chain)
    return (4 + len(body)).to_bytes(4, "little") + body


def pem(certificate: Certificate) -> bytes:
    return certificate.parsed.public_bytes(Encoding.PEM)
