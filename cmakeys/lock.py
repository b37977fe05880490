"""One writer at a time: `flock` with a bounded wait, and the name of whoever holds it.

The lock is taken on something that exists anyway, a directory of the store, the journal itself or a device's file in
sysfs, so that no lock file is left behind. The kernel drops it when the holder ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cmakeys.errors import Locked

WAIT = 10.0
"""Seconds that one waits for another one before it gives up."""

_INTERVAL = 0.05


@contextmanager
def exclusive(descriptor: int, name: str, *, wait: float = WAIT) -> Iterator[None]:
    """Hold the exclusive lock on an open file or directory; `name` is what messages call it.

    Raises `Locked`, naming the holder where the kernel tells, when it is not free within `wait` seconds.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Locked(
                    f"locked by {holder(descriptor)}",
                    object=name,
                    hint=f"{f'waited {wait:.0f} s; ' if wait else ''}let that run finish, then try again",
                ) from None
            time.sleep(_INTERVAL)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def holder(descriptor: int) -> str:
    """Who holds the lock on this file, in words; /proc/locks knows for processes of our own PID namespace."""
    status = os.fstat(descriptor)
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        for line in Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines():
            fields = line.split()
            if len(fields) >= 6 and fields[1] == "FLOCK" and fields[5] == wanted and fields[4].isdecimal():
                pid = fields[4]
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").strip()[:80]
                return f"process {pid} ({command.decode('utf-8', 'backslashreplace')})"
    except OSError:
        return "another process"
    return "another process"
