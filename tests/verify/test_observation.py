"""What changed about a device is said in words, and what did not change is not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.evidence.fields import FieldProblem
from cmakeys.spdm.algorithms import BaseAsym, BaseHash
from cmakeys.spdm.codes import Version
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.verify.negotiation import Negotiation
from cmakeys.verify.observation import Link, Observation, differences
from cmakeys.verify.reference import ReferenceValues

ENDS = datetime(2050, 1, 1, tzinfo=UTC)
ROOT = Link("CN=Root", "aa" * 32, "1a" * 32, None)
MIDDLE = Link("CN=Middle", "ab" * 32, "1b" * 32, datetime(2060, 1, 1, tzinfo=UTC))
DEVICE = Link("CN=Device", "ac" * 32, "1c" * 32, ENDS)
LEAF = Link("CN=Leaf", "ad" * 32, "1d" * 32, datetime(2070, 1, 1, tzinfo=UTC))
BEFORE = Observation(
    Negotiation(Version.V13, BaseAsym.ECDSA_P384, BaseHash.SHA_384),
    0,
    (0,),
    (ROOT, MIDDLE, DEVICE, LEAF),
    2,
    ReferenceValues((MeasurementBlock(1, 0, bytes(48)), MeasurementBlock(3, 1, b"\x01" * 48))),
)


def link(old: Link, **changes: object) -> Link:
    return replace(old, sha256="ee" * 32, **changes)  # type: ignore[arg-type]  # the caller names fields of Link


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (BEFORE, ()),
        (
            replace(BEFORE, negotiation=Negotiation(Version.V12, BaseAsym.ECDSA_P384, BaseHash.SHA_384)),
            ("negotiated version went down from SPDM 1.3 to 1.2",),
        ),
        (
            replace(BEFORE, negotiation=Negotiation(Version.V14, BaseAsym.ECDSA_P256, BaseHash.SHA_256)),
            (
                "negotiated version went up from SPDM 1.3 to 1.4",
                "negotiated signatures changed from ECDSA-P384 to ECDSA-P256",
                "negotiated hash changed from SHA-384 to SHA-256",
            ),
        ),
        (replace(BEFORE, provisioned=(0, 1)), ("slot 1 is newly provisioned",)),
        (
            replace(BEFORE, provisioned=(2,), slot=2),
            ("slot 2 is newly provisioned", "slot 0 is no longer provisioned", "slot 2 is judged, it was slot 0"),
        ),
        (replace(BEFORE, provisioned=()), ()),
        (
            replace(BEFORE, chain=(ROOT, MIDDLE, DEVICE, link(LEAF, key_sha256="9f" * 32))),
            ("the leaf CN=Leaf was issued anew under the same device certificate, for another key",),
        ),
        (
            replace(BEFORE, chain=(ROOT, MIDDLE, link(DEVICE), LEAF)),
            ("the device certificate CN=Device was issued anew for the same key",),
        ),
        (
            replace(BEFORE, chain=(ROOT, MIDDLE, link(DEVICE, key_sha256="9f" * 32), replace(LEAF, sha256="ef" * 32))),
            (
                "another device certificate: CN=Device (eeeeeeeeeeeeeeee…), it was acacacacacacacac…",
                "the leaf CN=Leaf was issued anew under the other one, for the same key",
            ),
        ),
        (
            replace(BEFORE, chain=(link(ROOT, label="CN=New"), MIDDLE, DEVICE, LEAF)),
            ("the chain begins with CN=New (eeeeeeeeeeeeeeee…), it was CN=Root (aaaaaaaaaaaaaaaa…)",),
        ),
        (
            replace(BEFORE, chain=(ROOT, DEVICE, LEAF), device_index=1),
            ("other certificates between root and leaf: 3 in the chain, it was 4",),
        ),
        (
            replace(BEFORE, measurements=ReferenceValues((MeasurementBlock(3, 1, b"\x02" * 48),))),
            (
                "measurement index 1 (immutable rom) is missing; it was 0000000000000000…",
                "measurement index 3 (mutable firmware) is 0202020202020202…, it was 0101010101010101…",
            ),
        ),
        (replace(BEFORE, measurements=None), ("no signed measurements any more",)),
    ],
)
def test_each_thing_that_is_another_has_its_line(now: Observation, words: tuple[str, ...]) -> None:
    assert differences(BEFORE, now) == words


def test_what_was_not_seen_is_not_called_different() -> None:
    assert differences(BEFORE, Observation(measurements=BEFORE.measurements)) == ()
    assert differences(Observation(), replace(BEFORE, provisioned=())) == ()


def test_the_first_certificate_to_end_counts_and_one_that_never_ends_does_not() -> None:
    assert BEFORE.expires == ENDS
    assert replace(BEFORE, chain=(ROOT,)).expires is None


hexes = st.binary(min_size=32, max_size=32).map(bytes.hex)
links = st.builds(Link, st.text(max_size=40), hexes, hexes, st.none() | st.datetimes(timezones=st.just(UTC)))
observations = st.builds(
    Observation,
    st.none() | st.builds(Negotiation, st.sampled_from(Version)),
    st.none() | st.integers(0, 7),
    st.lists(st.integers(0, 7), max_size=8).map(tuple),
    st.lists(links, min_size=1, max_size=4).map(tuple),
)


@given(observations)
def test_an_observation_comes_back_as_it_was(observation: Observation) -> None:
    assert Observation.from_json(json.loads(json.dumps(observation.to_json()))) == observation
    assert differences(observation, observation) == ()


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_anything_else_is_one_clean_error(data: st.DataObject) -> None:
    document = BEFORE.to_json()
    name = data.draw(st.sampled_from([*sorted(document), "odd"]))
    value = data.draw(documents)
    try:
        found = Observation.from_json({**document, name: value})
    except FieldProblem:
        return
    assert Observation.from_json(found.to_json()) == found


def test_a_device_beyond_its_chain_is_refused() -> None:
    with pytest.raises(FieldProblem, match="beyond the chain"):
        Observation.from_json({**BEFORE.to_json(), "device_index": 4})
