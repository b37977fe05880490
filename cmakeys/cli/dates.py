"""By what the dates of roots are judged on a machine: its policy, and whether its clock can be believed."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cmakeys.cli.options import state_directory
from cmakeys.clock import newest_record
from cmakeys.config import load_config
from cmakeys.verify.clock import clock_fault
from cmakeys.x509.horizon import Expiry


def root_dates(sysroot: Path, state_dir: Path | None, now: datetime) -> tuple[Expiry, str]:
    """The horizons of roots, and why `now` cannot be right, in words; empty where nothing shows that."""
    expiry = load_config(sysroot).policy.root_expiry
    return expiry, clock_fault(now, newest_record(state_directory(sysroot, state_dir)))
