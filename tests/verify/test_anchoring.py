"""Of several roots that vouch for one chain the one judges that admits the device."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cmakeys.roots.root import Constraints, LeafNameRule, LifeCycle, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.verify.policy import Clock, Policy
from cmakeys.verify.verdict import Outcome, Verdict
from cmakeys.verify.verifier import verify
from tests.roots.succession import NOW, OTHER_IDENTITY, certificate, evidence, root

NARROW = Constraints(pci_vendors=frozenset({0x15B3}))
DAY = datetime(2000, 1, 1, tzinfo=UTC)


def judged(word: str, *roots: Root, policy: Policy | None = None) -> Verdict:
    return verify(evidence(word), RootSet(roots), policy, now=NOW)


def named(name: str, word: str, constraints: Constraints | None = None) -> Root:
    return Root(name, certificate(word), LifeCycle.TRUSTED, constraints or Constraints())


# Equal name and key: "old" is in the chain itself, "renewed" is not. Names decide the order in the set.
@pytest.mark.parametrize("device", ["on-old", "on-old-bare"])
@pytest.mark.parametrize(("one", "two"), [("old", "renewed"), ("renewed", "old")])
@pytest.mark.parametrize(
    "narrow",
    [
        NARROW,
        Constraints(pci_devices=frozenset({1})),
        Constraints(classes=frozenset({"03"})),
        Constraints(slots=frozenset({7})),
        Constraints(algorithms=frozenset({"ML-DSA-65"})),
        Constraints(versions=frozenset({"1.0"})),
    ],
)
def test_a_root_that_is_too_narrow_does_not_stand_before_one_that_fits(
    device: str, one: str, two: str, narrow: Constraints
) -> None:
    verdict = judged(device, named("a", one, narrow), named("b", two))
    assert (verdict.outcome, verdict.root) == (Outcome.TRUSTED, "b"), verdict.summary
    assert judged(device, named("a", one), named("b", two, narrow)).root == "a"


def test_a_root_whose_leaf_name_the_device_lacks_does_not_stand_before_one_that_fits() -> None:
    policy = Policy(leaf_names=(("a", LeafNameRule.PCIE), ("b", LeafNameRule.NONE)))
    stranger = replace(evidence("on-old"), identity=OTHER_IDENTITY)
    verdict = verify(stranger, RootSet((named("a", "old"), named("b", "renewed"))), policy, now=NOW)
    assert verdict.root == "b"


def test_where_both_are_too_narrow_the_device_is_rejected() -> None:
    verdict = judged("on-old", named("a", "old", NARROW), named("b", "renewed", NARROW))
    assert verdict.outcome is Outcome.REJECTED
    assert [step.number for step in verdict.failures] == [5]


@pytest.mark.parametrize("device", ["on-old", "on-old-bare"])
def test_a_trusted_root_stands_before_a_retiring_one_with_its_key(device: str) -> None:
    verdict = judged(device, root("old:retiring"), root("renewed"))
    assert (verdict.outcome, verdict.root) == (Outcome.TRUSTED, "renewed")


@pytest.mark.parametrize("state", ["staged", "retiring", "retired"])
def test_a_root_hash_may_speak_of_the_certificate_before_the_renewal(state: str) -> None:
    assert judged("on-old-bare", root(f"old:{state}"), root("renewed")).outcome is Outcome.TRUSTED


def test_a_root_hash_of_a_certificate_that_nobody_holds_is_not_explained_away() -> None:
    verdict = judged("on-old-bare", root("renewed"))
    assert [step.number for step in verdict.failures] == [2]
    assert "root hash" in verdict.summary


@pytest.mark.parametrize("state", ["staged", "retired"])
def test_a_root_that_is_no_anchor_is_not_asked(state: str) -> None:
    assert judged("on-old", root("old"), root(f"renewed:{state}")).root == "old"
    assert judged("on-old", root(f"old:{state}"), root("renewed")).root == "renewed"


@pytest.mark.parametrize("device", ["on-ending", "on-ending-bare"])
def test_a_renewed_root_keeps_the_devices_whose_chain_still_has_the_one_that_ended(device: str) -> None:
    late = datetime(2041, 1, 1, tzinfo=UTC)
    again = Root("again", certificate("ending-again"))
    ended = verify(evidence(device), RootSet((root("ending"),)), now=late)
    assert [step.number for step in ended.failures] == [6]
    kept = verify(evidence(device), RootSet((root("ending"), again)), now=late)
    assert (kept.outcome, kept.root) == (Outcome.TRUSTED, "again"), kept.summary


def test_a_policy_without_dates_prefers_none() -> None:
    roots = RootSet((root("ending:retiring"), root("ending-again")))
    late = datetime(2041, 1, 1, tzinfo=UTC)
    verdict = verify(evidence("on-ending"), roots, Policy(clock=Clock.IGNORE), now=late)
    assert verdict.root == "ending-again"


def test_at_issuance_the_root_of_that_day_judges() -> None:
    roots = RootSet((root("ending"), root("ending-again")))
    late = datetime(2041, 1, 1, tzinfo=UTC)
    verdict = verify(evidence("on-ending"), roots, Policy(clock=Clock.AT_ISSUANCE), now=late)
    assert (verdict.outcome, verdict.root) == (Outcome.TRUSTED, "ending"), verdict.summary


@pytest.mark.parametrize("device", ["on-old", "on-old-bare"])
@pytest.mark.parametrize("dated", ["old", "renewed"])
def test_a_renewed_certificate_does_not_make_a_lost_key_good(device: str, dated: str) -> None:
    roots = [
        replace(each, distrust_after=DAY) if each.name == dated else each for each in (root("old"), root("renewed"))
    ]
    verdict = judged(device, *roots)
    assert verdict.outcome is Outcome.REJECTED
    assert [step.number for step in verdict.failures] == [5]


@pytest.mark.parametrize("device", ["on-old", "on-old-bare"])
def test_equal_names_with_different_keys_are_different_roots(device: str) -> None:
    assert judged(device, root("rekeyed"), root("old")).root == "old"
    verdict = judged(device, root("rekeyed"))
    assert [step.number for step in verdict.failures] == [4]


ACME, OTHER = Constraints(pci_vendors=frozenset({0x1B36})), Constraints(pci_vendors=frozenset({0x15B3}))


def test_a_vendor_vouches_for_its_own_devices_only() -> None:
    """The check that the kernel cannot make: to it every root is a root for every device."""
    posing = ("on-other-posing", named("acme", "old", ACME), named("zenith", "other"))
    assert judged(*posing).outcome is Outcome.TRUSTED
    bound = judged("on-other-posing", named("acme", "old", ACME), named("zenith", "other", OTHER))
    assert [step.number for step in bound.failures] == [5]
    assert "zenith may not vouch for it: PCI vendor 1b36 is not among 15b3" in bound.summary


@pytest.mark.parametrize(
    ("device", "root"), [("on-old", "g1"), ("on-new", "g2"), ("on-third", "switches"), ("on-other", "zenith")]
)
def test_among_several_roots_of_several_vendors_each_device_finds_its_own(device: str, root: str) -> None:
    roots = (
        named("g1", "old", ACME),
        named("g2", "new", ACME),
        named("switches", "third", ACME),
        named("zenith", "other", OTHER),
    )
    assert (judged(device, *roots).outcome, judged(device, *roots).root) == (Outcome.TRUSTED, root)
    others = [each for each in roots if each.name != root]
    assert [step.number for step in judged(device, *others).failures] == [4]


def test_the_distrusted_twin_of_a_trusted_root_is_no_way_round() -> None:
    verdict = judged("on-old-bare", root("old:distrusted"), root("renewed"))
    assert [step.number for step in verdict.failures] == [4]
