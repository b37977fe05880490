"""`cmakeys emulate` from outside: a process that serves a device until it is told to stop."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.emulator.faults import FAULTS
from cmakeys.spdm import attesting
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.requester import Plan, Requester
from cmakeys.transports.base import Deadline
from cmakeys.transports.connect import open_transport
from cmakeys.transports.drive import drive


@contextmanager
def emulated(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "cmakeys", "emulate", "--listen", "127.0.0.1:0", "--ready-file", str(ready)]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = Deadline.after(20)
            while not ready.exists() and process.poll() is None and not deadline.expired:
                time.sleep(0.02)
            yield process, ready.read_text().split() if ready.exists() else []
        finally:
            if process.poll() is None:
                process.kill()


def attest(url: str) -> Connection:
    requester = Requester()
    deadline = Deadline.after(10)
    transport = open_transport(url, deadline)
    try:
        drive(attesting.attest(requester, Plan()), transport, deadline)
    finally:
        transport.close()
    return requester.connection


@pytest.mark.system
def test_it_serves_until_it_is_told_to_stop_and_comes_back_as_the_same_device(tmp_path: Path) -> None:
    options = ("--pki-dir", str(tmp_path / "pki"), "--alias", "--slots", "2", "--version", "1.2", "--version", "1.3")
    with emulated(tmp_path, *options) as (process, (url,)):
        first = attest(url)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert errors == ""
    assert f"listening on {url}" in output
    assert "sha256" in output
    assert str(first.version) == "1.3"
    assert set(first.chains) == {0, 1}
    with emulated(tmp_path, *options) as (process, (url,)):
        assert attest(url).chains == first.chains


@pytest.mark.system
def test_many_devices_each_have_their_own_port_and_chain(tmp_path: Path) -> None:
    with emulated(tmp_path, "--count", "3", "--transport", "mctp", "--json") as (process, urls):
        assert len({attest(url).chains[0] for url in urls}) == len(set(urls)) == 3
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=10)
    document = json.loads(output)
    assert document["schema"] == "cmakeys/emulate/1"
    assert document["ok"]
    assert document["data"]["addresses"] == urls
    assert document["data"]["serials"] == ["0001", "0001-1", "0001-2"]
    assert f"listening on {urls[2]}" in errors


@pytest.mark.system
def test_it_leaves_when_its_requester_shuts_it_down(tmp_path: Path) -> None:
    with emulated(tmp_path, "--exit-on-shutdown") as (process, (url,)):
        attest(url + "&end=shutdown")
        assert process.wait(timeout=10) == 0


@pytest.mark.system
def test_a_port_that_is_taken_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with emulated(tmp_path) as (_, (url,)):
        port = url.split(":")[2].split("?")[0]
        assert main(["emulate", "--listen", f"127.0.0.1:{port}"]) == 1
    error = capsys.readouterr().err
    assert "EADDRINUSE" in error
    assert "choose another port" in error


def test_the_faults_are_listed_with_what_must_come_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emulate", "--list-faults"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == list(FAULTS)
    assert "bad-signature: must be rejected at step 11" in lines
    assert all(len(line) <= 80 for line in lines)


def test_the_faults_are_data_under_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emulate", "--list-faults", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["data"]
    assert {row["name"] for row in rows} == set(FAULTS)
    assert {tuple(sorted(row)) for row in rows} == {("description", "name", "outcome", "since", "step", "where")}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--fault", "bad-hair"], 3, "--list-faults"),
        (["--listen", "nowhere"], 2, "HOST:PORT"),
        (["--listen", "127.0.0.1:65535", "--count", "2"], 2, "HOST:PORT"),
        (["--listen", "0.0.0.0:0"], 8, "--allow-other-hosts"),
        (["--key", "rsa1024"], 2, "p384"),
        (["--hash", "md5"], 2, "sha384"),
        (["--version", "2.0"], 2, "1.4"),
        (["--identity", "Vendor=1B36"], 2, "lower case"),
        (["--slots", "9"], 2, "slots"),
        (["--trusted-place"], 2, "--talkative"),
    ],
)
def test_a_wrong_option_is_answered_with_what_would_be_right(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["emulate", *arguments]) == code
    assert said in capsys.readouterr().err
