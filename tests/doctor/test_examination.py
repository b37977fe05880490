"""The doctor says what is so on any machine, and one broken probe leaves the others alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmakeys.doctor import kernel, machine
from cmakeys.doctor.examination import examine
from cmakeys.doctor.model import Finding, Group, Probe, Severity
from cmakeys.errors import NotPermitted
from cmakeys.status.survey import Places
from tests.devices.sysfs import Tree

NOW = datetime(2040, 1, 1, tzinfo=UTC)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "sys")


def codes(findings: tuple[Finding, ...]) -> dict[str, Severity]:
    return {finding.code: finding.severity for finding in findings}


@pytest.mark.parametrize("error", [NotPermitted("no"), OSError(5, "broken"), ValueError("odd"), RecursionError("deep")])
def test_a_probe_that_fails_is_unknown_with_its_reason(error: Exception) -> None:
    def look() -> list[Finding]:
        raise error

    (finding,) = Probe(Group.CLOCK, "clock", look).run()
    assert finding.severity is Severity.UNKNOWN
    assert finding.message.startswith("clock: ")
    assert len(finding.message) > len("clock: ")


def test_a_machine_without_anything_is_examined_and_not_bad(tree: Tree, tmp_path: Path) -> None:
    findings = examine(Places(tmp_path, tmp_path / "state", None), tree.sysfs, NOW)
    assert {finding.group for finding in findings} == set(Group)
    assert not [finding for finding in findings if finding.severity is Severity.BAD]


def test_a_sysfs_that_cannot_be_listed_leaves_the_rest(tree: Tree, tmp_path: Path) -> None:
    tree.put(tree.root / "bus/pci", b"")
    findings = examine(Places(tmp_path, tmp_path / "state", None), tree.sysfs, NOW)
    assert {"roots", "clock", "config"} <= codes(findings).keys()


def test_a_clock_behind_what_was_recorded_is_bad(tree: Tree, tmp_path: Path) -> None:
    early = datetime(1990, 1, 1, tzinfo=UTC)
    assert codes(examine(Places(tmp_path, tmp_path, None), tree.sysfs, early))["clock"] is Severity.BAD


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [(b"1\n", 0o644, "SPDM series"), (b"tsm0\n", 0o444, "mainline's TSM"), (b"what\n", 0o644, "no sign")],
)
def test_the_line_of_kernels_is_told_by_mode_and_content(tree: Tree, content: bytes, mode: int, words: str) -> None:
    tree.add()
    tree.authenticated(content, mode)
    (finding,) = kernel.release(tree.sysfs)
    assert words in finding.message


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        (b"[none] integrity confidentiality\n", Severity.GOOD),
        (b"none [integrity] confidentiality\n", Severity.WARNING),
        (b"none integrity [confidentiality]\n", Severity.WARNING),
        (b"\xff\n", Severity.UNKNOWN),
    ],
)
def test_lockdown_says_what_follows(tree: Tree, text: bytes, severity: Severity) -> None:
    tree.put(tree.root / "kernel/security/lockdown", text)
    (finding,) = kernel.lockdown(tree.sysfs)
    assert finding.severity is severity


def test_what_stands_in_the_way_of_a_device_is_named(tree: Tree) -> None:
    folder = tree.add(driver="vfio-pci")
    tree.put(folder / "power_state", b"D3cold\n")
    tree.authenticated(b"tsm0\n", 0o444)
    found = codes(tuple(machine.devices(tree.sysfs)))
    assert found == {
        "cma": Severity.GOOD,
        "asleep": Severity.WARNING,
        "passthrough": Severity.WARNING,
        "tsm": Severity.WARNING,
    }


def test_a_device_that_the_kernel_refuses_is_bad(tree: Tree) -> None:
    tree.add()
    tree.authenticated(b"0\n")
    assert codes(tuple(machine.devices(tree.sysfs)))["failed"] is Severity.BAD


@pytest.mark.system
def test_every_algorithm_of_this_kernel_gets_an_answer() -> None:
    findings = tuple(kernel.algorithms())
    text = " ".join(finding.message for finding in findings)
    assert all(name in text for name in ("RSA", "P-256", "P-384", "P-521", "ML-DSA-65"))


def test_a_kernel_whose_securityfs_has_no_such_file_has_no_lockdown(tree: Tree) -> None:
    tree.put(tree.root / "kernel/security/lsm", b"capability\n")
    (finding,) = kernel.lockdown(tree.sysfs)
    assert (finding.severity, finding.message) == (Severity.GOOD, "this kernel has no lockdown")
