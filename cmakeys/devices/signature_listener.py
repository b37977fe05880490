"""Listening to what the kernel announces of signatures, for as long as it takes to have devices authenticated.

There is no replay: who wants to hear of a signature listens before it is made. Only the initial network namespace hears
anything, and only root may join the group. What did not fit into the socket is lost, and that is said.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cmakeys.devices.netlink import MAX_DATAGRAM, SPDM, find_family, open_generic
from cmakeys.devices.netlink_codec import NetlinkProblem, pull_messages
from cmakeys.devices.signature_event import Assembler, SignatureEvent
from cmakeys.errors import EnvironmentProblem, from_oserror

GROUP = "sig"
BUFFER = 8 << 20
MAX_EVENTS = 1024
MAX_DATAGRAMS = 65536
QUIET = 0.05
"""Seconds without anything new after which what was announced has been heard: the kernel sends before it answers."""

_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1


@dataclass(slots=True)
class Hearing:
    """What was heard; `problems` say what was not. Both are complete once the listening has ended."""

    events: list[SignatureEvent] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    listening: bool = False


@contextmanager
def listening(*, connect: Callable[[], socket.socket] = open_generic) -> Iterator[Hearing]:
    """Hear every signature that is announced while the body runs. Never raises of its own.

    A kernel without the family, as most, is no problem: nothing is heard.
    """
    hearing = Hearing()
    line = _join(connect, hearing)
    if line is None:
        yield hearing
        return
    hearing.listening = True
    with line:
        yield hearing
        _drain(line, hearing)


def _join(connect: Callable[[], socket.socket], hearing: Hearing) -> _Line | None:
    try:
        family = find_family(SPDM, connect=connect)
        if family is None:
            return None
        group = family.groups.get(GROUP)
        if group is None:
            hearing.problems.append(f"netlink family {SPDM} has no group {GROUP}")
            return None
        line = connect()
        try:
            if line.family == socket.AF_NETLINK:
                line.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        except OSError as error:
            line.close()
            raise from_oserror(error, f"netlink group {GROUP}") from error
        return _Line(line, family.number)
    except EnvironmentProblem as problem:
        hearing.problems.append(str(problem))
    except OSError as error:
        hearing.problems.append(f"the signatures' announcements cannot be heard: {error}")
    return None


@dataclass(slots=True)
class _Line:
    socket: socket.socket
    family: int

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def _drain(line: _Line, hearing: Hearing) -> None:
    assembler = Assembler(line.family)
    line.socket.settimeout(QUIET)
    for _ in range(MAX_DATAGRAMS):
        try:
            data, _, flags, sender = line.socket.recvmsg(MAX_DATAGRAM)
        except TimeoutError:
            return
        except OSError as error:
            lost = error.errno == errno.ENOBUFS
            hearing.problems.append("announcements were lost: there were too many" if lost else str(error))
            if lost:
                continue
            return
        if not data:
            return
        if line.socket.family == socket.AF_NETLINK and sender[0] != 0:
            continue
        if flags & socket.MSG_TRUNC:
            hearing.problems.append(f"an announcement longer than {MAX_DATAGRAM} bytes")
            continue
        _take(data, assembler, hearing)
        if len(hearing.events) >= MAX_EVENTS:
            hearing.problems.append(f"more than {MAX_EVENTS} signatures; the others were not looked at")
            return


def _take(data: bytes, assembler: Assembler, hearing: Hearing) -> None:
    try:
        for message in pull_messages(data):
            event = assembler.take(message, datetime.now(UTC))
            if event is not None:
                hearing.events.append(event)
    except NetlinkProblem as problem:
        hearing.problems.append(str(problem))
