"""What follows a change of roots in the kernel: devices are authenticated again, and it is said what that changed.

The kernel looks at its keyring when it authenticates a device and not afterwards, so a change has no effect on devices
that are there already. Here the two meet: the keyring, which knows that roots changed, and the devices, which know how
to ask the kernel again. By then the change is made. Nothing that happens here takes it back or turns it into a failure:
a device that is no longer believed may be what was wanted, and whether it is, `check` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.output import Output
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.devices.functions import FunctionEntry
    from cmakeys.devices.sysfs import Sysfs
    from cmakeys.keyring.cma import Keyring

CMA_NAME = ".cma"


class Recheck(Enum):
    """Which devices the kernel is asked about again."""

    ALL = "all"
    FAILED = "failed"
    NONE = "none"


RecheckOption = Annotated[
    Recheck | None,
    typer.Option(
        "--recheck",
        help="Which devices the kernel authenticates again after a change: failed for .cma, none for other keyrings.",
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option("--timeout", min=0.1, max=3600, metavar="SECONDS", help="Time for authenticating one function again."),
]


def choice(wanted: Recheck | None, ring: Keyring) -> Recheck:
    """What is asked for, or else what makes sense: devices are authenticated against `.cma` and no other keyring."""
    if wanted is not None:
        return wanted
    return Recheck.FAILED if ring.info.description == CMA_NAME else Recheck.NONE


def recheck_devices(out: Output, which: Recheck, seconds: float, sysfs: Path, *, dry_run: bool) -> dict[str, object]:
    """Have the kernel authenticate the devices again and show what came of it; the part of the verb's data about it.

    Silent on a machine that has no device which its kernel authenticates.
    """
    import secrets

    from cmakeys.devices.reauthentication import RecheckOutcome, reauthenticate_all
    from cmakeys.devices.sysfs import Sysfs
    from cmakeys.reports.functions import recheck_data, recheck_report

    tree = Sysfs(sysfs)
    chosen = _affected(out, tree, which)
    if dry_run:
        for entry in chosen:
            out.show(f"would have {entry.address} authenticated again", tone=Tone.NOTE)
        return {"which": which, "functions": [str(entry.address) for entry in chosen], "attempts": []}
    attempts = reauthenticate_all(tree, chosen, seconds, secrets.token_bytes)
    for attempt in attempts:
        for line in recheck_report(attempt):
            out.show(line.text, tone=line.tone)
    for attempt in attempts:
        cause = attempt.cause
        if cause.outcome is not RecheckOutcome.AUTHENTICATED:
            out.warn(f"not authenticated: {cause.words}", object=str(attempt.function.address), hint=cause.hint)
    return {
        "which": which,
        "functions": [str(attempt.function.address) for attempt in attempts],
        "attempts": [recheck_data(attempt, None) for attempt in attempts],
    }


def _affected(out: Output, tree: Sysfs, which: Recheck) -> Sequence[FunctionEntry]:
    """The functions to ask about: those whose kernel knows the command, and of these all or the ones that failed."""
    from cmakeys.devices.functions import list_functions
    from cmakeys.devices.kernel import Authenticated, read_verdict
    from cmakeys.errors import EnvironmentProblem

    if which is Recheck.NONE:
        return ()
    try:
        entries = list_functions(tree)
    except EnvironmentProblem as problem:
        out.warn(f"no device was authenticated again: {problem.message}", object=problem.object)
        return ()
    verdicts = [(entry, read_verdict(tree, entry.folder)) for entry in entries]
    return [
        entry
        for entry, verdict in verdicts
        if verdict.can_repeat and (which is Recheck.ALL or verdict.state is not Authenticated.SUCCEEDED)
    ]
