"""Who signed a CoRIM: COSE_Sign1 (RFC 9052 §4.2) with the key that the administrator names, and nobody else's.

What the file says of its signer (corim-meta, CWT claims) is a name, and is told as one; the key decides. The
certificates that a file brings along are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from cmakeys.corim.decoding import CorimProblem, array, decode, mapping, moment, octets, text
from cmakeys.errors import UsageProblem

ALGORITHM, CRITICAL, CONTENT_TYPE, CORIM_META, CWT_CLAIMS, PAYLOAD_HASH = 1, 2, 3, 8, 15, 258
CONTENT_TYPES = ("application/rim+cbor", "application/corim-unsigned+cbor")
MIN_RSA_BITS = 2048

_ECDSA: Mapping[int, tuple[hashes.HashAlgorithm, str | None]] = {
    -7: (hashes.SHA256(), None),
    -35: (hashes.SHA384(), None),
    -36: (hashes.SHA512(), None),
    -9: (hashes.SHA256(), "secp256r1"),
    -51: (hashes.SHA384(), "secp384r1"),
    -52: (hashes.SHA512(), "secp521r1"),
}
"""ES256, ES384, ES512, and the same with their curve fixed (RFC 9864)."""

_PSS: Mapping[int, hashes.HashAlgorithm] = {-37: hashes.SHA256(), -38: hashes.SHA384(), -39: hashes.SHA512()}

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when, each end included; None is no beginning."""

    not_before: datetime | None
    not_after: datetime

    def hold(self, now: datetime, what: str, source: str) -> None:
        """Raise `CorimProblem` outside of it."""
        if self.not_before is not None and now < self.not_before:
            raise CorimProblem(f"{what} begins only at {self.not_before:%Y-%m-%d %H:%M} UTC", object=source)
        if now > self.not_after:
            raise CorimProblem(
                f"{what} ended at {self.not_after:%Y-%m-%d %H:%M} UTC", object=source, hint="ask for a newer file"
            )


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that a person named; `fingerprint` is the SHA-256 of its SubjectPublicKeyInfo."""

    key: PublicKey
    fingerprint: str
    validity: Validity | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """A COSE_Sign1 whose form is right, and whose signature was not looked at yet."""

    protected: bytes
    payload: bytes
    signature: bytes
    algorithm: int
    signer_name: str
    validities: tuple[Validity, ...]


def read_signer(data: bytes, source: str) -> Signer:
    """A public key or a certificate, PEM or DER. Raises `UsageProblem` for anything else."""
    validity = None
    try:
        if b"-----BEGIN CERTIFICATE" in data or (data[:1] == b"\x30" and b"-----BEGIN" not in data):
            key, validity = _from_certificate(data)
        else:
            key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageProblem(
            "neither a certificate nor a public key", object=source, hint="a PEM file of the vendor is expected"
        ) from None
    if not isinstance(key, PublicKey) or (isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS):
        raise UsageProblem(f"a key on an elliptic curve or RSA of {MIN_RSA_BITS} bits is needed", object=source)
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    return Signer(key, digest.finalize().hex(), validity)


def _from_certificate(data: bytes) -> tuple[object, Validity | None]:
    if data[:1] != b"\x30":
        certificate = x509.load_pem_x509_certificate(data)
    else:
        try:
            certificate = x509.load_der_x509_certificate(data)
        except ValueError:
            return serialization.load_der_public_key(data), None
    return certificate.public_key(), Validity(certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def read_validity(value: object, source: str) -> Validity:
    """A validity-map. Raises `CorimProblem`."""
    members = mapping(value, source)
    begin = moment(members[0], f"{source}, not-before") if 0 in members else None
    return Validity(begin, moment(members.get(1), f"{source}, not-after"))


def read_envelope(value: object, source: str) -> Envelope:
    """The content of tag 18. Raises `CorimProblem` for what is no inline COSE_Sign1 of a CoRIM."""
    parts = array(value, source)
    if len(parts) != 4:
        raise CorimProblem("a COSE_Sign1 has four members", object=source)
    protected = octets(parts[0], f"{source}, protected header")
    if not protected:
        raise CorimProblem("the signature's algorithm is missing", object=source)
    headers = mapping(decode(protected, f"{source}, protected header"), f"{source}, protected header")
    mapping(parts[1], f"{source}, unprotected header")
    if parts[2] is None or PAYLOAD_HASH in headers:
        raise CorimProblem("the signed content is not in the file, which is not read", object=source)
    if CRITICAL in headers:
        known = (ALGORITHM, CONTENT_TYPE, CORIM_META, CWT_CLAIMS)
        if any(label not in known for label in array(headers[CRITICAL], f"{source}, crit")):
            raise CorimProblem("the protected header says that more has to be understood than is", object=source)
    if CONTENT_TYPE in headers and headers[CONTENT_TYPE] not in CONTENT_TYPES:
        raise CorimProblem("the signed content is no CoRIM, by its header", object=source)
    algorithm = headers.get(ALGORITHM)
    if not isinstance(algorithm, int) or isinstance(algorithm, bool):
        raise CorimProblem("the signature's algorithm is missing", object=source)
    name, validities = _meta(headers, source)
    payload, signature = octets(parts[2], f"{source}, payload"), octets(parts[3], f"{source}, signature")
    return Envelope(protected, payload, signature, algorithm, name, validities)


def _meta(headers: Mapping[object, object], source: str) -> tuple[str, tuple[Validity, ...]]:
    """What the header says of the signer: corim-meta before CWT claims for the name, and the validity of both."""
    name, found = "", []
    if CORIM_META in headers:
        where = f"{source}, corim-meta"
        meta = mapping(decode(octets(headers[CORIM_META], where), where), where)
        name = text(mapping(meta.get(0), where).get(0), f"{where}, signer-name")
        found += [read_validity(meta[1], f"{where}, signature-validity")] if 1 in meta else []
    if CWT_CLAIMS in headers:
        where = f"{source}, CWT claims"
        claims = mapping(headers[CWT_CLAIMS], where)
        name = name or text(claims.get(1), f"{where}, iss")
        begin = moment(claims[5], f"{where}, nbf") if 5 in claims else None
        end = moment(claims[4], f"{where}, exp") if 4 in claims else _FOREVER
        found += [Validity(begin, end)] if begin or 4 in claims else []
    if not name:
        raise CorimProblem("the protected header does not say who signed", object=source)
    return name, tuple(found)


_FOREVER = datetime.fromisoformat("9999-12-31T23:59:59+00:00")


def verify_signature(envelope: Envelope, signer: Signer, source: str) -> None:
    """Raise `CorimProblem` unless the named key signed exactly this."""
    signed = _sig_structure(envelope.protected, envelope.payload)
    try:
        _verify(signer.key, envelope.algorithm, envelope.signature, signed, source)
    except InvalidSignature:
        raise CorimProblem(
            f"the signature is not one of the named signer (key {signer.fingerprint[:16]}…)",
            object=source,
            hint="the file was changed, or another key signed it: compare the fingerprint with the vendor's",
        ) from None


def _sig_structure(protected: bytes, payload: bytes) -> bytes:
    """RFC 9052 §4.4: ["Signature1", protected, external_aad (empty), payload]."""
    return b"\x84" + _head(3, 10) + b"Signature1" + _string(protected) + _string(b"") + _string(payload)


def _string(data: bytes) -> bytes:
    return _head(2, len(data)) + data


def _head(major: int, size: int) -> bytes:
    for limit, extra, mark in ((24, 0, 0), (1 << 8, 1, 24), (1 << 16, 2, 25)):
        if size < limit:
            return bytes((major << 5 | (size if not extra else mark),)) + (
                size.to_bytes(extra, "big") if extra else b""
            )
    return bytes((major << 5 | 26,)) + size.to_bytes(4, "big")


def _verify(key: PublicKey, algorithm: int, signature: bytes, signed: bytes, source: str) -> None:
    if isinstance(key, ec.EllipticCurvePublicKey) and algorithm in _ECDSA:
        digest, curve = _ECDSA[algorithm]
        size = (key.curve.key_size + 7) // 8
        if (curve and key.curve.name != curve) or len(signature) != 2 * size:
            raise InvalidSignature
        numbers = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(digest))
    elif isinstance(key, rsa.RSAPublicKey) and algorithm in _PSS:
        digest = _PSS[algorithm]
        key.verify(signature, signed, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) and algorithm in _edwards(key):
        key.verify(signature, signed)
    else:
        raise CorimProblem(
            f"signed with the COSE algorithm {_shown(algorithm)}, which is not one for the named signer's key",
            object=source,
            hint="ECDSA, PSS and EdDSA are read, each with a key of its kind",
        )


def _edwards(key: PublicKey) -> tuple[int, int]:
    """EdDSA, and the same with the curve fixed (RFC 9864)."""
    return (-8, -19) if isinstance(key, ed25519.Ed25519PublicKey) else (-8, -53)


def _shown(algorithm: int) -> str:
    return str(algorithm) if abs(algorithm) < 1 << 63 else "of a very large number"
