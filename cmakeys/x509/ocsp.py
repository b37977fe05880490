"""One OCSP response: what it says about which certificates, and who must have signed it (RFC 6960).

A response may be signed by the authority itself or by somebody whom that authority certified for just this purpose,
with the extended key usage `OCSPSigning`. A certificate without it, or by another authority, makes the response
worthless. Nothing here asks anybody: responses come from files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from cmakeys.x509.certificate import Certificate, CertificateProblem, oddities_accepted
from cmakeys.x509.chain import check_validity
from cmakeys.x509.crl import RevocationProblem
from cmakeys.x509.der import read_element
from cmakeys.x509.issuing import key_usage, signature_problem, unknown_critical_extensions
from cmakeys.x509.tbs import key_bits, subject_der

MAX_RESPONSE_SIZE = 1024 * 1024
"""Bytes of a response: a few statements and a few certificates."""

MAX_STATEMENTS = 1000

_NOT_READABLE = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class Answer(Enum):
    """What a responder says about a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Statement:
    """What a response says about one certificate, which it names by hashes of its issuer and its serial number."""

    hash: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial: int
    answer: Answer
    this_update: datetime
    next_update: datetime | None
    revoked_at: datetime | None = None
    reason: str = ""

    def is_about(self, certificate: Certificate, issuer: Certificate) -> bool:
        """Whether it speaks of `certificate` as issued by `issuer`."""
        return self.serial == certificate.serial_number and self.names_issuer(issuer)

    def names_issuer(self, issuer: Certificate) -> bool:
        """Whether it speaks of a certificate that `issuer` has issued."""
        return (
            self.issuer_name_hash == hashlib.new(self.hash, subject_der(issuer), usedforsecurity=False).digest()
            and self.issuer_key_hash == hashlib.new(self.hash, key_bits(issuer), usedforsecurity=False).digest()
        )


@dataclass(frozen=True)
class OcspResponse:
    """A response by its DER, with its place of origin for messages. Make one with `from_der`."""

    der: bytes
    source: str = field(default="", compare=False)

    @classmethod
    def from_der(cls, der: bytes, source: str = "") -> Self:
        """Parse exactly one successful response, bounded in size.

        Raises `RevocationProblem` for bytes that are none, and for one that says only why there is no answer.
        """
        where = source or "OCSP response"
        if len(der) > MAX_RESPONSE_SIZE:
            raise RevocationProblem(f"{len(der)} bytes, more than {MAX_RESPONSE_SIZE}", object=where)
        found = cls(bytes(der), source)
        try:
            if read_element(found.der, 0).end != len(found.der):
                raise ValueError("something follows it")
            status = found.parsed.response_status
            if status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
                raise RevocationProblem(
                    f"the responder gave no answer: {status.name.lower().replace('_', ' ')}", object=where
                )
            _ = (found.statements, found.certificates, found.responder_name, found.parsed.signature_algorithm_oid)
            with oddities_accepted():
                _ = [extension.value for extension in found.parsed.extensions]
        except (*_NOT_READABLE, CertificateProblem) as error:
            raise RevocationProblem(
                f"not a valid OCSP response: {error}",
                object=where,
                hint="look at it with: openssl ocsp -respin FILE -resp_text -noverify",
            ) from error
        return found

    def __getstate__(self) -> dict[str, object]:
        """Only the fields travel to another process; the library's view on them is made again there."""
        return {"der": self.der, "source": self.source}

    @cached_property
    def parsed(self) -> ocsp.OCSPResponse:
        """The library's view of the response."""
        return ocsp.load_der_ocsp_response(self.der)

    @cached_property
    def responder_name(self) -> x509.Name | None:
        """The name of who signed it, where the response says it by a name."""
        with oddities_accepted():
            return self.parsed.responder_name

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the DER, lower-case hex."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def certificates(self) -> tuple[Certificate, ...]:
        """The certificates that came with it, none of them verified."""
        return tuple(
            Certificate.from_der(_der(certificate), self.source) for certificate in self.parsed.certificates[:16]
        )

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """What it says, statement by statement; nothing of it may be believed before `signer_problem` found nothing."""
        found: list[Statement] = []
        with oddities_accepted():
            for single in self.parsed.responses:
                if len(found) == MAX_STATEMENTS:
                    raise ValueError(f"more than {MAX_STATEMENTS} statements")
                found.append(
                    Statement(
                        single.hash_algorithm.name,
                        single.issuer_name_hash,
                        single.issuer_key_hash,
                        single.serial_number,
                        Answer(single.certificate_status.name.lower()),
                        single.this_update_utc,
                        single.next_update_utc,
                        single.revocation_time_utc,
                        str(single.revocation_reason.value) if single.revocation_reason else "",
                    )
                )
        return tuple(found)

    @cached_property
    def refusal(self) -> str:
        """Why the response cannot be used at all; empty when it can."""
        for extension in self.parsed.extensions:
            if extension.critical and not isinstance(extension.value, x509.OCSPNonce):
                return f"critical extension {extension.oid.dotted_string} is not understood"
        return ""

    def signer_problem(
        self, issuer: Certificate, at: datetime | None, revoked: Callable[[Certificate], bool] = lambda _one: False
    ) -> str:
        """Why this is not a response that `issuer`, or a responder certified by it, signed; empty if it is.

        A responder's certificate must be valid at `at`, None for a machine without a clock, and not be `revoked`.
        """
        if self._is_responder(issuer):
            return self._signature_problem(issuer)
        problem = f"neither {issuer.label} nor a responder certified by it signed the response"
        for candidate in self.certificates:
            if self._is_responder(candidate):
                problem = _delegation_problem(candidate, issuer, at) or self._signature_problem(candidate)
                if not problem and revoked(candidate):
                    problem = f"the certificate of the responder {candidate.label} is itself revoked"
                if not problem:
                    return ""
        return problem

    def _is_responder(self, certificate: Certificate) -> bool:
        """Whether the response names this certificate's subject or key as its responder."""
        if self.parsed.responder_key_hash is not None:
            digest = hashlib.new("sha1", key_bits(certificate), usedforsecurity=False).digest()
            return self.parsed.responder_key_hash == digest
        return self.responder_name == certificate.parsed.subject

    def _signature_problem(self, signer: Certificate) -> str:
        try:
            _verify(signer, self.parsed)
        except InvalidSignature:
            return f"signature by {signer.label} is wrong"
        except (*_NOT_READABLE, CertificateProblem) as error:
            return f"signature by {signer.label} cannot be verified: {error}"
        return ""


def _delegation_problem(responder: Certificate, issuer: Certificate, at: datetime | None) -> str:
    """Why `issuer` has not certified `responder` for OCSP (RFC 6960 §4.2.2.2); empty if it has."""
    problem = signature_problem(responder, issuer)
    if problem:
        return f"the responder {responder.label}: {problem}"
    if ExtendedKeyUsageOID.OCSP_SIGNING not in _purposes(responder):
        return f"the responder {responder.label} is not certified for OCSP (no OCSPSigning in its extended key usage)"
    usage = key_usage(responder)
    if usage is not None and not usage.digital_signature:
        return f"keyUsage of the responder {responder.label} lacks digitalSignature"
    unknown = unknown_critical_extensions(responder)
    if unknown:
        return f"critical extension {unknown[0]} of the responder {responder.label} is not understood"
    faults = check_validity((responder,), at) if at is not None else ()
    return f"the responder's certificate: {faults[0].message}" if faults else ""


def _purposes(certificate: Certificate) -> tuple[x509.ObjectIdentifier, ...]:
    return tuple(certificate.extension(x509.ExtendedKeyUsage) or ())


def _verify(signer: Certificate, response: ocsp.OCSPResponse) -> None:
    key, function = signer.public_key, response.signature_hash_algorithm
    signature, data = response.signature, response.tbs_response_bytes
    if isinstance(key, rsa.RSAPublicKey) and function is not None:
        key.verify(signature, data, padding.PKCS1v15(), function)
    elif isinstance(key, ec.EllipticCurvePublicKey) and function is not None:
        key.verify(signature, data, ec.ECDSA(function))
    elif isinstance(
        key,
        ed25519.Ed25519PublicKey
        | ed448.Ed448PublicKey
        | mldsa.MLDSA44PublicKey
        | mldsa.MLDSA65PublicKey
        | mldsa.MLDSA87PublicKey,
    ):
        key.verify(signature, data)
    else:
        raise UnsupportedAlgorithm(f"{signer.key_description} with {_name(function)} is not supported")


def _name(function: hashes.HashAlgorithm | None) -> str:
    return function.name if function is not None else "no hash"


def _der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)
