"""A policy can be loosened, but not into something that proves nothing, and its files are read strictly."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import UsageProblem
from cmakeys.evidence.model import EvidenceKind
from cmakeys.roots.document import DocumentProblem, render_document
from cmakeys.roots.root import LeafNameRule
from cmakeys.spdm.algorithms import BaseAsym, BaseHash, PqcAsym
from cmakeys.spdm.codes import Version
from cmakeys.verify.measurement_rules import FIXED, Rule, RuleKind, Rules
from cmakeys.verify.policy import NEVER_ADVISORY_STEPS, SETTINGS, Clock, Policy, read_policy
from cmakeys.x509.horizon import Expiry, Horizon
from tests.verify.cases import root

POLICY = """\
policy:
  versions: [1.2, 1.3]
  algorithms: [ECDSA-P384, ML-DSA-65]
  hashes: [SHA-384, SHA3-512]
  clock: at-issuance
  expiry: {warn: 7d, fail: 36h}
  root-expiry: {warn: 25%, fail: 1w}
  leaf-name: either
  leaf-names: {acme: none}
  required-steps: [1, 10]
  required-report-steps: [12]
  advisory-steps: [13]
  require-measurements: true
  measurements:
    all: {16: monotone, 9: ignore}
    acme: {35: [aabb, "00"], 9: fixed}
"""


def text_of(policy: Policy) -> bytes:
    """The settings as a file has them: all scalars are text there."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return str(value).lower() if isinstance(value, bool) else str(value)

    return render_document({"policy": {key: plain(value) for key, value in policy.settings().items()}})


def test_every_setting_is_read() -> None:
    policy = read_policy(POLICY.encode(), "p.yaml")
    assert policy == Policy(
        versions=frozenset({Version.V12, Version.V13}),
        asym=BaseAsym.ECDSA_P384,
        pqc=PqcAsym.ML_DSA_65,
        hashes=BaseHash.SHA_384 | BaseHash.SHA3_512,
        clock=Clock.AT_ISSUANCE,
        expiry=Expiry(Horizon(timedelta(days=7)), Horizon(timedelta(hours=36))),
        root_expiry=Expiry(Horizon(percent=25), Horizon(timedelta(days=7))),
        leaf_name=LeafNameRule.EITHER,
        leaf_names=(("acme", LeafNameRule.NONE),),
        required=frozenset({1, 10}),
        required_of_reports=frozenset({12}),
        advisory=frozenset({13}),
        require_measurements=True,
        measurements=(
            ("acme", Rules(((9, FIXED), (35, Rule(RuleKind.ALLOWED, (b"\xaa\xbb", b"\0")))))),
            ("all", Rules(((9, Rule(RuleKind.IGNORE)), (16, Rule(RuleKind.MONOTONE))))),
        ),
    )
    assert set(policy.settings()) == set(SETTINGS)


@pytest.mark.parametrize("policy", [Policy(), read_policy(POLICY.encode(), "p.yaml")])
def test_settings_written_to_a_file_give_the_same_policy(policy: Policy) -> None:
    assert read_policy(text_of(policy), "p.yaml") == policy


def test_a_setting_that_is_not_there_stays_as_it_was() -> None:
    base = Policy(clock=Clock.IGNORE)
    assert read_policy(b"policy: {expiry: {warn: 1d, fail: 0d}}", "p", base).clock is Clock.IGNORE


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("policy:\n  clok: now", 2, "unknown key 'clok'"),
        ("policy:\n  clock: now\n  clock: ignore", 3, "occurs twice"),
        ("policy:\n  clock: sometimes", 2, "'sometimes' is not known"),
        ("policy:\n  versions: [1.5]", 2, "'1.5' is not known"),
        ("policy:\n  versions: []", 2, "no SPDM version is allowed"),
        ("policy:\n  algorithms: [SM2]", 2, "'SM2' is not known"),
        ("policy:\n  hashes: []", 2, "no algorithm is allowed"),
        ("policy:\n  advisory-steps: [3]", 2, "cannot be advisory"),
        ("policy:\n  required-steps: [13]\n  advisory-steps: [13]", 2, "cannot be advisory"),
        ("policy:\n  required-steps: [15]", 2, "numbered 1 to 14"),
        ("policy:\n  expiry: {warn: 90, fail: 0d}", 2, "'90' is not a horizon"),
        ("policy:\n  expiry: {warn: 99999d, fail: 0d}", 2, "99999 days are no horizon"),
        ("policy:\n  expiry:\n    warn: 10d\n    fail: 101%", 4, "more than a whole lifetime"),
        ("policy:\n  expiry: {warn: 10d}", 2, "fail missing"),
        ("policy:\n  root-expiry: {warn: 1d, fail: 2d}", 2, "fails 2d before the end, and warns only 1d"),
        ("policy:\n  leaf-names: either", 2, "root names with a rule"),
        ("policy:\n  require-measurements: perhaps", 2, "not known"),
        ("policy:\n  measurements: fixed", 2, "names of roots"),
        ("policy:\n  measurements:\n    all: fixed", 3, "measurement indices with a rule"),
        ("policy:\n  measurements:\n    all: {255: fixed}", 3, "'255' is no measurement index"),
        ("policy:\n  measurements:\n    all: {1: fixed, 01: ignore}", 3, "index 1 has two rules"),
        ("policy:\n  measurements:\n    all: {1: loose}", 3, "'loose' is not known here"),
        ("policy:\n  measurements:\n    all: {1: []}", 3, "1 to 64 values"),
        ("policy:\n  measurements:\n    all: {1: [abc]}", 3, "'abc' is not a value in hex"),
        ("other: {}", 1, "unknown key 'other'"),
    ],
)
def test_what_is_not_understood_is_named_with_file_and_line(text: str, line: int, words: str) -> None:
    with pytest.raises(DocumentProblem) as caught:
        read_policy(text.encode(), "my.yaml")
    assert words in caught.value.message
    assert caught.value.object == f"my.yaml line {line}"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_policy_or_one_clean_error(data: bytes) -> None:
    try:
        assert isinstance(read_policy(data, "p.yaml"), Policy)
    except DocumentProblem as problem:
        assert "p.yaml" in problem.object  # noqa: PT017 the problem is what is tested


@given(
    st.dictionaries(
        st.sampled_from(sorted(SETTINGS)),
        st.text("abc,[]{}:1.23 -", max_size=20) | st.lists(st.text("1234567890.", max_size=3), max_size=4),
    )
)
def test_any_settings_are_a_policy_or_one_clean_error(settings: dict[str, object]) -> None:
    try:
        assert isinstance(read_policy(render_document({"policy": settings}), "p.yaml"), Policy)
    except DocumentProblem as problem:
        assert "p.yaml" in problem.object  # noqa: PT017 the problem is what is tested


@pytest.mark.parametrize("step", sorted(NEVER_ADVISORY_STEPS))
def test_the_steps_that_make_a_verdict_cannot_be_advisory(step: int) -> None:
    with pytest.raises(UsageProblem):
        Policy(required=frozenset(), required_of_reports=frozenset(), advisory=frozenset({step}))


def test_no_policy_lets_the_chain_go_unchecked() -> None:
    loose = Policy(required=frozenset(), required_of_reports=frozenset(), clock=Clock.IGNORE)
    for kind in EvidenceKind:
        assert loose.required_steps(kind) == {2, 3, 4}


def test_what_is_required_follows_clock_and_measurements() -> None:
    assert 6 not in Policy(clock=Clock.IGNORE).required_steps(EvidenceKind.CONVERSATION)
    assert 12 in Policy(require_measurements=True).required_steps(EvidenceKind.CONVERSATION)
    assert Policy().required_steps(EvidenceKind.SIGNED_REPORT) == {2, 3, 4, 12}


def test_the_leaf_rule_is_the_roots_unless_the_policy_has_one() -> None:
    acme = root()
    assert Policy().leaf_rule(acme) is LeafNameRule.PCIE
    assert Policy(leaf_name=LeafNameRule.NONE).leaf_rule(acme) is LeafNameRule.NONE
    both = Policy(leaf_name=LeafNameRule.NONE, leaf_names=(("acme", LeafNameRule.EITHER),))
    assert both.leaf_rule(acme) is LeafNameRule.EITHER


def test_a_requester_offers_only_what_the_policy_allows() -> None:
    policy = read_policy(POLICY.encode(), "p.yaml")
    offer = policy.offer()
    assert (offer.versions, offer.base_asym, offer.pqc_asym, offer.base_hash) == (
        policy.versions,
        policy.asym,
        policy.pqc,
        policy.hashes,
    )
    assert policy.allows(BaseAsym.ECDSA_P384)
    assert policy.allows(PqcAsym.ML_DSA_65)
    assert not policy.allows(BaseAsym.RSASSA_2048)


def test_a_policy_can_be_sent_to_another_process() -> None:
    policy = read_policy(POLICY.encode(), "p.yaml")
    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301 our own bytes
