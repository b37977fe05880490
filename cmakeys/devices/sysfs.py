"""The one door to `/sys`: bounded reads, one write with a time limit, and listings that end.

What stands in sysfs is told by a kernel we do not know, partly from what a device said, so nothing is believed before
it is read: sizes come from reading and never from `stat` (a slot says 65535 bytes and has fewer), nothing is followed
out of the last component of a path, and what is not a regular file is not opened for long. `Sysfs` takes the functions
that touch the system as fields; a test gives it others, since no ordinary file answers ENOTTY.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MAX_NAMES = 1 << 16
"""Entries of one folder that are looked at."""

_PORTION = 1 << 16


class WriteTimeout(OSError):
    """The kernel has not finished a write in time. It goes on with it; nobody waits any longer."""


def read_attribute(path: Path, limit: int) -> bytes:
    """Read to the end, at most `limit` bytes and one more to show that there were too many. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = bytearray()
        while len(data) <= limit:
            portion = os.read(descriptor, min(_PORTION, limit + 1 - len(data)))
            if not portion:
                break
            data += portion
        return bytes(data)
    finally:
        os.close(descriptor)


def write_attribute(path: Path, data: bytes, seconds: float) -> None:
    """Write once and wait for at most `seconds` until the kernel has acted on it.

    Raises `OSError`, `WriteTimeout` among them. A system call cannot be taken back: after a timeout the thread that
    made it is left behind, and its result is lost.
    """
    outcome: list[OSError | None] = []

    def write() -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OSError(errno.EINVAL, "not a regular file", str(path))
                os.write(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as error:
            outcome.append(error)
        else:
            outcome.append(None)

    thread = threading.Thread(target=write, daemon=True, name=f"write {path}")
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise WriteTimeout(errno.ETIMEDOUT, f"not finished within {seconds:g} s", str(path))
    if outcome[0] is not None:
        raise outcome[0]


def attribute_mode(path: Path) -> int | None:
    """The permission bits of an attribute; None when there is none. Raises `OSError` for other trouble."""
    try:
        return stat.S_IMODE(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


@dataclass(frozen=True, slots=True)
class Sysfs:
    """A tree like `/sys`, and how it is touched."""

    root: Path = Path("/sys")
    read: Callable[[Path, int], bytes] = read_attribute
    write: Callable[[Path, bytes, float], None] = write_attribute
    mode: Callable[[Path], int | None] = attribute_mode

    @property
    def functions(self) -> Path:
        """The folder that has one entry for each PCI function."""
        return self.root / "bus/pci/devices"

    def names(self, folder: Path) -> tuple[str, ...]:
        """The names in a folder, sorted; empty when there is no such folder. Raises `OSError` for other trouble."""
        found: list[str] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if len(found) == MAX_NAMES:
                        break
                    found.append(entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return tuple(sorted(found))

    def link(self, path: Path) -> str | None:
        """Where a symbolic link points, unresolved; None when there is none."""
        try:
            return str(path.readlink())
        except OSError:
            return None

    def changed_at(self, path: Path) -> float | None:
        """The time of a file's last change in seconds since 1970; None when there is no such file."""
        try:
            return path.lstat().st_ctime
        except OSError:
            return None
