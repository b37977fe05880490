"""A function's configuration space as far as whoever asks may see it, for looking only.

Only root sees more than the first 64 bytes, and the extended capabilities begin at 256; so what can be said depends on
who asks, and "not readable" is another answer than "not there". The size of the file is the kernel's knowledge of the
function and visible to everybody: with 256 bytes there are no extended capabilities at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cmakeys.devices.pci import read_identity
from cmakeys.devices.sysfs import Sysfs
from cmakeys.errors import EnvironmentProblem, NotPermitted
from cmakeys.transports.doe import mailboxes
from cmakeys.x509.identity import PciIdentity

CONVENTIONAL_SIZE = 0x100
EXTENDED_SIZE = 0x1000

_DWORD = 4


@dataclass(frozen=True, slots=True)
class ConfigurationSpace:
    """The bytes that could be read, as a `ConfigSpace` that refuses to be written.

    `size` is 256 for a conventional function and 4096 for one with extended capabilities; `problem` says in words why
    fewer could be read than there are.
    """

    name: str
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
            return cls(folder.name, b"", EXTENDED_SIZE, f"configuration space cannot be read: {error.strerror}")
        problem = ""
        if len(data) < size:
            problem = f"only {len(data)} of {size} bytes of configuration space can be read without root"
        return cls(folder.name, data, max(size, len(data)), problem)

    def read32(self, offset: int) -> int:
        """Read one dword; `NotPermitted` beyond what the caller may see."""
        if offset + _DWORD > len(self.data):
            raise NotPermitted(self.problem or "configuration space ends here", object=self.name, hint="run as root")
        return int.from_bytes(self.data[offset : offset + _DWORD], "little")

    def write32(self, offset: int, value: int) -> None:
        """Refuse: this is a copy."""
        raise NotPermitted(f"writing {value:#x} to {offset:#x} of a copy changes nothing", object=self.name)

    def close(self) -> None:
        """Nothing is open."""

    @property
    def extended_known(self) -> bool:
        """Whether it is known which extended capabilities there are."""
        return self.size <= CONVENTIONAL_SIZE or (not self.problem and len(self.data) == EXTENDED_SIZE)

    @property
    def has_mailbox(self) -> bool | None:
        """Whether there is a Data Object Exchange mailbox; None when that could not be seen."""
        if not self.extended_known:
            return None
        try:
            return any(True for _ in mailboxes(self))
        except EnvironmentProblem:
            return None

    def identity(self) -> PciIdentity | None:
        """The identity that the function's leaf certificate must name; None when not all of it could be read."""
        if not self.extended_known:
            return None
        try:
            return read_identity(self)
        except EnvironmentProblem:
            return None
