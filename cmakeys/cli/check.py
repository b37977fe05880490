"""`cmakeys check`: are the devices still the ones that were enrolled, and do they still deserve their trust?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import (
    SYSTEM,
    CrlOption,
    DryRun,
    Json,
    KernelOption,
    OcspOption,
    StateDir,
    Sysroot,
    state_directory,
)
from cmakeys.cli.output import Output, verb

if TYPE_CHECKING:
    from cmakeys.check import CheckResult, Target
    from cmakeys.devices.register import Register

app = noun_app("Check devices against their roots and their enrolment.")

TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", min=0.1, max=3600, metavar="SECONDS", help="Time for one device, all attempts together."),
]


@app.command()
def check(
    devices: Annotated[
        list[str] | None, typer.Argument(metavar="[DEVICE]...", help="Names of enrolled devices, or addresses.")
    ] = None,
    all_devices: Annotated[bool, typer.Option("--all", help="Check every enrolled device.")] = False,
    nagios: Annotated[bool, typer.Option("--nagios", help="Answer as a monitoring plugin does.")] = False,
    unreachable_critical: Annotated[
        bool, typer.Option("--unreachable-critical", help="With --nagios, take unreachable for critical, not unknown.")
    ] = False,
    timeout: TimeoutOption = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, max=1024, help="Devices to ask at the same time (64)."),
    ] = None,
    crl: CrlOption = None,
    ocsp: OcspOption = None,
    kernel: KernelOption = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Check devices, and keep the verdicts on enrolled ones in their history.

    Leaves with 0 when all pass, 1 when one is rejected, 6 when one could not be reached, 5 when one speaks no CMA-SPDM.
    """
    with verb("check", json=json) as out:
        from cmakeys.check import DEFAULT_JOBS
        from cmakeys.check import check as run
        from cmakeys.cli.conditions import conditions
        from cmakeys.devices.register import Register
        from cmakeys.errors import CmakeysError, UsageProblem
        from cmakeys.standing import findings, history

        if nagios and json:
            raise UsageProblem("--nagios and --json are two forms of one answer", hint="choose one of them")
        try:
            register = Register(state_directory(sysroot, state_dir))
            wanted = _wanted(register, devices or (), all_devices=all_devices)
            held_against = conditions(sysroot, state_dir, timeout, [*(crl or ()), *(ocsp or ())], kernel=kernel)
            results = run(wanted, held_against, jobs=jobs or DEFAULT_JOBS)
        except (CmakeysError, OSError) as error:
            if not nagios:
                raise
            _nagios_failure(out, error)
            return
        _report(out, results, nagios=nagios, unreachable_critical=unreachable_critical)
        if not dry_run:
            _keep(out, lambda: register.record(history(findings(results, register.memories()))))


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


def _report(out: Output, results: Sequence[CheckResult], *, nagios: bool, unreachable_critical: bool) -> None:
    from cmakeys.reports.json import check_data
    from cmakeys.reports.nagios import report
    from cmakeys.reports.text import check_report
    from cmakeys.standing import worst

    named = [(result.target.name, result.verdict) for result in results]
    if nagios:
        answer = report(named, unreachable_is_critical=unreachable_critical)
        out.show(*answer.lines)
        out.exit_code = answer.exit_code
        return
    out.data = check_data(named)
    for line in check_report(named):
        out.show(line.text, tone=line.tone)
    out.exit_code = int(worst(verdict.outcome for _, verdict in named).exit_code) or None


def _keep(out: Output, record: Callable[[], None]) -> None:
    """Write the history; where that fails, the verdicts stand all the same, and bad ones decide the exit code."""
    from cmakeys.errors import CmakeysError

    try:
        record()
    except CmakeysError as error:
        out.problem(error)


def _nagios_failure(out: Output, error: Exception) -> None:
    from cmakeys.errors import CmakeysError, from_oserror
    from cmakeys.reports.nagios import failure

    if isinstance(error, OSError):
        error = from_oserror(error, str(error.filename or ""))
    if isinstance(error, CmakeysError):
        answer = failure(error)
        out.show(*answer.lines)
        out.exit_code = answer.exit_code
