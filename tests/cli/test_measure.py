"""`cmakeys measure` from the outside: a device whose firmware changes, and what a person says about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from cmakeys.emulator.device import Device
from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.faults import FAULTS
from cmakeys.emulator.line import Seat
from cmakeys.emulator.measurements import INDEX_DEVICE_MODE, INDEX_FIRMWARE, INDEX_SVN, device_mode
from cmakeys.emulator.settings import DeviceSettings, MeasurementSupport
from cmakeys.roots.journal import Journal
from cmakeys.spdm.codes import CertificateModel
from tests.cli.machine import Machine
from tests.workbench import faulty, honest, seat, serving, vendor

pytestmark = pytest.mark.system

MONOTONE = f"policy:\n  measurements:\n    all: {{{INDEX_SVN}: monotone}}\n"


def updated(firmware: bytes = b"firmware 2", svn: int = 7, *, debug: int = 0) -> Device:
    """The honest device, with its keys, after an update."""
    device = build_device(vendor(), Blueprint(serial="0001", credentials=honest("0001").hardware.slots))
    changes = {
        INDEX_FIRMWARE: firmware,
        INDEX_SVN: svn.to_bytes(8, "little"),
        INDEX_DEVICE_MODE: device_mode(debug=debug),
    }
    for index, value in changes.items():
        device.hardware.measurements = device.hardware.measurements.changed(index, value)
    return device


@dataclass(frozen=True)
class Bench:
    """A machine, and the seat of its one device, enrolled as `gpu0`."""

    machine: Machine
    seat: Seat
    url: str

    def now(self, device: Device) -> None:
        self.seat.device = device

    def configure(self, text: str) -> None:
        path = self.machine.sysroot / "etc/cmakeys/cmakeys.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def journal(self) -> list[str]:
        return [entry.action for entry in Journal(self.machine.register.parent).read().entries]


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    machine = Machine(tmp_path, capsys)
    machine.trust(vendor())
    place = seat()
    with serving(place) as (url,):
        assert machine.run("devices", "enroll", url, "--name", "gpu0").code == 0
        yield Bench(machine, place, url)


def results(said_data: Mapping[str, object]) -> dict[int, str]:
    lines = cast("list[dict[str, object]]", said_data["measurements"])
    return {cast("int", line["index"]): cast("str", line["result"]) for line in lines}


def test_an_enrolled_device_measures_what_it_did(bench: Bench) -> None:
    said = bench.machine.run("measure", "compare", "gpu0")
    assert said.code == 0
    assert "enrolment of" in said.out
    assert "gpu0: 7 measurements are as they should be" in said.out


def test_changed_firmware_is_shown_and_nothing_else(bench: Bench) -> None:
    bench.now(updated())
    said = bench.machine.run("measure", "compare", "gpu0", "--json")
    assert said.code == 1
    assert said.envelope["ok"] is False
    assert {index for index, result in results(said.data).items() if result != "same"} == {INDEX_FIRMWARE}
    assert "--index 2 --reason" in bench.machine.run("measure", "compare", "gpu0").out


def test_what_the_certificates_say_of_the_firmware_is_accepted_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(tmp_path, capsys)
    machine.trust(vendor())
    device = build_device(vendor(), Blueprint(serial="0001", model=CertificateModel.ALIAS))
    with serving(Seat(device)) as (url,):
        assert machine.run("devices", "enroll", url, "--name", "gpu0").code == 0
        device.hardware.change_firmware(b"firmware 2")
        shown = machine.run("measure", "compare", "gpu0")
        assert shown.code == 1
        assert "TcbInfo of" in shown.out
        assert "firmware digest is" in shown.out
        assert "--index 2 --tcb --reason" in shown.out
        assert machine.run("measure", "accept", "gpu0", "--index", "2", "--reason", "update 2").code == 0
        assert "TcbInfo" in machine.run("check", "gpu0").out
        assert machine.run("check", "gpu0").code == 1
        accepted = machine.run("measure", "accept", "gpu0", "--tcb", "--reason", "update 2")
        assert accepted.code == 0
        assert accepted.out.startswith("TcbInfo of")
        assert machine.run("check", "gpu0").code == 0
        assert machine.run("measure", "compare", "gpu0").code == 0


def test_accepting_is_by_index_with_a_reason_and_can_be_taken_back(bench: Bench) -> None:
    bench.now(updated(svn=9))
    assert bench.machine.run("check", "gpu0").code == 1
    said = bench.machine.run("measure", "accept", "gpu0", "--index", "2", "--reason", "update 2, ticket 42")
    assert said.code == 0
    assert "index 16" in said.err  # what was not named is told, and not accepted
    assert bench.machine.run("check", "gpu0").code == 1
    assert bench.machine.run("measure", "accept", "gpu0", "--index", "16", "--reason", "the same").code == 0
    assert bench.machine.run("check", "gpu0").code == 0
    shown = bench.machine.run("measure", "show", "gpu0")
    assert "accept of" in shown.out
    assert "the same" in shown.out
    for _ in range(2):
        assert bench.machine.run("measure", "undo", "gpu0", "--reason", "rolled back").code == 0
    assert bench.machine.run("check", "gpu0").code == 1
    bench.now(honest("0001"))
    assert bench.machine.run("check", "gpu0").code == 0
    assert bench.machine.run("measure", "undo", "gpu0").code == 3
    assert bench.journal == ["measure-accept", "measure-accept", "measure-undo", "measure-undo"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--reason", "x"), 2),
        (("--all", "--index", "2", "--reason", "x"), 2),
        (("--all", "--reason", " "), 2),
        (("--index", "99", "--reason", "x"), 3),
        (("--index", "1", "--reason", "x"), 2),
        (("--all", "--reason", "x", "--dry-run"), 0),
    ],
)
def test_what_is_not_said_clearly_changes_nothing(bench: Bench, words: tuple[str, ...], code: int) -> None:
    bench.now(updated())
    assert bench.machine.run("measure", "accept", "gpu0", *words).code == code
    assert bench.journal == []
    assert bench.machine.run("check", "gpu0").code == 1


def test_all_accepts_every_difference(bench: Bench) -> None:
    bench.now(updated(svn=8, debug=2))
    said = bench.machine.run("measure", "accept", "gpu0", "--all", "--reason", "lab", "--detailed-exitcode")
    assert said.code == 10
    assert bench.machine.run("measure", "compare", "gpu0").code == 0
    again = bench.machine.run("measure", "accept", "gpu0", "--all", "--reason", "lab", "--detailed-exitcode")
    assert again.code == 0
    assert "nothing was changed" in again.out


def test_a_version_number_rises_is_remembered_and_never_goes_down(bench: Bench) -> None:
    bench.configure(MONOTONE)
    same = b"firmware 1"
    bench.now(updated(same, 9))
    assert bench.machine.run("check", "gpu0").code == 0
    bench.now(updated(same, 8))  # above that of the enrolment, below the highest seen
    said = bench.machine.run("check", "gpu0")
    assert said.code == 1
    assert "went down to 8, it was 9" in " ".join(said.out.split())
    for words in (("accept", "gpu0", "--index", "16", "--reason", "x"), ("snapshot", "gpu0", "--replace")):
        assert bench.machine.run("measure", *words).code == 8
    assert bench.journal == []


def test_a_device_that_fails_otherwise_cannot_raise_its_version(bench: Bench) -> None:
    bench.configure(MONOTONE)
    bench.now(updated(b"firmware 2", 200))
    assert bench.machine.run("check", "gpu0").code == 1
    bench.now(updated(b"firmware 1", 7))
    assert bench.machine.run("check", "gpu0").code == 0


def test_taking_back_does_not_let_a_version_go_down(bench: Bench) -> None:
    bench.configure(MONOTONE)
    bench.now(updated(b"firmware 2", 9))
    assert bench.machine.run("measure", "snapshot", "gpu0", "--replace", "--reason", "update").code == 0
    assert bench.machine.run("measure", "undo", "gpu0").code == 0
    bench.now(honest("0001"))
    assert "went down to 7, it was 9" in " ".join(bench.machine.run("check", "gpu0").out.split())


def test_a_snapshot_does_not_silently_replace_what_differs(bench: Bench) -> None:
    assert bench.machine.run("measure", "snapshot", "gpu0").code == 0
    bench.now(updated())
    assert bench.machine.run("measure", "snapshot", "gpu0").code == 8
    assert bench.machine.run("measure", "snapshot", "gpu0", "--replace").code == 0
    assert bench.machine.run("measure", "compare", "gpu0").code == 0


@pytest.mark.parametrize("fault", ["twin", "impostor", "measurements-bad-signature"])
def test_only_a_trusted_device_gives_a_reference(bench: Bench, fault: str) -> None:
    bench.now(faulty(FAULTS[fault]))
    for words in (("compare", "gpu0"), ("snapshot", "gpu0"), ("accept", "gpu0", "--all", "--reason", "x")):
        said = bench.machine.run("measure", *words)
        assert said.code == 1
        assert "gpu0" in said.err or "emu://" in said.err
    assert bench.journal == []


def test_enrolling_anew_makes_the_old_reference_void(bench: Bench) -> None:
    bench.now(updated())
    assert bench.machine.run("measure", "accept", "gpu0", "--all", "--reason", "update").code == 0
    bench.now(honest("0001"))
    assert bench.machine.run("devices", "enroll", bench.url, "--name", "gpu0", "--replace").code == 0
    assert bench.machine.run("check", "gpu0").code == 0
    assert "enrolment of" in bench.machine.run("measure", "show", "gpu0").out


def test_a_damaged_reference_is_told_and_never_taken_for_none(bench: Bench) -> None:
    assert bench.machine.run("measure", "snapshot", "gpu0").code == 0
    path = bench.machine.register.parent / "references/gpu0.json"
    path.write_bytes(path.read_bytes()[:100])
    for words in (("check", "gpu0"), ("measure", "compare", "gpu0"), ("measure", "show", "gpu0")):
        said = bench.machine.run(*words)
        assert said.code != 0
        assert "references/gpu0.json" in "".join((said.out + said.err).split())
    assert bench.machine.run("check", "gpu0").code == 6


def test_saved_evidence_is_compared_too(bench: Bench) -> None:
    file = str(bench.machine.sysroot / "saved.json")
    bench.now(updated())
    assert bench.machine.run("evidence", "save", bench.url, "-o", file).code == 0
    assert bench.machine.run("measure", "compare", file).code == 2
    said = bench.machine.run("measure", "compare", file, "--as", "gpu0")
    assert said.code == 1
    assert "1 of 7 measurements differ" in said.out


def test_get_says_in_words_what_is_measured_and_that_it_is_signed(bench: Bench) -> None:
    bench.now(updated(debug=2))
    said = bench.machine.run("measure", "get", "gpu0")
    assert said.code == 0
    assert "signed by a trusted device" in said.out
    for words in (
        "immutable rom, digest",
        "mode: normal",
        "debug: invasive debug active",
        '"emulated device manifest"',
    ):
        assert words in said.out
    data = bench.machine.run("measure", "get", bench.url, "--json").data
    assert data["proof"] == "trusted"
    blocks = {block["index"]: block for block in cast("list[dict[str, object]]", data["measurements"])}
    assert blocks[INDEX_SVN]["svn"] == 7
    assert max(map(len, said.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("support", "code", "words"),
    [(MeasurementSupport.UNSIGNED, 0, "not signed"), (MeasurementSupport.NONE, 5, "there are no measurements")],
)
def test_get_says_so_where_nothing_is_signed(bench: Bench, support: MeasurementSupport, code: int, words: str) -> None:
    settings = DeviceSettings(measurements=support)
    bench.now(build_device(vendor(), Blueprint(serial="0001", settings=settings)))
    said = bench.machine.run("measure", "get", bench.url)
    assert said.code == code
    assert words in said.out + said.err
    assert bench.machine.run("measure", "compare", "gpu0").code in (1, 5)


def test_a_signer_that_nobody_vouches_for_is_told(bench: Bench) -> None:
    bench.now(faulty(FAULTS["impostor"]))
    assert "nobody vouches" in bench.machine.run("measure", "get", bench.url).out
    bench.now(faulty(FAULTS["measurements-bad-signature"]))
    assert "signature does not hold" in bench.machine.run("measure", "get", bench.url).out


def test_without_a_reference_there_is_nothing_to_compare(bench: Bench) -> None:
    settings = DeviceSettings(measurements=MeasurementSupport.NONE)
    credentials = honest("0001").hardware.slots
    bench.now(build_device(vendor(), Blueprint(serial="0001", settings=settings, credentials=credentials)))
    assert bench.machine.run("devices", "enroll", bench.url, "--name", "gpu0", "--replace").code == 0
    bench.now(honest("0001"))
    assert bench.machine.run("measure", "compare", "gpu0").code == 3
    assert bench.machine.run("measure", "show", "gpu0").code == 3
    said = bench.machine.run("check", "gpu0")
    assert "no reference values are known" in " ".join(said.out.split())
    assert bench.machine.run("measure", "snapshot", "gpu0").code == 0
    assert bench.machine.run("measure", "compare", "gpu0").code == 0
