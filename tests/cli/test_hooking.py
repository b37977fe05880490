"""A check runs the hooks of its own machine after the verdicts are kept, and leaves with the code of the verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.envelopes import part
from tests.cli.machine import Machine
from tests.workbench import seat, serving, vendor

HOOK = """#!/bin/sh
cd "$(dirname "$0")/.." || exit
echo "$CMAKEYS_EVENT $CMAKEYS_DEVICE $CMAKEYS_BEFORE $CMAKEYS_OUTCOME $CMAKEYS_STEP" >>said
cat >facts
exit 7
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(seat()) as (address,):
        yield address


@pytest.fixture
def machine(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> Machine:
    machine = Machine(tmp_path, capsys)
    machine.trust(vendor())
    assert machine.run("devices", "enroll", url, "--name", "gpu0").code == 0
    hooks = tmp_path / "hooks"
    for folder in ("on-change.d", "on-failure.d", "on-expiry.d"):
        (hooks / folder).mkdir(parents=True)
        (hooks / folder / "tell").write_text(HOOK)
        (hooks / folder / "tell").chmod(0o755)
    return machine


def lost_its_root(machine: Machine) -> None:
    (name,) = [path.stem for path in (machine.sysroot / "etc/cmakeys/roots").glob("*.pem")]
    assert machine.run("roots", "remove", name, "--yes").code in (0, 8)
    for path in (machine.sysroot / "etc/cmakeys/roots").glob(f"{name}.*"):
        path.unlink()


def said(machine: Machine) -> list[str]:
    path = machine.sysroot / "hooks/said"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.system
def test_a_device_that_fails_is_told_of_once_and_its_recovery_once(machine: Machine) -> None:
    check = ("check", "--all", "--hooks", str(machine.sysroot / "hooks"))
    assert machine.run(*check).code == 0
    assert said(machine) == []
    lost_its_root(machine)
    done = machine.run(*check)
    assert done.code == 1
    assert done.err.count("left with 7 for gpu0") == 2
    assert [line.split(" ")[:4] for line in said(machine)] == [
        ["change", "gpu0", "trusted", "rejected"],
        ["failure", "gpu0", "trusted", "rejected"],
    ]
    facts = json.loads((machine.sysroot / "hooks/facts").read_text())
    assert not list(part("check_line").iter_errors(facts))
    assert facts["verdict"]["outcome"] == "rejected"
    assert machine.run(*check).code == 1
    assert len(said(machine)) == 2
    machine.trust(vendor())
    assert machine.run(*check).code == 0
    assert [line.split(" ")[:4] for line in said(machine)][2:] == [["change", "gpu0", "rejected", "trusted"]]


@pytest.mark.system
@pytest.mark.parametrize("without", [("--no-hooks",), ("--dry-run",)])
def test_without_hooks_and_in_a_dry_run_none_is_run(machine: Machine, without: tuple[str, ...]) -> None:
    lost_its_root(machine)
    assert machine.run("check", "--all", "--hooks", str(machine.sysroot / "hooks"), *without).code == 1
    assert said(machine) == []


@pytest.mark.system
def test_the_hooks_that_are_in_a_tree_are_not_run_by_this_machine(machine: Machine) -> None:
    (machine.sysroot / "etc/cmakeys").mkdir(exist_ok=True)
    (machine.sysroot / "etc/cmakeys/hooks").symlink_to("../../hooks")
    lost_its_root(machine)
    assert machine.run("check", "--all").code == 1
    assert said(machine) == []


def test_a_folder_that_is_not_there_is_said_before_anything_is_asked(machine: Machine) -> None:
    done = machine.run("check", "--all", "--hooks", str(machine.sysroot / "none"))
    assert (done.code, "no such folder" in done.err) == (2, True)


@pytest.mark.system
def test_a_hook_that_failed_is_in_the_log(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    monkeypatch.setattr("cmakeys.cli.eventlogging.send", lambda _path, datagrams: sent.extend(datagrams))
    lost_its_root(machine)
    check = ("check", "--all", "--log", "syslog", "--hooks", str(machine.sysroot / "hooks"))
    assert machine.run(*check).code == 1
    assert [line for line in sent if b"left with 7" in line and line.startswith(b"<28>")]
