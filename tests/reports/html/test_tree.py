"""The picture of a fleet counts every device once, shows trouble by name, and stays small."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.check import Judgement
from cmakeys.reports.html.tree import MAX_ISSUERS, MAX_LEVELS, MAX_NAMED, Kind, Node, forest, leaves
from cmakeys.standing import finding
from cmakeys.verify.verdict import Outcome
from tests.reports.html.fleets import ACME, OLD, ROOTS, device, fleet
from tests.reports.verdicts import ALL, TRUSTED

outcomes = st.sampled_from(Outcome)


def walk(nodes: tuple[Node, ...]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from walk(node.children)


@given(st.lists(st.tuples(outcomes, st.sampled_from([ACME, OLD, None]), st.lists(st.text(), max_size=7)), max_size=60))
def test_every_device_is_counted_once(made: list[tuple[Outcome, object, list[str]]]) -> None:
    findings = [
        device(f"d{number}", outcome, root, *labels)  # type: ignore[arg-type]  # one of the three
        for number, (outcome, root, labels) in enumerate(made)
    ]
    trees = forest(findings, ROOTS.roots)
    assert sum(tree.count for tree in trees) == len(findings)
    for node in walk(trees):
        if node.children:
            assert node.count == sum(child.count for child in node.children)
            assert node.outcome in {child.outcome for child in node.children}
    for outcome in Outcome:
        counted = sum(node.count for node in walk(trees) if not node.children and node.outcome is outcome)
        assert counted == sum(one.outcome is outcome for one in findings)


@pytest.mark.parametrize("size", [0, 3, 50, 2000])
def test_the_order_of_the_findings_does_not_matter(size: int) -> None:
    findings = fleet(size)
    assert forest(findings, ROOTS.roots) == forest(tuple(reversed(findings)), ROOTS.roots)


def test_a_chain_goes_from_the_root_over_the_intermediates_to_the_device() -> None:
    (root,) = forest([device("gpu0", Outcome.TRUSTED, ACME, "CN=One", "CN=Two")], ROOTS.roots)
    (one,) = root.children
    (two,) = one.children
    (leaf,) = two.children
    assert [(node.kind, node.label) for node in (root, one, two, leaf)] == [
        (Kind.ROOT, "acme"),
        (Kind.ISSUER, "CN=One"),
        (Kind.ISSUER, "CN=Two"),
        (Kind.DEVICE, "gpu0"),
    ]
    assert not any(node.claimed for node in walk((root,)))


def test_what_a_rejected_device_says_about_its_chain_is_a_claim() -> None:
    bad = device("gpu1", Outcome.REJECTED, ACME, "CN=Acme Intermediate of its own")
    good = device("gpu0", Outcome.TRUSTED, ACME, "CN=Acme Intermediate")
    (root,) = forest([good, bad], ROOTS.roots)
    assert {node.label: node.claimed for node in walk((root,))} == {
        "acme": False,
        "CN=Acme Intermediate": False,
        "gpu0": False,
        "CN=Acme Intermediate of its own": True,
        "gpu1": True,
    }


def test_a_root_with_the_name_of_ours_is_another_one() -> None:
    trees = forest([device("gpu1", Outcome.REJECTED, None, "CN=Acme Root", "CN=x")], ROOTS.roots)
    assert [(tree.kind, tree.claimed) for tree in trees] == [(Kind.FOREIGN, True)]


def test_a_device_that_showed_nothing_stands_apart() -> None:
    trees = forest([finding("gpu0", Judgement(ALL["unreachable"]), None)], ROOTS.roots)
    assert [tree.kind for tree in trees] == [Kind.UNSEEN]


def test_a_device_without_certificates_stands_with_its_like() -> None:
    verdict = replace(TRUSTED, root=None, root_fingerprint=None, leaf_fingerprint=None, key_fingerprint="cd" * 32)
    (tree,) = forest([finding(name, Judgement(verdict), None) for name in ("acc0", "acc1")], ROOTS.roots)
    assert (tree.kind, tree.label, tree.count) == (Kind.KEY, "no certificates", 2)


def test_a_device_that_is_away_stands_where_it_was_seen_last() -> None:
    seen = device("gpu0", Outcome.TRUSTED, ACME, "CN=One")
    memory = finding("gpu0", Judgement(TRUSTED, observation=seen.judgement.observation), None).memory
    away = finding("gpu0", Judgement(ALL["unreachable"]), memory)
    (tree,) = forest([away], ROOTS.roots)
    assert (tree.kind, tree.label, tree.children[0].label) == (Kind.ROOT, "acme", "CN=One")
    assert tree.children[0].children[0].claimed


@pytest.mark.parametrize("length", range(9))
def test_a_long_chain_is_shortened_in_its_middle(length: int) -> None:
    labels = [f"CN=CA {number}" for number in range(length)]
    (tree,) = forest([device("gpu0", Outcome.TRUSTED, ACME, *labels)], ROOTS.roots)
    between = [node.label for node in walk(tree.children)][:-1]
    assert len(between) <= MAX_LEVELS
    if length > MAX_LEVELS:
        assert between == [labels[0], f"{length - 2} more certificates", labels[-1]]


def test_many_devices_become_a_number_and_trouble_keeps_its_names() -> None:
    findings = [device(f"t{number}", Outcome.TRUSTED, ACME, "CN=One") for number in range(900)]
    findings += [device(f"r{number}", Outcome.REJECTED, ACME, "CN=One") for number in range(9)]
    nodes = leaves(findings)
    assert [node.label for node in nodes] == ["r0", "r1", "r2", "r3", "r4", "4 more rejected", "900 trusted"]
    assert nodes[-1].count == 900


def test_one_device_is_never_hidden_behind_a_number() -> None:
    findings = [device(f"r{number}", Outcome.REJECTED, ACME, "CN=One") for number in range(MAX_NAMED + 1)]
    findings += [device(f"t{number}", Outcome.TRUSTED, ACME, "CN=One") for number in range(20)]
    assert [node.kind for node in leaves(findings)] == [*[Kind.DEVICE] * (MAX_NAMED + 1), Kind.DEVICES]


def test_a_fleet_of_strangers_makes_no_endless_picture() -> None:
    findings = [device(f"m{number}", Outcome.REJECTED, None, f"CN=Mallory {number}", "CN=x") for number in range(3000)]
    findings.append(device("good", Outcome.TRUSTED, ACME, "CN=One"))
    trees = forest(findings, ROOTS.roots)
    assert len(trees) == MAX_ISSUERS + 1
    assert trees[-1].kind is Kind.MORE
    assert len(list(walk(trees))) < 4 * MAX_ISSUERS
    assert sum(tree.count for tree in trees) == 3001
