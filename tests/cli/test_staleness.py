"""A nightly check says that the initrd holds other roots than are trusted, and makes nothing anew."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmakeys.eventlog import SYSLOG
from cmakeys.images import recollection
from cmakeys.images.initrd import Contents, read_image
from cmakeys.roots.store import RootStore
from tests.cli.machine import Machine
from tests.roots import trust
from tests.workbench import seat, serving, vendor

pytestmark = pytest.mark.system

INITRD = "usr/lib/modules/6.12/initrd"


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Machine]:
    """A machine with a device, and with its root baked into its initrd, which dracut makes."""
    found = Machine(tmp_path, capsys)
    found.trust(vendor())
    with serving(seat()) as (url,):
        assert found.run("devices", "enroll", url, "--name", "gpu0").code == 0
        (tmp_path / INITRD).parent.mkdir(parents=True)
        assert found.run("image", "bake", "-o", str(tmp_path / INITRD)).code == 0
        dracut = tmp_path / "usr/bin/dracut"
        dracut.parent.mkdir()
        dracut.write_text(f"#!/bin/sh\ntouch {tmp_path}/rebuilt\n")
        dracut.chmod(0o755)
        yield found
        assert not (tmp_path / "rebuilt").exists(), "nothing is made anew by itself"


def change(machine: Machine, name: str = "b") -> None:
    RootStore(machine.sysroot).add(trust.root(name))


def test_an_initrd_in_step_is_no_news(machine: Machine) -> None:
    said = machine.run("check", "--all", "--quiet")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_one_that_is_not_is_warned_of_with_the_command_and_the_exit_code_stays(machine: Machine) -> None:
    change(machine)
    for _ in range(2):
        said = machine.run("check", "--all")
        assert said.code == 0
        assert f"warning: {machine.sysroot / INITRD} is not in step with the roots: missing: b" in said.err
        assert "hint: dracut --force --regenerate-all" in said.err


def test_who_wants_news_only_hears_of_it_once_and_of_each_change(machine: Machine) -> None:
    change(machine)
    assert "missing: b" in machine.run("check", "--all", "--quiet").err
    assert machine.run("check", "--all", "--quiet", "--changed-only").err == ""
    change(machine, "c")
    assert "missing: b, c" in machine.run("check", "--all", "--changed-only").err
    machine.run("image", "bake", "-o", str(machine.sysroot / INITRD))
    assert machine.run("check", "--all", "--quiet").err == ""
    RootStore(machine.sysroot).remove("c")
    assert "extra: c" in machine.run("check", "--all", "--quiet").err


def test_every_form_for_programs_says_so(machine: Machine) -> None:
    change(machine)
    data = machine.run("check", "--all", "--json").data["initrds"]
    assert isinstance(data, dict)
    assert data["freshness"] == "stale"
    assert data["rebuild"] == ["dracut", "--force", "--regenerate-all"]
    assert data["initrds"][0]["differences"] == [{"kind": "missing", "name": "b"}]
    run = json.loads(machine.run("check", "--all", "--format", "jsonl").out.splitlines()[-1])
    assert run["initrds"] == data
    assert "cmakeys_initrds_stale 1" in machine.run("check", "--all", "--format", "prometheus").out.splitlines()
    nagios = machine.run("check", "--all", "--nagios")
    assert nagios.code == 0
    assert any("missing: b; dracut --force" in line for line in nagios.out.splitlines()[1:])


def test_the_log_has_it_for_a_timer_whose_output_nobody_reads(machine: Machine) -> None:
    change(machine)
    place = machine.sysroot / SYSLOG
    place.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(place))
        log.settimeout(10)
        levels = []
        for _ in range(2):
            machine.run("check", "--all", "--quiet", "--log", "syslog")
            lines = [log.recv(4096).decode() for _ in range(2)]
            (line,) = [line for line in lines if "is not in step with the roots: missing: b" in line]
            levels.append(line.split(">")[0])
    assert levels == ["<28", "<29"], "a warning, and then a notice"


def test_a_check_of_one_device_is_about_that(machine: Machine) -> None:
    change(machine)
    said = machine.run("check", "gpu0", "--json")
    assert said.data["initrds"] is None
    assert "in step" not in said.err


def test_the_next_night_does_not_unpack_it_again_and_status_profits(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked: list[Path] = []

    def counted(path: Path, **_: object) -> Contents:
        unpacked.append(path)
        return read_image(path)

    monkeypatch.setattr(recollection, "read_image", counted)
    machine.run("check", "--all", "--dry-run")
    assert len(unpacked) == 1
    for _ in range(2):
        machine.run("check", "--all")
    assert len(unpacked) == 2, "a dry run keeps nothing"
    assert "in step with the roots" in machine.run("status").out
    assert len(unpacked) == 2
    machine.run("image", "bake", "--required", "-o", str(machine.sysroot / INITRD))
    machine.run("check", "--all")
    assert len(unpacked) == 3


def test_an_initrd_that_cannot_be_read_is_not_called_in_step_and_stops_nothing(machine: Machine) -> None:
    (machine.sysroot / INITRD).write_bytes(b"garbage")
    said = machine.run("check", "--all", "--json")
    assert said.code == 0
    data = said.data["initrds"]
    assert isinstance(data, dict)
    assert data["freshness"] == "unknown"
    assert "image     could not be looked at" in machine.run("status").out
