"""The journal and whether it holds, as text of 80 columns and as data."""

from __future__ import annotations

from collections.abc import Iterator

from cmakeys.reports.layout import Line, shorten
from cmakeys.reports.terminal import Tone
from cmakeys.roots.journal import JournalEntry, JournalReading

HEADER = ("NO", "WHEN", "WHO", "ACTION", "OBJECT")


def entry_data(entry: JournalEntry) -> dict[str, object]:
    """One entry for a program; `detail` as it stands in the file."""
    return {
        "number": entry.number,
        "line": entry.line,
        "at": entry.time,
        "by": entry.actor,
        "action": entry.action,
        "object": entry.subject,
        "detail": entry.detail,
        "after_torn": entry.after_torn,
        "sha256": entry.sha256,
    }


def entry_row(entry: JournalEntry) -> tuple[str, ...]:
    """One entry in a row of at most 78 cells."""
    return (
        shorten(str(entry.number), 9),
        f"{entry.time:%Y-%m-%d %H:%M}",
        shorten(entry.actor, 12),
        shorten(entry.action, 21),
        shorten(entry.subject, 12 if len(entry.action) > 18 else 14),
    )


def verify_data(reading: JournalReading) -> dict[str, object]:
    """What `journal verify` found, for a program."""
    return {
        "intact": reading.intact,
        "entries": len(reading.entries),
        "noted_lines": reading.noted,
        "last_sha256": reading.entries[-1].sha256 if reading.entries else None,
        "faults": [
            {"line": fault.line or None, "message": fault.message, "torn": fault.torn} for fault in reading.faults
        ],
    }


def verify_report(reading: JournalReading) -> Iterator[Line]:
    """What `journal verify` found of a journal without faults but torn lines, for a person."""
    count = len(reading.entries)
    yield Line(f"intact, {count} {'entry' if count == 1 else 'entries'}", Tone.GOOD)
    if reading.entries:
        yield Line(f"the last hash is {reading.entries[-1].sha256}")
    for fault in reading.faults:
        yield Line(f"line {fault.line}: {fault.message}", Tone.WARNING)
    last = reading.entries[-1].line if reading.entries else 0
    if reading.noted is None and reading.entries:
        yield Line("its end is not noted: whether something was cut off was not checked", Tone.WARNING)
    elif reading.noted is not None and reading.noted < last:
        yield Line(f"its end is noted up to line {reading.noted}; line {last} is the last", Tone.NOTE)
