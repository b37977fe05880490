"""Is this certificate fit to be an anchor? Everything an admin should hear before trusting it.

An ERROR means: do not enrol it (a verb may offer to override one code by name, as `--allow-test-root` does). A WARNING
means: it works, but know this. What only the *kernel* refuses is a WARNING, because most kernels have no `.cma` and
userspace verifies devices all the same; `kernel_refusal` is there for whoever fills a kernel keyring.

A clean anchor has no finding at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import MappingProxyType

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.x509 import SubjectKeyIdentifier

from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.horizon import ROOT_EXPIRY, Expiry, Nearness
from cmakeys.x509.issuing import (
    basic_constraints,
    claims_self_signature,
    key_usage,
    signature_problem,
    unknown_critical_extensions,
)
from cmakeys.x509.kernel import kernel_needed
from cmakeys.x509.kernel import kernel_refusal as kernel_refusal

MIN_RSA_BITS = 2048
MIN_EC_BITS = 256
"""The smallest keys SPDM can negotiate; RSA 2048 has the strength of a 224-bit curve."""


class Severity(Enum):
    """How bad a finding is: ERROR refuses the certificate as an anchor."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a certificate; `code` is a stable word for machines, `hint` what to do about it."""

    severity: Severity
    code: str
    message: str
    hint: str = ""


def lint_anchor(
    certificate: Certificate,
    *,
    now: datetime,
    expiry: Expiry = ROOT_EXPIRY,
    clock_fault: str = "",
    test_roots: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Finding, ...]:
    """Say everything that speaks against `certificate` as an anchor, worst first.

    `now` is an aware time; with a `clock_fault`, which says in words why it cannot be right, nothing is held against
    it. `test_roots` maps SHA-256 fingerprints of well-known test roots to their names.
    """
    findings = [
        *_test_root(certificate, test_roots),
        *_authority(certificate),
        *_signature(certificate),
        *_strength(certificate),
        *_kernel(certificate),
        *_dates(certificate, now, expiry, clock_fault),
        *_oddities(certificate),
    ]
    rank = list(Severity)
    return tuple(sorted(findings, key=lambda finding: rank.index(finding.severity)))


def _test_root(certificate: Certificate, test_roots: Mapping[str, str]) -> Iterator[Finding]:
    name = test_roots.get(certificate.fingerprint)
    if name is not None:
        yield Finding(
            Severity.ERROR,
            "test-root",
            f"well-known test root {name}: its private key is public, so anyone can make devices it vouches for",
            "use it for tests only, and name it with --allow-test-root",
        )


def _authority(certificate: Certificate) -> Iterator[Finding]:
    constraints = basic_constraints(certificate)
    if constraints is None or not constraints.ca:
        flag = "has no basicConstraints" if constraints is None else "says CA:FALSE"
        yield Finding(
            Severity.ERROR,
            "not-ca",
            f"not a CA certificate: it {flag}",
            "ask the vendor for the certificate that issued this one; to pin one device, enrol the device instead",
        )
    elif constraints.path_length is not None:
        yield Finding(
            Severity.INFO, "path-length", f"allows {constraints.path_length} CA certificates between itself and a leaf"
        )
    usage = key_usage(certificate)
    if usage is None:
        yield Finding(
            Severity.WARNING,
            "no-key-usage",
            "has no keyUsage extension, so nothing says that its key is for signing certificates",
        )
    elif not usage.key_cert_sign:
        yield Finding(
            Severity.ERROR,
            "key-usage",
            "keyUsage does not allow signing certificates (keyCertSign)",
            "this is not the certificate that issues the vendor's devices",
        )
    unknown = unknown_critical_extensions(certificate)
    if unknown:
        yield Finding(
            Severity.WARNING,
            "critical-extension",
            f"critical extension {', '.join(unknown)} is not understood: a chain that includes it will be rejected",
        )


def _signature(certificate: Certificate) -> Iterator[Finding]:
    if not claims_self_signature(certificate):
        yield Finding(
            Severity.WARNING,
            "not-self-signed",
            f"an intermediate, issued by {certificate.issuer or 'an empty name'}: its own signature was not checked."
            " The kernel does not care and trusts whatever it issues",
            "enrol it only if you mean to trust less than the root above it",
        )
    elif _hash_name(certificate) not in _BROKEN_HASHES:
        problem = signature_problem(certificate, certificate)
        if problem:
            yield Finding(
                Severity.ERROR,
                "self-signature",
                f"says it is self-signed, but its {problem}",
                "the file is damaged or forged; get it again from the vendor",
            )


# --- strength --------------------------------------------------------------------------------------------------------

_BROKEN_HASHES = frozenset({"md5", "sha1"})
_OTHER_SIGNING_KEYS = (
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
    mldsa.MLDSA44PublicKey,
    mldsa.MLDSA65PublicKey,
    mldsa.MLDSA87PublicKey,
)


def _strength(certificate: Certificate) -> Iterator[Finding]:
    try:
        key = certificate.public_key
    except CertificateProblem as problem:
        yield Finding(Severity.ERROR, "key-type", problem.message, "no signature by it can be verified here")
        return
    if isinstance(key, rsa.RSAPublicKey):
        weak = key.key_size < MIN_RSA_BITS
    elif isinstance(key, ec.EllipticCurvePublicKey):
        weak = key.curve.key_size < MIN_EC_BITS
    else:
        weak = False
        if not isinstance(key, _OTHER_SIGNING_KEYS):
            yield Finding(Severity.ERROR, "key-type", f"{certificate.key_description} keys cannot sign certificates")
    if weak:
        yield Finding(
            Severity.ERROR,
            "weak-key",
            f"{certificate.key_description} is too weak: RSA needs {MIN_RSA_BITS} bits, a curve {MIN_EC_BITS}",
            "ask the vendor for a newer root",
        )
    hash_name = _hash_name(certificate)
    if hash_name in _BROKEN_HASHES:
        yield Finding(
            Severity.ERROR,
            "weak-signature",
            f"signed with {hash_name.upper()}, for which forgeries are made; its signature is not checked",
            "ask the vendor for a newer root",
        )


def _hash_name(certificate: Certificate) -> str:
    """Name the hash of the certificate's signature, lower case; empty where the algorithm has none of its own."""
    try:
        algorithm = certificate.parsed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return ""
    return algorithm.name if algorithm else ""


# --- the kernel ------------------------------------------------------------------------------------------------------


def _kernel(certificate: Certificate) -> Iterator[Finding]:
    refusal = kernel_refusal(certificate)
    if refusal:
        yield Finding(
            Severity.WARNING,
            "kernel-refuses",
            f"no kernel loads it: {refusal}",
            "devices that chain to it can be verified by cmakeys, never by the kernel",
        )
        return
    since = kernel_needed(certificate)
    if since:
        # Every kernel that has `.cma` is newer than 6.10.
        yield Finding(
            Severity.INFO if since == "6.10" else Severity.WARNING,
            "kernel-version",
            f"kernels before {since} do not load it: {certificate.key_description} is unknown to them (ENOPKG)",
            "on an older kernel cmakeys alone verifies devices that chain to it",
        )


# --- dates -----------------------------------------------------------------------------------------------------------


def _dates(certificate: Certificate, now: datetime, expiry: Expiry, clock_fault: str) -> Iterator[Finding]:
    begin, end = certificate.not_before, certificate.not_after
    if begin > end:
        yield Finding(Severity.ERROR, "validity", f"is never valid: begins {begin:%Y-%m-%d}, ends {end:%Y-%m-%d}")
        return
    if clock_fault:
        yield Finding(
            Severity.WARNING,
            "clock",
            f"its dates ({begin:%Y-%m-%d} to {end:%Y-%m-%d}) were not checked: {clock_fault}",
            "set the clock, then lint again",
        )
        return
    if now < begin:
        yield Finding(
            Severity.WARNING,
            "not-yet-valid",
            f"not valid before {begin:%Y-%m-%d %H:%M}Z",
            "check this machine's clock; keep the root staged until then",
        )
    match expiry.nearness(certificate, now):
        case Nearness.ENDLESS:
            yield Finding(Severity.INFO, "never-expires", "never expires (year 9999)")
        case Nearness.OVER:
            yield Finding(
                Severity.ERROR,
                "expired",
                f"expired on {end:%Y-%m-%d}; the kernel does not look at dates, cmakeys does",
                "ask the vendor for the root that replaces it",
            )
        case Nearness.FAIL:
            yield Finding(
                Severity.ERROR,
                "expires-soon",
                f"expires on {end:%Y-%m-%d}, in {(end - now).days} days, and the policy wants more than {expiry.fail}",
                "ask the vendor for the root that replaces it and rotate",
            )
        case Nearness.WARN:
            yield Finding(
                Severity.WARNING,
                "expires-soon",
                f"expires on {end:%Y-%m-%d}, in {(end - now).days} days",
                "ask the vendor for the root that replaces it and rotate",
            )
        case Nearness.FAR:
            return


# --- oddities --------------------------------------------------------------------------------------------------------


def _oddities(certificate: Certificate) -> Iterator[Finding]:
    if not certificate.parsed.subject.rdns:
        yield Finding(Severity.ERROR, "empty-subject", "has no subject, so no certificate can name it as its issuer")
    if certificate.serial_number <= 0:
        yield Finding(Severity.INFO, "serial-number", "its serial number is not positive, against RFC 5280")
    if certificate.extension(SubjectKeyIdentifier) is None:
        yield Finding(
            Severity.INFO,
            "no-subject-key-id",
            "has no subject key identifier: the kernel finds it by name only, for chains that name no key either",
        )
