"""Both sides come to the same secret, and values that are no public keys are refused before one is made."""

from __future__ import annotations

import warnings

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.spdm.agreement import (
    EXCHANGE_SIZES,
    SUPPORTED_DHE,
    SUPPORTED_KEM,
    AgreementProblem,
    answer,
    begin,
    field_prime,
)
from cmakeys.spdm.algorithms import Dhe, Kem
from tests.spdm import worked_session as worked

SUPPORTED: list[Dhe | Kem] = [*SUPPORTED_DHE, *SUPPORTED_KEM]
SECRET_SIZES = {Dhe.SECP256R1: 32, Dhe.SECP384R1: 48, Dhe.SECP521R1: 66}
CURVES = [Dhe.SECP256R1, Dhe.SECP384R1, Dhe.SECP521R1]
FIELDS = [Dhe.FFDHE_2048, Dhe.FFDHE_3072, Dhe.FFDHE_4096]


@pytest.mark.parametrize("algorithm", SUPPORTED, ids=lambda algorithm: algorithm.name)
def test_both_sides_come_to_the_same_secret(algorithm: Dhe | Kem) -> None:
    own = begin(algorithm)
    sizes = EXCHANGE_SIZES[algorithm]
    assert len(own.public) == sizes.request
    response, secret = answer(algorithm, own.public)
    assert len(response) == sizes.response
    assert own.agree(response) == secret
    if isinstance(algorithm, Kem):
        assert len(secret) == 32
    else:
        assert len(secret) == SECRET_SIZES.get(algorithm, sizes.request)


@pytest.mark.parametrize("algorithm", SUPPORTED, ids=lambda algorithm: algorithm.name)
def test_no_two_exchanges_use_the_same_key(algorithm: Dhe | Kem) -> None:
    assert begin(algorithm).public != begin(algorithm).public


@pytest.mark.parametrize("algorithm", SUPPORTED, ids=lambda algorithm: algorithm.name)
def test_a_value_of_another_length_is_refused(algorithm: Dhe | Kem) -> None:
    size = EXCHANGE_SIZES[algorithm].response
    for wrong in (size - 1, size + 1, 0):
        with pytest.raises(AgreementProblem, match="expected"):
            begin(algorithm).agree(bytes(wrong))
        with pytest.raises(AgreementProblem, match="expected"):
            answer(algorithm, bytes(wrong))


@pytest.mark.parametrize("algorithm", CURVES, ids=lambda algorithm: algorithm.name)
@given(noise=st.binary(min_size=132, max_size=132))
def test_a_point_off_the_curve_is_refused(algorithm: Dhe, noise: bytes) -> None:
    with pytest.raises(AgreementProblem, match="not on the curve"):
        begin(algorithm).agree(noise[: EXCHANGE_SIZES[algorithm].response])


@pytest.mark.parametrize("algorithm", FIELDS, ids=lambda algorithm: algorithm.name)
@pytest.mark.parametrize("offset", [None, 0, -1])
def test_a_finite_field_value_that_leaves_no_secret_is_refused(algorithm: Dhe, offset: int | None) -> None:
    prime, size = field_prime(algorithm), EXCHANGE_SIZES[algorithm].response
    values = [0, 1] if offset is None else [prime + offset]
    for value in values:
        with pytest.raises(AgreementProblem, match="between 2 and p - 2"):
            begin(algorithm).agree(value.to_bytes(size, "big"))


def test_an_encapsulation_key_that_is_none_is_refused() -> None:
    with pytest.raises(AgreementProblem, match="encapsulation key"):
        answer(Kem.ML_KEM_768, b"\xff" * 1184)


@pytest.mark.parametrize(
    ("algorithm", "tail"),
    [
        (Dhe.FFDHE_2048, "886b423861285c97ffffffffffffffff"),
        (Dhe.FFDHE_3072, "25e41d2b66c62e37ffffffffffffffff"),
        (Dhe.FFDHE_4096, "5e655f6affffffffffffffff"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_groups_are_those_of_rfc_7919(algorithm: Dhe, tail: str) -> None:
    text = f"{field_prime(algorithm):x}"
    assert len(text) == 2 * EXCHANGE_SIZES[algorithm].request
    assert text.startswith("ffffffffffffffffadf85458a2bb4a9aafdc5620273d3cf1d8b9c583ce2d3695")
    assert text.endswith(tail)
    prime = field_prime(algorithm)
    for base in (2, 3, 5):
        assert pow(base, prime - 1, prime) == 1
    assert pow(2, (prime - 1) // 2, prime) == 1  # 2 generates the subgroup of prime order q


@pytest.mark.parametrize("algorithm", [Dhe.SM2_P256, Kem.ML_KEM_512], ids=lambda algorithm: algorithm.name)
def test_what_the_library_lacks_is_neither_offered_nor_begun(algorithm: Dhe | Kem) -> None:
    assert algorithm not in SUPPORTED
    with pytest.raises(ValueError, match="not supported here"):
        begin(algorithm)


def test_an_exchange_over_a_finite_field_warns_nobody() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        own = begin(Dhe.FFDHE_2048)
        own.agree(answer(Dhe.FFDHE_2048, own.public)[0])
    assert heard == []


def test_the_secret_of_the_worked_session_is_the_x_coordinate() -> None:
    key = ec.derive_private_key(int(worked.VALUES["DHE private"], 16), ec.SECP256R1())
    public = bytes.fromhex(worked.KEY_EXCHANGE_RSP)[40:104]
    peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public)
    assert key.exchange(ec.ECDH(), peer).hex() == worked.VALUES["shared secret"]
    own = key.public_key().public_numbers()
    assert (own.x.to_bytes(32, "big") + own.y.to_bytes(32, "big")).hex() == worked.KEY_EXCHANGE[80:208]
