"""What is on this machine's bus, for a check that looks for devices that moved and for new ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cmakeys.check import DEFAULT_JOBS, CheckResult, Conditions
from cmakeys.cli.options import SYSTEM
from cmakeys.devices.functions import list_functions
from cmakeys.devices.register import Register
from cmakeys.devices.scan import Speaks, scan
from cmakeys.devices.strangers import remember_strangers, strangers
from cmakeys.devices.sysfs import Sysfs
from cmakeys.errors import EnvironmentProblem
from cmakeys.whereabouts import Surroundings
from cmakeys.whereabouts import look_around as look

SYSFS = Path("/sys")


def bus(sysroot: Path) -> tuple[str, ...] | None:
    """The addresses of the PCI functions that are known to speak CMA-SPDM; no mailbox is touched to find out.

    None for a tree that is not the machine's own, and for a machine without a list.
    """
    if sysroot != SYSTEM:
        return None
    tree = Sysfs(SYSFS)
    try:
        functions = scan(tree, list_functions(tree))
    except EnvironmentProblem:
        return None
    return tuple(one.function.url for one in functions if one.speaks is Speaks.YES)


def look_around(
    sysroot: Path, register: Register, results: Sequence[CheckResult], conditions: Conditions, *, wholly: bool
) -> Surroundings:
    """Look for what moved and for strangers in a run over all devices; one over some of them is about these only."""
    places = bus(sysroot) if wholly else None
    if not wholly:
        return Surroundings(tuple(results))
    known = strangers(register.path)
    enrolled = [result.target.enrolled for result in results if result.target.enrolled is not None]
    around = look(places or (), results, enrolled, known, conditions, jobs=DEFAULT_JOBS)
    return Surroundings(around.results, around.sightings if places is not None else None)


def meet(register: Register, around: Surroundings) -> None:
    """Remember the strangers of a run, where there is anything to remember or to forget."""
    found = around.sightings
    if found is not None and (found or strangers(register.path)):
        remember_strangers(register.path, [one.stranger for one in found])
