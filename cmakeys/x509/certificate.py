"""One X.509 certificate: the DER bytes are the identity, the parsed form is a view on them.

Everything cmakeys decides about a certificate is keyed by SHA-256 of its DER, never by a name: names are chosen by
whoever issued it (the reference notes a switch whose chain passes through a certificate named after a GPU).
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Self, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cmakeys.errors import EvidenceProblem
from cmakeys.x509.der import DerError, elements, read_element

MAX_CERTIFICATE_SIZE = 65535
"""Bytes; the largest single certificate any source may hand us: a classic SPDM chain is no larger."""

_FILTERS = threading.RLock()


@contextmanager
def oddities_accepted() -> Iterator[None]:
    """Keep the library from warning of what it may refuse one day, such as a serial number of zero.

    Such certificates are in the field; what to say about them is for the linter, not for stderr. The filters that
    `catch_warnings` saves and restores belong to the whole process, so threads take turns.
    """
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class CertificateProblem(EvidenceProblem):
    """Bytes that should be a certificate are not one, or it does not hold."""

    code = "certificate"


def _refuse_padded_signature(der: bytes) -> None:
    """Refuse a signature BIT STRING that is not whole octets.

    The library drops padding bits, so a certificate could be changed there and still verify; the kernel refuses it too.
    """
    outer = read_element(der, 0)
    *_, signature = elements(der, outer.content, outer.end)
    if der[signature.content] != 0:
        raise DerError("signature with padding bits", signature.start)


_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@dataclass(frozen=True)
class Certificate:
    """A certificate with its place of origin.

    `source` names the file, slot or stream it was read from and `offset` the byte at which its DER (or PEM block)
    starts there; both are for messages only and take no part in equality. Make one with `from_der`, which is where
    bytes that are no certificate are found out.
    """

    der: bytes
    source: str = field(default="", compare=False)
    offset: int = field(default=0, compare=False)

    @classmethod
    def from_der(cls, der: bytes, source: str = "", offset: int = 0) -> Self:
        """Parse exactly one DER certificate.

        Raises `CertificateProblem` if the bytes are not exactly one X.509 certificate.
        """
        where = f"{source} at byte {offset}" if source else "certificate"
        if len(der) > MAX_CERTIFICATE_SIZE:
            raise CertificateProblem(f"{len(der)} bytes, more than {MAX_CERTIFICATE_SIZE}", object=where)
        certificate = cls(bytes(der), source, offset)
        try:
            parsed = certificate.parsed
            # What cannot be read must fail here, once, with a name and an offset, not wherever it is first asked for.
            _ = (parsed.version, parsed.not_valid_before_utc, parsed.not_valid_after_utc, certificate.serial_number)
            _ = (certificate.self_issued, certificate.subject, certificate.issuer)
            _refuse_padded_signature(certificate.der)
        except (
            ValueError,
            TypeError,
            OverflowError,
            UnsupportedAlgorithm,
            x509.DuplicateExtension,
            x509.UnsupportedGeneralNameType,
            x509.InvalidVersion,
        ) as error:
            raise CertificateProblem(
                f"not a valid X.509 certificate: {error}",
                object=where,
                hint="look at it with: openssl x509 -inform DER -noout -text",
            ) from error
        return certificate

    def __getstate__(self) -> dict[str, object]:
        """Only the fields travel to another process; the library's view on them cannot, and is made again there."""
        return {"der": self.der, "source": self.source, "offset": self.offset}

    @cached_property
    def parsed(self) -> x509.Certificate:
        """The library's view of the certificate, names and extensions read; it raises nothing after `from_der`."""
        with oddities_accepted():
            parsed = x509.load_der_x509_certificate(self.der)
            # The library parses these when they are first asked for, and keeps them.
            _ = (parsed.subject, parsed.issuer, parsed.extensions)
            self.__dict__["serial_number"] = parsed.serial_number
            return parsed

    @cached_property
    def serial_number(self) -> int:
        """The issuer's number for it; from a careless issuer also zero or negative (RFC 5280 §4.1.2.2)."""
        with oddities_accepted():
            return self.parsed.serial_number

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the DER, 64 lower-case hex digits."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def public_key(self) -> CertificatePublicKeyTypes:
        """The subject's public key.

        Raises `CertificateProblem` for a key type the library does not know.
        """
        try:
            return self.parsed.public_key()
        except (UnsupportedAlgorithm, ValueError) as error:
            raise CertificateProblem(
                f"unsupported public key {self.parsed.public_key_algorithm_oid.dotted_string}",
                object=self.label,
            ) from error

    @cached_property
    def spki_fingerprint(self) -> str:
        """SHA-256 of the DER SubjectPublicKeyInfo, lower-case hex: what a distrusted *key* is known by."""
        spki = self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(spki).hexdigest()

    @cached_property
    def subject(self) -> str:
        """Subject as an RFC 4514 string; empty when the certificate has none."""
        return self.parsed.subject.rfc4514_string()

    @cached_property
    def issuer(self) -> str:
        """Issuer as an RFC 4514 string."""
        return self.parsed.issuer.rfc4514_string()

    @property
    def not_before(self) -> datetime:
        """Start of validity, UTC."""
        return self.parsed.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """End of validity, UTC. Year 9999 means "no well-defined expiry" (RFC 5280 §4.1.2.5)."""
        return self.parsed.not_valid_after_utc

    @property
    def never_expires(self) -> bool:
        """True for RFC 5280's 99991231235959Z and anything else in year 9999."""
        return self.not_after.year == 9999

    @cached_property
    def self_issued(self) -> bool:
        """Issuer and subject are the same name. Says nothing about the signature."""
        issuer, subject = self.names
        return issuer == subject

    @cached_property
    def names(self) -> tuple[bytes, bytes]:
        """Issuer and subject as DER."""
        return self.parsed.issuer.public_bytes(), self.parsed.subject.public_bytes()

    @cached_property
    def _extensions(self) -> dict[type[x509.ExtensionType], x509.ExtensionType]:
        return {type(extension.value): extension.value for extension in self.parsed.extensions}

    def extension(self, kind: type[_Extension]) -> _Extension | None:
        """The extension of one kind; None when it is missing. A certificate has each kind once."""
        found = self._extensions.get(kind)
        return found if isinstance(found, kind) else None

    @property
    def basic_constraints(self) -> x509.BasicConstraints | None:
        """The basicConstraints extension; None when it is missing."""
        return self.extension(x509.BasicConstraints)

    @property
    def key_usage(self) -> x509.KeyUsage | None:
        """The keyUsage extension; None when it is missing."""
        return self.extension(x509.KeyUsage)

    @property
    def label(self) -> str:
        """Short text for messages: the subject, or the fingerprint when there is none."""
        return self.subject or f"certificate {self.fingerprint[:16]}"

    @cached_property
    def key_description(self) -> str:
        """Key type and size in the field's words, for example `ECDSA P-384`, `RSA 4096`, `ML-DSA-65`."""
        try:
            key = self.public_key
        except CertificateProblem:
            return self.parsed.public_key_algorithm_oid.dotted_string
        if isinstance(key, ec.EllipticCurvePublicKey):
            names = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp192r1": "P-192"}
            return f"ECDSA {names.get(key.curve.name, key.curve.name)}"
        if isinstance(key, rsa.RSAPublicKey):
            return f"RSA {key.key_size}"
        if isinstance(key, ed25519.Ed25519PublicKey):
            return "Ed25519"
        if isinstance(key, ed448.Ed448PublicKey):
            return "Ed448"
        if isinstance(key, dsa.DSAPublicKey):
            return f"DSA {key.key_size}"
        for kind, name in (
            (mldsa.MLDSA44PublicKey, "ML-DSA-44"),
            (mldsa.MLDSA65PublicKey, "ML-DSA-65"),
            (mldsa.MLDSA87PublicKey, "ML-DSA-87"),
        ):
            if isinstance(key, kind):
                return name
        return type(key).__name__.removesuffix("PublicKey")


def same_key(one: Certificate, other: Certificate) -> bool:
    """Whether two certificates are about one public key; a key that cannot be read is equal to none."""
    try:
        return one.spki_fingerprint == other.spki_fingerprint
    except CertificateProblem:
        return False
