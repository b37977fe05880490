"""`cmakeys check` from the outside: the exit codes of the design, and an answer for each kind of reader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cmakeys.emulator.device import Device
from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.faults import FAULTS
from cmakeys.emulator.line import Seat
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.keyring import oracle
from cmakeys.keyring.oracle import OracleAnswer
from cmakeys.roots.journal import Journal
from cmakeys.roots.store import RootStore
from tests.cli.machine import Machine
from tests.workbench import faulty, honest, seat, serving, vendor

pytestmark = pytest.mark.system


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    machine = Machine(tmp_path, capsys)
    machine.trust(vendor())
    return machine


@dataclass(frozen=True)
class Pair:
    """Two enrolled devices, whose seats can be given to others."""

    seats: tuple[Seat, Seat]
    urls: tuple[str, str]

    def swap(self, device: Device) -> None:
        self.seats[0].device = device


@pytest.fixture
def pair(machine: Machine) -> Iterator[Pair]:
    """`gpu0` and `nvme1`, enrolled and well."""
    seats = (seat(), seat(serial="0002"))
    with serving(*seats) as (first, second):
        machine.run("devices", "enroll", first, "--name", "gpu0")
        machine.run("devices", "enroll", second, "--name", "nvme1")
        yield Pair(seats, (first, second))


def test_all_is_well(machine: Machine, pair: Pair) -> None:
    said = machine.run("check", "--all")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "2 devices: 2 trusted"
    assert pair.urls[0] not in said.out


@pytest.mark.parametrize(
    ("fault", "step"), [("twin", 10), ("impostor", 4), ("firmware-changed", 13), ("bad-signature", 11)]
)
def test_what_is_wrong_with_which_device_is_said(machine: Machine, pair: Pair, fault: str, step: int) -> None:
    pair.swap(faulty(FAULTS[fault]))
    said = machine.run("check", "--all")
    assert said.code == 1
    assert "2 devices: 1 trusted, 1 rejected" in said.out
    assert "gpu0 is rejected:" in said.out
    assert f"{step:>3}  failed" in said.out


def test_a_clock_that_is_wrong_is_one_finding_and_none_of_the_devices(machine: Machine, pair: Pair) -> None:
    Journal(machine.register.parent).append("test", "x", {}, at=datetime.now(UTC) + timedelta(days=2), by="ada")
    said = machine.run("check", "--all")
    assert said.code == 0
    assert "2 devices: 2 trusted" in said.out
    assert said.err.count("the machine's clock says") == 1
    assert "timedatectl" in said.err
    nagios = machine.run("check", "--all", "--nagios")
    assert (nagios.code, nagios.out[:40]) == (1, "CMAKEYS WARNING - the machine's clock sa")
    assert machine.run("history", "clock").code == 1
    assert machine.run("history", "clock", "--accept").code == 0
    assert machine.run("history", "clock").code == 0
    assert machine.run("check", "--all").err == ""
    assert machine.run("devices", "enroll", pair.urls[0], "--name", "gpu0", "--replace").code == 0


def test_a_root_that_was_removed_takes_its_devices_along(machine: Machine, pair: Pair) -> None:
    RootStore(machine.sysroot).remove("acme")
    said = machine.run("check", "--all", "--json")
    assert said.code == 1
    assert said.data["summary"]["rejected"] == 2  # type: ignore[index]  # an object
    assert "step 4" in said.out
    assert len(pair.urls) == 2


def test_one_device_is_reported_in_full_by_name_or_address(machine: Machine, pair: Pair) -> None:
    for word in ("gpu0", pair.urls[0]):
        said = machine.run("check", word)
        assert said.code == 0
        assert said.out.startswith("gpu0: trusted")
        assert " 10  passed      same device as enrolled" in said.out


def test_an_address_that_is_not_enrolled_is_checked_without_memory(machine: Machine) -> None:
    with serving(seat()) as (url,):
        said = machine.run("check", url)
    assert said.code == 0
    assert " 10  not checked same device as enrolled: the device is not enrolled" in said.out
    assert not machine.register.exists()


def test_unreachable_is_6_and_no_verdict(machine: Machine, pair: Pair) -> None:
    pair.swap(faulty(FAULTS["silence"]))
    said = machine.run("check", "--all", "--timeout", "0.5", "--json")
    assert said.code == 6
    assert said.envelope["ok"] is False
    assert said.data["summary"] == {
        "trusted": 1,
        "degraded": 0,
        "rejected": 0,
        "unreachable": 1,
        "unsupported": 0,
    }
    listed = machine.run("devices", "list")
    assert "trusted, now unreachable" in listed.out


def test_rejected_outweighs_unreachable_and_that_unsupported(machine: Machine, pair: Pair) -> None:
    away = "pci:fffe:00:00.0"
    with serving(Seat(build_device(vendor(), Blueprint(settings=DeviceSettings(challenge=False))))) as (mute,):
        assert machine.run("check", mute).code == 5
        assert machine.run("check", mute, pair.urls[1]).code == 5
        assert machine.run("check", mute, away, "--timeout", "0.3").code == 6
        pair.swap(faulty(FAULTS["bad-signature"]))
        assert machine.run("check", "gpu0", mute, away, "--timeout", "0.3").code == 1


def test_a_pci_function_that_is_not_there_is_unreachable_and_named(machine: Machine) -> None:
    said = machine.run("check", "pci:fffe:00:00.0", "--timeout", "0.3")
    assert said.code == 6
    assert "there is no such PCI function" in " ".join(said.out.split())


def test_a_device_that_lost_cma_is_rejected_once_it_was_enrolled(machine: Machine, pair: Pair) -> None:
    settings = DeviceSettings(challenge=False)
    pair.swap(build_device(vendor(), Blueprint(credentials=honest("0001").hardware.slots, settings=settings)))
    assert machine.run("check", "gpu0").code == 1


def test_a_check_is_kept_in_the_history_unless_it_is_a_dry_run(machine: Machine, pair: Pair) -> None:
    machine.run("check", "--all", "--dry-run")
    machine.run("check", "--all")
    history = machine.run("devices", "show", "gpu0", "--json").data["history"]
    assert isinstance(history, list)
    assert len(history) == 2
    assert len(pair.urls) == 2


class TestNagios:
    def test_a_healthy_machine(self, machine: Machine, pair: Pair) -> None:
        said = machine.run("check", "--all", "--nagios")
        assert said.code == 0
        assert said.out.startswith("CMAKEYS OK - 2 devices trusted | trusted=2;")
        assert len(pair.urls) == 2

    def test_a_swapped_device_is_critical(self, machine: Machine, pair: Pair) -> None:
        pair.swap(faulty(FAULTS["twin"]))
        said = machine.run("check", "--all", "--nagios")
        assert said.code == 2
        assert said.out.startswith("CMAKEYS CRITICAL - 1 of 2 rejected: gpu0: step 10")

    def test_unreachable_is_unknown_or_critical_as_asked(self, machine: Machine, pair: Pair) -> None:
        pair.swap(faulty(FAULTS["silence"]))
        words = ("check", "--all", "--nagios", "--timeout", "0.5")
        assert machine.run(*words).code == 3
        assert machine.run(*words, "--unreachable-critical").code == 2

    def test_nothing_enrolled_is_unknown(self, machine: Machine) -> None:
        said = machine.run("check", "--all", "--nagios")
        assert said.code == 3
        assert said.out.startswith("CMAKEYS UNKNOWN - ")

    def test_a_damaged_register_is_unknown(self, machine: Machine) -> None:
        machine.register.parent.mkdir(parents=True)
        machine.register.write_bytes(b"rubbish" * 100)
        said = machine.run("check", "--all", "--nagios")
        assert said.code == 3
        assert "register is damaged" in said.out

    def test_nagios_and_json_exclude_each_other(self, machine: Machine) -> None:
        assert machine.run("check", "--all", "--nagios", "--json").code == 2


def test_nothing_enrolled_is_nothing_matched(machine: Machine) -> None:
    said = machine.run("check", "--all")
    assert said.code == 3
    assert "cmakeys devices enroll" in said.err


@pytest.mark.parametrize("words", [(), ("gpu0", "--all"), ("--jobs", "0", "--all"), ("http://x",)])
def test_a_command_line_that_makes_no_sense_is_2(machine: Machine, words: tuple[str, ...]) -> None:
    assert machine.run("check", *words).code == 2


def test_an_unknown_name_is_3(machine: Machine) -> None:
    assert machine.run("check", "nobody").code == 3


def test_a_history_that_cannot_be_kept_does_not_hide_the_verdict(
    machine: Machine, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cmakeys.devices.register import Register
    from cmakeys.errors import NotPermitted

    def refuse(_register: Register, *_records: object) -> None:
        raise NotPermitted("read-only", object="devices.db")

    monkeypatch.setattr(Register, "record", refuse)
    said = machine.run("check", "--all")
    assert said.code == 4
    assert "2 devices: 2 trusted" in said.out
    assert "read-only" in said.err
    pair.swap(faulty(FAULTS["twin"]))
    assert machine.run("check", "--all").code == 1


@pytest.mark.parametrize(
    ("answer", "outcome", "words"),
    [
        (OracleAnswer(True, "it took all"), "gpu0: trusted:", "this kernel accepts it: it took all"),
        (OracleAnswer(False, "no such key"), "gpu0: degraded:", "we accept the chain, this kernel would not: no such"),
        (OracleAnswer(None, "no ECDSA"), "gpu0: trusted:", "this kernel gave no answer: no ECDSA"),
    ],
)
def test_the_kernel_is_asked_for_one_run(
    answer: OracleAnswer,
    outcome: str,
    words: str,
    machine: Machine,
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(oracle.Oracle, "ask", lambda _self, _chain: answer)
    assert "the kernel was not asked" in machine.run("check", "gpu0").out
    said = machine.run("check", "gpu0", "--kernel")
    assert said.code == 0
    assert said.out.startswith(outcome)
    assert words in " ".join(said.out.split())


def test_a_policy_that_wants_the_rules_applied_needs_no_option(machine: Machine, pair: Pair) -> None:
    (machine.sysroot / "etc/cmakeys/cmakeys.yaml").write_text("policy: {kernel-view: simulate}\n")
    said = machine.run("check", "gpu0")
    assert "a kernel with CMA accepts it: its rules hold" in " ".join(said.out.split())
