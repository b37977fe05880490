"""Which public key algorithms this kernel takes, found by giving it a certificate of each.

Neither a version nor /proc/crypto tells: code may be left out of a build, or come as a module when it is asked for. So
a self-signed certificate of each kind is made here, with a key that is thrown away, and added to a keyring of this
thread that goes with it; the kernel verifies the certificate's own signature then, or says what it lacks
(kernel-abi.md §3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from cryptography.x509.oid import NameOID

from cmakeys.errors import EnvironmentProblem
from cmakeys.keyring.keyctl import Keyctl, KeyctlError, SpecialRing
from cmakeys.keyring.listing import kernel_algorithms
from cmakeys.keyring.refusals import explain, explain_certificate
from cmakeys.x509.certificate import Certificate

RING = "cmakeys-doctor"

_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | mldsa.MLDSA65PrivateKey
_BEGIN, _END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 1, 1, tzinfo=UTC)

KINDS: Mapping[str, tuple[Callable[[], _Key], hashes.HashAlgorithm | None]] = {
    "RSA": (lambda: rsa.generate_private_key(65537, 2048), hashes.SHA256()),
    "ECDSA P-256": (lambda: ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()),
    "ECDSA P-384": (lambda: ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()),
    "ECDSA P-521": (lambda: ec.generate_private_key(ec.SECP521R1()), hashes.SHA512()),
    "ML-DSA-65": (mldsa.MLDSA65PrivateKey.generate, None),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """One algorithm: whether the kernel took it, or the problem with it; `Unsupported` when it lacks it."""

    name: str
    problem: EnvironmentProblem | None = None


def try_algorithms(keyctl: Keyctl | None = None) -> tuple[Trial, ...]:
    """Try each of `KINDS`. Raises an `EnvironmentProblem` when there can be no keyring to try them in."""
    keyctl = keyctl or Keyctl()
    try:
        ring = keyctl.add_key("keyring", RING, None, SpecialRing.THREAD)
    except KeyctlError as error:
        raise explain(error, RING) from error
    trials: list[Trial] = []
    try:
        for name in KINDS:
            try:
                certificate = _self_signed(name)
            except UnsupportedAlgorithm as error:
                trials.append(Trial(name, EnvironmentProblem(f"no such certificate can be made here: {error}")))
                continue
            try:
                keyctl.add_key("asymmetric", f"{RING}:{name}", certificate.der, ring)
            except KeyctlError as error:
                trials.append(Trial(name, explain_certificate(error, certificate, name, kernel_algorithms())))
            else:
                trials.append(Trial(name))
    finally:
        keyctl.unlink(ring, SpecialRing.THREAD)
    return tuple(trials)


def _self_signed(name: str) -> Certificate:
    make, digest = KINDS[name]
    key = make()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"cmakeys doctor {name}")])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(_BEGIN).not_valid_after(_END)
    signed = builder.sign(key, digest)  # type: ignore[arg-type]  # None is what ML-DSA takes, the union hides it
    return Certificate.from_der(signed.public_bytes(serialization.Encoding.DER))
