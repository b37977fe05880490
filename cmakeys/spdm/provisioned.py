"""A device's public key that was handed over beforehand, in place of a certificate (PUB_KEY_ID_CAP, reference §3.6).

Nobody vouches for such a key but whoever brought it, so it is never taken from the device itself. Where the hash of a
certificate chain goes into a message or a transcript, that of the key as DER SubjectPublicKeyInfo takes its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from cmakeys.errors import Refused, UsageProblem
from cmakeys.spdm.algorithms import BaseAsym, PqcAsym
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.signing import asym_of_key

MAX_KEY_SIZE = 64 << 10
"""Bytes of a file with one public key; the largest that SPDM knows has less than 3 KiB."""

_KINDS = (
    ec.EllipticCurvePublicKey,
    rsa.RSAPublicKey,
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
    mldsa.MLDSA44PublicKey,
    mldsa.MLDSA65PublicKey,
    mldsa.MLDSA87PublicKey,
)
_PEM = b"-----BEGIN "


class KeyNotAllowed(Refused):
    """The policy allows no algorithm of a public key."""

    code = "key-not-allowed"


@dataclass(frozen=True, slots=True)
class ProvisionedKey:
    """The key, and `info`, its SubjectPublicKeyInfo in DER: what is hashed."""

    public_key: CertificatePublicKeyTypes
    info: bytes

    @classmethod
    def of(cls, key: PublicKeyTypes, source: str) -> ProvisionedKey:
        """Raises `UsageProblem`, naming `source`, for a key that no SPDM device can have."""
        if not isinstance(key, _KINDS) or not asym_of_key(key):
            raise UsageProblem("SPDM knows no algorithm for a public key of this kind or size", object=source)
        return cls(key, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    @classmethod
    def parse(cls, data: bytes, source: str) -> ProvisionedKey:
        """The public key in a file, PEM or DER. Raises `UsageProblem`, naming `source`."""
        if len(data) > MAX_KEY_SIZE:
            raise UsageProblem(f"larger than {MAX_KEY_SIZE >> 10} KiB", object=source)
        if data.count(_PEM) > 1:
            raise UsageProblem("more than one key in one file", object=source, hint="a device has one public key")
        try:
            key = load_pem_public_key(data) if _PEM in data else load_der_public_key(data)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise UsageProblem(
                "there is no public key here that can be read",
                object=source,
                hint="of a certificate, openssl x509 -pubkey -noout shows it; of a private key, openssl pkey -pubout",
            ) from None
        return cls.of(key, source)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, in hexadecimal."""
        return hashlib.sha256(self.info).hexdigest()

    @property
    def algorithms(self) -> tuple[BaseAsym | PqcAsym, ...]:
        """What may be negotiated with the device that has this key."""
        return asym_of_key(self.public_key)

    def __reduce__(self) -> tuple[Callable[[bytes, str], ProvisionedKey], tuple[bytes, str]]:
        """Travel to another process as the octets, because the library's keys cannot."""
        return (ProvisionedKey.parse, (self.info, "public key"))

    def offered(self, offer: Offer) -> Offer:
        """The offer without the algorithms that this key cannot serve. Raises `KeyNotAllowed` when none is left."""
        classic, pqc = BaseAsym(0), PqcAsym(0)
        for algorithm in self.algorithms:
            if isinstance(algorithm, BaseAsym):
                classic |= algorithm & offer.base_asym
            else:
                pqc |= algorithm & offer.pqc_asym
        if not classic and not pqc:
            raise KeyNotAllowed(
                "the policy allows no algorithm of this public key",
                object=f"sha256 {self.fingerprint}",
                hint="cmakeys policy show names those it allows",
            )
        return replace(offer, base_asym=classic, pqc_asym=pqc)
