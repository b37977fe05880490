"""Telling the systemd that runs this machine about units that came or went."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cmakeys.errors import EnvironmentProblem, UsageProblem
from cmakeys.schedule.plan import TIMER

RUNNING = Path("/run/systemd/system")
SECONDS = 60


def is_running() -> bool:
    """Whether systemd is what runs this machine (sd_booted(3))."""
    return RUNNING.is_dir()


def start_timer() -> None:
    """Have the units read again and the timer started. Raises `EnvironmentProblem`."""
    _systemctl("daemon-reload")
    _systemctl("restart", TIMER)


def stop_timer() -> None:
    """Stop the timer, while its unit is still there. Raises `EnvironmentProblem`."""
    _systemctl("stop", TIMER)


def forget() -> None:
    """Have the units read again. Raises `EnvironmentProblem`."""
    _systemctl("daemon-reload")


def next_run() -> str:
    """When the timer fires next, in systemd's words; empty where it does not or nobody says."""
    try:
        return _systemctl("show", TIMER, "--property=NextElapseUSecRealtime", "--value").strip()[:80]
    except EnvironmentProblem:
        return ""


def check_calendar(when: str) -> bool:
    """Whether systemd says that it understands a time; false where there is nobody to ask.

    Raises `UsageProblem` for one that it does not: the timer would be refused, and no check would ever run.
    """
    try:
        done = subprocess.run(
            ["systemd-analyze", "calendar", "--", when], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    if done.returncode:
        hint = "an expression of systemd.time(7): daily, or '*-*-* 02:30'"
        raise UsageProblem("systemd does not understand this time", object=when, hint=hint)
    return True


def _systemctl(*words: str) -> str:
    command = ["systemctl", *words]
    hint = f"then by hand: {' '.join(command)}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentProblem(str(error), object="systemctl", hint=hint) from error
    if done.returncode:
        raise EnvironmentProblem(done.stderr.strip()[:500] or "failed", object=" ".join(command), hint=hint)
    return done.stdout
