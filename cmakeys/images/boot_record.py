"""What the loader in the initrd said when this system was started: the digest of the set that it loaded.

The loader writes to the kernel's log, which holds it until newer messages take the room. Only root can write there, and
on many systems only root can read it. No record says nothing: the log may have run over.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

KMSG = Path("/dev/kmsg")
MAX_RECORDS = 1 << 16
MAX_RECORD = 8192
"""Bytes; the kernel hands out one record at a time and none that is longer."""

_DIGEST = re.compile(rb"[0-9]+,[0-9]+,[0-9]+,[^;\n]*;cmakeys: set digest ([0-9a-f]{64})\n")


def booted_digest(kmsg: Path = KMSG) -> str:
    """The digest, empty where there is no record, or none that this user may read."""
    found = ""
    try:
        descriptor = os.open(kmsg, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        for _ in range(MAX_RECORDS):
            try:
                record = os.read(descriptor, MAX_RECORD)
            except BrokenPipeError:  # a record was overwritten while we read: the next read goes on behind it
                continue
            if not record:
                break
            match = _DIGEST.match(record)
            if match:
                found = match[1].decode("ascii")
    except OSError:  # EAGAIN: there is no more
        return found
    finally:
        os.close(descriptor)
    return found
