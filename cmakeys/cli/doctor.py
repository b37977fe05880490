"""`cmakeys doctor`: what about this machine helps or hinders, what it means, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import verb

app = noun_app("Find out what about this machine helps or hinders, and what to do about it.")


@app.command()
def doctor(
    sysfs: Annotated[
        Path,
        typer.Option("--sysfs", metavar="DIR", help="Read the tree at DIR instead of /sys: in tests and containers."),
    ] = Path("/sys"),
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    """Find out what about this machine helps or hinders, and what to do about it.

    Asks no device and changes nothing. Leaves with 1 when something is bad; what could not be found out is not.
    """
    with verb("doctor", json=json) as out:
        from datetime import UTC, datetime

        from cmakeys.devices.sysfs import Sysfs
        from cmakeys.doctor.examination import examine
        from cmakeys.doctor.model import Severity
        from cmakeys.errors import ExitCode
        from cmakeys.reports.doctor import doctor_data, doctor_report
        from cmakeys.status.survey import Places

        places = Places(sysroot, state_directory(sysroot, state_dir), ".cma" if sysroot == SYSTEM else None)
        findings = examine(places, Sysfs(sysfs), datetime.now(UTC))
        out.data = doctor_data(findings)
        for line in doctor_report(findings):
            out.show(line.text, tone=line.tone)
        if any(finding.severity is Severity.BAD for finding in findings):
            out.exit_code = ExitCode.FAILED
