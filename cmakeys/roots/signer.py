"""Who may sign a bundle, and how many of them have to: public keys, a threshold, and who of them did sign.

A key is known by the SHA-256 of its SubjectPublicKeyInfo, which must stand in the one encoding that the key has: two
spellings of a key would be two signers. The key says which algorithm its signatures have, never the signature. A key
whose algorithm this machine does not have is carried along and said, and counts for nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from cmakeys.errors import UsageProblem
from cmakeys.roots.document import Node
from cmakeys.roots.json_document import base64_of, base64_text

MAX_KEYS = 32
MAX_KEY_SIZE = 8192
"""Bytes of one key; that of ML-DSA-87, the largest, has 2,614."""

KEY_ALGORITHMS = ("Ed25519", "ECDSA-P256", "ECDSA-P384", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87")
"""What a bundle may be signed with."""

PublicKey = (
    ed25519.Ed25519PublicKey
    | ec.EllipticCurvePublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
)
_HASHES: Mapping[str, hashes.HashAlgorithm] = {"ECDSA-P256": hashes.SHA256(), "ECDSA-P384": hashes.SHA384()}


@dataclass(frozen=True)
class SignerKey:
    """A public key, as DER of its SubjectPublicKeyInfo. Make one with `from_der` or `from_pem`."""

    spki: bytes

    @classmethod
    def from_der(cls, spki: bytes) -> SignerKey:
        """Raises `UsageProblem` for bytes that are no public key, or one in another encoding than its own."""
        if len(spki) > MAX_KEY_SIZE:
            raise UsageProblem(f"a key of {len(spki)} bytes, more than {MAX_KEY_SIZE}")
        key = cls(bytes(spki))
        try:
            encoded = load_der_public_key(key.spki).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except UnsupportedAlgorithm:
            return key
        except ValueError:
            raise UsageProblem("these bytes are no public key") from None
        if encoded != key.spki:
            raise UsageProblem("the public key has another encoding than its own", hint="write it with openssl pkey")
        return key

    @classmethod
    def from_pem(cls, data: bytes, source: str) -> SignerKey:
        """The public key in a PEM file. Raises `UsageProblem` for anything else, a private key included."""
        try:
            public = load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm):
            raise UsageProblem(
                "not a public key in PEM", object=source, hint="openssl pkey -in PRIVATE.pem -pubout -out PUBLIC.pem"
            ) from None
        return cls.from_der(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).required(source)

    @cached_property
    def id(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo."""
        return hashlib.sha256(self.spki).hexdigest()

    @cached_property
    def algorithm(self) -> str | None:
        """The name of its algorithm, one of `KEY_ALGORITHMS`; None where its signatures cannot be checked here."""
        public = self._public
        return None if public is None else _algorithm(public)

    def required(self, source: str) -> SignerKey:
        """This key, unless nothing can be signed or checked with it; then `UsageProblem`."""
        if self.algorithm is None:
            raise UsageProblem("not a kind of key for bundles", object=source, hint=f"one of: {words(KEY_ALGORITHMS)}")
        return self

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature over exactly this message."""
        public = self._public
        try:
            match public:
                case None:
                    return False
                case ec.EllipticCurvePublicKey():
                    public.verify(signature, message, ec.ECDSA(_HASHES[str(self.algorithm)]))
                case _:
                    public.verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    @cached_property
    def _public(self) -> PublicKey | None:
        try:
            public = load_der_public_key(self.spki)
        except (ValueError, UnsupportedAlgorithm):
            return None
        if isinstance(public, PublicKey) and _algorithm(public) is not None:
            return public
        return None


class PrivateKey:
    """A key that signs bundles. `source` names the file it came from."""

    def __init__(self, data: bytes, source: str) -> None:
        """Raises `UsageProblem` for anything but an unencrypted private key of a kind that bundles know."""
        try:
            self._key = load_pem_private_key(data, None)
        except TypeError:
            raise UsageProblem(
                "the key is encrypted", object=source, hint="decrypt it for the moment: openssl pkey -in KEY.pem"
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            raise UsageProblem("not a private key in PEM", object=source, hint="openssl genpkey makes one") from None
        spki = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public = SignerKey.from_der(spki).required(source)

    def sign(self, message: bytes) -> bytes:
        """The signature over a message."""
        match self._key:
            case ec.EllipticCurvePrivateKey():
                return self._key.sign(message, ec.ECDSA(_HASHES[str(self.public.algorithm)]))
            case (
                ed25519.Ed25519PrivateKey()
                | mldsa.MLDSA44PrivateKey()
                | mldsa.MLDSA65PrivateKey()
                | mldsa.MLDSA87PrivateKey()
            ):
                return self._key.sign(message)
        raise UsageProblem("not a kind of key for bundles")


@dataclass(frozen=True, slots=True)
class Signers:
    """Keys, and how many of them have to sign. Raises `UsageProblem` for what could not be met or not be counted."""

    threshold: int
    keys: tuple[SignerKey, ...]

    def __post_init__(self) -> None:
        """Sort the keys, so that equal signers are equal values, and refuse what could not be met or not be counted."""
        object.__setattr__(self, "keys", tuple(sorted(self.keys, key=lambda key: key.id)))
        if not 1 <= len(self.keys) <= MAX_KEYS:
            raise UsageProblem(f"{len(self.keys)} keys, where 1 to {MAX_KEYS} are allowed")
        if len({key.id for key in self.keys}) != len(self.keys):
            raise UsageProblem("a key occurs twice", hint="a signer counts once")
        if not 1 <= self.threshold <= len(self.keys):
            raise UsageProblem(
                f"a threshold of {self.threshold} with {len(self.keys)} keys", hint="1 at least, all keys at most"
            )

    def signed(self, message: bytes, signatures: Mapping[str, bytes]) -> frozenset[str]:
        """The ids of those keys that have signed; `signatures` are by the ids of keys, so that none counts twice."""
        return frozenset(
            key.id for key in self.keys if key.id in signatures and key.signed(message, signatures[key.id])
        )


def read_signers(node: Node) -> Signers:
    """Signers as a payload and the saved state have them."""
    fields = node.mapping(frozenset({"threshold", "keys"}))
    items = fields["keys"].items()
    if len(items) > MAX_KEYS:
        raise fields["keys"].problem(f"{len(items)} keys, more than {MAX_KEYS}")
    try:
        return Signers(fields["threshold"].number(), tuple(SignerKey.from_der(base64_of(item)) for item in items))
    except UsageProblem as error:
        raise node.problem(error.message, hint=error.hint) from None


def render_signers(signers: Signers) -> dict[str, object]:
    """The same as nested text."""
    return {
        "threshold": signers.threshold,
        "keys": [base64_text(key.spki) for key in signers.keys],
    }


def check_key_id(text: str) -> str:
    """The id of a key as typed or pasted. Raises `UsageProblem` for anything but a whole SHA-256."""
    digits = re.sub(r"[:\s]", "", text.strip().lower().removeprefix("sha256:"))
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise UsageProblem(f"{text[:80]!r} is not the SHA-256 of a key", hint="give all 64 hex digits")
    return digits


def words(names: Sequence[str]) -> str:
    """Names as they stand in a sentence."""
    return ", ".join(names)


def _algorithm(public: PublicKey) -> str | None:
    match public:
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case ec.EllipticCurvePublicKey():
            return {"secp256r1": "ECDSA-P256", "secp384r1": "ECDSA-P384"}.get(public.curve.name)
        case mldsa.MLDSA44PublicKey():
            return "ML-DSA-44"
        case mldsa.MLDSA65PublicKey():
            return "ML-DSA-65"
        case mldsa.MLDSA87PublicKey():
            return "ML-DSA-87"
