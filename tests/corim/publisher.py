"""A vendor that publishes CoRIM files: built with cbor2, signed with its own COSE_Sign1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
ES256, ES384, ES512, EDDSA, PS256, PS384, PS512 = -7, -35, -36, -8, -37, -38, -39
HASHES: Mapping[int, hashes.HashAlgorithm] = {
    ES256: hashes.SHA256(),
    ES384: hashes.SHA384(),
    ES512: hashes.SHA512(),
    PS256: hashes.SHA256(),
    PS384: hashes.SHA384(),
    PS512: hashes.SHA512(),
}
ACME: Mapping[int, object] = {0: {1: "Acme"}}
SHA384 = 7


def digest(value: bytes, algorithm: int = SHA384) -> Mapping[int, object]:
    """A measurement-values-map of one digest."""
    return {2: [[algorithm, value]]}


def corim(
    measurements: Sequence[tuple[object, Mapping[int, object]]],
    environment: Mapping[int, object] = ACME,
    *,
    days: int = 30,
    **extra: object,
) -> dict[int, object]:
    """A corim-map of one CoMID with one triple; a key None is left out."""
    claims = [({} if key is None else {0: key}) | {1: dict(values)} for key, values in measurements]
    comid = {1: {0: "acme firmware"}, 4: {0: [[dict(environment), claims]]}}
    until = cbor2.CBORTag(1, int((datetime.now(UTC) + timedelta(days=days)).timestamp()))
    return {0: "acme-fw-2", 1: [cbor2.CBORTag(506, cbor2.dumps(comid))], 4: {1: until}, **extra}  # type: ignore[dict-item]


def unsigned(document: Mapping[int, object]) -> bytes:
    """Tag 501."""
    return cbor2.dumps(cbor2.CBORTag(501, dict(document)))


@dataclass
class Publisher:
    """Who signs; `meta` is the corim-meta-map."""

    key: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    algorithm: int = ES256
    meta: Mapping[int, object] = field(default_factory=lambda: {0: {0: "Acme signing"}})

    @property
    def pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def signed(self, document: Mapping[int, object], *, wrappers: Sequence[int] = ()) -> bytes:
        headers = {1: self.algorithm, 3: "application/rim+cbor", 8: cbor2.dumps(dict(self.meta))}
        protected, payload = cbor2.dumps(headers), unsigned(document)
        signature = self._sign(cbor2.dumps(["Signature1", protected, b"", payload]))
        value = cbor2.CBORTag(18, [protected, {}, payload, signature])
        for tag in wrappers:
            value = cbor2.CBORTag(tag, value)
        return cbor2.dumps(value)

    def _sign(self, data: bytes) -> bytes:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(data)
        chosen = HASHES[self.algorithm]
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PSS(padding.MGF1(chosen), chosen.digest_size), chosen)
        size = (self.key.curve.key_size + 7) // 8
        numbers = decode_dss_signature(self.key.sign(data, ec.ECDSA(chosen)))
        return b"".join(number.to_bytes(size, "big") for number in numbers)
