"""`cmakeys status`, and `cmakeys` alone: what is trusted, whether it is in effect, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

app = noun_app("Show on one screen what is trusted, whether it is in effect, and what to do next.")


@app.command()
def status(
    keyring: Annotated[
        str | None,
        typer.Option("--keyring", metavar="NAME|@s|SERIAL", help="Compare with this keyring; of a tree, with none."),
    ] = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    """Show on one screen what is trusted, whether it is in effect, and what to do next.

    Asks no device and changes nothing. Leaves with 1 when something is wrong, and with 0 when something is only due.
    """
    with verb("status", json=json) as out:
        _show(out, keyring, sysroot, state_dir)


def overview() -> None:
    """What `cmakeys` without a noun shows: the status of this machine, and where help is."""
    with verb("status") as out:
        _show(out, None, SYSTEM, None)
        out.show("cmakeys --help lists what else it does", tone=Tone.NOTE)


def _show(out: Output, keyring: str | None, sysroot: Path, state_dir: Path | None) -> None:
    from datetime import UTC, datetime

    from cmakeys.errors import ExitCode
    from cmakeys.reports.status import status_data, status_report
    from cmakeys.status.advice import next_step
    from cmakeys.status.survey import Places, survey

    selector = keyring or (".cma" if sysroot == SYSTEM else None)
    found = survey(Places(sysroot, state_directory(sysroot, state_dir), selector), datetime.now(UTC))
    step = next_step(found)
    command = step.command(sysroot) if step else ""
    out.data = status_data(found, step, command)
    for line in status_report(found, step, command):
        out.show(line.text, tone=line.tone)
    if found.bad:
        out.exit_code = ExitCode.FAILED
