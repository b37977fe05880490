"""One run of the bind guard: functions without a driver to decisions, and decisions to drivers.

A function that has a driver is left alone: taking one away from a device in use does more harm than the device could
have done since. How a device is asked is the caller's choice (`Ask`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cmakeys.bindguard.decision import By, Decision, Guard, Standing, Subject, after_asking, before_asking, listed
from cmakeys.devices.binding import Essential, above, is_boot_display, is_removable, probe
from cmakeys.devices.functions import FunctionEntry, list_functions
from cmakeys.devices.kernel import Authenticated, error_words, read_verdict
from cmakeys.devices.reauthentication import RecheckOutcome, reauthenticate
from cmakeys.devices.sysfs import Sysfs

SWITCH = "cmakeys.bindguard=off"

Ask = Callable[[FunctionEntry], Standing]


@dataclass(frozen=True, slots=True)
class Action:
    """What was decided about a function and what came of it; `driver` is the one it has now."""

    entry: FunctionEntry
    decision: Decision
    driver: str | None = None
    problem: str = ""

    @property
    def line(self) -> str:
        """One line for the log."""
        head = f"bind-guard: {self.entry.address}: {'bind' if self.decision.bind else 'hold'}: {self.decision.reason}"
        if self.problem:
            return f"{head}; not bound: {self.problem}"
        if not self.decision.bind:
            return head
        return f"{head}; driver {self.driver}" if self.driver else f"{head}; no driver wants it"


def switched_off(command_line: bytes) -> bool:
    """Whether the kernel's command line, the contents of /proc/cmdline, switches the guard off."""
    return SWITCH.encode() in command_line[: 1 << 16].split()


def subject(sysfs: Sysfs, entry: FunctionEntry) -> Subject:
    """A function and where it stands."""
    bridges = above(sysfs, entry.address)
    removable = any(is_removable(sysfs, function) for function in (entry.address, *bridges))
    return Subject(entry, bridges, removable, is_boot_display(sysfs, entry.address))


def guarded(sysfs: Sysfs, guard: Guard) -> tuple[tuple[FunctionEntry, str], ...]:
    """The functions that are listed, each with the entry that lists it."""
    found = ((entry, listed(guard, subject(sysfs, entry))) for entry in list_functions(sysfs))
    return tuple((entry, why) for entry, why in found if why)


def kernel_standing(sysfs: Sysfs, entry: FunctionEntry, seconds: float, *, ask: bool = True) -> Standing:
    """What the kernel says of a device when it is asked now or, without `ask`, what it has said before."""
    if not ask:
        return {
            Authenticated.SUCCEEDED: Standing.TRUSTED,
            Authenticated.FAILED: Standing.REJECTED,
            Authenticated.UNDETERMINED: Standing.UNREACHABLE,
        }.get(read_verdict(sysfs, entry.folder).state, Standing.UNSUPPORTED)
    outcome = reauthenticate(sysfs, entry, seconds).cause.outcome
    return {
        RecheckOutcome.AUTHENTICATED: Standing.TRUSTED,
        RecheckOutcome.REJECTED: Standing.REJECTED,
        RecheckOutcome.UNSUPPORTED: Standing.UNSUPPORTED,
    }.get(outcome, Standing.UNREACHABLE)


def run(
    sysfs: Sysfs,
    entries: Sequence[FunctionEntry],
    guard: Guard,
    essential: Essential,
    ask: Mapping[By, Ask],
    *,
    off: bool,
    dry_run: bool,
) -> tuple[Action, ...]:
    """Decide about each function that has no driver, and bind those that may have one."""
    return tuple(
        _act(sysfs, one, _decide(sysfs, one, guard, essential, ask, off=off), dry_run=dry_run)
        for one in entries
        if one.driver is None
    )


def too_late(
    sysfs: Sysfs, entries: Sequence[FunctionEntry], guard: Guard, essential: Essential, *, off: bool
) -> tuple[FunctionEntry, ...]:
    """Those that would have had to show that they are trusted, but have a driver already."""
    return tuple(
        one
        for one in entries
        if one.driver is not None and before_asking(guard, subject(sysfs, one), essential, off=off) is None
    )


def _decide(
    sysfs: Sysfs, entry: FunctionEntry, guard: Guard, essential: Essential, ask: Mapping[By, Ask], *, off: bool
) -> Decision:
    decision = before_asking(guard, subject(sysfs, entry), essential, off=off)
    if decision is not None:
        return decision
    standings: dict[By, Standing] = {}
    for source in (By.CHECK, By.KERNEL):
        if guard.by in (source, By.EITHER) and Standing.TRUSTED not in standings.values():
            standings[source] = ask[source](entry)
    return after_asking(guard, standings)


def _act(sysfs: Sysfs, entry: FunctionEntry, decision: Decision, *, dry_run: bool) -> Action:
    if not decision.bind or dry_run:
        return Action(entry, decision)
    try:
        probe(sysfs, entry.address)
    except OSError as error:
        return Action(entry, decision, problem=error_words(error))
    after = next((one for one in list_functions(sysfs) if one.address == entry.address), None)
    return Action(entry, decision, after.driver if after else None)
