"""Functions without a driver are bound or held on a tree like /sys, and every decision has its line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cmakeys.bindguard.conductor import Action, kernel_standing, run, switched_off
from cmakeys.bindguard.decision import By, Guard, Standing
from cmakeys.devices.binding import Essential
from tests.devices.sysfs import FUNCTION, Tree

SECOND = "0000:02:00.0"
PROBE = "bus/pci/drivers_probe"
GUARD = Guard(ids=("1b36:*",))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """One function without a driver, one with; the kernel binds what is offered to it."""
    tree = Tree(tmp_path)
    tree.add(driver="")
    tree.add(SECOND)

    def bind(data: bytes) -> None:
        (tree.folder(data.decode()) / "driver").symlink_to("../../../../bus/pci/drivers/nvme")

    tree.reactions[tree.root / PROBE] = bind
    return tree


def act(tree: Tree, standing: Standing, guard: Guard = GUARD, *, off: bool = False, dry_run: bool = False) -> Action:
    entries = (tree.entry(), tree.entry(SECOND))
    (action,) = run(tree.sysfs, entries, guard, Essential({}), {By.CHECK: lambda _: standing}, off=off, dry_run=dry_run)
    return action


def test_a_trusted_device_is_bound_and_one_with_a_driver_is_left_alone(tree: Tree) -> None:
    action = act(tree, Standing.TRUSTED)
    assert tree.written == [(PROBE, FUNCTION.encode())]
    assert action.line == f"bind-guard: {FUNCTION}: bind: trusted, says cmakeys check; driver nvme"


@pytest.mark.parametrize("standing", [Standing.REJECTED, Standing.UNREACHABLE, Standing.UNSUPPORTED])
def test_a_device_that_is_not_trusted_stays_without_a_driver(tree: Tree, standing: Standing) -> None:
    action = act(tree, standing)
    assert tree.written == []
    assert action.line.startswith(f"bind-guard: {FUNCTION}: hold: it ")


def test_the_command_line_of_the_kernel_lets_everything_pass(tree: Tree) -> None:
    assert switched_off(b"quiet cmakeys.bindguard=off ro\n")
    assert not switched_off(b"quiet cmakeys.bindguard=offside\n")
    assert act(tree, Standing.REJECTED, off=True).driver == "nvme"


def test_what_is_not_listed_is_bound_without_being_asked(tree: Tree) -> None:
    action = act(tree, Standing.REJECTED, Guard(ids=("dead:beef",)))
    assert (action.decision.listed, action.driver) == (False, "nvme")


def test_a_dry_run_binds_nothing_and_asks_the_kernel_for_nothing(tree: Tree) -> None:
    tree.authenticated(b"1\n")
    assert act(tree, Standing.TRUSTED, dry_run=True).decision.bind
    assert kernel_standing(tree.sysfs, tree.entry(), 1.0, ask=False) is Standing.TRUSTED
    assert tree.written == []


def test_a_kernel_that_refuses_to_bind_is_reported(tree: Tree) -> None:
    def refuse(_data: bytes) -> None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    tree.reactions[tree.root / PROBE] = refuse
    assert act(tree, Standing.TRUSTED).line.endswith("not bound: No such device (ENODEV)")


@pytest.mark.parametrize(
    ("before", "answer", "standing"),
    [
        (b"0\n", b"1\n", Standing.TRUSTED),
        (b"1\n", errno.EKEYREJECTED, Standing.REJECTED),
        (errno.ENOTTY, errno.ENOTTY, Standing.UNREACHABLE),
    ],
)
def test_the_kernel_is_asked_anew(tree: Tree, before: bytes | int, answer: bytes | int, standing: Standing) -> None:
    tree.authenticated(before)
    tree.on_recheck(answer)
    assert kernel_standing(tree.sysfs, tree.entry(), 5.0) is standing


def test_a_session_of_a_tsm_is_no_trust(tree: Tree) -> None:
    tree.authenticated(b"tsm0\n", 0o444)
    assert kernel_standing(tree.sysfs, tree.entry(), 5.0) is Standing.UNSUPPORTED
