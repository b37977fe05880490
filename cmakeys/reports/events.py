"""A run as entries of the system's log: one for each piece of news, one for what goes on, one for the run.

Every kind of entry has a message id that never changes, so that a rule or a catalogue can name it, and what a program
needs stands in fields of its own (`CMAKEYS_DEVICE`, `CMAKEYS_OUTCOME`, `CMAKEYS_STEP`, …). Only news is an error or a
warning: a device that is rejected for a week is one alarm and six notices. The journal takes entries as datagrams in
its native form (systemd, "Native Journal Protocol"), syslog as lines with a priority in front (RFC 3164 §4.1).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from cmakeys.evidence.fields import time_text
from cmakeys.images.freshness import Initrds
from cmakeys.reports.standing import state_texts, unfinished_text
from cmakeys.reports.terminal import printable
from cmakeys.reports.text import counts
from cmakeys.running import Mark
from cmakeys.standing import Finding
from cmakeys.verify.verdict import Outcome

IDENTIFIER = "cmakeys"
FACILITY = 3
"""`daemon`, among the facilities of syslog."""

MAX_LINE = 1000
"""Characters of a line for syslog, of which many receivers read 1024 bytes."""


class Kind(Enum):
    """What an entry is about; the value is its message id."""

    DEVICE_REJECTED = "e1530fb6cfba491794ada55aeb559fcb"
    DEVICE_UNREACHABLE = "452e10e0eb1c4f44a4453fa26a25c5e5"
    DEVICE_DEGRADED = "5695854b0b81497991d6ed6dfce58d63"
    DEVICE_UNSUPPORTED = "75fd4b9c04c048d3bf404942de0a1a94"
    DEVICE_TRUSTED = "8bc4b6214dd04c67bb78610949bf8b42"
    DEVICE_CHANGED = "90ab589a02bf4558be805103df025739"
    DEVICE_STANDING = "2327dd2af16c4ac5ab62e51ef4b9e6cd"
    CHECK_FINISHED = "e3e6326918844955bcd50ec7eda95aa2"
    CHECK_UNFINISHED = "282a93414b4f4f7eb646d6ef55f48d66"
    HOOK_FAILED = "cee7a905aa0845fe8a0b7af0d975cf94"
    INITRD_STALE = "e12bbaff947e4392b3e9182a96808ded"
    STRANGER_SEEN = "9a29f562e9e34c5ba1eb7f09ce86479b"
    CLOCK_WRONG = "14dd2a5105e849129843c2a4a43f5090"


class Priority(IntEnum):
    """Those of syslog that are used here."""

    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6


@dataclass(frozen=True, slots=True)
class Event:
    """One entry: its message, line by line, and its fields, of which one may occur several times."""

    kind: Kind
    priority: Priority
    lines: tuple[str, ...]
    fields: tuple[tuple[str, str], ...] = ()


_NEW = {
    Outcome.REJECTED: (Kind.DEVICE_REJECTED, Priority.ERROR),
    Outcome.UNREACHABLE: (Kind.DEVICE_UNREACHABLE, Priority.WARNING),
    Outcome.DEGRADED: (Kind.DEVICE_DEGRADED, Priority.WARNING),
    Outcome.UNSUPPORTED: (Kind.DEVICE_UNSUPPORTED, Priority.NOTICE),
    Outcome.TRUSTED: (Kind.DEVICE_TRUSTED, Priority.NOTICE),
}


def events(findings: Sequence[Finding], unfinished: Mark | None) -> tuple[Event, ...]:
    """The entries of one run; the last one is about the run itself."""
    found = [Event(Kind.CHECK_UNFINISHED, Priority.WARNING, (unfinished_text(unfinished),))] if unfinished else []
    found += [_event(one) for one in findings if not one.quiet]
    return (*found, _finished(findings))


def hook_events(problems: Sequence[str]) -> tuple[Event, ...]:
    """Hooks that were not run or failed, each as one entry."""
    return tuple(Event(Kind.HOOK_FAILED, Priority.WARNING, (printable(problem),)) for problem in problems)


def initrd_events(found: Initrds, *, news: bool) -> tuple[Event, ...]:
    """The initrds that would load other roots than are trusted, each as one entry; a warning where that is `news`."""
    rebuild = [("CMAKEYS_REBUILD", shlex.join(found.rebuild))] if found.rebuild else []
    return tuple(
        Event(
            Kind.INITRD_STALE,
            Priority.WARNING if news else Priority.NOTICE,
            (printable(f"{one.path} is not in step with the roots: {one.words}"),),
            (("CMAKEYS_INITRD", one.path), *rebuild),
        )
        for one in found.stale
    )


def _event(one: Finding) -> Event:
    standing = one.standing
    kind, priority = _NEW[one.outcome]
    if not standing.news:
        kind, priority = Kind.DEVICE_STANDING, Priority.NOTICE
    elif one.outcome.healthy and standing.changes and standing.before is standing.outcome:
        kind, priority = Kind.DEVICE_CHANGED, Priority.NOTICE
    words = state_texts(one) or [f"is {one.outcome.value}"]
    message = printable(f"{one.name} {words[0]}: {one.counted.summary}")
    return Event(kind, priority, (message, *map(printable, standing.changes)), tuple(device_fields(one)))


def device_fields(one: Finding) -> Iterator[tuple[str, str]]:
    """What a program is told about a device: names, some of them several times, and values."""
    verdict, standing = one.verdict, one.standing
    yield "CMAKEYS_DEVICE", one.name
    yield "CMAKEYS_ADDRESS", verdict.device
    yield "CMAKEYS_OUTCOME", one.outcome.value
    yield "CMAKEYS_VERDICT", verdict.outcome.value
    yield "CMAKEYS_SINCE", time_text(standing.began)
    if standing.before is not None:
        yield "CMAKEYS_BEFORE", standing.before.value
    for step in (*verdict.failures, *verdict.warnings):
        yield "CMAKEYS_STEP", str(step.number)
        yield "CMAKEYS_REASON", step.reason
    for change in standing.changes:
        yield "CMAKEYS_CHANGE", change
    if verdict.root is not None:
        yield "CMAKEYS_ROOT", verdict.root
    if verdict.evidence_digest:
        yield "CMAKEYS_EVIDENCE", verdict.evidence_digest


def _finished(findings: Sequence[Finding]) -> Event:
    numbers = {
        outcome: count for outcome, count in counts([(one.name, one.counted) for one in findings]).items() if count
    }
    total = len(findings)
    said = ", ".join(f"{count} {outcome.value}" for outcome, count in numbers.items())
    fields = [("CMAKEYS_DEVICES", str(total))]
    fields += [(f"CMAKEYS_{outcome.name}", str(count)) for outcome, count in numbers.items()]
    return Event(
        Kind.CHECK_FINISHED,
        Priority.INFO,
        (f"checked {total} device{'' if total == 1 else 's'}: {said or 'none'}",),
        tuple(fields),
    )


# -- the two forms -----------------------------------------------------------------------------------------------------


def journal_datagram(event: Event) -> bytes:
    """An entry in the journal's native form."""
    head = (
        ("MESSAGE", "\n".join(event.lines)),
        ("MESSAGE_ID", event.kind.value),
        ("PRIORITY", str(int(event.priority))),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
    )
    return b"".join(_field(name, value) for name, value in (*head, *event.fields))


def _field(name: str, value: str) -> bytes:
    """`NAME=value`, or for a value of several lines its length in 64 bits, little-endian, in front of it."""
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" in data:
        return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
    return name.encode() + b"=" + data + b"\n"


def syslog_datagram(event: Event, process: int) -> bytes:
    """An entry as one line for the local syslog."""
    text = "; ".join(event.lines)
    if len(text) > MAX_LINE:
        text = text[: MAX_LINE - 1] + "…"
    return f"<{FACILITY * 8 + int(event.priority)}>{IDENTIFIER}[{process}]: {text}".encode("utf-8", "backslashreplace")
