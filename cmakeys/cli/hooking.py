"""The hooks of a check: which folder they are in, and what is said when one of them does not do its work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cmakeys.callouts import PLACE, occasions, run
from cmakeys.cli.audience import Log
from cmakeys.cli.eventlogging import log_hooks
from cmakeys.cli.options import SYSTEM
from cmakeys.cli.output import Output, plain
from cmakeys.devices.enrolled import Memory
from cmakeys.errors import UsageProblem
from cmakeys.reports.json import device_line
from cmakeys.standing import Finding


def hook_folder(sysroot: Path, given: Path | None, *, none: bool) -> Path | None:
    """Where the hooks are that this run may run.

    None of a tree that is not the machine's own are, unless they are named: what is in there is somebody else's.
    """
    if given is not None and not given.is_dir():
        raise UsageProblem("there is no such folder", object=str(given), hint="make it, with on-change.d in it")
    if none:
        return None
    return given or (PLACE if sysroot == SYSTEM else None)


def run_hooks(
    out: Output, findings: Sequence[Finding], memories: Mapping[str, Memory], folder: Path, log: Log, sysroot: Path
) -> None:
    """Run the hooks that a run gives occasion for; the verdicts and the exit code stay what they are."""
    problems = run(occasions(findings, memories), folder, _facts)
    for problem in problems:
        out.warn(problem, hint="the verdicts stand; see HOOKS in cmakeys-check(8)")
    if problems:
        log_hooks(log, sysroot, problems)


def _facts(one: Finding) -> str:
    return json.dumps(plain(device_line(one)))
