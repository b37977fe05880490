"""`cmakeys check` night after night: every form of the answer, silence when all is well, one run at a time."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from cmakeys.devices.register import Register
from cmakeys.emulator.device import Device
from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.faults import FAULTS
from cmakeys.emulator.line import Seat
from cmakeys.eventlog import JOURNAL, SYSLOG
from cmakeys.reports.events import Kind
from cmakeys.running import MARK, alone
from cmakeys.spdm.codes import CertificateModel
from cmakeys.transports.base import Deadline
from tests.cli.envelopes import part
from tests.cli.machine import Machine, Said
from tests.reports.test_events import fields
from tests.test_running import HOLD, NOW
from tests.workbench import faulty, honest, seat, serving, vendor

pytestmark = pytest.mark.system

SILENCE = ("--timeout", "0.3")


@dataclass(frozen=True)
class Fleet:
    """`gpu0` and `nvme1` enrolled on a machine; the seat of `gpu0` can be given to another device."""

    machine: Machine
    gpu: Seat

    def swap(self, device: Device) -> None:
        self.gpu.device = device

    def check(self, *words: str) -> Said:
        return self.machine.run("check", "--all", *words)


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Fleet]:
    machine = Machine(tmp_path, capsys)
    machine.trust(vendor())
    gpu = seat()
    with serving(gpu, seat(serial="0002")) as (first, second):
        machine.run("devices", "enroll", first, "--name", "gpu0")
        machine.run("devices", "enroll", second, "--name", "nvme1")
        yield Fleet(machine, gpu)


# -- news and silence --------------------------------------------------------------------------------------------------


def test_nothing_is_printed_when_all_are_well(fleet: Fleet) -> None:
    assert fleet.check("--quiet") == Said(0, "", "")
    assert fleet.check("--quiet", "--format", "jsonl") == Said(0, "", "")


def test_a_drift_is_told_once_and_then_as_standing(fleet: Fleet) -> None:
    fleet.swap(faulty(FAULTS["firmware-changed"]))
    first = fleet.check("--quiet", "--changed-only")
    assert first.code == 1
    assert "gpu0 was trusted, and is rejected since this check" in first.out
    assert "  measurement index" in first.out
    assert "nvme1" not in first.out
    assert "2 devices: 1 trusted, 1 rejected" in first.out
    again = fleet.check("--quiet")
    assert again.code == 1
    assert "gpu0 is rejected since 20" in again.out
    assert "since this check" not in again.out
    silent = fleet.check("--quiet", "--changed-only")
    assert (silent.code, silent.out) == (1, "")
    assert "gpu0 is rejected since 20" in fleet.check("--changed-only", "--since", "2001-01-01").out
    fleet.swap(honest("0001"))
    assert "gpu0 was rejected, and is trusted since this check" in fleet.check("--quiet").out
    assert fleet.check("--quiet").out == ""


def test_a_device_that_is_away_counts_as_before_until_its_grace_runs_out(fleet: Fleet) -> None:
    fleet.swap(faulty(FAULTS["silence"]))
    words = ("--grace", "2", *SILENCE)
    first = fleet.check(*words)
    assert first.code == 0
    assert "gpu0    trusted  not reached, 1 of 2 times that are allowed" in first.out
    assert fleet.check("--quiet", *words) == Said(0, "", "")
    third = fleet.check("--quiet", "--changed-only", *words)
    assert third.code == 6
    assert "gpu0 was trusted, and is unreachable since this check" in third.out
    assert fleet.check("--quiet", "--changed-only", *words).out == ""
    fleet.swap(honest("0001"))
    assert "gpu0 was unreachable, and is trusted since this check" in fleet.check("--quiet", *words).out


def test_what_changed_about_a_device_that_passes_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(tmp_path, capsys)
    machine.trust(vendor())
    device = build_device(vendor(), Blueprint(model=CertificateModel.ALIAS))
    with serving(Seat(device)) as (url,):
        machine.run("devices", "enroll", url, "--name", "gpu0")
        device.hardware.change_firmware(b"firmware 2")
        machine.run("check", "--all")
        drifted = machine.run("check", "gpu0")
        assert "issued anew under the same device certificate" in " ".join(drifted.out.split())
        machine.run("devices", "enroll", url, "--name", "gpu0", "--replace")
        assert machine.run("check", "--all", "--quiet") == Said(0, "", "")


def test_an_address_without_memory_has_no_standing(fleet: Fleet) -> None:
    with serving(seat(serial="0003")) as (url,):
        said = fleet.machine.run("check", url, "--json")
    assert [one["standing"] for one in said.data["devices"]] == [None]  # type: ignore[attr-defined]  # a list


# -- one at a time -----------------------------------------------------------------------------------------------------


def test_a_second_check_leaves_at_once_and_names_the_first(fleet: Fleet) -> None:
    state = fleet.machine.register.parent
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        said = fleet.check()
        assert said.code == 7
        assert f"locked by process {process.pid} " in said.err
        assert fleet.check("--nagios").code == 3
        assert fleet.check("--dry-run").code == 0
        process.send_signal(signal.SIGKILL)
        process.wait()
    after = fleet.check("--quiet")
    assert after.code == 0
    assert f"the last check, begun 2040-01-02 03:04 UTC by process {process.pid}, did not finish" in after.err
    assert fleet.check("--quiet") == Said(0, "", "")
    assert not (state / MARK).exists()


def test_a_check_that_is_killed_leaves_the_register_as_it_was(fleet: Fleet) -> None:
    fleet.check()
    fleet.swap(faulty(FAULTS["silence"]))
    register, mark = fleet.machine.register, fleet.machine.register.parent / MARK
    before = [Register(register.parent).history(name) for name in ("gpu0", "nvme1")]
    command = [sys.executable, "-m", "cmakeys", "check", "--all", "--timeout", "60"]
    deadline = Deadline.after(30)
    with subprocess.Popen([*command, "--sysroot", str(fleet.machine.sysroot)]) as process:
        while not mark.exists() and process.poll() is None and not deadline.expired:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [Register(register.parent).history(name) for name in ("gpu0", "nvme1")] == before
    fleet.swap(honest("0001"))
    after = fleet.check("--quiet")
    assert (after.code, after.out) == (0, "")
    assert f"by process {process.pid}, did not finish: none of its verdicts were kept" in after.err


def test_a_program_is_told_of_a_check_that_did_not_finish(fleet: Fleet) -> None:
    (fleet.machine.register.parent / MARK).write_text("?")
    said = fleet.check("--json")
    assert said.data["unfinished"] == {"began": None, "process": None, "devices": None}
    assert fleet.check("--json").data["unfinished"] is None


def test_a_check_whose_mark_cannot_be_left_still_says_its_verdicts(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, _data: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("cmakeys.running.write_whole", refuse)
    said = fleet.check()
    assert said.code == 4
    assert "2 devices: 2 trusted" in said.out
    assert said.err.count("Permission denied") == 1
    said = fleet.check("--nagios")
    assert said.code == 1
    assert said.out.startswith("CMAKEYS WARNING - ")
    assert "Permission denied (EACCES); 2 devices trusted | " in said.out


def test_a_check_that_keeps_nothing_needs_no_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, capsys)
    machine.trust(vendor())
    with serving(seat()) as (url,), serving(seat()) as (other,):
        machine.run("devices", "enroll", other, "--name", "gpu0")
        with alone(machine.register.parent, NOW, 1):
            assert machine.run("check", url).code == 0


# -- the log -----------------------------------------------------------------------------------------------------------


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as line:
        line.bind(str(path))
        line.settimeout(10)
        yield line


def test_a_run_is_logged_to_the_journal_with_fields(fleet: Fleet) -> None:
    fleet.swap(faulty(FAULTS["firmware-changed"]))
    with listening(fleet.machine.sysroot / JOURNAL) as journal:
        assert fleet.check("--log", "journal").code == 1
        device, run = dict(fields(journal.recv(65536))), dict(fields(journal.recv(65536)))
        assert device["MESSAGE_ID"].decode() == Kind.DEVICE_REJECTED.value
        assert device["CMAKEYS_DEVICE"] == b"gpu0"
        assert device["CMAKEYS_STEP"] == b"13"
        assert b"measurement index" in device["CMAKEYS_CHANGE"]
        assert run["CMAKEYS_REJECTED"] == b"1"
        fleet.check("--log", "journal")
        assert dict(fields(journal.recv(65536)))["MESSAGE_ID"].decode() == Kind.DEVICE_STANDING.value


def test_a_run_is_logged_to_syslog_in_lines(fleet: Fleet) -> None:
    with listening(fleet.machine.sysroot / SYSLOG) as syslog:
        fleet.check("--log", "syslog", "--quiet")
        line = syslog.recv(4096).decode()
    assert re.fullmatch(r"<30>cmakeys\[\d+\]: checked 2 devices: 2 trusted", line)


def test_an_address_that_nobody_enrolled_is_logged_too(fleet: Fleet) -> None:
    with listening(fleet.machine.sysroot / JOURNAL) as journal, serving(seat(FAULTS["bad-signature"])) as (url,):
        fleet.machine.run("check", url, "--log", "journal")
        assert dict(fields(journal.recv(65536)))["CMAKEYS_DEVICE"].decode() == url


def test_a_log_that_nobody_reads_hides_no_verdict(fleet: Fleet) -> None:
    said = fleet.check("--log", "journal")
    assert said.code == 5
    assert "2 devices: 2 trusted" in said.out
    assert "nobody reads the log here" in said.err
    assert fleet.check("--log", "journal", "--dry-run").code == 0
    fleet.swap(faulty(FAULTS["twin"]))
    assert fleet.check("--log", "journal").code == 1


# -- forms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("--format", "text", "--json"),
        ("--format", "junit", "--nagios"),
        ("--json", "--quiet"),
        ("--nagios", "--quiet"),
        ("--format", "prometheus", "--changed-only"),
        ("--format", "html", "--changed-only"),
        ("--format", "html", "--quiet"),
        ("--nagios", "--changed-only"),
        ("--format", "yaml"),
        ("--grace", "-1"),
        ("--since", "yesterday"),
        ("--output", "/dev/null"),
        ("--output", "/nowhere/at/all"),
    ],
)
def test_options_that_make_no_sense_together_are_2(fleet: Fleet, words: tuple[str, ...]) -> None:
    said = fleet.check(*words)
    assert said.code == 2
    assert "trusted" not in said.out
    assert Path("/dev/null").is_char_device()


def test_a_form_named_twice_is_one_form(fleet: Fleet) -> None:
    assert fleet.check("--format", "json", "--json").data["summary"]
    assert fleet.check("--format", "nagios", "--nagios").out.startswith("CMAKEYS OK")


def lines_of(text: str) -> list[dict[str, object]]:
    documents = [json.loads(line) for line in text.splitlines()]
    for document in documents:
        assert list(part("check_line").iter_errors(document)) == []
    return documents


def test_lines_of_json_end_with_the_run(fleet: Fleet) -> None:
    fleet.swap(faulty(FAULTS["twin"]))
    said = fleet.check("--format", "jsonl")
    assert said.code == 1
    *devices, run = lines_of(said.out)
    assert [(one["name"], one["standing"]["news"]) for one in devices] == [("gpu0", True), ("nvme1", False)]  # type: ignore[index]
    assert run["summary"] == {"trusted": 1, "degraded": 0, "rejected": 1, "unreachable": 0, "unsupported": 0}
    (only,) = lines_of(fleet.check("--format", "jsonl", "--changed-only").out)
    assert only["schema"] == "cmakeys/check-run/1"


def test_a_check_that_cannot_be_done_is_a_line_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = Machine(tmp_path, capsys).run("check", "--all", "--format", "jsonl")
    assert said.code == 3
    (run,) = lines_of(said.out)
    assert [error["code"] for error in run["errors"]] == ["not-found"]  # type: ignore[attr-defined]  # a list


def test_junit_counts_what_a_test_system_shows(fleet: Fleet) -> None:
    fleet.swap(faulty(FAULTS["twin"]))
    said = fleet.check("--format", "junit")
    assert said.code == 1
    suite = ET.fromstring(said.out).find("testsuite")  # noqa: S314 our own output
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")


def test_the_page_shows_the_chain_that_a_device_really_has(fleet: Fleet, tmp_path: Path) -> None:
    fleet.swap(faulty(FAULTS["twin"]))
    file = tmp_path / "report.html"
    said = fleet.check("--format", "html", "-o", str(file))
    assert (said.code, said.out) == (1, "")
    text = file.read_text(encoding="ascii")
    page = ET.fromstring(text)  # noqa: S314 our own output
    titles = [found.text or "" for found in page.iter("{http://www.w3.org/2000/svg}title")]
    assert "1 of 2 devices is rejected" in text
    for beginning in ("acme: trusted root", "CN=Acme", "gpu0: rejected", "nvme1: trusted", "acme: 20"):
        assert any(title.startswith(beginning) for title in titles), titles


def test_an_answer_in_a_file_appears_whole_and_says_nothing_elsewhere(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "cmakeys.prom"
    assert fleet.check("--format", "prometheus", "-o", str(file)) == Said(0, "", "")
    text = file.read_text()
    assert 'cmakeys_device_outcome{device="gpu0",outcome="trusted"} 1\n' in text
    assert file.stat().st_mode & 0o777 == 0o644
    (fleet.machine.sysroot / "etc/cmakeys/cmakeys.yaml").write_text("odd: 1\n")
    assert fleet.check("--format", "prometheus", "-o", str(file)).code == 2
    assert file.read_text() == text
    assert fleet.check("--json", "-o", str(file)).code == 2
    assert json.loads(file.read_text())["ok"] is False


def test_a_file_for_silence_is_empty_and_not_of_yesterday(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "answer"
    file.write_text("gpu0 is rejected")
    fleet.check("--quiet", "-o", str(file))
    assert file.read_text() == ""


def test_an_answer_that_cannot_be_written_is_said_and_fails(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, _data: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("cmakeys.cli.output.write_whole", refuse)
    for words in ((), ("--json",), ("--nagios",)):
        said = fleet.check(*words, "-o", str(tmp_path / "answer"))
        assert (said.code, said.out) == (4, "")
        assert "Permission denied" in said.err
