"""`cmakeys` alone and `cmakeys status` show the same, on a fresh machine and on any other."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cmakeys.cli import status as module
from cmakeys.cli.app import main
from cmakeys.roots.journal import Journal
from cmakeys.roots.rootset import DenyEntry, DenyKind
from cmakeys.roots.store import RootStore
from tests.cli.machine import Machine
from tests.workbench import vendor


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    return Machine(tmp_path, capsys)


def test_a_fresh_tree_is_healthy_and_told_how_to_begin(machine: Machine) -> None:
    said = machine.run("status")
    assert said.code == 0
    assert f"next: cmakeys roots add FILE --sysroot {machine.sysroot}" in said.out
    assert said.err == ""


def test_cmakeys_alone_shows_the_status_of_this_machine_and_where_help_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "SYSTEM", tmp_path)
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("next: cmakeys roots add") for line in lines)
    assert lines[-1] == "cmakeys --help lists what else it does"


def test_this_very_machine_can_be_looked_at_by_whoever_runs_this() -> None:
    run = subprocess.run([sys.executable, "-m", "cmakeys"], capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1)
    assert run.stderr == ""
    assert all(len(line) <= 80 for line in run.stdout.splitlines())
    assert len(run.stdout.splitlines()) <= 23


def test_something_wrong_leaves_with_1_and_json_says_what(machine: Machine) -> None:
    machine.trust(vendor())
    journal = Journal(machine.sysroot / "var/lib/cmakeys")
    for name in ("a", "b"):
        journal.append("roots-add", name, {}, at=datetime(2026, 2, 1, tzinfo=UTC), by="ada")
    journal.path.write_bytes(journal.path.read_bytes().replace(b'"object":"a"', b'"object":"x"'))
    said = machine.run("status", "--json")
    assert said.code == 1
    assert "line 2: it does not carry the hash" in str(said.data["bad"])


def test_a_root_that_is_denied_is_named(machine: Machine) -> None:
    machine.trust(vendor())
    RootStore(machine.sysroot).deny(DenyEntry(DenyKind.CERTIFICATE, vendor().certificate.fingerprint))
    assert "denied all the same: acme" in machine.run("status").out


def test_a_clock_behind_the_journal_is_the_first_thing_said(machine: Machine) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=2)
    Journal(machine.sysroot / "var/lib/cmakeys").append("roots-add", "a", {}, at=tomorrow, by="ada")
    said = machine.run("status")
    assert said.code == 0
    assert "clock     wrong: entry 1 of the journal is of" in said.out
    assert "next: timedatectl" in said.out
