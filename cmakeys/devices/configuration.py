"""A function's configuration space as sysfs shows it: which capabilities it has, and its serial number.

Only root sees more than the first 64 bytes, and the extended capabilities begin at 256; so what can be said depends on
who asks, and "not readable" is another answer than "not there". The size of the file is the kernel's knowledge of the
function and visible to everybody: with 256 bytes there are no extended capabilities at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cmakeys.devices.sysfs import Sysfs

EXTENDED_OFFSET = 0x100
EXTENDED_SIZE = 0x1000
CAPABILITY_SERIAL_NUMBER = 0x0003
CAPABILITY_DOE = 0x002E

_HEADER_TYPE = 0x0E
_MAX_CAPABILITIES = (EXTENDED_SIZE - EXTENDED_OFFSET) // 8


@dataclass(frozen=True, slots=True)
class ConfigurationSpace:
    """The bytes that could be read, and how many there are.

    `size` is 256 for a conventional function and 4096 for one with extended capabilities; `problem` says in words why
    fewer could be read than there are.
    """

    data: bytes
    size: int
    problem: str = ""

    @classmethod
    def read(cls, sysfs: Sysfs, folder: Path) -> ConfigurationSpace:
        """What the caller may see of a function's configuration space; never raises."""
        path = folder / "config"
        try:
            size = min(path.stat().st_size, EXTENDED_SIZE)
            data = sysfs.read(path, EXTENDED_SIZE)[:EXTENDED_SIZE]
        except OSError as error:
            return cls(b"", EXTENDED_SIZE, f"configuration space cannot be read: {error.strerror}")
        if len(data) < size:
            return cls(data, size, f"only {len(data)} of {size} bytes of configuration space can be read without root")
        return cls(data, max(size, len(data)))

    @property
    def header_type(self) -> int | None:
        """The layout of the header, 0 for an endpoint; None when it could not be read."""
        return self.data[_HEADER_TYPE] & 0x7F if len(self.data) > _HEADER_TYPE else None

    @property
    def extended_known(self) -> bool:
        """Whether it is known which extended capabilities there are."""
        return self.size <= EXTENDED_OFFSET or (not self.problem and len(self.data) == EXTENDED_SIZE)

    def extended_capabilities(self) -> Iterator[tuple[int, int]]:
        """Each extended capability's number and offset.

        The list is the device's own, so it is followed for at most as many steps as there is room for entries, and
        only within the bytes that were read.
        """
        offset = EXTENDED_OFFSET
        for _ in range(_MAX_CAPABILITIES):
            if offset < EXTENDED_OFFSET or offset % 4 or offset + 4 > len(self.data):
                return
            header = int.from_bytes(self.data[offset : offset + 4], "little")
            if header in (0, 0xFFFFFFFF):
                return
            yield header & 0xFFFF, offset
            offset = header >> 20

    @property
    def has_mailbox(self) -> bool | None:
        """Whether there is a Data Object Exchange mailbox; None when that could not be seen."""
        if not self.extended_known:
            return None
        return any(number == CAPABILITY_DOE for number, _ in self.extended_capabilities())

    def serial_number(self) -> int | None:
        """The Device Serial Number, upper dword first; None without one. Ask `extended_known` first."""
        for number, offset in self.extended_capabilities():
            if number == CAPABILITY_SERIAL_NUMBER and offset + 12 <= len(self.data):
                return int.from_bytes(self.data[offset + 4 : offset + 12], "little") or None
        return None
