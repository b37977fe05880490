"""Dates on the command line, and by what those of roots are judged: the policy, and a clock that can be believed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cmakeys.cli.options import state_directory
from cmakeys.clock import newest_record
from cmakeys.config import load_config
from cmakeys.devices.retention import Retention
from cmakeys.errors import UsageProblem
from cmakeys.verify.clock import ClockReading, clock_fault
from cmakeys.x509.horizon import Expiry


def root_dates(sysroot: Path, state_dir: Path | None, now: datetime) -> tuple[Expiry, str]:
    """The horizons of roots, and why `now` cannot be right, in words; empty where nothing shows that."""
    expiry = load_config(sysroot).policy.root_expiry
    return expiry, clock_fault(now, newest_record(state_directory(sysroot, state_dir)))


def a_date(text: str, option: str) -> datetime:
    """The moment that was typed behind an option, in UTC; a day is its first moment. Raises `UsageProblem`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageProblem(
            f"{text[:40]!r} is not a date", object=option, hint="as 2027-01-31, or 2027-01-31T12:00:00Z"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def believable_retention(retention: Retention, reading: ClockReading) -> Retention:
    """A retention by a clock: one that is wrong or doubtful does not say what is old."""
    return retention if reading.plausible else replace(retention, days=None)
