"""Which generic netlink families about devices this kernel has: `spdm` of the SPDM series, `pci-tsm` of a proposal.

Asking needs no privilege. Neither family is in a released kernel; where one is found, the kernel is of a series. `spdm`
announces signatures while somebody listens (`signature_listener.py`) and answers no question about those of the past;
the numbers of `pci-tsm` may still change, so no more is said of it than that it is there (kernel-abi 5).
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

from cmakeys.devices.netlink_codec import (
    NLMSG_ERROR,
    Family,
    NetlinkProblem,
    family_request,
    pull_error,
    pull_family,
    pull_messages,
)
from cmakeys.errors import Temporary, from_oserror
from cmakeys.transports.base import Deadline

SPDM = "spdm"
PCI_TSM = "pci-tsm"
FAMILIES = (SPDM, PCI_TSM)

SECONDS = 2.0
MAX_DATAGRAM = 32768
MAX_IGNORED = 32
"""Datagrams of somebody else, or about something else, that are passed over."""

_NETLINK_GENERIC = 16
_SEQUENCE = 1


def open_generic() -> socket.socket:
    """A socket to the kernel's generic netlink. Raises `OSError`."""
    line = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_GENERIC)
    try:
        line.bind((0, 0))
    except OSError:
        line.close()
        raise
    return line


def find_family(
    name: str, *, connect: Callable[[], socket.socket] = open_generic, seconds: float = SECONDS
) -> Family | None:
    """The family of that name, None when the kernel has none.

    Raises an `EnvironmentProblem` when it cannot be found out.
    """
    subject = f"netlink family {name}"
    try:
        with connect() as line:
            return _ask(line, name, Deadline.after(seconds))
    except TimeoutError as error:
        raise Temporary("the kernel does not answer", object=subject) from error
    except OSError as error:
        raise from_oserror(error, subject) from error


def _ask(line: socket.socket, name: str, deadline: Deadline) -> Family | None:
    line.settimeout(deadline.require("sending", name))
    line.send(family_request(name, _SEQUENCE))
    for _ in range(MAX_IGNORED):
        line.settimeout(deadline.require("waiting for the kernel", name))
        data, _, flags, sender = line.recvmsg(MAX_DATAGRAM)
        if line.family == socket.AF_NETLINK and sender[0] != 0:
            continue
        if flags & socket.MSG_TRUNC or not data:
            raise NetlinkProblem(f"the answer is empty or longer than {MAX_DATAGRAM} bytes", object=name)
        for message in pull_messages(data):
            if message.sequence != _SEQUENCE:
                continue
            if message.kind != NLMSG_ERROR:
                family = pull_family(message)
                if family.name != name:
                    raise NetlinkProblem(f"asked for {name}, the answer is about {family.name}", object=name)
                return family
            number = pull_error(message)
            if number == errno.ENOENT:
                return None
            if number:
                raise OSError(number, os.strerror(number))
    raise NetlinkProblem(f"{MAX_IGNORED} datagrams and no answer", object=name)
