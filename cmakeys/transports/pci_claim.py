"""May this run use a function's mailbox, and how it gets the function for itself: everything but the registers.

A mailbox has one connection. GET_VERSION, the first thing a requester says, ends whatever connection another one has;
and two requesters at once destroy each other's objects. So before the first register is touched:

* other runs of cmakeys are kept out by `flock` on the function's `config` file. The lock reaches as far as this sysfs
  does, which is every process of one network namespace; the kernel and other tools don't know it;
* the function is refused when it belongs to a virtual machine, or when the kernel's TSM holds a session with it. With
  `force` it is asked all the same: that is the admin's choice, since a driver can be bound without being used;
* it is refused without choice when the kernel's lockdown forbids writes to configuration space;
* it is kept awake (CMA-SPDM is for D0 only, PCIe r6.1 §6.31): `on` in power/control for the duration, then what stood
  there. A run that is killed leaves `on` behind, which costs power and nothing else.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cmakeys.errors import NotFound, NotPermitted, Refused, from_oserror
from cmakeys.lock import WAIT, exclusive
from cmakeys.transports.base import Deadline, TransportClosed

_READ_LIMIT = 4096
_PASSTHROUGH = ("vfio-pci", "pciback")
_ASLEEP = ("D1", "D2", "D3hot", "D3cold")
_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENOTTY})
_ALL_THE_SAME = "?force=1 behind the address asks it all the same: "


@contextmanager
def claimed(function: str, deadline: Deadline, *, sysfs: Path, force: bool = False) -> Iterator[Path]:
    """The folder of a function that is ours, awake and may be asked; given back at the end.

    Raises `NotFound`, `NotPermitted`, `Refused`, `Locked`, or `TransportClosed` for one that does not wake up.
    """
    folder = sysfs / "bus" / "pci" / "devices" / function
    if not folder.is_dir():
        raise NotFound("there is no such PCI function", object=function, hint="lspci -D lists them; is it plugged in?")
    _refuse_lockdown(sysfs, function)
    with _locked(folder, function, deadline):
        if not force:
            _refuse_passthrough(folder, function)
            _refuse_session(folder, function)
        with _awake(folder, function):
            yield folder


def _refuse_lockdown(sysfs: Path, function: str) -> None:
    state = _attribute(sysfs / "kernel" / "security" / "lockdown")
    if state and "[none]" not in state:
        raise NotPermitted(
            f"the kernel is locked down and forbids writing to configuration space ({state})",
            object=function,
            hint="a mailbox cannot be used from userspace then; let the kernel authenticate the device",
        )


def _refuse_passthrough(folder: Path, function: str) -> None:
    try:
        driver = (folder / "driver").readlink().name
    except FileNotFoundError:
        return
    except OSError as error:
        raise from_oserror(error, function) from error
    if driver.endswith(_PASSTHROUGH):
        raise Refused(
            f"its driver is {driver}: it belongs to a virtual machine",
            object=function,
            hint="let the guest check it, or unbind it first; "
            + _ALL_THE_SAME
            + "that ends the guest's SPDM connection, and exchanges of either side may fail",
        )


def _refuse_session(folder: Path, function: str) -> None:
    """Mainline's read-only `authenticated` names the TSM with a session; a writable one is the SPDM series' verdict."""
    authenticated = folder / "authenticated"
    named = _attribute(authenticated)
    if named and not _writable(authenticated):
        _refuse_holder(named, "authenticated", function)
    for name in ("tsm/connect", "tsm/bound"):
        holder = _attribute(folder / name)
        if holder:
            _refuse_holder(holder, name, function)


def _refuse_holder(holder: str, attribute: str, function: str) -> None:
    raise Refused(
        f"the kernel holds a session with it ({attribute} says {holder[:64]})",
        object=function,
        hint="end it first (write its name to tsm/disconnect); "
        + _ALL_THE_SAME
        + "that can end the session and with it the encryption of the link",
    )


@contextmanager
def _locked(folder: Path, function: str, deadline: Deadline) -> Iterator[None]:
    try:
        descriptor = os.open(folder / "config", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_oserror(error, function) from error
    try:
        with exclusive(descriptor, function, wait=min(WAIT, deadline.remaining())):
            yield
    finally:
        os.close(descriptor)


@contextmanager
def _awake(folder: Path, function: str) -> Iterator[None]:
    """Keep the function from sleeping: `auto` becomes `on`, which wakes it before the write returns."""
    control = folder / "power" / "control"
    before = _attribute(control)
    if before != "auto":
        _require_awake(folder, function)
        yield
        return
    _write(control, "on", function)
    try:
        _require_awake(folder, function)
        yield
    finally:
        with suppress(OSError):  # a function that is gone by now has no power to manage
            control.write_text(before, encoding="ascii")


def _require_awake(folder: Path, function: str) -> None:
    state = _attribute(folder / "power_state")
    runtime = _attribute(folder / "power" / "runtime_status")
    if state in _ASLEEP or runtime in ("suspended", "suspending", "error"):
        raise TransportClosed(
            f"it does not wake up (power state {state or 'unknown'}, {runtime or 'unknown'})",
            object=function,
            hint="bind its driver, or look at the kernel's log",
        )


def _writable(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    except FileNotFoundError:
        return False


def _attribute(path: Path) -> str:
    """The first line of a sysfs file; empty where the kernel has no such file or nothing to say in it."""
    try:
        with path.open("rb") as file:
            return file.read(_READ_LIMIT).decode("utf-8", "backslashreplace").strip()
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return ""
        raise from_oserror(error, str(path)) from error


def _write(path: Path, text: str, function: str) -> None:
    try:
        path.write_text(text, encoding="ascii")
    except OSError as error:
        raise from_oserror(error, function, hint="run as root: the device has to be woken up") from error
