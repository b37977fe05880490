"""Probes of what this user may do, of the PCI functions, and of the clock."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from cmakeys.devices.configuration import ConfigurationSpace
from cmakeys.devices.functions import list_functions
from cmakeys.devices.kernel import Authenticated
from cmakeys.devices.scan import ScannedFunction, Speaks, scan
from cmakeys.devices.sysfs import Sysfs
from cmakeys.doctor.model import Finding, Group, Severity
from cmakeys.verify.clock import CLOCK_HINT

CAP_SYS_ADMIN = 21
PASSTHROUGH = ("vfio-pci", "pciback")
SHOWN = 3

_UNSYNCHRONISED = 0x40
_TIMEX = struct.Struct("@Illlli")
_TIMEX_ROOM = 1024


def capabilities(status: Path = Path("/proc/self/status")) -> Iterator[Finding]:
    """Who runs this, and whether with CAP_SYS_ADMIN."""
    uid = os.geteuid()
    with status.open("rb") as stream:
        lines = stream.read(1 << 16).splitlines()
    effective = next((int(line[7:], 16) for line in lines if line.startswith(b"CapEff:")), None)
    if effective is None:
        yield _rights("user", Severity.UNKNOWN, f"user id {uid}; its capabilities are not told")
    elif effective >> CAP_SYS_ADMIN & 1:
        yield _rights("user", Severity.GOOD, f"user id {uid} with CAP_SYS_ADMIN")
    else:
        yield _rights(
            "user",
            Severity.NOTE,
            f"user id {uid} without CAP_SYS_ADMIN",
            "of configuration space it sees 64 bytes, so it can neither see nor ask a mailbox",
            "sudo cmakeys doctor",
        )


def configuration_space(sysfs: Sysfs) -> Iterator[Finding]:
    """Whether the extended capabilities can be read, tried on the functions that have them."""
    spaces = [ConfigurationSpace.read(sysfs, entry.folder) for entry in list_functions(sysfs)]
    blind = [space for space in spaces if not space.extended_known]
    if not spaces:
        yield _rights("config-space", Severity.NOTE, "configuration space: there is no PCI function to try it on")
    elif blind:
        message = f"configuration space of {len(blind)} of {len(spaces)} functions: {blind[0].problem or 'no answer'}"
        yield _rights(
            "config-space", Severity.WARNING, message, "a mailbox there would not be seen", "sudo cmakeys doctor"
        )
    else:
        yield _rights("config-space", Severity.GOOD, f"configuration space of all {len(spaces)} functions can be read")


def writable(code: str, folder: Path) -> Callable[[], Iterator[Finding]]:
    """A probe whether this user may write to a folder, or make it; nothing is written."""

    def look() -> Iterator[Finding]:
        place = folder
        while not place.exists() and place != place.parent:
            place = place.parent
        made = "" if place == folder else ", which does not exist yet"
        if not place.is_dir():
            yield _rights(code, Severity.BAD, f"{place} is no folder", f"{folder} cannot be used", f"ls -ld {place}")
        elif os.access(place, os.W_OK | os.X_OK, effective_ids=True):
            yield _rights(code, Severity.GOOD, f"{folder}{made}: may be written")
        else:
            yield _rights(
                code,
                Severity.NOTE,
                f"{folder}{made}: may not be written",
                "this user can look and not change",
                "run what changes something as root: sudo cmakeys roots add FILE",
            )

    return look


def devices(sysfs: Sysfs) -> Iterator[Finding]:
    """Which functions can be asked, and what stands in the way. No mailbox is asked."""
    entries = list_functions(sysfs)
    found = scan(sysfs, entries)
    speaking = [one for one in found if one.speaks is Speaks.YES]
    unknown = [one for one in found if one.speaks is Speaks.UNKNOWN]
    counted = f"{len(speaking)} of {len(found)} PCI functions"
    if speaking:
        yield _devices("cma", Severity.GOOD, f"{counted} speak CMA-SPDM: {_names(speaking)}")
    else:
        more = f"; of {len(unknown)} it is unknown" if unknown else ""
        yield _devices(
            "cma",
            Severity.NOTE,
            f"{counted} are known to speak CMA-SPDM{more}",
            "" if unknown else "there is nothing here that could authenticate itself",
            "sudo cmakeys devices scan --all" if unknown else "cmakeys devices scan --all",
        )
    if speaking and unknown:
        yield _devices(
            "unknown",
            Severity.NOTE,
            f"of {len(unknown)} it is unknown: {unknown[0].reason}",
            "",
            "sudo cmakeys devices scan --all",
        )
    mattering = [one for one in found if one.noteworthy]
    asleep = [one for one in mattering if _power(sysfs, one).startswith("D3")]
    if asleep:
        yield _devices(
            "asleep",
            Severity.WARNING,
            f"in D3: {_names(asleep)}",
            "a device that sleeps does not answer",
            f"echo on > {asleep[0].function.folder}/power/control",
        )
    passed = [one for one in mattering if one.function.driver in PASSTHROUGH]
    if passed:
        yield _devices(
            "passthrough",
            Severity.WARNING,
            f"given to a virtual machine: {_names(passed)}",
            "its guest owns the mailbox; check it there",
            "cmakeys check, inside the guest",
        )
    held = [one for one in mattering if one.verdict.state is Authenticated.SESSION]
    if held:
        yield _devices(
            "tsm",
            Severity.WARNING,
            f"held by the platform's TSM: {_names(held)}",
            "a session of our own could end the TSM's, so such a device is not asked",
            "cmakeys devices kernel " + str(held[0].function.address),
        )
    doubtful = [one for one in mattering if one.verdict.state is Authenticated.UNDETERMINED]
    if doubtful:
        yield _devices(
            "downgrade",
            Severity.WARNING,
            f"the kernel could not find out: {_names(doubtful)}",
            "possibly somebody between device and kernel",
            "cmakeys devices recheck --all",
        )
    failed = [one for one in mattering if one.verdict.state is Authenticated.FAILED]
    if failed:
        yield _devices(
            "failed",
            Severity.BAD,
            f"the kernel does not authenticate {_names(failed)}",
            "its last attempt failed",
            "cmakeys devices kernel " + str(failed[0].function.address),
        )


def _power(sysfs: Sysfs, one: ScannedFunction) -> str:
    try:
        return sysfs.read(one.function.folder / "power_state", 16).decode("ascii", "replace")
    except OSError:
        return ""


def _names(found: list[ScannedFunction]) -> str:
    names = ", ".join(str(one.function.address) for one in found[:SHOWN])
    return names if len(found) <= SHOWN else f"{names} and {len(found) - SHOWN} more"


def clock(now: datetime, fault: str, doubt: str, record: str) -> Iterator[Finding]:
    """The clock against what was recorded here; `fault` says why it cannot be right, `doubt` why it may be wrong."""
    if fault:
        yield Finding(Group.CLOCK, "clock", Severity.BAD, fault, "no date is judged until it is right", CLOCK_HINT)
    elif doubt:
        told = "what the dates say of a device is no news until it is accepted"
        yield Finding(Group.CLOCK, "clock", Severity.WARNING, doubt, told, CLOCK_HINT)
    else:
        yield Finding(Group.CLOCK, "clock", Severity.GOOD, f"{now:%Y-%m-%d %H:%M}Z, not before {record}")


def synchronised() -> Iterator[Finding]:
    """Whether the kernel says that something keeps its clock right, by adjtimex(2)."""
    buffer = ctypes.create_string_buffer(_TIMEX_ROOM)
    if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "adjtimex")
    if _TIMEX.unpack_from(buffer)[-1] & _UNSYNCHRONISED:
        yield Finding(
            Group.CLOCK,
            "synchronised",
            Severity.NOTE,
            "the kernel's clock is not synchronised",
            "dates of certificates are judged by it; it may be right all the same",
            "timedatectl",
        )
    else:
        yield Finding(Group.CLOCK, "synchronised", Severity.GOOD, "the kernel's clock is synchronised")


def _rights(code: str, severity: Severity, message: str, meaning: str = "", action: str = "") -> Finding:
    return Finding(Group.RIGHTS, code, severity, message, meaning, action)


def _devices(code: str, severity: Severity, message: str, meaning: str = "", action: str = "") -> Finding:
    return Finding(Group.DEVICES, code, severity, message, meaning, action)
