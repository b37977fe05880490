"""May this certificate issue others, and did it issue that one: the rules between a certificate and the one above it.

Used for chains, for anchors and for linting, so that all three mean the same by "CA" and by "self-signed".
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtensionOID

from cmakeys.x509.certificate import Certificate
from cmakeys.x509.known import is_verified, remember_verified

DMTF_SPDM_EXTENSION_OID = "1.3.6.1.4.1.412.274.6"
"""The SPDM extension, a container of DMTF's other object identifiers (DSP0274 1.2 §10.6.1.4)."""

# Critical extensions that do not make a certificate unusable: those whose rules are applied in this module or in
# `identity`, and those that carry evidence about the device and restrict nothing. Name constraints and policy
# constraints do restrict, are not evaluated, and so are not here (RFC 5280 §4.2).
UNDERSTOOD_CRITICAL = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS.dotted_string,
        ExtensionOID.KEY_USAGE.dotted_string,
        ExtensionOID.EXTENDED_KEY_USAGE.dotted_string,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string,
        ExtensionOID.CERTIFICATE_POLICIES.dotted_string,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER.dotted_string,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER.dotted_string,
        DMTF_SPDM_EXTENSION_OID,
        # TCG DICE Attestation Architecture: TcbInfo, EndorsementManifest and its URI, Ueid, MultiTcbInfo,
        # UccsEvidence, ManifestEvidence, MultiTcbInfoComp, ConceptualMessageWrapper, TcbFreshness.
        *(f"2.23.133.5.4.{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11)),
    }
)


def issuer_problems(certificate: Certificate, below: Sequence[Certificate]) -> tuple[str, ...]:
    """Say why `certificate` may not issue the certificates `below` it (next one first, leaf last); empty if it may.

    Applies to every certificate but the leaf, and to an anchor that the chain does not include. A keyUsage extension
    that is missing restricts nothing (RFC 5280 §4.2.1.3 wants it, roots in the field lack it).
    """
    problems = []
    constraints = basic_constraints(certificate)
    if constraints is None:
        problems.append("is not a CA (no basicConstraints), but issues the next certificate")
    elif not constraints.ca:
        problems.append("is not a CA (CA:FALSE), but issues the next certificate")
    elif constraints.path_length is not None:
        # RFC 5280 §4.2.1.9: the leaf does not count, nor do self-issued certificates.
        between = sum(1 for intermediate in below[:-1] if not intermediate.self_issued)
        if between > constraints.path_length:
            problems.append(f"allows {constraints.path_length} CA certificates below it, {between} follow")
    usage = key_usage(certificate)
    if usage is not None and not usage.key_cert_sign:
        problems.append("keyUsage lacks keyCertSign, but it issues the next certificate")
    return tuple(problems)


def unknown_critical_extensions(certificate: Certificate) -> tuple[str, ...]:
    """Critical extensions that may restrict the certificate in ways we do not know, as dotted object identifiers."""
    return tuple(
        extension.oid.dotted_string
        for extension in certificate.parsed.extensions
        if extension.critical and extension.oid.dotted_string not in UNDERSTOOD_CRITICAL
    )


def basic_constraints(certificate: Certificate) -> x509.BasicConstraints | None:
    """Look up the basicConstraints extension; None when it is missing."""
    return certificate.basic_constraints


def key_usage(certificate: Certificate) -> x509.KeyUsage | None:
    """Look up the keyUsage extension; None when it is missing."""
    return certificate.key_usage


def signature_problem(certificate: Certificate, issuer: Certificate) -> str | None:
    """Say why `certificate` is not directly issued by `issuer`, by name and by signature; None if it is."""
    if is_verified(certificate, issuer):
        return None
    try:
        certificate.parsed.verify_directly_issued_by(issuer.parsed)
    except InvalidSignature:
        return f"signature by {'itself' if issuer is certificate else issuer.label} is wrong"
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return f"signature by {'itself' if issuer is certificate else issuer.label} cannot be verified: {error}"
    remember_verified(certificate, issuer)
    return None


def claims_self_signature(certificate: Certificate) -> bool:
    """Whether a certificate says that it is signed by its own key.

    Issuer and subject are equal, and the authority key identifier, if there is one, names this very certificate. A CA
    that rolls its key over issues itself a certificate with equal names and another key's identifier: that is not
    self-signed, and the kernel sees it the same way (`x509_check_for_self_signed`).
    """
    if not certificate.self_issued:
        return False
    authority = certificate.extension(x509.AuthorityKeyIdentifier)
    if authority is None:
        return True
    serial = authority.authority_cert_serial_number
    if authority.key_identifier is None and serial is None:
        return True
    return authority.key_identifier == _subject_key_identifier(certificate) is not None or (
        serial == certificate.serial_number
        and any(name.value == certificate.parsed.issuer for name in authority.authority_cert_issuer or ())
    )


def _subject_key_identifier(certificate: Certificate) -> bytes | None:
    identifier = certificate.extension(x509.SubjectKeyIdentifier)
    return identifier.digest if identifier is not None else None
