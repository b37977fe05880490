"""The newest moment that this machine has recorded: what its clock cannot honestly be behind.

Looked at are the journal's entries and the register's enrolments and checks. A source that this user may not read or
that is damaged says nothing here; whoever needs it for itself reports that. What the moment means is decided in
`cmakeys.verify.clock`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from cmakeys.devices.register import Register
from cmakeys.errors import CmakeysError
from cmakeys.roots.journal import Journal, JournalReading
from cmakeys.verify.clock import RELEASE, Recorded


def newest_record(state_dir: Path) -> Recorded:
    """The newest thing recorded in `state_dir`; at least the release of this program."""
    return newest([*_of_journal(state_dir), *_of_register(state_dir)])


def newest(records: list[Recorded]) -> Recorded:
    """The newest of `records` and the release of this program."""
    return max((RELEASE, *records), key=lambda record: record.at)


def journal_record(reading: JournalReading) -> list[Recorded]:
    """The newest entry of a journal that was read already."""
    return [Recorded(entry.time, f"entry {entry.number} of the journal") for entry in reading.entries]


def register_record(moment: datetime | None) -> list[Recorded]:
    """What `Register.newest` gave, as a record."""
    return [Recorded(moment, "the newest record about a device")] if moment is not None else []


def _of_journal(state_dir: Path) -> Iterator[Recorded]:
    with suppress(CmakeysError):
        yield from journal_record(Journal(state_dir).read())


def _of_register(state_dir: Path) -> Iterator[Recorded]:
    with suppress(CmakeysError):
        yield from register_record(Register(state_dir).newest())
