"""What a verb that asks devices holds them against: the machine's roots, its policy, and one time for the whole run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cmakeys.check import Conditions
from cmakeys.cli.options import state_directory
from cmakeys.clock import newest_record
from cmakeys.config import load_config
from cmakeys.roots.store import RootStore


def conditions(sysroot: Path, state_dir: Path | None, timeout: float | None) -> Conditions:
    """The conditions of a run in the tree at `sysroot`; `timeout` in seconds stands for the configured one."""
    config = load_config(sysroot)
    seconds = config.timeout if timeout is None else timeout
    recorded = newest_record(state_directory(sysroot, state_dir))
    return Conditions(RootStore(sysroot).load(), config.policy, datetime.now(UTC), seconds, recorded=recorded)
