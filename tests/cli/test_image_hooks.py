"""`cmakeys image hooks`: what is written is said, nothing is written by half, and what somebody edited is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.machine import Machine

SETUP = "usr/lib/dracut/modules.d/70cmakeys/module-setup.sh"
UNIT = "etc/systemd/system/cmakeys-load.service"


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    (tmp_path / "usr/lib/dracut").mkdir(parents=True)
    (tmp_path / "usr/lib/dracut/dracut-init.sh").touch()
    return Machine(tmp_path, capsys)


def files(machine: Machine) -> set[str]:
    names = {str(path.relative_to(machine.sysroot)) for path in machine.sysroot.rglob("*") if path.is_file()}
    return {name for name in names if "cmakeys" in name}


def test_a_hook_is_installed_once_and_how_to_make_an_initrd_is_said(machine: Machine) -> None:
    words = ("image", "hooks", "install", "--for", "dracut", "--detailed-exitcode")
    said = machine.run(*words)
    assert said.code == 10
    assert f"write {machine.sysroot / SETUP}" in said.out.splitlines()
    assert said.out.splitlines()[-1] == "in every initrd from the next: dracut --force"
    assert said.err == ""
    again = machine.run(*words)
    assert (again.code, again.out.splitlines()[0]) == (0, "nothing to do")


def test_a_dry_run_writes_nothing_and_says_what_it_would(machine: Machine) -> None:
    said = machine.run("image", "hooks", "install", "--for", "dracut", "--dry-run", "--detailed-exitcode")
    assert (said.code, files(machine)) == (0, set())
    assert f"would write {machine.sysroot / SETUP}" in said.out.splitlines()
    assert machine.run("image", "hooks", "install", "--for", "dracut").code == 0
    before = files(machine)
    said = machine.run("image", "hooks", "remove", "--dry-run")
    assert f"would remove {machine.sysroot / SETUP}" in said.out.splitlines()
    assert files(machine) == before


def test_a_generator_that_the_tree_lacks_is_a_warning(machine: Machine) -> None:
    said = machine.run("image", "hooks", "install", "--for", "mkinitcpio")
    assert said.code == 0
    assert "warning: mkinitcpio: is not installed in this tree" in said.err


def test_the_status_of_every_generator_fits_a_terminal(machine: Machine) -> None:
    machine.run("image", "hooks", "install", "--for", "dracut", "--required", "--allow-expired")
    machine.run("image", "hooks", "install", "--for", "systemd")
    with (machine.sysroot / UNIT).open("a") as file:
        file.write("# mine\n")
    (machine.sysroot / SETUP).with_name("cmakeys.sh").unlink()
    said = machine.run("image", "hooks", "status")
    assert said.code == 0
    assert said.out.replace(str(machine.sysroot), "").splitlines() == [
        "dracut: hook incomplete or of another version, with --required --allow-expired",
        "  /usr/lib/dracut/modules.d/70cmakeys/cmakeys.sh: absent",
        "  next: cmakeys image hooks install --for dracut --required --allow-expired",
        "initramfs-tools: no hook; not in this tree",
        "mkinitcpio: no hook; not in this tree",
        "mkosi: no hook; not in this tree",
        "kernel-install: no hook; not in this tree",
        "systemd: hook edited by hand; not in this tree",
        "  /etc/systemd/system/cmakeys-load.service: edited",
    ]
    only = machine.run("image", "hooks", "status", "--for", "dracut", "--json")
    assert [one["generator"] for one in only.data["hooks"]] == ["dracut"]  # type: ignore[attr-defined]


def test_what_is_refused_for_one_is_written_for_none(machine: Machine) -> None:
    machine.run("image", "hooks", "install", "--for", "systemd")
    with (machine.sysroot / UNIT).open("a") as file:
        file.write("# mine\n")
    words = ("image", "hooks", "install", "--for", "dracut", "--for", "systemd")
    said = machine.run(*words)
    assert (said.code, files(machine)) == (8, {UNIT, f"{UNIT.replace('system/', 'system/sysinit.target.wants/')}"})
    assert "edited by hand" in said.err
    assert machine.run(*words, "--force").code == 0
    assert SETUP in files(machine)


def test_everything_is_removed_but_what_was_edited(machine: Machine) -> None:
    for one in ("dracut", "mkosi", "kernel-install"):
        machine.run("image", "hooks", "install", "--for", one)
    path = machine.sysroot / SETUP
    path.write_bytes(path.read_bytes() + b"# mine\n")
    before = files(machine)
    assert machine.run("image", "hooks", "remove").code == 8
    assert files(machine) == before
    assert machine.run("image", "hooks", "remove", "--for", "mkosi").code == 0
    assert machine.run("image", "hooks", "remove", "--force", "--detailed-exitcode").code == 10
    assert files(machine) == set()
    assert machine.run("image", "hooks", "remove", "--detailed-exitcode").code == 0


def test_the_unit_alone_takes_no_options_of_bake(machine: Machine) -> None:
    said = machine.run("image", "hooks", "install", "--for", "dracut", "--for", "systemd", "--required")
    assert (said.code, files(machine)) == (2, set())
