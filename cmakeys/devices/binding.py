"""Drivers and the functions they are bound to: the bus's switch, binding by hand, and what must never be without one.

With `drivers_autoprobe` at 0 the driver core binds nothing when a module is loaded. Whether a PCI device that comes is
bound to a driver that is loaded already depends on the kernel: 6.12 does so all the same, because its PCI core attaches
drivers without looking at the switch. What is written to `drivers_probe` is offered to the drivers that are loaded.

The functions that hold what is mounted are found from the mounts down through partitions, device mapper, md and
multipath. That walk is bounded, and a file system that leads to no function is named, because then nobody knows what
would be taken away.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cmakeys.devices.address import PciFunction
from cmakeys.devices.sysfs import Sysfs
from cmakeys.errors import UsageProblem

PROBE_SECONDS = 60.0
MAX_MOUNTS = 1 << 20
MAX_NODES = 256
IMPORTANT = frozenset({"/", "/usr", "/boot", "/boot/efi", "/efi", "/var", "/home", "/etc"})

_MULTIPATH = re.compile(r"(.*/nvme-subsystem/[^/]+)/nvme[0-9]+n[0-9]+(?:/.*)?")
_CONTROLLER = re.compile(r"nvme[0-9]+", re.ASCII)
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Essential:
    """Functions that the running machine stands on, each with what it holds, and mounts that led to none."""

    functions: Mapping[PciFunction, str]
    unresolved: tuple[str, ...] = ()


def autoprobe(sysfs: Sysfs) -> bool | None:
    """Whether the kernel binds drivers to PCI functions by itself; None when that cannot be read."""
    try:
        return {b"0": False, b"1": True}.get(sysfs.read(sysfs.root / "bus/pci/drivers_autoprobe", 16).strip())
    except OSError:
        return None


def set_autoprobe(sysfs: Sysfs, *, on: bool) -> None:
    """Have the kernel bind drivers by itself, or not. Raises `OSError`."""
    sysfs.write(sysfs.root / "bus/pci/drivers_autoprobe", b"1" if on else b"0", PROBE_SECONDS)


def probe(sysfs: Sysfs, function: PciFunction) -> None:
    """Offer a function to the drivers that are loaded; whether one takes it, its `driver` says. Raises `OSError`."""
    sysfs.write(sysfs.root / "bus/pci/drivers_probe", str(function).encode(), PROBE_SECONDS)


def path_functions(path: str) -> tuple[PciFunction, ...]:
    """The PCI functions in a path of sysfs, from the root port down."""
    return tuple(function for function in map(_function, path.split("/")) if function is not None)


def above(sysfs: Sysfs, function: PciFunction) -> tuple[PciFunction, ...]:
    """The bridges above a function, from the root down; empty when its place is not known."""
    return path_functions(os.path.realpath(sysfs.functions / str(function)))[:-1]


def is_removable(sysfs: Sysfs, function: PciFunction) -> bool:
    """Whether the firmware calls this function removable: it is behind a port that faces outwards."""
    return _says(sysfs, sysfs.functions / str(function) / "removable", b"removable")


def is_boot_display(sysfs: Sysfs, function: PciFunction) -> bool:
    """Whether the firmware's console is on this function."""
    return _says(sysfs, sysfs.functions / str(function) / "boot_vga", b"1")


def device_of(path: str) -> int | None:
    """The number of a block device by its path, or of the one that a file lies on; None when there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 a number is wanted, and a test gives another function
    except OSError:
        return None
    return status.st_rdev or status.st_dev


def essential(sysfs: Sysfs, mountinfo: bytes, swaps: bytes, device: Callable[[str], int | None]) -> Essential:
    """What the machine stands on, by the contents of /proc/self/mountinfo and /proc/swaps.

    `device` gives the number of the block device at, or under, a path.
    """
    found: dict[PciFunction, str] = {}
    unresolved: list[str] = []
    for what, number in (*_mounted(mountinfo, device), *_swapped(swaps, device)):
        functions = _holders(sysfs, number) if number is not None else set()
        if not functions:
            unresolved.append(what)
        for function in functions:
            found.setdefault(function, what)
    return Essential(found, tuple(unresolved))


def _mounted(mountinfo: bytes, device: Callable[[str], int | None]) -> Iterator[tuple[str, int | None]]:
    """Mount points that matter, with the number of what is mounted there: `36 35 98:0 / /mnt rw shared:1 - ext4 …`."""
    seen_root = False
    for line in mountinfo[:MAX_MOUNTS].decode("utf-8", "surrogateescape").splitlines():
        words = line.split(" ")
        if len(words) < 10 or "-" not in words[6:]:
            continue
        point = _unescape(words[4])
        if point not in IMPORTANT:
            continue
        separator = words.index("-", 6)
        source = words[separator + 2] if len(words) > separator + 2 else ""
        kind = words[separator + 1] if len(words) > separator + 1 else ""
        if kind in ("tmpfs", "ramfs", "rootfs", "autofs", "efivarfs"):
            seen_root |= point == "/"  # lives in memory: nothing holds it
            continue
        seen_root |= point == "/"
        major, _, minor = words[2].partition(":")
        if major.isdecimal() and minor.isdecimal() and 0 < int(major) < 1 << 12 and int(minor) < 1 << 20:
            yield point, os.makedev(int(major), int(minor))
        else:
            yield point, device(_unescape(source)) if source.startswith("/dev/") else None
    if not seen_root:
        yield "/", None


def _swapped(swaps: bytes, device: Callable[[str], int | None]) -> Iterator[tuple[str, int | None]]:
    for line in swaps[:MAX_MOUNTS].decode("utf-8", "surrogateescape").splitlines()[1:MAX_NODES]:
        name = _unescape(line.split()[0]) if line.split() else ""
        if name.startswith("/") and not name.startswith("/dev/zram"):
            yield f"swap {name}", device(name)


def _holders(sysfs: Sysfs, number: int) -> set[PciFunction]:
    """Every function that a block device lies on, with the bridges above."""
    start = os.path.realpath(sysfs.root / f"dev/block/{os.major(number)}:{os.minor(number)}")
    waiting, seen, found = [start], {start}, set[PciFunction]()
    while waiting and len(seen) <= MAX_NODES:
        path = waiting.pop()
        found.update(path_functions(path))
        for below in (*_parts(sysfs, Path(path)), *_controllers(sysfs, path)):
            if below not in seen:
                seen.add(below)
                waiting.append(below)
    return found


def _parts(sysfs: Sysfs, path: Path) -> Iterator[str]:
    """The disk of a partition, and what a dm or md device is made of."""
    if sysfs.mode(path / "partition") is not None:
        yield str(path.parent)
    for name in _names(sysfs, path / "slaves"):
        yield os.path.realpath(path / "slaves" / name)


def _controllers(sysfs: Sysfs, path: str) -> Iterator[str]:
    """The controllers of an NVMe name space with several paths, which is itself a virtual device."""
    match = _MULTIPATH.fullmatch(path)
    if match is not None:
        for name in _names(sysfs, Path(match[1])):
            if _CONTROLLER.fullmatch(name):
                yield os.path.realpath(Path(match[1]) / name)


def _names(sysfs: Sysfs, folder: Path) -> tuple[str, ...]:
    try:
        return sysfs.names(folder)[:MAX_NODES]
    except OSError:
        return ()


def _says(sysfs: Sysfs, path: Path, word: bytes) -> bool:
    try:
        return sysfs.read(path, 64).strip() == word
    except OSError:
        return False


def _function(name: str) -> PciFunction | None:
    try:
        function = PciFunction.parse(name)
    except UsageProblem:
        return None
    return function if str(function) == name else None


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
