"""Arbitrary evidence and documents for property tests."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from cmakeys.evidence.model import Ending, EndingKind, Evidence, EvidenceKind
from cmakeys.spdm.connection import Exchange
from cmakeys.x509.identity import PciIdentity

times = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1), timezones=st.just(UTC))
texts = st.text(max_size=40)
messages = st.binary(max_size=60)
exchanges = st.builds(Exchange, messages, messages)
identities = st.builds(
    PciIdentity,
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFF),
    st.integers(0, 0xFF),
    serial=st.none() | st.integers(1, 2**64 - 1),
)
endings = st.one_of(
    st.builds(Ending, st.just(EndingKind.COMPLETE), texts, st.none(), texts),
    st.builds(Ending, st.just(EndingKind.REFUSED), texts, st.integers(1, 14), texts),
    st.builds(Ending, st.just(EndingKind.UNREACHABLE), texts, st.none(), texts),
)
_shared = {
    "device": texts,
    "collected_at": times,
    "identity": st.none() | identities,
    "expected_nonce": st.none() | st.binary(min_size=32, max_size=32),
    "ending": endings,
    "tool": texts,
}
conversations = st.builds(
    Evidence,
    kind=st.just(EvidenceKind.CONVERSATION),
    exchanges=st.lists(exchanges, max_size=5).map(tuple),
    chains=st.lists(messages, max_size=3).map(tuple),
    **_shared,
)
reports = st.builds(
    Evidence,
    kind=st.just(EvidenceKind.SIGNED_REPORT),
    report=messages,
    certificates=st.lists(messages, max_size=3).map(tuple),
    **_shared,
)
evidence = conversations | reports

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
    max_leaves=12,
)
