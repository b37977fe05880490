"""`cmakeys history clock`: what of the records here is believed, and how a clock that is right is believed again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import verb
from cmakeys.reports.terminal import Tone


def register(app: typer.Typer) -> None:
    """Add the verb to the noun."""
    app.command("clock")(clock)


def clock(
    accept: Annotated[
        bool, typer.Option("--accept", help="The clock is right: believe no record of a later moment.")
    ] = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Hold the clock against the newest record that is believed, and accept a clock that is right.

    Leaves with 1 when the clock cannot be right or is doubtful, and is not accepted.
    """
    with verb("history", "clock", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.cli.actor import actor
        from cmakeys.clock import accept as believe
        from cmakeys.clock import newest_record
        from cmakeys.errors import ExitCode
        from cmakeys.evidence.fields import time_text
        from cmakeys.roots.journal import Journal
        from cmakeys.verify.clock import CLOCK_HINT, ClockState, read_clock

        state = state_directory(sysroot, state_dir)
        now = datetime.now(UTC)
        reading = read_clock(now, newest_record(state))
        accepts = accept and not reading.plausible
        if accepts and not dry_run:
            facts = {"newest_record": time_text(reading.recorded.at), "was": reading.state.value}
            Journal(state).append("clock-accept", time_text(now), facts, at=now, by=actor())
            believe(state, now)
            out.changed = True
        out.data = {
            "dry_run": dry_run,
            "accepted": accepts and not dry_run,
            "state": reading.state,
            "now": now,
            "newest_record": {"at": reading.recorded.at, "what": reading.recorded.what},
            "text": reading.text,
        }
        if reading.plausible:
            what = reading.recorded
            out.show(f"plausible: {now:%Y-%m-%d %H:%M}Z, not before {what.what}", tone=Tone.GOOD)
            return
        out.show(reading.text, tone=Tone.BAD if reading.state is ClockState.BEHIND else Tone.WARNING)
        if accept:
            would = "would be accepted" if dry_run else "accepted"
            out.show(f"{would}: it is {now:%Y-%m-%d %H:%M}Z, and records of later moments are not believed")
        else:
            out.show(f"next: {CLOCK_HINT}")
            out.exit_code = ExitCode.FAILED
