"""What SPDM asks of a responder's leaf certificate, as libspdm reads DSP0274 §10.6.1; its names are in `identity`."""

from __future__ import annotations

from cryptography import x509

from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.der import OBJECT_IDENTIFIER, SEQUENCE, DerError, elements, read_element
from cmakeys.x509.issuing import DMTF_SPDM_EXTENSION_OID, basic_constraints, key_usage

RESPONDER_AUTH_OID = "1.3.6.1.4.1.412.274.3"
REQUESTER_AUTH_OID = "1.3.6.1.4.1.412.274.4"

HARDWARE_IDENTITY_DER = bytes.fromhex("060a2b06010401831c821202")
"""The object identifier 1.3.6.1.4.1.412.274.2, tag and length included, as it stands in the SPDM extension."""


def leaf_problems(leaf: Certificate, *, spdm_minor: int | None, alias: bool) -> tuple[str, ...]:
    """Say what makes `leaf` unfit for an SPDM responder; empty if nothing does.

    `spdm_minor` is that of the negotiated version (2 for 1.2), None when it is not known; `alias` says that the slot
    follows the alias certificate model.
    """
    problems = [*_leaf_version(leaf, spdm_minor), *_leaf_key_usage(leaf), *_leaf_extended_key_usage(leaf)]
    problems += _leaf_spdm_extension(leaf, alias)
    try:
        _ = leaf.public_key
    except CertificateProblem as problem:
        problems.append(problem.message)
    return tuple(problems)


def claims_hardware_identity(certificate: Certificate) -> bool:
    """Whether the SPDM extension marks a certificate as the device's own (DSP0274 §10.6.1.4); malformed is no."""
    for extension in certificate.parsed.extensions:
        if extension.oid.dotted_string == DMTF_SPDM_EXTENSION_OID:
            try:
                return HARDWARE_IDENTITY_DER in spdm_extension_oids(extension.value.public_bytes())
            except DerError:
                return False
    return False


def _leaf_version(leaf: Certificate, spdm_minor: int | None) -> list[str]:
    problems = []
    if leaf.parsed.version is not x509.Version.v3:
        problems.append("not an X.509 v3 certificate")
    constraints = basic_constraints(leaf)
    if constraints is not None and constraints.ca:
        problems.append("basicConstraints say CA, a leaf must not be one")
    if constraints is None and spdm_minor is not None and spdm_minor >= 3:
        problems.append(f"no basicConstraints, SPDM 1.{spdm_minor} wants them with CA false")
    if leaf.not_before.year < 1970:
        problems.append(f"notBefore is in {leaf.not_before.year}, before 1970")
    return problems


def _leaf_key_usage(leaf: Certificate) -> list[str]:
    usage = key_usage(leaf)
    if usage is None:
        return ["no keyUsage, digitalSignature is needed"]
    problems = []
    if not usage.digital_signature:
        problems.append("keyUsage lacks digitalSignature")
    if usage.key_cert_sign:
        problems.append("keyUsage has keyCertSign, a leaf must not issue certificates")
    return problems


def _leaf_extended_key_usage(leaf: Certificate) -> list[str]:
    purposes = leaf.extension(x509.ExtendedKeyUsage)
    if purposes is None:
        return []
    names = {purpose.dotted_string for purpose in purposes}
    # Neither of the two is fine: DMTF's own sample leaves list TLS purposes only.
    if REQUESTER_AUTH_OID in names and RESPONDER_AUTH_OID not in names:
        return ["extendedKeyUsage allows it as an SPDM requester only"]
    return []


def _leaf_spdm_extension(leaf: Certificate, alias: bool) -> list[str]:
    for extension in leaf.parsed.extensions:
        if extension.oid.dotted_string != DMTF_SPDM_EXTENSION_OID:
            continue
        try:
            oids = spdm_extension_oids(extension.value.public_bytes())
        except DerError as error:
            return [f"SPDM extension {DMTF_SPDM_EXTENSION_OID} is malformed: {error}"]
        if alias and HARDWARE_IDENTITY_DER in oids:
            return ["an alias certificate claims the hardware identity, which only the device certificate has"]
    return []


def spdm_extension_oids(value: bytes) -> tuple[bytes, ...]:
    """Read the object identifiers of the SPDM extension, SEQUENCE OF SEQUENCE { OBJECT IDENTIFIER, ANY OPTIONAL }."""
    outer = read_element(value, 0)
    if outer.tag != SEQUENCE or outer.end != len(value):
        raise DerError("not one SEQUENCE", 0)
    oids = []
    for entry in elements(value, outer.content, outer.end):
        parts = list(elements(value, entry.content, entry.end)) if entry.tag == SEQUENCE else []
        if not 1 <= len(parts) <= 2 or parts[0].tag != OBJECT_IDENTIFIER:
            raise DerError("an entry is not an object identifier with at most one value", entry.start)
        oids.append(value[parts[0].start : parts[0].end])
    return tuple(oids)
