"""`cmakeys check`: are the devices still the ones that were enrolled, and do they still deserve their trust?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.audience import Form, Log
from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import (
    SYSTEM,
    CrlOption,
    DryRun,
    Json,
    KernelOption,
    OcspOption,
    PublicKeyOption,
    StateDir,
    Sysroot,
    TimeoutOption,
    TraceOption,
    state_directory,
)
from cmakeys.cli.output import Output, verb

if TYPE_CHECKING:
    from cmakeys.check import Target
    from cmakeys.devices.register import Register
    from cmakeys.spdm.provisioned import ProvisionedKey

app = noun_app("Check devices against their roots and their enrolment.")


@app.command()
def check(
    devices: Annotated[
        list[str] | None, typer.Argument(metavar="[DEVICE]...", help="Names of enrolled devices, or addresses.")
    ] = None,
    all_devices: Annotated[bool, typer.Option("--all", help="Check every enrolled device.")] = False,
    form: Annotated[
        Form | None,
        typer.Option("--format", metavar="FORM", help="text, json, jsonl, nagios, prometheus, junit or html."),
    ] = None,
    nagios: Annotated[bool, typer.Option("--nagios", help="Answer as a monitoring plugin does.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Put the answer into FILE, in one piece.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Leave out devices that are well; print nothing when all are.")
    ] = False,
    changed_only: Annotated[bool, typer.Option("--changed-only", help="Leave out devices without news.")] = False,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Take for news what began after DATE.")
    ] = None,
    grace: Annotated[
        str,
        typer.Option(
            "--grace", metavar="N|TIME", help="Let a device be unreachable N times in a row, or so long: 3, 12h, 2d."
        ),
    ] = "0",
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            min=1,
            max=86400,
            metavar="SECONDS",
            help="Time for the whole run; in what is left, ask devices again that were not reached.",
        ),
    ] = None,
    log: Annotated[
        Log, typer.Option("--log", metavar="WHERE", help="Log to the journal, to syslog, or to none.")
    ] = Log.NONE,
    unreachable_critical: Annotated[
        bool, typer.Option("--unreachable-critical", help="With --nagios, take unreachable for critical, not unknown.")
    ] = False,
    hooks: Annotated[
        Path | None, typer.Option("--hooks", metavar="DIR", help="Run the hooks in DIR, not in /etc/cmakeys/hooks.")
    ] = None,
    no_hooks: Annotated[bool, typer.Option("--no-hooks", help="Run no hooks.")] = False,
    timeout: TimeoutOption = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, max=1024, help="Devices to ask at the same time (64)."),
    ] = None,
    crl: CrlOption = None,
    ocsp: OcspOption = None,
    public_key: PublicKeyOption = None,
    kernel: KernelOption = False,
    trace: TraceOption = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Check devices, and keep the verdicts on enrolled ones in their history.

    Leaves with 0 when all pass, 1 when one is rejected, 6 when one could not be reached, 5 when one speaks no CMA-SPDM,
    7 when another check is running.
    """
    with verb("check", json=json or form is Form.JSON) as out:
        from cmakeys.check import DEFAULT_JOBS
        from cmakeys.check import check as ask
        from cmakeys.cli.clockwatch import look_at_clock
        from cmakeys.cli.conditions import conditions
        from cmakeys.cli.dates import a_date, believable_retention
        from cmakeys.cli.eventlogging import write_log
        from cmakeys.cli.evidence_keeping import keep_evidence
        from cmakeys.cli.forms import Answered, Shown, answer, answer_failure, choose
        from cmakeys.cli.hooking import hook_folder, run_hooks
        from cmakeys.cli.staleness import Night, look_and_say
        from cmakeys.cli.surroundings import look_around, meet
        from cmakeys.clock import remember
        from cmakeys.config import load_config
        from cmakeys.devices.register import Register
        from cmakeys.errors import CmakeysError, from_oserror
        from cmakeys.grace import Grace
        from cmakeys.measuring import remember_versions
        from cmakeys.references import ReferenceStore
        from cmakeys.reports.standing import unfinished_text
        from cmakeys.running import Run, alone
        from cmakeys.standing import doubt_of, findings, history, remembered
        from cmakeys.verify.clock import RELEASE, read_clock

        allowed = Grace.parse(grace)
        how = Shown(choose(form, json=json, nagios=nagios), quiet, changed_only, unreachable_critical)
        since_when = None if since is None else a_date(since, "--since")
        folder = hook_folder(sysroot, hooks, none=no_hooks or dry_run)
        if output is not None:
            out.into(output)
        try:
            state = state_directory(sysroot, state_dir)
            register = Register(state)
            configured = load_config(sysroot)
            settings = configured.history
            wanted = _wanted(register, devices or (), all_devices=all_devices)
            held_against = replace(
                conditions(sysroot, state_dir, timeout, [*(crl or ()), *(ocsp or ())], kernel=kernel, trace=trace),
                budget=budget,
                key=_key(public_key, wanted),
            )
            keeps = not dry_run and any(target.enrolled for target in wanted)
            with alone(state, held_against.now, len(wanted)) if keeps else nullcontext(Run()) as run:
                if run.unfinished is not None:
                    out.warn(unfinished_text(run.unfinished))
                reading = read_clock(held_against.now, held_against.recorded or RELEASE)
                clock = look_at_clock(out, state, reading, news_only=quiet or changed_only)
                doubt = doubt_of(reading, held_against.policy)
                started = time.monotonic()
                results = ask(wanted, held_against, jobs=jobs or DEFAULT_JOBS)
                around = look_around(sysroot, register, results, held_against, wholly=all_devices)
                memories = remembered(register, [target.name for target in wanted if target.enrolled])
                found = findings(around.results, memories, grace=allowed, since=since_when, doubt=doubt)
                if run.problem is not None:
                    out.problem(run.problem)
                elif keeps:
                    kept = believable_retention(settings.retention, reading)
                    _keep(out, lambda: remember(state, reading, told=all_devices))
                    _keep(out, lambda: register.record(history(found), kept))
                    _keep(out, lambda: meet(register, around))
                    _keep(out, lambda: keep_evidence(settings, state, around.results, found))
                    _keep(out, lambda: remember_versions(ReferenceStore(state), around.results, held_against))
                initrds = None
                if all_devices:
                    where = Log.NONE if dry_run else log
                    night = Night(sysroot, state, where, keeps and not run.problem, quiet or changed_only)
                    initrds = look_and_say(out, night, held_against.rootset, configured.initrd)
                if not dry_run:
                    seen = around.sightings or ()
                    _keep(out, lambda: write_log(log, sysroot, found, run.unfinished, seen, clock))
                if folder is not None and keeps:
                    news = found if since is None else findings(around.results, memories, grace=allowed, doubt=doubt)
                    _keep(out, lambda: run_hooks(out, news, memories, folder, log, sysroot))
        except (CmakeysError, OSError) as error:
            problem = from_oserror(error, str(error.filename or "")) if isinstance(error, OSError) else error
            if not answer_failure(out, problem, how.form):
                raise
            return
        seconds = time.monotonic() - started
        whole = Answered(
            found, held_against.now, seconds, run.unfinished, held_against.rootset, around.sightings, initrds, clock
        )
        answer(out, whole, how)


def _wanted(register: Register, words: Sequence[str], *, all_devices: bool) -> tuple[Target, ...]:
    from cmakeys.check import targets
    from cmakeys.errors import NotFound, UsageProblem

    if bool(words) == all_devices:
        raise UsageProblem("name the devices to check, or say --all", hint="cmakeys devices list shows their names")
    enrolled = register.devices()
    found = targets(words or [device.name for device in enrolled], enrolled)
    if not found:
        raise NotFound("no device is enrolled", object=str(register.path), hint="cmakeys devices enroll URL")
    return found


def _key(file: Path | None, wanted: Sequence[Target]) -> ProvisionedKey | None:
    from cmakeys.errors import UsageProblem
    from cmakeys.evidence.credentials import load_public_key

    if file is not None and (len(wanted) != 1 or wanted[0].enrolled is not None):
        raise UsageProblem(
            "a public key is given for the address of one device that is not enrolled",
            object="--public-key",
            hint="an enrolled device is checked by what it was enrolled with; enrol it anew with its new key",
        )
    return load_public_key(file)


def _keep(out: Output, record: Callable[[], None]) -> None:
    """Write the history or the log; where that fails, the verdicts stand, and bad ones decide the exit code."""
    from cmakeys.errors import CmakeysError

    try:
        record()
    except CmakeysError as error:
        out.problem(error)
