"""`cmakeys roots constrain`: what a root may vouch for is changed, with the devices named that would be left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from cmakeys.roots.journal import Journal
from cmakeys.roots.root import Constraints, LeafNameRule, Root
from cmakeys.roots.store import RootStore
from tests.cli.roots_runner import Run, runner
from tests.cli.test_roots_rotate import enrol, state
from tests.roots.succession import certificate

HELD = Constraints(pci_vendors=frozenset({0x1B36}), slots=frozenset({0, 1}), leaf_name=LeafNameRule.EITHER)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A machine that trusts one root of a vendor, with one device on it."""
    RootStore(tmp_path).add(Root("old", certificate("old"), constraints=HELD))
    enrol(tmp_path, "on-old")
    return tmp_path


@pytest.fixture
def run(tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tree, capsys, monkeypatch)


def constraints(tree: Path) -> Constraints:
    return RootStore(tree).load().find("old").constraints


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (("--pci-vendor", "1B36", "--pci-vendor", "10de"), {"pci_vendors": frozenset({0x1B36, 0x10DE})}),
        (("--pci-device", "10"), {"pci_devices": frozenset({0x10})}),
        (("--class", "01", "--class", "0302"), {"classes": frozenset({"01", "0302"})}),
        (("--slot", "0"), {"slots": frozenset({0})}),
        (("--algorithm", "ECDSA-P384"), {"algorithms": frozenset({"ECDSA-P384"})}),
        (("--version", "1.2", "--version", "1.3"), {"versions": frozenset({"1.2", "1.3"})}),
        (("--leaf-name", "none"), {"leaf_name": LeafNameRule.NONE}),
        (("--clear", "pci-vendor"), {"pci_vendors": frozenset()}),
        (("--clear", "slot", "--clear", "leaf-name"), {"slots": frozenset(), "leaf_name": LeafNameRule.PCIE}),
        (("--clear", "slot", "--class", "01"), {"slots": frozenset(), "classes": frozenset({"01"})}),
    ],
)
def test_a_kind_is_replaced_and_the_others_stay(
    run: Run, tree: Path, words: Sequence[str], changed: dict[str, object]
) -> None:
    said = run("constrain", "old", *words)
    assert said.code == 0, said.err
    after = constraints(tree)
    for field in Constraints.__dataclass_fields__:
        assert getattr(after, field) == changed.get(field, getattr(HELD, field)), field


def test_the_change_is_shown_as_a_diff_and_recorded(run: Run, tree: Path) -> None:
    said = run("constrain", "old", "--pci-vendor", "1b36", "--pci-vendor", "10de", "--reason", "a second vendor")
    assert "- pci-vendors 1b36\n+ pci-vendors 10de, 1b36\n  slots 0, 1\n" in said.out
    (entry,) = Journal(state(tree)).verify().entries
    assert (entry.action, entry.subject, entry.detail["reason"]) == ("roots-constrain", "old", "a second vendor")


def test_a_device_that_would_be_left_out_is_named_and_needs_a_yes(run: Run, tree: Path) -> None:
    said = run("constrain", "old", "--pci-vendor", "10de")
    assert said.code == 8
    assert "on-old would be rejected: PCI vendor 1b36 is not among 10de" in said.out
    assert constraints(tree) == HELD
    assert run("constrain", "old", "--pci-vendor", "10de", typed="n\n").code == 8
    assert run("constrain", "old", "--pci-vendor", "10de", typed="y\n").code == 0
    assert constraints(tree).pci_vendors == {0x10DE}


def test_a_script_may_say_yes_and_reads_whom_it_left_out(run: Run, tree: Path) -> None:
    said = run("constrain", "old", "--slot", "7", "--yes", "--json")
    assert (said.code, said.envelope["changed"]) == (0, True)
    assert said.data["rejected"] == [{"name": "on-old", "reason": "slot 0 is not among 7"}]
    assert constraints(tree).slots == {7}


def test_a_device_that_another_root_vouches_for_is_not_lost(run: Run, tree: Path) -> None:
    RootStore(tree).add(Root("renewed", certificate("renewed")))
    said = run("constrain", "old", "--pci-vendor", "10de", "--json")
    assert (said.code, said.data["rejected"]) == (0, [])
    assert said.data["moved"] == [{"name": "on-old", "reason": "PCI vendor 1b36 is not among 10de"}]


def test_the_same_constraints_again_change_nothing(run: Run, tree: Path) -> None:
    said = run("constrain", "old", "--slot", "0", "--slot", "1", "--detailed-exitcode")
    assert said.code == 0
    assert not (state(tree) / "journal.jsonl").exists()


def test_a_dry_run_changes_nothing(run: Run, tree: Path) -> None:
    said = run("constrain", "old", "--pci-vendor", "10de", "--dry-run")
    assert said.code == 0
    assert "on-old would be rejected" in said.out
    assert constraints(tree) == HELD


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("old",), 2),
        (("old", "--pci-vendor", "acme"), 2),
        (("old", "--pci-vendor", "12345"), 2),
        (("old", "--pci-vendor", ""), 2),
        (("old", "--pci-device", "-1"), 2),
        (("old", "--class", "0"), 2),
        (("old", "--slot", "8"), 2),
        (("old", "--algorithm", "ECDSA-P38"), 2),
        (("old", "--version", "2"), 2),
        (("old", "--leaf-name", "any"), 2),
        (("old", "--clear", "vendor"), 2),
        (("old", "--clear", "slot", "--slot", "1"), 2),
        (("nobody", "--slot", "1"), 3),
    ],
)
def test_what_could_never_match_is_refused(run: Run, tree: Path, words: Sequence[str], code: int) -> None:
    assert run("constrain", *words).code == code
    assert constraints(tree) == HELD
