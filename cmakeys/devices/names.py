"""Vendors and devices by name, from the PCI ids database where one is installed.

The database is a text file of a megabyte and a half, so it is read once, line by line, and only for the ids that are
wanted. Without it devices have numbers, and nothing else changes.

    10de  NVIDIA Corporation
    <tab>2336  GH100 [H200 NVL]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cmakeys.devices.sysfs import read_attribute

DATABASES = (Path("/usr/share/misc/pci.ids"), Path("/usr/share/hwdata/pci.ids"))
MAX_DATABASE_SIZE = 16 * 1024 * 1024
MAX_NAME = 128

_LINE = re.compile(rb"(\t?)([0-9a-f]{4})  ([^\n]+)")


@dataclass(frozen=True, slots=True)
class DeviceNames:
    """The names found, by vendor id, and by vendor and device id."""

    vendors: Mapping[int, str] = field(default_factory=dict)
    devices: Mapping[tuple[int, int], str] = field(default_factory=dict)

    def name(self, vendor: int | None, device: int | None) -> str:
        """A device in words, or its numbers where no name is known."""
        if vendor is None or device is None:
            return "unknown"
        maker = self.vendors.get(vendor)
        model = self.devices.get((vendor, device))
        if maker is None:
            return f"{vendor:04x}:{device:04x}"
        return f"{maker} {model}" if model else f"{maker} {device:04x}"


def device_names(wanted: Iterable[tuple[int, int]], databases: Sequence[Path] = DATABASES) -> DeviceNames:
    """The names of these vendor and device ids, from the first database that can be read; never raises."""
    pairs = frozenset(wanted)
    for path in databases:
        data = _contents(path)
        if data:
            return parse_names(data, pairs)
    return DeviceNames()


def parse_names(data: bytes, wanted: frozenset[tuple[int, int]]) -> DeviceNames:
    """The names of `wanted` in a database; lines that are none of a vendor or a device are passed over."""
    interesting = {vendor for vendor, _ in wanted}
    vendors: dict[int, str] = {}
    devices: dict[tuple[int, int], str] = {}
    vendor = -1
    for line in data.split(b"\n"):
        if line[:1] in (b"#", b"") or line[:2] == b"\t\t":
            continue
        match = _LINE.fullmatch(line.rstrip(b"\r"))
        if match is None:
            vendor = -1 if line[:1] != b"\t" else vendor
            continue
        number, name = int(match[2], 16), match[3].decode("utf-8", "replace").strip()[:MAX_NAME]
        if not match[1]:
            vendor = number
            if vendor in interesting:
                vendors.setdefault(vendor, name)
        elif (vendor, number) in wanted:
            devices.setdefault((vendor, number), name)
    return DeviceNames(vendors, devices)


def _contents(path: Path) -> bytes:
    """The file, or nothing where it is missing, unreadable, no file or larger than such a database is."""
    try:
        data = read_attribute(path.resolve(), MAX_DATABASE_SIZE)
    except OSError:
        return b""
    return data if len(data) <= MAX_DATABASE_SIZE else b""
