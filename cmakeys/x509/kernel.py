"""Which certificates a Linux kernel takes as a key of type `asymmetric`, and which it refuses with what errno.

The rules are those measured on 6.12 and read in `crypto/asymmetric_keys/`. They are about loading only: the kernel
looks at no date, CA flag, key usage or extension when a key is added, and verifies a signature only if the certificate
says it signed itself. Whether this very kernel was built with an algorithm is another matter (ENOENT, `/proc/crypto`).
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from cryptography.x509.oid import PublicKeyAlgorithmOID

from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.der import DerError, Element, elements, read_element
from cmakeys.x509.issuing import claims_self_signature, signature_problem

MAX_RSA_BITS = 4096

CURVES = frozenset({"secp192r1", "secp256r1", "secp384r1", "secp521r1"})

_ML_DSA_KEYS = (mldsa.MLDSA44PublicKey, mldsa.MLDSA65PublicKey, mldsa.MLDSA87PublicKey)

# x509_note_sig_algo() in crypto/asymmetric_keys/x509_cert_parser.c. GOST, which it knows too, the library does not.
_SIGNATURES = frozenset(
    {
        # RSA PKCS#1 v1.5 with SHA-1, SHA-224, SHA-256, SHA-384, SHA-512, SHA3-256, SHA3-384, SHA3-512
        *(f"1.2.840.113549.1.1.{number}" for number in (5, 14, 11, 12, 13)),
        *(f"2.16.840.1.101.3.4.3.{number}" for number in (14, 15, 16)),
        # ECDSA with SHA-1, SHA-224, SHA-256, SHA-384, SHA-512, SHA3-256, SHA3-384, SHA3-512
        "1.2.840.10045.4.1",
        *(f"1.2.840.10045.4.3.{number}" for number in (1, 2, 3, 4)),
        *(f"2.16.840.1.101.3.4.3.{number}" for number in (10, 11, 12)),
        # ML-DSA-44, ML-DSA-65, ML-DSA-87 (since 7.0)
        *(f"2.16.840.1.101.3.4.3.{number}" for number in (17, 18, 19)),
    }
)
_RSASSA_PSS = "1.2.840.113549.1.1.10"
_GENERALIZED_TIME = 0x18


def kernel_refusal(certificate: Certificate) -> str | None:
    """Say why no kernel loads `certificate`, with the errno it gives; None if one does.

    A certificate that only kernels from some version on take is not refused here: see `kernel_needed`.
    """
    return _key_refusal(certificate) or _signature_refusal(certificate) or _content_refusal(certificate)


def kernel_needed(certificate: Certificate) -> str | None:
    """Name the first kernel version that takes keys of this type, where it is not an old one."""
    try:
        key = certificate.public_key
    except CertificateProblem:
        return None
    if isinstance(key, _ML_DSA_KEYS):
        return "7.0"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp521r1":
        return "6.10"
    return None


def _key_refusal(certificate: Certificate) -> str | None:
    try:
        key = certificate.public_key
    except CertificateProblem as problem:
        return f"{problem.message} (ENOPKG)"
    if isinstance(key, rsa.RSAPublicKey):
        if certificate.parsed.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS:
            return "the key is restricted to RSASSA-PSS (ENOPKG)"
        if key.key_size > MAX_RSA_BITS:
            # An intermediate would load, since nothing is verified with its key then, and would be of no use.
            return f"RSA {key.key_size} is more than the kernel's {MAX_RSA_BITS} bits (EINVAL)"
        return None
    if isinstance(key, _ML_DSA_KEYS):
        return None
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
        return None
    return f"the kernel has no {certificate.key_description} (ENOPKG)"


def _signature_refusal(certificate: Certificate) -> str | None:
    algorithm = certificate.parsed.signature_algorithm_oid
    if algorithm.dotted_string == _RSASSA_PSS:
        return "it is signed with RSASSA-PSS (ENOPKG)"
    if algorithm.dotted_string not in _SIGNATURES:
        return f"it is signed with an algorithm the kernel does not know, {algorithm.dotted_string} (ENOPKG)"
    if claims_self_signature(certificate):
        problem = signature_problem(certificate, certificate)
        if problem and problem.endswith("is wrong"):
            return "it says it is self-signed, but the signature is wrong (EKEYREJECTED or EINVAL)"
    return None


def _content_refusal(certificate: Certificate) -> str | None:
    if not certificate.parsed.subject.rdns:
        return "it has no subject (EBADMSG)"
    for moment, name in ((certificate.not_before, "notBefore"), (certificate.not_after, "notAfter")):
        if moment.year < 1970:
            return f"{name} is in {moment.year}, before 1970 (EBADMSG)"
    try:
        inner, validity, outer = _raw_fields(certificate.der)
    except DerError as error:
        return f"{error} (EBADMSG)"
    if certificate.der[inner.start : inner.end] != certificate.der[outer.start : outer.end]:
        return "its two signature algorithm fields differ (EINVAL)"
    for element, moment in zip(validity, (certificate.not_before, certificate.not_after), strict=False):
        if element.tag == _GENERALIZED_TIME and moment.year < 2050:
            return f"GeneralizedTime for the year {moment.year}, where UTCTime is needed (EBADMSG)"
    return None


def _raw_fields(der: bytes) -> tuple[Element, list[Element], Element]:
    """Find what the library does not show: the inner signature algorithm, the two times, the outer algorithm."""
    certificate = read_element(der, 0)
    to_be_signed, outer, *_ = elements(der, certificate.content, certificate.end)
    fields = list(elements(der, to_be_signed.content, to_be_signed.end))
    if fields[0].tag == 0xA0:  # [0] EXPLICIT version; the serial number follows
        del fields[0]
    inner, validity = fields[1], fields[3]
    return inner, list(elements(der, validity.content, validity.end)), outer
