"""A PCI function's configuration space, one dword at a time, and the list of its extended capabilities.

Whoever needs registers (the DOE mailbox, the function's identity) works on the small Protocol `ConfigSpace`, so that
the same code runs on the kernel's `config` file, on QEMU's test socket and on a simulation. A register is always read
and written whole: the kernel turns one aligned four-byte access into one access on the bus, and that is the cost that
counts.

A function that has left the bus answers every read with ones. Trouble is a `Temporary` problem (the function is gone)
or `NotPermitted`; nothing here says anything about the device.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from cmakeys.errors import EnvironmentProblem, NotPermitted, from_oserror
from cmakeys.transports.base import TransportClosed

CONVENTIONAL_SIZE = 0x100
EXTENDED_SIZE = 0x1000
ALL_ONES = 0xFFFFFFFF

_DWORD = struct.Struct("<I")
_OPEN_TO_EVERYBODY = 64
_SMALLEST_CAPABILITY = 8
_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.EIO, errno.ENOENT})


class ConfigSpace(Protocol):
    """The registers of one PCI function. `size` is 256, or 4096 where there is extended space."""

    @property
    def name(self) -> str:
        """What messages call the function."""
        ...

    @property
    def size(self) -> int:
        """Bytes of configuration space."""
        ...

    def read32(self, offset: int) -> int:
        """Read the dword at a multiple of four below `size`."""
        ...

    def write32(self, offset: int, value: int) -> None:
        """Write the dword at a multiple of four below `size`."""
        ...

    def close(self) -> None:
        """Let go of it; never raises, and may be called twice."""
        ...


class SysfsConfig:
    """The kernel's `config` file of a function, opened for reading and writing."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self._size = os.fstat(descriptor).st_size

    @classmethod
    def open(cls, path: Path, name: str) -> Self:
        """Open the file; `NotPermitted` for whoever is not root."""
        try:
            return cls(os.open(path, os.O_RDWR | os.O_CLOEXEC), name)
        except OSError as error:
            raise _trouble(error, name, "run as root: a mailbox is worked by writing to configuration space") from error

    @property
    def name(self) -> str:
        """What messages call the function."""
        return self._name

    @property
    def size(self) -> int:
        """Bytes of configuration space, as the kernel knows them."""
        return self._size

    def read32(self, offset: int) -> int:
        """Read one dword."""
        try:
            data = os.pread(self._descriptor, _DWORD.size, offset)
        except OSError as error:
            raise _trouble(error, self._name, "") from error
        if len(data) < _DWORD.size:
            raise NotPermitted(
                f"configuration space ends at offset {offset:#x} for this process",
                object=self._name,
                hint=f"beyond byte {_OPEN_TO_EVERYBODY} it is open to CAP_SYS_ADMIN only; run as root",
            )
        value: int = _DWORD.unpack(data)[0]
        return value

    def write32(self, offset: int, value: int) -> None:
        """Write one dword."""
        try:
            os.pwrite(self._descriptor, _DWORD.pack(value), offset)
        except OSError as error:
            hint = "the kernel's lockdown forbids writing to configuration space; see /sys/kernel/security/lockdown"
            raise _trouble(error, self._name, hint) from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@dataclass(slots=True)
class CountedConfig:
    """Passes every access on and counts it."""

    inner: ConfigSpace
    reads: int = 0
    writes: int = 0

    @property
    def name(self) -> str:
        """What messages call the function."""
        return self.inner.name

    @property
    def size(self) -> int:
        """Bytes of configuration space."""
        return self.inner.size

    @property
    def accesses(self) -> int:
        """Reads and writes so far."""
        return self.reads + self.writes

    def read32(self, offset: int) -> int:
        """Read one dword."""
        self.reads += 1
        return self.inner.read32(offset)

    def write32(self, offset: int, value: int) -> None:
        """Write one dword."""
        self.writes += 1
        self.inner.write32(offset, value)

    def close(self) -> None:
        """Close what is underneath."""
        self.inner.close()


@dataclass(frozen=True, slots=True)
class ExtendedCapability:
    """One entry of the list in extended configuration space (PCIe r6.1 §7.6.3)."""

    id: int
    version: int
    offset: int


def extended_capabilities(config: ConfigSpace) -> Iterator[ExtendedCapability]:
    """The extended capabilities in the order of the list.

    The list ends where it says so, where it points out of extended space or to an entry that was seen before: so a
    broken list costs a bounded number of reads. Raises `TransportClosed` when the function does not answer at all.
    """
    seen: set[int] = set()
    offset = CONVENTIONAL_SIZE
    while CONVENTIONAL_SIZE <= offset <= config.size - _SMALLEST_CAPABILITY and offset not in seen:
        seen.add(offset)
        header = config.read32(offset)
        if header == ALL_ONES:
            require_presence(config)
            return
        if header == 0:
            return
        yield ExtendedCapability(header & 0xFFFF, header >> 16 & 0xF, offset)
        offset = header >> 20 & 0xFFC


def require_presence(config: ConfigSpace) -> int:
    """The first dword, vendor and device; `TransportClosed` when nobody answers there."""
    first = config.read32(0)
    if first == ALL_ONES:
        raise TransportClosed(
            "the function does not answer reads of its configuration space",
            object=config.name,
            hint="it was removed, is in reset or has no power; look at lspci and at the kernel's log",
        )
    return first


def _trouble(error: OSError, name: str, hint: str) -> EnvironmentProblem:
    if error.errno in _GONE:
        words = os.strerror(error.errno or 0)
        return TransportClosed(f"the function is gone: {words}", object=name, hint="look at lspci, and try again")
    return from_oserror(error, name, hint=hint)
