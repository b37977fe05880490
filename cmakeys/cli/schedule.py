"""`cmakeys schedule`: have the checks run by themselves, by systemd or by cron."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, Sysroot
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone
from cmakeys.schedule.plan import BUDGET, MAX_BUDGET, Reach

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmakeys.schedule.plan import Change

app = noun_app("Have the checks run by themselves, by systemd or by cron.")

Force = Annotated[bool, typer.Option("--force", help="Replace or remove files that were edited by hand.")]


_NOT_ASKED = "systemd-analyze is not installed here; where it is: systemd-analyze calendar TIME"


@app.command("install")
def install(
    cron: Annotated[bool, typer.Option("--cron", help="Write a line for cron instead of units of systemd.")] = False,
    when: Annotated[
        str, typer.Option("--when", metavar="TIME", help="daily, or another time in systemd's or cron's words.")
    ] = "daily",
    delay: Annotated[
        int, typer.Option("--delay", min=0, max=1440, metavar="MINUTES", help="Wait up to so long, at random.")
    ] = 60,
    grace: Annotated[
        str,
        typer.Option(
            "--grace", metavar="N|TIME", help="Let a device be unreachable N times in a row, or so long: 3, 12h, 2d."
        ),
    ] = "3",
    budget: Annotated[
        int,
        typer.Option("--budget", min=1, max=MAX_BUDGET, metavar="SECONDS", help="Time for each check as a whole."),
    ] = BUDGET,
    metrics: Annotated[
        Path | None, typer.Option("--metrics", metavar="FILE", help="Write a report for Prometheus to FILE.")
    ] = None,
    reach: Annotated[
        list[Reach] | None,
        typer.Option("--reach", metavar="WHAT", help="Open the sandbox for network, mctp or nvme devices too."),
    ] = None,
    program: Annotated[
        Path | None, typer.Option("--program", metavar="FILE", help="The cmakeys to run, where it is another one.")
    ] = None,
    force: Force = False,
    sysroot: Sysroot = SYSTEM,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Check every enrolled device from time to time: write a service and a timer, or a line for cron."""
    with verb("schedule", "install", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.schedule import systemd
        from cmakeys.schedule.plan import CRON_WORDS, Kind, Plan, check_program, find_program, install_plan

        if program is None:
            command = find_program(sysroot, Path(sys.argv[0]))
        else:
            command = check_program(program) if sysroot == SYSTEM else str(program)
        plan = Plan(
            Kind.CRON if cron else Kind.SYSTEMD,
            when,
            delay,
            grace,
            budget,
            metrics,
            frozenset(reach or ()) | _needed(sysroot),
            command,
        )
        if not cron and when not in CRON_WORDS and not systemd.check_calendar(when):
            out.warn("whether systemd understands this time was not checked", object=when, hint=_NOT_ASKED)
        live = sysroot == SYSTEM and systemd.is_running() and not dry_run
        data = _show(out, install_plan(sysroot, plan, force=force, dry_run=dry_run), dry_run=dry_run)
        out.data = {"kind": plan.kind, "command": plan.command, **data}
        out.show(f"runs {plan.when}: {plan.command}")
        if live:
            _tell(out, systemd.forget if cron else systemd.start_timer)
        elif not cron and not dry_run:
            out.show("in effect from the next start of the machine", tone=Tone.NOTE)


@app.command("remove")
def remove(
    force: Force = False,
    sysroot: Sysroot = SYSTEM,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Take the service and the timer, or the line for cron, away again."""
    with verb("schedule", "remove", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.schedule import systemd
        from cmakeys.schedule.plan import TIMER, remove_plan

        live = sysroot == SYSTEM and systemd.is_running() and not dry_run
        planned = remove_plan(sysroot, force=force, dry_run=True)
        timed = live and any(path.name == TIMER for path in planned.removed)
        if timed:
            _tell(out, systemd.stop_timer)
        out.data = _show(out, remove_plan(sysroot, force=force, dry_run=dry_run), dry_run=dry_run)
        if timed:
            _tell(out, systemd.forget)


@app.command("status")
def status(sysroot: Sysroot = SYSTEM, json: Json = False) -> None:
    """Show whether checks run by themselves, who starts them, and when the next one is."""
    with verb("schedule", "status", json=json) as out:
        from cmakeys.cli.options import state_directory
        from cmakeys.devices.register import Register
        from cmakeys.schedule import systemd
        from cmakeys.schedule.plan import CRON, LINK, inspect_plan, reach_in, reach_of
        from cmakeys.stamped import FileState

        found = inspect_plan(sysroot)
        there = {str(one.path.relative_to(sysroot)) for one in found if one.state is not FileState.ABSENT}
        kinds = [kind for kind, place in (("systemd", LINK.place), ("cron", CRON)) if place in there]
        register = Register(state_directory(sysroot, None))
        newest = register.newest()
        opened = reach_in(sysroot)
        cut_off = [one.name for one in register.devices() if opened is not None and reach_of(one.address) - opened]
        following = systemd.next_run() if sysroot == SYSTEM and "systemd" in kinds and systemd.is_running() else ""
        out.data = {
            "kinds": kinds,
            "files": [{"path": one.path, "state": one.state} for one in found],
            "last": newest,
            "next": following or None,
            "cut_off": cut_off,
        }
        for one in found:
            out.show(f"{one.path}: {one.state.value}")
        if not kinds:
            out.show("no check runs by itself", tone=Tone.NOTE)
            out.show("  next: cmakeys schedule install")
        else:
            out.show(f"started by {' and '.join(kinds)}", tone=Tone.GOOD)
        if following:
            out.show(f"next: {following}")
        if newest is not None:
            out.show(f"last entry in the register: {newest:%Y-%m-%d %H:%M} UTC")
        for name in cut_off:
            out.warn("the sandbox of the service keeps it out of reach", object=name, hint="cmakeys schedule install")
        if any(one.state in (FileState.OUTDATED, FileState.EDITED) for one in found):
            out.warn("files are not as this version writes them", hint="look at them, then: cmakeys schedule install")


def _needed(sysroot: Path) -> frozenset[Reach]:
    """What the sandbox must be opened for, for the devices that are enrolled."""
    from cmakeys.cli.options import state_directory
    from cmakeys.devices.register import Register
    from cmakeys.schedule.plan import reach_of

    devices = Register(state_directory(sysroot, None)).devices()
    return frozenset().union(*(reach_of(device.address) for device in devices))


def _show(out: Output, change: Change, *, dry_run: bool) -> dict[str, object]:
    out.changed = bool(change.written or change.removed) and not dry_run
    for what, paths in (("remove", change.removed), ("write", change.written)):
        for path in paths:
            out.show(f"{'would ' if dry_run else ''}{what} {path}", tone=Tone.NOTE if dry_run else Tone.GOOD)
    if not change.written and not change.removed:
        out.show("nothing to do", tone=Tone.GOOD)
    return {"written": list(change.written), "removed": list(change.removed), "dry_run": dry_run}


def _tell(out: Output, say: Callable[[], None]) -> None:
    """Tell systemd; where that fails the files stand, and are read at the next start."""
    from cmakeys.errors import EnvironmentProblem

    try:
        say()
    except EnvironmentProblem as error:
        out.problem(error)
