"""Weaker than last time is told from different."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.evidence.fields import FieldProblem
from cmakeys.spdm.algorithms import (
    SUPPORTED_BASE_ASYM,
    SUPPORTED_BASE_HASH,
    SUPPORTED_PQC_ASYM,
    BaseAsym,
    BaseHash,
    PqcAsym,
)
from cmakeys.spdm.codes import Version
from cmakeys.verify.negotiation import Negotiation
from tests.evidence import strategies as s

asyms = st.sampled_from([*SUPPORTED_BASE_ASYM, *SUPPORTED_PQC_ASYM])
negotiations = st.builds(
    Negotiation, st.sampled_from(Version), st.none() | asyms, st.none() | st.sampled_from(list(SUPPORTED_BASE_HASH))
)
STRONG = Negotiation(Version.V12, BaseAsym.ECDSA_P384, BaseHash.SHA_384)


@given(negotiations)
def test_nothing_is_weaker_than_itself(one: Negotiation) -> None:
    assert one.weaker_than(one) == ()


@given(negotiations, negotiations)
def test_both_ways_weaker_only_when_each_is_weaker_in_something_else(one: Negotiation, other: Negotiation) -> None:
    forth, back = one.weaker_than(other), other.weaker_than(one)
    assert len(forth) + len(back) <= 3


@given(negotiations)
def test_json_gives_the_same_back(one: Negotiation) -> None:
    assert Negotiation.from_json(json.loads(json.dumps(one.to_json()))) == one


@given(s.json_values, st.sampled_from(["version", "asym", "hash"]))
def test_any_other_json_is_one_clean_error(value: object, key: str) -> None:
    try:
        assert isinstance(Negotiation.from_json(STRONG.to_json() | {key: value}, "row"), Negotiation)
    except FieldProblem as problem:
        assert problem.object.startswith("row")  # noqa: PT017 the problem is what is tested


@pytest.mark.parametrize(
    ("now", "weaker"),
    [
        (STRONG, 0),
        (Negotiation(Version.V11, BaseAsym.ECDSA_P384, BaseHash.SHA_384), 1),
        (Negotiation(Version.V12, BaseAsym.ECDSA_P256, BaseHash.SHA_256), 2),
        (Negotiation(Version.V14, PqcAsym.ML_DSA_87, BaseHash.SHA3_512), 0),
        (Negotiation(Version.V12, BaseAsym.RSASSA_4096, BaseHash.SHA_384), 1),
        (Negotiation(Version.V12, None, None), 2),
        (Negotiation(Version.V12, BaseAsym.ECDSA_P384, BaseHash.SHA3_384), 0),
    ],
)
def test_what_is_weaker_than_p384_with_sha_384(now: Negotiation, weaker: int) -> None:
    assert len(now.weaker_than(STRONG)) == weaker


def test_it_reads_as_a_person_would_say_it() -> None:
    assert str(STRONG) == "SPDM 1.2, ECDSA-P384, SHA-384"
