"""Lies about ExchangeData: values that are no public key of the group that was agreed, or not the device's.

The field has no length of its own, and it comes before the signature: a device that signs what it sends has signed the
lie, and only a check of the value finds it. A ciphertext of ML-KEM cannot be checked at all; a wrong one gives other
keys, which the verify data shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec

from cmakeys.emulator.lies.fault import Fault
from cmakeys.emulator.lies.kinds import Amend, Spoil, flip_last_bit
from cmakeys.emulator.lies.lie import Lie
from cmakeys.emulator.lies.sessions import session_fault, with_session_settings
from cmakeys.emulator.session_settings import KEM_FIRST
from cmakeys.spdm.agreement import field_prime
from cmakeys.spdm.algorithms import Dhe
from cmakeys.spdm.codes import Version
from cmakeys.spdm.messages.key_exchange import KeyExchangeResponse
from cmakeys.spdm.signing import Context

_FIELD = Dhe.FFDHE_2048
_IN_A_FIELD = with_session_settings(agreements=(_FIELD,))
_KEM = with_session_settings(agreements=KEM_FIRST)


def _share(change: Callable[[bytes], bytes]) -> Callable[[], Lie]:
    """A lie that changes ExchangeData before it is signed."""
    return lambda: Amend(KeyExchangeResponse, lambda m: replace(m, exchange=change(m.exchange)))


def _of_another_curve(share: bytes) -> bytes:
    """A point of P-256, as wide as a share has to be."""
    point = ec.derive_private_key(1, ec.SECP256R1()).public_key().public_numbers()
    half = len(share) // 2
    return point.x.to_bytes(half, "big") + point.y.to_bytes(half, "big")


def _number(value: int) -> Callable[[bytes], bytes]:
    return lambda share: value.to_bytes(len(share), "big")


FAULTS: tuple[Fault, ...] = (
    session_fault(
        11,
        "exchange-spoiled-share",
        "ExchangeData is no point of the curve, or not the device's",
        _share(flip_last_bit),
    ),
    session_fault(11, "exchange-zero-share", "ExchangeData is all zero", _share(lambda share: bytes(len(share)))),
    session_fault(11, "exchange-other-group", "ExchangeData is a point of another curve", _share(_of_another_curve)),
    session_fault(
        11,
        "exchange-short-share",
        "ExchangeData is half as long as the group's",
        _share(lambda share: share[: len(share) // 2]),
    ),
    session_fault(
        11, "exchange-field-zero", "in a finite field, ExchangeData is 0", _share(_number(0)), settings=_IN_A_FIELD
    ),
    session_fault(
        11, "exchange-field-one", "in a finite field, ExchangeData is 1", _share(_number(1)), settings=_IN_A_FIELD
    ),
    session_fault(
        11,
        "exchange-field-minus-one",
        "in a finite field, ExchangeData is the modulus less one",
        _share(_number(field_prime(_FIELD) - 1)),
        settings=_IN_A_FIELD,
    ),
    session_fault(
        11,
        "exchange-field-modulus",
        "in a finite field, ExchangeData is the modulus",
        _share(_number(field_prime(_FIELD))),
        settings=_IN_A_FIELD,
    ),
    session_fault(
        11,
        "exchange-short-ciphertext",
        "the ciphertext of ML-KEM ends one byte early",
        _share(lambda share: share[:-1]),
        since=Version.V14,
        settings=_KEM,
    ),
    session_fault(
        11,
        "exchange-spoiled-ciphertext",
        "the ciphertext of ML-KEM has a flipped bit",
        _share(flip_last_bit),
        since=Version.V14,
        settings=_KEM,
    ),
    session_fault(
        11,
        "exchange-forged",
        "ExchangeData is all zero, and the signature has a flipped bit",
        _share(lambda share: bytes(len(share))),
        lambda: Spoil(Context.KEY_EXCHANGE_RSP, flip_last_bit),
    ),
)
