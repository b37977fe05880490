"""What a device rests on, asked of its chain: the same as the verifier says, and never more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cmakeys.roots.dependants import Dependant, anchors_of, ends_in, misfits, outside
from cmakeys.roots.root import Constraints, LeafNameRule, Root
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet
from cmakeys.x509.identity import PciIdentity
from tests.evidence.loopback import IDENTITY
from tests.roots.succession import OTHER_IDENTITY, certificate, dependant, judge, root, rootset

DEVICES = ("on-old", "on-old-bare", "on-new", "on-third", "on-other", "on-rekeyed")
SETS = (
    "old",
    "old renewed",
    "old:retiring renewed",
    "old:retired renewed",
    "old:staged",
    "old:distrusted renewed",
    "rekeyed",
    "old rekeyed third other",
    "new third:retiring other:retired",
    "",
)


def names(roots: tuple[Root, ...]) -> list[str]:
    return [each.name for each in roots]


@pytest.mark.parametrize("known", SETS)
@pytest.mark.parametrize("word", DEVICES)
def test_a_device_has_a_root_to_rest_on_exactly_if_the_verifier_finds_it_well(word: str, known: str) -> None:
    held = anchors_of(dependant(word), rootset(known))
    verdict = judge(word, rootset(known))
    assert bool(held) == verdict.outcome.healthy, verdict.summary
    if held:
        assert verdict.root in names(held)


@pytest.mark.parametrize(
    "limits",
    [
        Constraints(pci_vendors=frozenset({0x10DE})),
        Constraints(pci_devices=frozenset({0x10DE})),
        Constraints(classes=frozenset({"03"})),
        Constraints(slots=frozenset({3})),
        Constraints(algorithms=frozenset({"ML-DSA-65"})),
        Constraints(versions=frozenset({"1.0"})),
        Constraints(leaf_name=LeafNameRule.PCIE, classes=frozenset({"0302", "04"})),
    ],
)
def test_constraints_keep_a_device_out_as_they_do_in_a_check(limits: Constraints) -> None:
    known = rootset("old", old=limits)
    assert anchors_of(dependant("on-old"), known) == ()
    assert misfits(known.roots[0], dependant("on-old"))
    assert not judge("on-old", known).outcome.healthy


def test_what_is_not_known_of_a_device_is_no_fault() -> None:
    nobody = replace(dependant("on-old"), identity=None, slot=None, algorithm="", version="")
    limits = Constraints(
        pci_vendors=frozenset({1}),
        slots=frozenset({3}),
        algorithms=frozenset({"ML-DSA-65"}),
        versions=frozenset({"1.0"}),
    )
    assert anchors_of(nobody, rootset("old", old=limits)) == rootset("old", old=limits).roots


@pytest.mark.parametrize(
    ("rule", "identity", "fits"),
    [
        (LeafNameRule.PCIE, IDENTITY, True),
        (LeafNameRule.PCIE, OTHER_IDENTITY, False),
        (LeafNameRule.EITHER, IDENTITY, True),
        (LeafNameRule.EITHER, OTHER_IDENTITY, False),
        (LeafNameRule.DEVICE_INFO, OTHER_IDENTITY, True),
        (LeafNameRule.NONE, OTHER_IDENTITY, True),
    ],
)
def test_the_name_in_the_leaf_counts_by_the_rule_of_the_policy(
    rule: LeafNameRule, identity: PciIdentity, *, fits: bool
) -> None:
    device = replace(dependant("on-old"), identity=identity)
    assert bool(anchors_of(device, rootset("old"), lambda _: rule)) == fits
    assert bool(anchors_of(device, rootset("old", old=Constraints(leaf_name=rule)))) == fits


def test_outside_speaks_of_the_device_and_not_of_its_chain() -> None:
    device = dependant("on-old")
    assert outside(root("new", new=Constraints(algorithms=frozenset({"ML-DSA-65"}))), device) == ()
    assert outside(root("new", new=Constraints(pci_vendors=frozenset({1}))), device)


def test_a_device_without_a_chain_rests_on_nothing() -> None:
    device = Dependant("bare", ())
    assert anchors_of(device, rootset("old")) == ()
    assert not ends_in(root("old"), device)
    assert misfits(root("old"), device) == ()


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_denied_certificate_anywhere_in_the_chain_leaves_nothing_to_rest_on(position: int) -> None:
    device = dependant("on-old")
    entry = DenyEntry(DenyKind.CERTIFICATE, device.chain[position].fingerprint)
    assert anchors_of(device, RootSet((root("old"), root("renewed")), (entry,))) == ()


def test_a_denied_anchor_is_none_for_what_was_issued_after_the_day() -> None:
    entry = DenyEntry(DenyKind.CERTIFICATE, certificate("renewed").fingerprint, after=datetime(2030, 1, 1, tzinfo=UTC))
    known = RootSet((root("renewed"),), (entry,))
    assert anchors_of(dependant("on-old-bare"), known) == ()


@pytest.mark.parametrize("dated", ["old", "renewed"])
def test_a_key_that_is_not_believed_is_not_believed_under_another_certificate(dated: str) -> None:
    known = RootSet(
        tuple(
            replace(each, distrust_after=datetime(2019, 1, 1, tzinfo=UTC)) if each.name == dated else each
            for each in rootset("old renewed").roots
        )
    )
    assert anchors_of(dependant("on-old"), known) == ()
