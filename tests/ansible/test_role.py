"""The example role does on a host what it says: roots in stages, taken back where devices fail, verdicts as facts.

Ansible is heavy and nothing that cmakeys needs, so it lives in an environment of its own in the user's cache.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from cmakeys.roots.record import render_pem
from tests.cli.machine import Machine
from tests.workbench import seat, serving, vendor

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("ansible")]

ANSIBLE = "ansible-core>=2.16,<2.21"
PLAYBOOKS = Path(str(resources.files("cmakeys") / "ansible"))
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def program() -> Path:
    """`ansible-playbook` in the cache, installed there the first time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cmakeys-ansible"
    cache.mkdir(parents=True, exist_ok=True)
    stamp = cache / re.sub(r"[^a-z0-9.]", "-", f"{ANSIBLE}-python{sys.version_info.major}.{sys.version_info.minor}")
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            pip = (cache / "bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", ANSIBLE)
            for command in ((sys.executable, "-m", "venv", "--clear", cache), pip):
                done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.skip(f"ansible-core cannot be installed: {done.stderr[-300:]}")
            stamp.touch()
    return cache / "bin/ansible-playbook"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(seat()) as (address,):
        yield address


class Host:
    """A machine in a folder, as a host that Ansible manages."""

    def __init__(self, program: Path, machine: Machine, folder: Path) -> None:
        self.program = program
        self.machine = machine
        self.folder = folder
        self.declaration = folder / "roots/roots.yaml"
        self.declaration.parent.mkdir()
        command = folder / "cmakeys"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m cmakeys "$@"\n')
        command.chmod(0o755)
        self.variables = {
            "cmakeys_become": False,
            "cmakeys_command": str(command),
            "cmakeys_options": ["--sysroot", str(machine.sysroot)],
            "cmakeys_report": str(folder / "report.json"),
        }

    def play(self, playbook: str, *options: str, **variables: object) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "ANSIBLE_ROLES_PATH": str(PLAYBOOKS / "roles"),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
        }
        command = [str(self.program), "-i", "host1,", "-c", "local", "-e", json.dumps(self.variables | variables)]
        return subprocess.run(
            [*command, *options, str(PLAYBOOKS / playbook)],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def declare(self, *roots: str, prune: bool = False) -> None:
        (self.declaration.parent / "acme.pem").write_bytes(render_pem(vendor().certificate))
        entries = ", ".join(roots)
        self.declaration.write_text(f"schema: 1\nprune: {'true' if prune else 'false'}\nroots: [{entries}]\n")

    def report(self) -> dict[str, dict[str, str]]:
        report: dict[str, dict[str, str]] = json.loads((self.folder / "report.json").read_text())
        return report


ACME = f"{{name: acme, fingerprint: {vendor().certificate.fingerprint}, certificate: acme.pem}}"


@pytest.fixture
def host(program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    (tmp_path / "tree").mkdir()
    return Host(program, Machine(tmp_path / "tree", capsys), tmp_path)


def test_roots_are_rolled_out_once_and_a_second_run_changes_nothing(host: Host) -> None:
    host.declare(ACME)
    done = host.play("rollout.yml", cmakeys_roots_file=str(host.declaration))
    assert done.returncode == 0, done.stdout
    assert "changed=2" in done.stdout, done.stdout
    assert host.machine.run("roots", "show", "acme").code == 0
    assert (host.machine.sysroot / "etc/systemd/system/cmakeys-check.timer").exists()
    again = host.play("rollout.yml", cmakeys_roots_file=str(host.declaration))
    assert "changed=0" in again.stdout, again.stdout


def test_where_a_device_fails_with_the_new_roots_the_old_ones_come_back(host: Host, url: str) -> None:
    host.machine.trust(vendor())
    assert host.machine.run("devices", "enroll", url, "--name", "gpu0").code == 0
    (name,) = (path.stem for path in (host.machine.sysroot / "etc/cmakeys/roots").glob("*.pem"))
    root = f"name: {name}, fingerprint: {vendor().certificate.fingerprint}"
    host.declare(f"{{{root}, constraints: {{slots: [7]}}}}")
    tried = host.play("rollout.yml", "--check", cmakeys_roots_file=str(host.declaration), cmakeys_schedule=False)
    assert (tried.returncode, "changed=1" in tried.stdout) == (0, True), tried.stdout
    assert host.machine.run("check", "--all").code == 0
    done = host.play("rollout.yml", cmakeys_roots_file=str(host.declaration))
    assert done.returncode != 0
    assert "these devices fail since the roots were changed: gpu0" in done.stdout, done.stdout
    assert host.machine.run("check", "--all").code == 0


def test_the_verdicts_of_every_host_come_into_one_table(host: Host, url: str) -> None:
    host.machine.trust(vendor())
    assert host.machine.run("devices", "enroll", url, "--name", "gpu0").code == 0
    done = host.play("verdicts.yml")
    assert done.returncode == 0, done.stdout
    assert host.report() == {"host1": {"gpu0": "trusted"}}
    register = host.machine.sysroot / "var/lib/cmakeys/devices.db"
    register.write_bytes(b"no database, and longer than the header of one " * 4)
    assert host.play("verdicts.yml").returncode != 0, "a check that cannot be done is no verdict"
