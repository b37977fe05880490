"""What an emulated vendor writes into a certificate: a profile as a value, and its translation into X.509.

A test's bad certificate is a good profile with one field replaced, so that the difference is exactly the flaw. Dates
are fixed and far (2020 to 9999, as on real devices), so that no test depends on today.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cmakeys.emulator.keys import type_of_key
from cmakeys.spdm.signer import PrivateKey
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.identity import CMA_OID, DMTF_OID
from cmakeys.x509.issuing import DMTF_SPDM_EXTENSION_OID

NOT_BEFORE = datetime(2020, 1, 1)
NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59)

HARDWARE_IDENTITY_OID = "1.3.6.1.4.1.412.274.2"
DICE_TCB_INFO_OID = "2.23.133.5.4.1"
SHA384_OID = "2.16.840.1.101.3.4.2.2"
UNKNOWN_CRITICAL_OID = "1.3.6.1.4.1.32473.1"
"""In the arc that RFC 5612 sets apart for examples: nobody understands it."""

CERT_SIGN = frozenset({"key_cert_sign", "crl_sign"})
DIGITAL_SIGNATURE = frozenset({"digital_signature"})
_KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@asn1.sequence
class _SpdmEntry:
    oid: x509.ObjectIdentifier


@asn1.sequence
class _SpdmExtension:
    entry: _SpdmEntry


@asn1.sequence
class _Fwid:
    algorithm: x509.ObjectIdentifier
    digest: bytes


@asn1.sequence
class _TcbInfo:
    vendor: Annotated[str | None, asn1.Implicit(0)]
    model: Annotated[str | None, asn1.Implicit(1)]
    svn: Annotated[int | None, asn1.Implicit(3)]
    fwids: Annotated[list[_Fwid] | None, asn1.Implicit(6)]


@dataclass(frozen=True, slots=True)
class TcbInfo:
    """What a DICE TcbInfo extension says about the firmware that an alias key was made for."""

    vendor: str
    model: str
    svn: int
    firmware_hash: bytes
    """SHA-384 of the firmware, 48 bytes."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One certificate to be. `ca` None leaves basicConstraints out, `key_usage` None leaves keyUsage out."""

    subject: x509.Name
    ca: bool | None
    key_usage: frozenset[str] | None
    path_length: int | None = None
    names: tuple[x509.OtherName, ...] = ()
    purposes: tuple[str, ...] = ()
    hardware_identity: bool = False
    tcb: TcbInfo | None = None
    unknown_critical: bool = False
    not_before: datetime = NOT_BEFORE
    not_after: datetime = NOT_AFTER


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs: a name and a key. A root is its own issuer."""

    name: x509.Name
    key: PrivateKey


def distinguished_name(organization: str, common_name: str, serial: str = "") -> x509.Name:
    """`O=…, CN=…[, serialNumber=…]`."""
    attributes = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ]
    if serial:
        attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial))
    return x509.Name(attributes)


def pcie_name(san_string: str) -> x509.OtherName:
    """The otherName of PCIe r6.1 §6.31.3, a UTF8String."""
    return x509.OtherName(x509.ObjectIdentifier(CMA_OID), asn1.encode_der(san_string))


def device_info_name(manufacturer: str, product: str, serial: str) -> x509.OtherName:
    """DMTF's device-info otherName."""
    return x509.OtherName(x509.ObjectIdentifier(DMTF_OID), asn1.encode_der(f"{manufacturer}:{product}:{serial}"))


def issue(profile: Profile, key: PrivateKey, issuer: Issuer) -> Certificate:
    """Make the certificate that `profile` describes for `key`'s public half, signed by `issuer`."""
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(profile.subject)
        .issuer_name(issuer.name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(profile.not_before)
        .not_valid_after(profile.not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
    )
    for extension, critical in _extensions(profile):
        builder = builder.add_extension(extension, critical)
    algorithm = type_of_key(issuer.key).certificate_hash
    return Certificate.from_der(builder.sign(issuer.key, algorithm).public_bytes(Encoding.DER), "emulator")


def _extensions(profile: Profile) -> list[tuple[x509.ExtensionType, bool]]:
    extensions: list[tuple[x509.ExtensionType, bool]] = []
    if profile.ca is not None:
        extensions.append((x509.BasicConstraints(profile.ca, profile.path_length), True))
    if profile.key_usage is not None:
        bits = {usage: usage in profile.key_usage for usage in _KEY_USAGES}
        extensions.append((x509.KeyUsage(**bits), True))
    if profile.purposes:
        purposes = [x509.ObjectIdentifier(oid) for oid in profile.purposes]
        extensions.append((x509.ExtendedKeyUsage(purposes), False))
    if profile.names:
        extensions.append((x509.SubjectAlternativeName(profile.names), False))
    if profile.hardware_identity:
        value = asn1.encode_der(_SpdmExtension(entry=_SpdmEntry(oid=x509.ObjectIdentifier(HARDWARE_IDENTITY_OID))))
        extensions.append((_unrecognized(DMTF_SPDM_EXTENSION_OID, value), False))
    if profile.tcb is not None:
        extensions.append((_unrecognized(DICE_TCB_INFO_OID, _push_tcb_info(profile.tcb)), False))
    if profile.unknown_critical:
        extensions.append((_unrecognized(UNKNOWN_CRITICAL_OID, b"\x05\x00"), True))
    return extensions


def _push_tcb_info(tcb: TcbInfo) -> bytes:
    fwid = _Fwid(algorithm=x509.ObjectIdentifier(SHA384_OID), digest=tcb.firmware_hash)
    return asn1.encode_der(_TcbInfo(vendor=tcb.vendor, model=tcb.model, svn=tcb.svn, fwids=[fwid]))


def _unrecognized(oid: str, value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
