"""`cmakeys policy bind-guard` from the outside, on a tree like /sys, a tree of files and a /proc of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from tests.cli.machine import Said
from tests.devices.sysfs import FUNCTION, Tree

Run = Callable[..., Said]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """A function without a driver that the kernel rejected, on a machine whose root is in memory."""
    tree = Tree(tmp_path / "sys")
    tree.add(driver="")
    tree.authenticated(b"0\n")
    tree.put(tree.root / "bus/pci/drivers_autoprobe", b"0\n")

    def bind(data: bytes) -> None:
        (tree.folder(data.decode()) / "driver").symlink_to("../../../../bus/pci/drivers/nvme")

    tree.reactions[tree.root / "bus/pci/drivers_probe"] = bind
    proc = tmp_path / "proc"
    tree.put(proc / "self/mountinfo", b"1 1 0:2 / / rw - rootfs rootfs rw\n")
    tree.put(proc / "cmdline", b"quiet\n", 0o644)
    monkeypatch.setattr("cmakeys.cli.policy.PROC", proc)
    monkeypatch.setattr("cmakeys.devices.sysfs.Sysfs", lambda _root: tree.sysfs)
    return tree


@pytest.fixture
def run(tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> Said:
        capsys.readouterr()
        code = main(["policy", "bind-guard", *words, "--sysroot", str(tmp_path), "--sysfs", str(tree.root)])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


def test_a_rejected_device_is_held_and_bound_once_the_kernel_trusts_it(run: Run, tree: Tree) -> None:
    assert run("install", "--id", "1b36:*", "--by", "kernel", "--detailed-exitcode").code == 10
    tree.on_recheck(b"0\n")
    held = run("run", "--device", FUNCTION)
    assert (held.code, f"{FUNCTION}: hold: it is rejected" in held.err) == (1, True)
    assert "no driver" in run("status").out
    tree.on_recheck(b"1\n")
    bound = run("run", "--json")
    assert (bound.code, bound.envelope["changed"]) == (0, True)
    assert f"{FUNCTION}: bind: trusted, says the kernel; driver nvme" in bound.err
    assert "driver nvme" in run("status").out


def test_the_switch_of_the_kernels_command_line_binds(run: Run, tree: Tree, tmp_path: Path) -> None:
    run("install", "--id", "1b36:*", "--by", "kernel")
    (tmp_path / "proc/cmdline").write_text("quiet cmakeys.bindguard=off\n")
    assert "switched off" in run("status").out
    assert run("run").code == 0
    assert ("bus/pci/drivers_probe", FUNCTION.encode()) in tree.written


def test_a_disk_is_not_held_while_nobody_knows_what_holds_the_root(run: Run, tree: Tree, tmp_path: Path) -> None:
    run("install", "--class", "01", "--by", "kernel")
    tree.put(tree.folder() / "class", b"0x010802\n", 0o644)
    assert run("run", "--dry-run").code == 1
    (tmp_path / "proc/self/mountinfo").chmod(0o644)
    (tmp_path / "proc/self/mountinfo").write_text("1 1 0:40 / / rw - nfs4 server:/root rw\n")
    found = run("run", "--dry-run")
    assert (found.code, "may hold /" in found.err) == (0, True)


def test_nothing_is_installed_without_a_list_and_nothing_runs_uninstalled(run: Run) -> None:
    assert run("install").code == 2
    assert run("run").code == 3
    assert run("run", "--class", "01").code == 2
    assert run("status", "--device", FUNCTION).code == 2
    assert "not installed" in run("status").out
    assert run("remove").out.startswith("nothing to do")


def test_a_dry_run_of_installing_writes_nothing(run: Run, tmp_path: Path) -> None:
    said = run("install", "--removable", "--dry-run", "--json")
    assert (said.code, said.envelope["changed"]) == (0, False)
    assert not (tmp_path / "etc").exists()
