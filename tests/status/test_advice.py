"""What to do next is one thing, the most pressing, and a command that exists."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from cmakeys.status.advice import next_step
from cmakeys.status.model import Status
from tests.cli.tree import typed
from tests.status import machines
from tests.status.machines import MACHINES


@pytest.mark.parametrize(
    ("status", "command"),
    [
        (machines.FRESH, "cmakeys roots add FILE"),
        (machines.HEALTHY, ""),
        (machines.DRIFT, "cmakeys keyring apply"),
        (machines.STALE, "update-initramfs -u -k all"),
        (machines.NO_INITRD_IN_SIGHT, "sudo cmakeys status"),
        (machines.ALL_RETIRED, "cmakeys keyring apply --allow-empty"),
        (machines.FOREIGN, "cmakeys keyring audit"),
        (machines.ENDS_SOON, "cmakeys roots lint"),
        (machines.ENDED, "cmakeys roots show acme"),
        (machines.REJECTED, "cmakeys devices show gpu0"),
        (machines.WRONG_CLOCK, "timedatectl"),
        (machines.PLAIN_USER, "sudo cmakeys status"),
        (machines.MISCONFIGURED, "cmakeys config show"),
        (machines.CONFIG_OF_ANOTHER, "sudo cmakeys status"),
        (machines.BROKEN_STORE, "cmakeys roots list"),
        (machines.BROKEN_REGISTER, "cmakeys devices list"),
        (machines.NEVER_CHECKED, "cmakeys check --all"),
        (machines.LONG_AGO, "cmakeys check --all"),
        (machines.UNREACHABLE, "cmakeys check nic1"),
        (machines.NO_DEVICES, "cmakeys devices scan"),
        (machines.BUSY, ""),
        (machines.ROTATING, "cmakeys roots trust acme-2041"),
        (machines.OVERLAP_OVER, "cmakeys roots rotate acme --finish"),
        (machines.TAMPERED, "cmakeys status --json"),
    ],
)
def test_each_state_has_its_next_step(status: Status, command: str) -> None:
    step = next_step(status)
    assert (step.command() if step else "") == command
    assert step is None or step.reason


@pytest.mark.parametrize("tree", ["/", "/srv/image"])
@pytest.mark.parametrize("status", MACHINES.values(), ids=MACHINES)
def test_every_command_advised_is_one_that_can_be_typed(status: Status, tree: str) -> None:
    step = next_step(replace(status, kernel=None) if tree != "/" else status)
    if step is not None and step.ours:
        verb, rest = typed(shlex.split(step.command(Path(tree)).removeprefix("sudo ").removeprefix("cmakeys ")))
        verb.parse(rest)


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (machines.WRONG_CLOCK, machines.REJECTED),
        (machines.MISCONFIGURED, machines.REJECTED),
        (machines.REJECTED, machines.DRIFT),
        (machines.FOREIGN, machines.ENDS_SOON),
        (machines.DRIFT, machines.ENDS_SOON),
        (machines.DRIFT, machines.STALE),
    ],
)
def test_the_more_harmful_comes_first(worse: Status, better: Status) -> None:
    """A machine that has the troubles of both is told of the worse one."""
    both = replace(
        better,
        roots=better.roots if worse.roots == machines.ROOTS else worse.roots,
        kernel=better.kernel if worse.kernel == machines.HEALTHY.kernel else worse.kernel,
        image=better.image if worse.image == machines.HEALTHY.image else worse.image,
        devices=better.devices if worse.devices == machines.DEVICES else worse.devices,
        clock_fault=worse.clock_fault,
        config=worse.config,
    )
    assert both not in (worse, better)
    assert next_step(both) == next_step(worse)


def test_of_a_tree_the_initrd_is_not_made_here() -> None:
    step = next_step(replace(machines.STALE, kernel=None))
    assert step is not None
    assert step.command(Path("/srv/i")) == f"cmakeys image inspect {machines.INITRD} --against --sysroot /srv/i"


def test_in_a_tree_the_command_is_for_that_tree_and_needs_nobody_s_rights() -> None:
    step = next_step(machines.ENDS_SOON)
    assert step is not None
    assert step.command(Path("/srv/an image")) == "cmakeys roots lint --sysroot '/srv/an image'"
    hidden = next_step(machines.PLAIN_USER)
    assert hidden is not None
    assert hidden.command(Path("/srv/i")) == "cmakeys status --sysroot /srv/i"


@pytest.mark.parametrize("status", MACHINES.values(), ids=MACHINES)
def test_whoever_hears_that_something_is_wrong_hears_what_to_do(status: Status) -> None:
    assert not status.bad or next_step(status) is not None
