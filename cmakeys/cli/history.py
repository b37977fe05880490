"""`cmakeys history show | runs | vacuum | clock`: what the checks of all those nights have found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.history_clock import register as register_clock
from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.devices.chronicle import Question
    from cmakeys.devices.register import Register

app = noun_app("Look back at what the checks have found, by device or by run.")

DevicesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[DEVICE]...", help="Names of enrolled devices; all without any.")
]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="DATE", help="Only checks of this moment or later, as 2027-01-31.")
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="DATE", help="Only checks before this moment.")]
OutcomeOption = Annotated[
    list[str] | None,
    typer.Option("--outcome", metavar="WORD", help="Only checks that ended so, as rejected; may be repeated."),
]
NewsOption = Annotated[bool, typer.Option("--news", help="Only checks that found something new.")]
LimitOption = Annotated[
    int, typer.Option("--limit", "-n", min=1, max=1_000_000, metavar="N", help="The newest N of them (20).")
]


@app.command("show")
def show(
    devices: DevicesArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    outcome: OutcomeOption = None,
    news: NewsOption = False,
    limit: LimitOption = 20,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    """List checks, newest first, with a star at those that found something new."""
    with verb("history", "show", json=json) as out:
        from cmakeys.devices.chronicle import checks
        from cmakeys.devices.register import Register
        from cmakeys.reports.chronicle import check_data, checks_report

        register = Register(state_directory(sysroot, state_dir))
        records = checks(register.path, _question(register, devices, since, until, outcome, news=news, limit=limit))
        out.data = {"checks": [check_data(record) for record in records]}
        for line in checks_report(records):
            out.show(line.text, tone=line.tone)
        if not records:
            out.show("no such check", tone=Tone.NOTE)


@app.command("runs")
def runs(
    devices: DevicesArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    outcome: OutcomeOption = None,
    news: NewsOption = False,
    limit: LimitOption = 20,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    """List runs, newest first: how many devices had which outcome, and of how many that was news."""
    with verb("history", "runs", json=json) as out:
        from cmakeys.devices.chronicle import runs as all_runs
        from cmakeys.devices.register import Register
        from cmakeys.reports.chronicle import RUNS_HEADER, run_data, runs_rows

        register = Register(state_directory(sysroot, state_dir))
        found = all_runs(register.path, _question(register, devices, since, until, outcome, news=news, limit=limit))
        out.data = {"runs": [run_data(run) for run in found]}
        if found:
            out.table(RUNS_HEADER, runs_rows(found))
        else:
            out.show("no such check", tone=Tone.NOTE)


@app.command("vacuum")
def vacuum(
    checks: Annotated[
        int | None, typer.Option("--checks", min=1, max=100_000, metavar="N", help="Keep the newest N of each device.")
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=36_500, metavar="N", help="Keep what is no older than N days.")
    ] = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Let go of what is kept no longer, verdicts and evidence, and give the space back."""
    with verb("history", "vacuum", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.cli.dates import believable_retention
        from cmakeys.clock import newest_record
        from cmakeys.config import load_config
        from cmakeys.devices.chronicle import beyond, size
        from cmakeys.devices.chronicle import vacuum as let_go
        from cmakeys.devices.register import Register
        from cmakeys.devices.retention import Retention
        from cmakeys.evidence.keeping import FOLDER, Archive
        from cmakeys.verify.clock import CLOCK_HINT, read_clock

        state = state_directory(sysroot, state_dir)
        path, settings = Register(state).path, load_config(sysroot).history
        asked = Retention(checks or settings.retention.checks, days or settings.retention.days)
        archive, before, now = Archive(state / FOLDER, settings.evidence_limit), size(path), datetime.now(UTC)
        reading = read_clock(now, newest_record(state))
        retention = believable_retention(asked, reading)
        if retention != asked:
            out.warn(f"nothing is let go of for its age: {reading.text}", hint=CLOCK_HINT)
        if dry_run:
            gone, files, after = beyond(path, retention, now), archive.excess(), before
        else:
            gone = let_go(path, retention, now) if path.exists() else 0
            files, after = archive.trim(), size(path)
        out.changed = not dry_run and bool(gone or files or after.octets != before.octets)
        out.data = {
            "dry_run": dry_run,
            "checks": {"removed": gone, "kept": before.entries - gone},
            "register_octets": {"before": before.octets, "after": after.octets},
            "evidence": {"removed": len(files), "octets": sum(one.size for one in files)},
        }
        would = "would let go of" if dry_run else "let go of"
        out.show(f"{would} {gone} of {before.entries} checks and {len(files)} files of evidence")
        if not dry_run:
            out.show(f"the register has {after.octets >> 10} KiB, it had {before.octets >> 10} KiB")


def _question(
    register: Register,
    devices: list[str] | None,
    since: str | None,
    until: str | None,
    outcomes: list[str] | None,
    *,
    news: bool,
    limit: int,
) -> Question:
    from cmakeys.cli.dates import a_date
    from cmakeys.devices.chronicle import Question
    from cmakeys.errors import UsageProblem
    from cmakeys.verify.verdict import Outcome

    known = [outcome.value for outcome in Outcome]
    for word in outcomes or ():
        if word not in known:
            raise UsageProblem(f"{word!r} is no outcome", object="--outcome", hint=f"one of: {', '.join(known)}")
    for name in devices or ():
        register.check_present(name)
    return Question(
        tuple(devices or ()),
        None if since is None else a_date(since, "--since"),
        None if until is None else a_date(until, "--until"),
        tuple(outcomes or ()),
        news,
        limit,
    )


register_clock(app)
