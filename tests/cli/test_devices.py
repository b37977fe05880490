"""`cmakeys devices` from the outside: what is enrolled, what is refused, and what a program reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cmakeys.emulator.factory import DEFAULT_IDENTITY, Blueprint, build_device
from cmakeys.emulator.faults import FAULTS
from cmakeys.emulator.line import Seat
from cmakeys.emulator.settings import DeviceSettings, MeasurementSupport
from tests.cli.machine import Machine
from tests.workbench import honest, seat, serving, vendor

pytestmark = pytest.mark.system


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    machine = Machine(tmp_path, capsys)
    machine.trust(vendor())
    return machine


@pytest.fixture
def url() -> Iterator[str]:
    with serving(seat()) as (address,):
        yield address


def test_a_device_is_enrolled_listed_shown_and_forgotten(machine: Machine, url: str) -> None:
    said = machine.run("devices", "enroll", url, "--name", "gpu0", "--note", "rack 3", "--detailed-exitcode")
    assert said.code == 10
    assert said.out.startswith("enrolled gpu0\n")
    assert "next: cmakeys check gpu0" in said.out
    listed = machine.run("devices", "list")
    assert "gpu0" in listed.out
    assert "trusted" in listed.out
    shown = machine.run("devices", "show", "gpu0")
    assert "rack 3" in shown.out
    assert vendor().certificate.fingerprint in shown.out
    assert machine.run("devices", "forget", "gpu0", "--yes").code == 0
    assert machine.run("devices", "list").out.startswith("no device is enrolled\n")


def test_enroll_tells_a_program_everything_it_fixed(machine: Machine, url: str) -> None:
    said = machine.run("devices", "enroll", url, "--json")
    assert said.envelope["schema"] == "cmakeys/devices-enroll/1"
    assert said.envelope["changed"] is True
    device = said.data["device"]
    assert isinstance(device, dict)
    assert device["pin"]["kind"] == "device-cert"
    assert device["root"] == {"name": "acme", "sha256": vendor().certificate.fingerprint}
    assert len(device["measurements"]) == 7
    assert device["identity"] == DEFAULT_IDENTITY.san_string()
    assert "hardware" in str(said.data["pin_reason"]) or "leaf" in str(said.data["pin_reason"])
    assert machine.run("devices", "show", str(device["name"]), "--json").data["device"] == device


def test_list_tells_a_program_the_last_verdict_and_the_last_check(machine: Machine, url: str) -> None:
    machine.run("devices", "enroll", url, "--name", "gpu0")
    devices = machine.run("devices", "list", "--json").data["devices"]
    assert isinstance(devices, list)
    assert devices[0]["verdict"]["outcome"] == "trusted"
    assert devices[0]["last_check"] == devices[0]["verdict"]


def test_a_dry_run_asks_and_judges_but_remembers_nothing(machine: Machine, url: str) -> None:
    said = machine.run("devices", "enroll", url, "--dry-run", "--json", "--detailed-exitcode")
    assert (said.code, said.data["dry_run"], said.envelope["changed"]) == (0, True, False)
    assert not machine.register.exists()
    machine.run("devices", "enroll", url, "--name", "gpu0")
    assert machine.run("devices", "forget", "gpu0", "--dry-run").out == "would forget gpu0\n"
    assert "gpu0" in machine.run("devices", "list").out


def test_a_rejected_device_is_refused_with_every_step(machine: Machine) -> None:
    with serving(seat(FAULTS["impostor"])) as (url,):
        said = machine.run("devices", "enroll", url)
        document = machine.run("devices", "enroll", url, "--json")
    assert said.code == document.code == 1
    assert "4  failed" in said.out
    assert "not enrolled, it is rejected: step 4" in said.err
    assert document.error["code"] == "rejected"
    assert document.data["verdict"]["outcome"] == "rejected"  # type: ignore[index]  # an object
    assert not machine.register.exists()


def test_a_device_that_is_away_is_temporary(machine: Machine) -> None:
    said = machine.run("devices", "enroll", "emu://127.0.0.1:1?transport=doe", "--timeout", "0.5")
    assert said.code == 6
    assert "could not find out" in said.err


def test_a_taken_name_is_refused_before_the_device_is_asked(machine: Machine, url: str) -> None:
    machine.run("devices", "enroll", url, "--name", "gpu0")
    said = machine.run("devices", "enroll", "emu://127.0.0.1:1?transport=doe", "--name", "gpu0")
    assert said.code == 8
    assert "--replace" in said.err
    assert machine.run("devices", "enroll", url, "--name", "other").code == 8


def test_replace_takes_the_new_measurements_and_keeps_the_history(machine: Machine) -> None:
    place = seat()
    with serving(place) as (url,):
        machine.run("devices", "enroll", url, "--name", "gpu0")
        place.device = build_device(
            vendor(), Blueprint(firmware=b"firmware 2", credentials=honest("0001").hardware.slots)
        )
        assert machine.run("check", "gpu0").code == 1
        assert machine.run("devices", "enroll", url, "--name", "gpu0", "--replace").code == 0
        assert machine.run("check", "gpu0").code == 0
    history = machine.run("devices", "show", "gpu0", "--json").data["history"]
    assert isinstance(history, list)
    assert [entry["outcome"] for entry in history] == ["trusted", "trusted", "rejected", "trusted"]


def test_replace_needs_something_to_replace(machine: Machine, url: str) -> None:
    assert machine.run("devices", "enroll", url, "--name", "gpu0", "--replace").code == 3


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--pin", "shoe-size"), "one of: root, device-cert, leaf, chain"),
        (("--identity", "Vendor=10de"), "not a PCIe identity"),
        (("--name", "emu://x"), "cannot name a device"),
        (("--slot", "9"), "0<=x<=7"),
    ],
)
def test_a_wrong_option_is_a_usage_problem(machine: Machine, words: tuple[str, str], complaint: str) -> None:
    said = machine.run("devices", "enroll", "emu://127.0.0.1:1", *words)
    assert said.code == 2
    assert complaint in said.err


def test_an_address_that_makes_no_sense_is_a_usage_problem(machine: Machine) -> None:
    assert machine.run("devices", "enroll", "http://example").code == 2


def test_a_wrong_identity_is_refused_at_step_9(machine: Machine, url: str) -> None:
    said = machine.run("devices", "enroll", url, "--identity", "Vendor=10de:Device=2336:CC=030200:REV=a1")
    assert said.code == 1
    assert "step 9" in said.err


def test_a_right_identity_is_kept(machine: Machine, url: str) -> None:
    name = DEFAULT_IDENTITY.san_string()
    assert machine.run("devices", "enroll", url, "--identity", name, "--name", "nvme").code == 0
    assert name in machine.run("devices", "show", "nvme", "--json").out


def test_the_same_device_under_two_names_is_pointed_out(machine: Machine) -> None:
    with serving(seat(), seat()) as (first, second):
        machine.run("devices", "enroll", first, "--name", "a")
        said = machine.run("devices", "enroll", second, "--name", "b")
    assert said.code == 0
    assert "a has the same device-cert pin" in said.err


def test_a_device_that_measures_nothing_is_pointed_out(machine: Machine) -> None:
    settings = DeviceSettings(measurements=MeasurementSupport.NONE)
    with serving(Seat(build_device(vendor(), Blueprint(settings=settings)))) as (url,):
        said = machine.run("devices", "enroll", url)
    assert said.code == 0
    assert "would go unnoticed" in said.out


def test_forgetting_asks_first(machine: Machine, url: str) -> None:
    machine.run("devices", "enroll", url, "--name", "gpu0")
    said = machine.run("devices", "forget", "gpu0")
    assert said.code == 8
    assert "--yes" in said.err
    assert "gpu0" in machine.run("devices", "list").out


@pytest.mark.parametrize("words", [("show", "gpu0"), ("forget", "gpu0", "--yes")])
def test_a_device_that_nobody_enrolled_is_not_found(machine: Machine, words: tuple[str, ...]) -> None:
    said = machine.run("devices", *words, "--json")
    assert said.code == 3
    assert said.error["code"] == "not-found"
    assert not machine.register.exists()


def test_a_damaged_register_is_named_with_the_next_step(machine: Machine) -> None:
    machine.register.parent.mkdir(parents=True)
    machine.register.write_bytes(b"not a database at all")
    said = machine.run("devices", "list", "--json")
    assert said.code == 1
    assert (said.error["code"], said.error["object"]) == ("register-damaged", str(machine.register))
    assert said.error["hint"]


def test_another_state_directory_is_another_register(machine: Machine, url: str, tmp_path: Path) -> None:
    machine.run("devices", "enroll", url, "--name", "gpu0", "--state-dir", str(tmp_path / "elsewhere"))
    assert not machine.register.exists()
    assert "gpu0" in machine.run("devices", "list", "--state-dir", str(tmp_path / "elsewhere")).out
