"""Datagrams to the system's log: the journal's socket and syslog's, which are read by somebody else on this machine."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from cmakeys.errors import Temporary, Unsupported, from_oserror

JOURNAL = "run/systemd/journal/socket"
SYSLOG = "dev/log"

TIMEOUT = 5.0
"""Seconds that a reader whose queue is full may take."""

_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)
_ALL_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def send(path: Path, datagrams: Iterable[bytes]) -> None:
    """Send each to the socket at `path`; one that is too large for a datagram goes as a sealed file, as journald wants.

    Raises `Unsupported` where nobody listens, `Temporary` where nobody reads, and otherwise what the error says.
    """
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)) as line:
        line.settimeout(TIMEOUT)
        try:
            line.connect(str(path))
            for datagram in datagrams:
                _send(line, datagram)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise Unsupported(
                "nobody reads the log here", object=str(path), hint="the check is done; log elsewhere, or --log none"
            ) from error
        except TimeoutError as error:
            hint = "whoever reads it is busy or stuck; the check is done"
            raise Temporary(f"the log took nothing for {TIMEOUT:.0f} s", object=str(path), hint=hint) from error
        except OSError as error:
            raise from_oserror(error, str(path)) from error


def _send(line: socket.socket, datagram: bytes) -> None:
    try:
        line.send(datagram)
    except OSError as error:
        if error.errno not in _TOO_LARGE:
            raise
        _send_as_file(line, datagram)


def _send_as_file(line: socket.socket, datagram: bytes) -> None:
    descriptor = os.memfd_create("cmakeys", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with closing(os.fdopen(descriptor, "wb", buffering=0)) as file:
        rest = memoryview(datagram)
        while rest:
            rest = rest[file.write(rest) :]
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _ALL_SEALS)
        socket.send_fds(line, [b""], [file.fileno()])
