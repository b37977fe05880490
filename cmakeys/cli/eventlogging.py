"""What a check writes to the system's log, and which one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cmakeys.cli.audience import Log
from cmakeys.eventlog import JOURNAL, SYSLOG, send
from cmakeys.images.freshness import Initrds
from cmakeys.reports.clock import ClockNotice
from cmakeys.reports.events import Event, events, hook_events, initrd_events, journal_datagram, syslog_datagram
from cmakeys.reports.machine_events import clock_events, stranger_events
from cmakeys.running import Mark
from cmakeys.standing import Finding
from cmakeys.whereabouts import Sighting


def write_log(
    log: Log,
    sysroot: Path,
    findings: Sequence[Finding],
    unfinished: Mark | None,
    sightings: Sequence[Sighting] = (),
    clock: ClockNotice | None = None,
) -> None:
    """Log a run where it was asked for. Raises `EnvironmentProblem` when that cannot be done."""
    beside = (*clock_events(clock), *stranger_events(sightings))
    _write(log, sysroot, (*beside, *events(findings, unfinished)))


def log_hooks(log: Log, sysroot: Path, problems: Sequence[str]) -> None:
    """Log hooks that were not run or failed. Raises as `write_log` does."""
    _write(log, sysroot, hook_events(problems))


def log_initrds(log: Log, sysroot: Path, found: Initrds, *, news: bool) -> None:
    """Log initrds that are out of step. Raises as `write_log` does."""
    entries = initrd_events(found, news=news)
    if entries:
        _write(log, sysroot, entries)


def _write(log: Log, sysroot: Path, entries: Sequence[Event]) -> None:
    match log:
        case Log.JOURNAL:
            send(sysroot / JOURNAL, [journal_datagram(event) for event in entries])
        case Log.SYSLOG:
            send(sysroot / SYSLOG, [syslog_datagram(event, os.getpid()) for event in entries])
