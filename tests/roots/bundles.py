"""Signers with names, and bundles by them, for the tests of bundles."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cmakeys.roots.bundle_acceptance import Remembered
from cmakeys.roots.deny import DenyEntry
from cmakeys.roots.root import Root
from cmakeys.roots.signed_bundle import Bundle, SignedBundle, bundled, pack
from cmakeys.roots.signer import PrivateKey, SignerKey, Signers

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)

KINDS = {
    "e": "Ed25519",
    "p": "ECDSA-P256",
    "q": "ECDSA-P384",
    "m": "ML-DSA-44",
    "n": "ML-DSA-65",
    "o": "ML-DSA-87",
}
"""What the first letter of a signer's name says of its key; any other letter is Ed25519 too."""


@cache
def pem(name: str) -> bytes:
    """The private key of a signer."""
    match name[0]:
        case "p":
            return _pem(ec.generate_private_key(ec.SECP256R1()))
        case "q":
            return _pem(ec.generate_private_key(ec.SECP384R1()))
        case "m":
            return _pem(mldsa.MLDSA44PrivateKey.generate())
        case "n":
            return _pem(mldsa.MLDSA65PrivateKey.generate())
        case "o":
            return _pem(mldsa.MLDSA87PrivateKey.generate())
    return _pem(ed25519.Ed25519PrivateKey.generate())


def _pem(
    key: ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey,
) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def private(name: str) -> PrivateKey:
    return PrivateKey(pem(name), name)


def public(name: str) -> SignerKey:
    return private(name).public


@cache
def unusable(name: str) -> SignerKey:
    """A key of a kind that no bundle is signed with."""
    assert name
    key = rsa.generate_private_key(65537, 2048).public_key()
    return SignerKey.from_der(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def signers(text: str) -> Signers:
    """`2 of a b c` as signers."""
    threshold, _, names = text.partition(" of ")
    return Signers(int(threshold), tuple(public(name) for name in names.split()))


def bundle(
    version: int = 1,
    keys: str = "1 of a",
    roots: tuple[Root, ...] = (),
    deny: tuple[DenyEntry, ...] = (),
    *,
    name: str = "acme",
    issued: timedelta = -DAY,
    expires: timedelta = 30 * DAY,
    when: datetime = NOW,
) -> Bundle:
    """A bundle; dates are from `when` on."""
    return Bundle(
        name, version, when + issued, when + expires, signers(keys), tuple(bundled(root) for root in roots), deny
    )


def signed(content: Bundle, by: str = "a") -> SignedBundle:
    """A bundle with the signatures of these signers."""
    return replace(pack(content), source="acme.bundle").signed_by(*(private(name) for name in by.split()))


def after(content: Bundle) -> Remembered:
    """What is remembered once this was imported."""
    roots = frozenset(root.fingerprint for root in content.roots)
    return Remembered(content.name, content.version, pack(content).digest, content.signers, content.expires, roots)
