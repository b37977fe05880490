"""`cmakeys policy`: rules of this machine that go beyond trust; so far, which devices get no driver before it.

`bind-guard` has four actions in one verb, because they are steps of one thing: a list is installed, looked at, acted
upon for a device, and removed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.bindguard.decision import By, Unreachable
from cmakeys.cli.functions import SYSFS, SysfsOption
from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.bindguard.conductor import Action
    from cmakeys.bindguard.decision import Guard, Standing
    from cmakeys.devices.binding import Essential
    from cmakeys.devices.functions import FunctionEntry
    from cmakeys.devices.sysfs import Sysfs

app = noun_app("Say which devices get no driver before they are trusted.")

PROC = Path("/proc")


class Step(Enum):
    """What is done with the guard."""

    INSTALL = "install"
    REMOVE = "remove"
    STATUS = "status"
    RUN = "run"


@app.callback()
def policy() -> None:
    """Say which devices get no driver before they are trusted."""


@app.command("bind-guard")
def bind_guard(
    step: Annotated[Step, typer.Argument(metavar="ACTION", help="install, remove, status or run.")],
    classes: Annotated[
        list[str] | None, typer.Option("--class", metavar="HEX", help="Guard devices of this class, as 0108.")
    ] = None,
    ids: Annotated[
        list[str] | None, typer.Option("--id", metavar="VENDOR:DEVICE", help="Guard these devices, as 1b36:0010.")
    ] = None,
    behind: Annotated[
        list[str] | None, typer.Option("--behind", metavar="BRIDGE", help="Guard everything behind this bridge.")
    ] = None,
    removable: Annotated[
        bool, typer.Option("--removable", help="Guard what is behind a port that faces outwards (USB4, Thunderbolt).")
    ] = False,
    by: Annotated[By, typer.Option("--by", help="Whose word binds a device.")] = By.CHECK,
    unreachable: Annotated[
        Unreachable, typer.Option("--unreachable", help="What is done with a device that cannot be asked.")
    ] = Unreachable.HOLD,
    device: Annotated[
        str | None, typer.Option("--device", metavar="FUNCTION", help="With run: this PCI function only.")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, max=150, metavar="SECONDS", help="With run: time for one device.")
    ] = 30.0,
    force: Annotated[bool, typer.Option("--force", help="Replace or remove files that were edited by hand.")] = False,
    sysfs: SysfsOption = SYSFS,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Hold listed PCI devices back, without a driver, until they are trusted: install, remove, status or run.

    `run` leaves with 1 when a device is held.
    """
    with verb("policy", "bind-guard", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.bindguard.decision import Guard
        from cmakeys.bindguard.files import install, read_guard, remove
        from cmakeys.devices.sysfs import Sysfs
        from cmakeys.errors import UsageProblem

        lists = (tuple(classes or ()), tuple(ids or ()), tuple(behind or ()))
        if step is not Step.INSTALL and (any(lists) or removable):
            raise UsageProblem("what is guarded is said when the guard is installed", object=step.value)
        if step is not Step.RUN and device:
            raise UsageProblem("--device goes with run", object=step.value)
        if step is Step.INSTALL:
            guard = Guard.of(*lists, removable=removable, by=by, unreachable=unreachable)
            _show_paths(out, "write", install(sysroot, guard, force=force, dry_run=dry_run), dry_run=dry_run)
            out.show("in effect from the next start; until then: systemctl daemon-reload", tone=Tone.NOTE)
        elif step is Step.REMOVE:
            _show_paths(out, "remove", remove(sysroot, force=force, dry_run=dry_run), dry_run=dry_run)
            out.show("to bind by itself again until the next start: echo 1 >/sys/bus/pci/drivers_autoprobe")
        elif step is Step.STATUS:
            _show_status(out, sysroot, Sysfs(sysfs))
        else:
            guard = read_guard(sysroot)
            ask_check = _check(sysroot, state_dir, timeout)
            _run(out, Sysfs(sysfs), guard, ask_check, device, timeout, dry_run=dry_run)


def _show_paths(out: Output, what: str, paths: tuple[Path, ...], *, dry_run: bool) -> None:
    out.changed = bool(paths) and not dry_run
    out.data = {"action": "install" if what == "write" else "remove", "files": list(paths), "dry_run": dry_run}
    for path in paths:
        out.show(f"{'would ' if dry_run else ''}{what} {path}", tone=Tone.NOTE if dry_run else Tone.GOOD)
    if not paths:
        out.show("nothing to do", tone=Tone.GOOD)


def _show_status(out: Output, sysroot: Path, tree: Sysfs) -> None:
    from cmakeys.bindguard.conductor import guarded, switched_off
    from cmakeys.bindguard.files import inspect, read_guard
    from cmakeys.devices.binding import autoprobe
    from cmakeys.errors import NotFound

    guard: Guard | None
    try:
        guard = read_guard(sysroot)
    except NotFound:
        guard = None
    files = inspect(sysroot, guard)
    off, automatic = switched_off(_proc("cmdline")), autoprobe(tree)
    found = guarded(tree, guard) if guard else ()
    stands_on = _essential(tree) if found else None
    out.data = {
        "action": "status",
        "installed": guard is not None,
        "switched_off": off,
        "autoprobe": automatic,
        "files": [{"path": one.path, "state": one.state} for one in files],
        "functions": [
            {
                "function": str(entry.address),
                "listed": why,
                "driver": entry.driver,
                "holds": stands_on.functions.get(entry.address) if stands_on else None,
            }
            for entry, why in found
        ],
    }
    for one in files:
        out.show(f"{one.path}: {one.state.value}")
    if guard is None:
        out.show("not installed", tone=Tone.NOTE)
        return
    if off:
        out.show("switched off on the kernel's command line", tone=Tone.WARNING)
    words = {None: "cannot be read", True: "1: the kernel binds drivers by itself", False: "0: in effect"}[automatic]
    out.show(f"drivers_autoprobe {words}", tone=Tone.GOOD if automatic is False else Tone.WARNING)
    for entry, why in found:
        held = stands_on.functions.get(entry.address) if stands_on else None
        out.show(
            f"{entry.address}  {why}; {f'driver {entry.driver}' if entry.driver else 'no driver'}"
            + (f"; holds {held}, so never held back" if held else "")
        )


def _run(
    out: Output,
    tree: Sysfs,
    guard: Guard,
    check: Callable[[FunctionEntry], Standing],
    device: str | None,
    timeout: float,
    *,
    dry_run: bool,
) -> None:
    from cmakeys.bindguard.conductor import kernel_standing, run, switched_off, too_late
    from cmakeys.devices.functions import list_functions, select_functions
    from cmakeys.errors import ExitCode

    entries = list_functions(tree)
    chosen = select_functions(entries, [device]) if device else entries
    ask = {By.CHECK: check, By.KERNEL: lambda entry: kernel_standing(tree, entry, timeout, ask=not dry_run)}
    off = switched_off(_proc("cmdline"))
    stands_on = _essential(tree)
    actions = run(tree, chosen, guard, stands_on, ask, off=off, dry_run=dry_run)
    late = too_late(tree, chosen, guard, stands_on, off=off) if device else ()
    out.data = {"action": "run", "dry_run": dry_run, "functions": [_action_data(action) for action in actions]}
    out.changed = any(action.driver for action in actions)
    for action in actions:
        if action.decision.listed or action.problem:
            out.say(action.line, tone=Tone.GOOD if action.decision.bind else Tone.WARNING)
    for entry in late:
        out.warn(
            f"the kernel bound it to {entry.driver} before it could be held back",
            object=str(entry.address),
            hint="cmakeys check says whether it is trusted; its unbind file takes the driver away",
        )
    if late or any(not action.decision.bind or action.problem for action in actions):
        out.exit_code = ExitCode.FAILED


def _action_data(action: Action) -> dict[str, object]:
    return {
        "function": str(action.entry.address),
        "listed": action.decision.listed,
        "bind": action.decision.bind,
        "reason": action.decision.reason,
        "driver": action.driver,
        "problem": action.problem or None,
    }


def _check(sysroot: Path, state_dir: Path | None, timeout: float) -> Callable[[FunctionEntry], Standing]:
    """Ask as `cmakeys check` does, an enrolled device against its enrolment."""

    def ask(entry: FunctionEntry) -> Standing:
        from cmakeys.bindguard.decision import Standing
        from cmakeys.check import check, targets
        from cmakeys.cli.conditions import conditions
        from cmakeys.devices.register import Register
        from cmakeys.verify.verdict import Outcome

        devices = Register(state_directory(sysroot, state_dir)).devices()
        (result,) = check(targets([entry.url], devices), conditions(sysroot, state_dir, timeout))
        return {
            Outcome.TRUSTED: Standing.TRUSTED,
            Outcome.DEGRADED: Standing.TRUSTED,
            Outcome.REJECTED: Standing.REJECTED,
            Outcome.UNSUPPORTED: Standing.UNSUPPORTED,
        }.get(result.verdict.outcome, Standing.UNREACHABLE)

    return ask


def _essential(tree: Sysfs) -> Essential:
    from cmakeys.devices.binding import device_of, essential

    return essential(tree, _proc("self/mountinfo"), _proc("swaps"), device_of)


def _proc(name: str) -> bytes:
    """A file of /proc, as far as it may matter; empty when it cannot be read."""
    from cmakeys.devices.binding import MAX_MOUNTS

    try:
        with (PROC / name).open("rb") as file:
            return file.read(MAX_MOUNTS)
    except OSError:
        return b""
