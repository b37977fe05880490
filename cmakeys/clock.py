"""The newest moment that this machine has recorded: what its clock cannot honestly be behind.

Looked at are the journal's entries and the register's enrolments and checks. A source that this user may not read or
that is damaged says nothing here; whoever needs it for itself reports that. What the moment means is decided in
`cmakeys.verify.clock`.

A clock that was once ahead leaves records of a time that is not there yet, and the clock that is right again would be
behind them until it is. Records are never taken back. So once a clock was found wrong, or doubtful, `clock.json` says
what of them is believed:

    {"schema": 1, "believed": "2040-01-02T03:00:00Z", "disbelieved": "2040-03-01T…Z" or null, "told": "ahead"}

`believed` is the newest moment of a clock against which nothing spoke, or that somebody accepted; checks move it on.
Records after it are believed as far as they follow without a leap, those up to `disbelieved` excepted, which is what
was recorded before somebody accepted a clock that is behind it. `told` is what a check has already told of the clock.
Without the file, and where it is damaged, every record is believed: that excuses nothing, it only rings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cmakeys.devices.register import Register
from cmakeys.errors import CmakeysError, EvidenceProblem, from_oserror
from cmakeys.evidence.fields import Fields, read_json, time_text
from cmakeys.files import write_whole
from cmakeys.roots.journal import Journal, JournalReading
from cmakeys.verify.clock import LEAP, RELEASE, ClockReading, ClockState, Recorded

FILE_NAME = "clock.json"
SCHEMA = 1

_MAX_FILE = 4096
_MAX_STEPS = 1000
"""How often the chain of believed records is followed; each step is a leap's length or the last one."""


@dataclass(frozen=True, slots=True)
class ClockMemory:
    """See the head of this module."""

    believed: datetime
    disbelieved: datetime | None = None
    told: ClockState = ClockState.PLAUSIBLE


def newest_record(state_dir: Path, journal: JournalReading | None = None) -> Recorded:
    """The newest thing recorded in `state_dir` that is believed; at least the release of this program.

    `journal` is its journal, where the caller has read it already.
    """
    memory, entries, register = read_memory(state_dir), list(_of_journal(state_dir, journal)), Register(state_dir)
    if memory is None:
        return _newest([*entries, *_of_register(register)])
    believed = _newest([Recorded(memory.believed, "the newest moment that is believed")])
    return _followed(believed, entries, register, memory.disbelieved)


def _followed(found: Recorded, entries: list[Recorded], register: Register, disbelieved: datetime | None) -> Recorded:
    """The last record to which others lead from `found` without a leap, those up to `disbelieved` left out."""
    for _ in range(_MAX_STEPS):
        until = _later(found.at)
        follow = [
            record
            for record in (*entries, *_of_register(register, until))
            if found.at < record.at <= until and (disbelieved is None or record.at > disbelieved)
        ]
        if not follow:
            break
        found = _newest(follow)
    return found


def _later(moment: datetime) -> datetime:
    try:
        return moment + LEAP
    except OverflowError:
        return datetime.max.replace(tzinfo=moment.tzinfo)


def _newest(records: list[Recorded]) -> Recorded:
    return max((RELEASE, *records), key=lambda record: record.at)


def _of_journal(state_dir: Path, reading: JournalReading | None) -> Iterator[Recorded]:
    with suppress(CmakeysError):
        for entry in (reading or Journal(state_dir).read()).entries:
            yield Recorded(entry.time, f"entry {entry.number} of the journal")


def _of_register(register: Register, until: datetime | None = None) -> Iterator[Recorded]:
    with suppress(CmakeysError):
        moment = register.newest() if until is None else register.newest(until)
        if moment is not None:
            yield Recorded(moment, "the newest record about a device")


# -- what is remembered ------------------------------------------------------------------------------------------------


def read_memory(state_dir: Path) -> ClockMemory | None:
    """What `clock.json` says; None where it is not there, not for this user to read, or damaged."""
    path = state_dir / FILE_NAME
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
        fields = Fields(read_json(data, str(path)), str(path))
        if len(data) > _MAX_FILE or fields.take("schema") != SCHEMA:
            return None
        believed, disbelieved = fields.time("believed"), fields.optional_time("disbelieved")
        told = fields.member("told", ClockState)
        fields.finish()
    except (OSError, EvidenceProblem):
        return None
    return ClockMemory(believed, disbelieved, told)


def remember(state_dir: Path, reading: ClockReading, *, told: bool = True) -> None:
    """Remember what the clock of a check is, before anything is recorded by it, and whether that is told.

    Nothing is written as long as no clock was ever found wrong. Raises `EnvironmentProblem`.
    """
    memory = read_memory(state_dir)
    if reading.plausible:
        if memory is not None:
            now, disbelieved = max(reading.now, reading.recorded.at), memory.disbelieved
            _write(state_dir, ClockMemory(now, disbelieved if disbelieved is not None and disbelieved > now else None))
    elif memory is None or (told and memory.told is not reading.state):
        kept = memory or ClockMemory(reading.recorded.at)
        _write(state_dir, replace(kept, told=reading.state if told else kept.told))


def accept(state_dir: Path, now: datetime) -> ClockMemory:
    """Believe that it is `now`: what was recorded of later moments is held against no clock any more.

    Gives what is remembered from then on. Raises `EnvironmentProblem`.
    """
    entries, register = list(_of_journal(state_dir, None)), Register(state_dir)
    last = _followed(Recorded(now, "the clock"), entries, register, None).at
    memory = ClockMemory(now, last if last > now else None)
    _write(state_dir, memory)
    return memory


def _write(state_dir: Path, memory: ClockMemory) -> None:
    path = state_dir / FILE_NAME
    document = {
        "schema": SCHEMA,
        "believed": time_text(memory.believed),
        "disbelieved": None if memory.disbelieved is None else time_text(memory.disbelieved),
        "told": memory.told.value,
    }
    try:
        write_whole(path, json.dumps(document).encode("ascii") + b"\n")
    except OSError as error:
        raise from_oserror(error, str(path)) from error
