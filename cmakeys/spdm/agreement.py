"""How two sides come to one secret: ECDHE, FFDHE and ML-KEM, with the encodings of SPDM (reference §5.1).

A key is made for one exchange and used once. What the library on this machine cannot compute is not in `SUPPORTED_DHE`
and `SUPPORTED_KEM`, is therefore never offered, and cannot be asked for here.

EC points travel as X ‖ Y without the leading 0x04; finite-field values as wide as the modulus. The shared secret is
the X coordinate, or the value as wide as the modulus, or ML-KEM's 32 bytes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from cmakeys.errors import EvidenceProblem
from cmakeys.spdm.algorithms import Dhe, Kem, algorithm_name


class AgreementProblem(EvidenceProblem):
    """The other side's ExchangeData is no valid public value."""

    code = "key-agreement"


@dataclass(frozen=True, slots=True)
class ExchangeSize:
    """Bytes of ExchangeData in the request and in the response."""

    request: int
    response: int


EXCHANGE_SIZES: dict[Dhe | Kem, ExchangeSize] = {
    Dhe.FFDHE_2048: ExchangeSize(256, 256),
    Dhe.FFDHE_3072: ExchangeSize(384, 384),
    Dhe.FFDHE_4096: ExchangeSize(512, 512),
    Dhe.SECP256R1: ExchangeSize(64, 64),
    Dhe.SECP384R1: ExchangeSize(96, 96),
    Dhe.SECP521R1: ExchangeSize(132, 132),
    Dhe.SM2_P256: ExchangeSize(64, 64),
    Kem.ML_KEM_512: ExchangeSize(800, 768),
    Kem.ML_KEM_768: ExchangeSize(1184, 1088),
    Kem.ML_KEM_1024: ExchangeSize(1568, 1568),
}

_CURVES: dict[Dhe, ec.EllipticCurve] = {
    Dhe.SECP256R1: ec.SECP256R1(),
    Dhe.SECP384R1: ec.SECP384R1(),
    Dhe.SECP521R1: ec.SECP521R1(),
}
_FINITE_FIELDS = Dhe.FFDHE_2048 | Dhe.FFDHE_3072 | Dhe.FFDHE_4096


def _library_has(module: str) -> bool:
    try:
        import_module(f"cryptography.hazmat.primitives.asymmetric.{module}")
    except ImportError:
        return False
    return True


FFDHE_AVAILABLE = _library_has("dh")
"""`cryptography` has announced that it will drop finite fields; then they are no longer offered."""

MLKEM_AVAILABLE = _library_has("mlkem")
"""`cryptography` has ML-KEM-768 and -1024, and never had -512."""

SUPPORTED_DHE = Dhe.SECP256R1 | Dhe.SECP384R1 | Dhe.SECP521R1 | (_FINITE_FIELDS if FFDHE_AVAILABLE else Dhe(0))
SUPPORTED_KEM = Kem.ML_KEM_768 | Kem.ML_KEM_1024 if MLKEM_AVAILABLE else Kem(0)


class Agreement(Protocol):
    """A requester's half of one exchange."""

    @property
    def public(self) -> bytes:
        """The ExchangeData to send."""

    def agree(self, answer: bytes) -> bytes:
        """The shared secret, from the other side's ExchangeData. Raises `AgreementProblem`."""


def begin(algorithm: Dhe | Kem) -> Agreement:
    """A fresh key for one exchange. Raises `ValueError` for what is not supported on this machine."""
    _require(algorithm)
    if isinstance(algorithm, Kem):
        return _KemAgreement(algorithm)
    if algorithm in _CURVES:
        return _CurveAgreement(algorithm)
    return _FieldAgreement(algorithm)


def answer(algorithm: Dhe | Kem, request: bytes) -> tuple[bytes, bytes]:
    """A responder's half: the ExchangeData to answer with, and the shared secret. Raises as `begin` and `agree`."""
    _require(algorithm)
    if not isinstance(algorithm, Kem):
        own = begin(algorithm)
        return own.public, own.agree(request)
    _check_length(algorithm, request, EXCHANGE_SIZES[algorithm].request)
    try:
        secret, ciphertext = _encapsulate(algorithm, request)
    except ValueError as error:
        raise _problem(algorithm, "the encapsulation key is not valid") from error
    return ciphertext, secret


def _require(algorithm: Dhe | Kem) -> None:
    supported = SUPPORTED_KEM if isinstance(algorithm, Kem) else SUPPORTED_DHE
    if algorithm not in EXCHANGE_SIZES or not int(algorithm.value) & int(supported.value):
        raise ValueError(f"{algorithm_name(algorithm)} is not supported here")


def _problem(algorithm: Dhe | Kem, message: str) -> AgreementProblem:
    return AgreementProblem(
        message,
        object=f"{algorithm_name(algorithm)} exchange",
        hint="no key may be derived from it: the device is faulty, or someone interferes",
    )


def _check_length(algorithm: Dhe | Kem, value: bytes, size: int) -> None:
    if len(value) != size:
        raise _problem(algorithm, f"ExchangeData of {len(value)} bytes, {size} expected")


class _CurveAgreement:
    __slots__ = ("_algorithm", "_key", "public")

    def __init__(self, algorithm: Dhe) -> None:
        self._algorithm = algorithm
        self._key = ec.generate_private_key(_CURVES[algorithm])
        point = self._key.public_key().public_numbers()
        half = EXCHANGE_SIZES[algorithm].request // 2
        self.public = point.x.to_bytes(half, "big") + point.y.to_bytes(half, "big")

    def agree(self, answer: bytes) -> bytes:
        _check_length(self._algorithm, answer, len(self.public))
        try:
            peer = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[self._algorithm], b"\x04" + answer)
        except ValueError as error:
            raise _problem(self._algorithm, "the point is not on the curve") from error
        return self._key.exchange(ec.ECDH(), peer)


class _FieldAgreement:
    __slots__ = ("_algorithm", "_key", "_prime", "public")

    def __init__(self, algorithm: Dhe) -> None:
        from cryptography.hazmat.primitives.asymmetric import dh

        self._algorithm = algorithm
        self._prime = field_prime(algorithm)
        with _finite_fields_tolerated():
            self._key = dh.DHParameterNumbers(self._prime, 2).parameters().generate_private_key()
            value = self._key.public_key().public_numbers().y
        self.public = value.to_bytes(EXCHANGE_SIZES[algorithm].request, "big")

    def agree(self, answer: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric import dh

        _check_length(self._algorithm, answer, len(self.public))
        value = int.from_bytes(answer, "big")
        if not 2 <= value <= self._prime - 2:
            raise _problem(self._algorithm, "the public value is not between 2 and p - 2")
        with _finite_fields_tolerated():
            peer = dh.DHPublicNumbers(value, dh.DHParameterNumbers(self._prime, 2)).public_key()
            secret = self._key.exchange(peer)
        return secret.rjust(len(self.public), b"\0")


@contextmanager
def _finite_fields_tolerated() -> Iterator[None]:
    """Keeps the library's announcement that it will drop finite fields from the terminal of whoever has such a device.

    Restores the filters afterwards; that another thread may meet them for this moment is harmless.
    """
    from cryptography.utils import CryptographyDeprecationWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


class _KemAgreement:
    __slots__ = ("_algorithm", "_key", "public")

    def __init__(self, algorithm: Kem) -> None:
        from cryptography.hazmat.primitives.asymmetric import mlkem

        self._algorithm = algorithm
        self._key = (
            mlkem.MLKEM768PrivateKey.generate() if algorithm == Kem.ML_KEM_768 else mlkem.MLKEM1024PrivateKey.generate()
        )
        self.public = self._key.public_key().public_bytes_raw()

    def agree(self, answer: bytes) -> bytes:
        _check_length(self._algorithm, answer, EXCHANGE_SIZES[self._algorithm].response)
        return self._key.decapsulate(answer)


def _encapsulate(algorithm: Kem, public: bytes) -> tuple[bytes, bytes]:
    """The shared secret and its ciphertext. Raises `ValueError` for bytes that are no encapsulation key."""
    from cryptography.hazmat.primitives.asymmetric import mlkem

    kind = mlkem.MLKEM768PublicKey if algorithm == Kem.ML_KEM_768 else mlkem.MLKEM1024PublicKey
    return kind.from_public_bytes(public).encapsulate()


_FIELDS = {Dhe.FFDHE_2048: (2048, 560316), Dhe.FFDHE_3072: (3072, 2625351), Dhe.FFDHE_4096: (4096, 5736041)}


@cache
def field_prime(algorithm: Dhe) -> int:
    """The modulus of an RFC 7919 group, whose generator is 2.

    Appendix A defines it: p = 2^b - 2^(b-64) + ([2^(b-130) e] + offset) 2^64 - 1.
    """
    bits, offset = _FIELDS[algorithm]
    return (1 << bits) - (1 << (bits - 64)) + ((_scaled_e(bits - 130) + offset) << 64) - 1


def _scaled_e(bits: int) -> int:
    """The integer part of 2^bits times e, from its series with 64 guard bits."""
    term = total = 1 << (bits + 64)
    divisor = 1
    while term:
        term //= divisor
        total += term
        divisor += 1
    return total >> 64
