"""What can be asked of the history: checks by device, time and outcome, and whole runs at a glance.

Every question is answered from an index and with a limit, so that a fleet and years of nights answer as fast as a desk
and a week. All devices of one run have its time, which is what makes a run of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cmakeys.devices.database import RegisterDamaged, read, shrink, writing
from cmakeys.devices.enrolled import CheckRecord
from cmakeys.devices.retention import Retention, count_beyond, trim

MAX_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Question:
    """Which checks are meant; what is None or empty leaves the choice open.

    `since` is included and `until` is not. With `news` only checks that found something new are. No more than the
    newest `limit` of them all are given.
    """

    devices: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    outcomes: tuple[str, ...] = ()
    news: bool = False
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Run:
    """All checks of one moment: how many devices had which outcome, and of how many that was news."""

    checked_at: datetime
    outcomes: Mapping[str, int]
    news: int

    @property
    def devices(self) -> int:
        """How many devices were checked."""
        return sum(self.outcomes.values())


def checks(path: Path, question: Question) -> tuple[CheckRecord, ...]:
    """The checks that a question is about, newest first."""
    empty: tuple[CheckRecord, ...] = ()
    return read(path, lambda connection: _checks(connection, question), empty)


def runs(path: Path, question: Question) -> tuple[Run, ...]:
    """The runs that a question is about, newest first; its devices, outcomes and news choose what of them counts."""
    empty: tuple[Run, ...] = ()
    return read(path, lambda connection: _runs(connection, question), empty)


def _conditions(question: Question) -> tuple[str, list[str | int]]:
    words = ["1"]
    values: list[str | int] = []
    if question.devices:
        marks = ", ".join("?" * len(question.devices))
        words.append(f"device IN (SELECT id FROM device WHERE name IN ({marks}))")  # noqa: S608 question marks only
        values += question.devices
    if question.since is not None:
        words.append("checked_at >= ?")
        values.append(_text(question.since))
    if question.until is not None:
        words.append("checked_at < ?")
        values.append(_text(question.until))
    if question.outcomes:
        words.append(f"outcome IN ({', '.join('?' * len(question.outcomes))})")
        values += question.outcomes
    if question.news:
        words.append("news = 1")
    return " AND ".join(words), values


def _checks(connection: sqlite3.Connection, question: Question) -> tuple[CheckRecord, ...]:
    condition, values = _conditions(question)
    rows = connection.execute(
        "SELECT device.name, checked_at, outcome, reason, detail, news FROM"  # noqa: S608 (written above, with marks)
        f" (SELECT * FROM history WHERE {condition} ORDER BY checked_at DESC, id DESC LIMIT ?) AS chosen"
        " JOIN device ON device.id = chosen.device ORDER BY checked_at DESC, chosen.id DESC",
        (*values, question.limit),
    )
    return tuple(
        CheckRecord(name, _time(checked_at), outcome, reason, detail, news=bool(news))
        for name, checked_at, outcome, reason, detail, news in rows
    )


def _runs(connection: sqlite3.Connection, question: Question) -> tuple[Run, ...]:
    condition, values = _conditions(question)
    moments = connection.execute(
        f"SELECT checked_at FROM history WHERE {condition}"  # noqa: S608 (written above, with marks)
        " GROUP BY checked_at ORDER BY checked_at DESC LIMIT ?",
        (*values, question.limit),
    ).fetchall()
    found = []
    for (moment,) in moments:
        rows = connection.execute(
            "SELECT outcome, count(*), sum(news) FROM history"  # noqa: S608 (written above, with marks)
            f" WHERE checked_at = ? AND {condition} GROUP BY outcome",
            (moment, *values),
        ).fetchall()
        counts = {outcome: count for outcome, count, _ in rows}
        found.append(Run(_time(moment), counts, sum(news for _, _, news in rows)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Size:
    """How much history there is: entries, and bytes of the register's file."""

    entries: int
    octets: int


def size(path: Path) -> Size:
    """How much there is now."""
    if not path.exists():
        return Size(0, 0)
    entries = read(path, lambda connection: int(connection.execute("SELECT count(*) FROM history").fetchone()[0]), 0)
    return Size(entries, path.stat().st_size)


def beyond(path: Path, retention: Retention, now: datetime) -> int:
    """How many entries are kept no longer under a retention."""
    return read(path, lambda connection: count_beyond(connection, retention, now), 0)


def vacuum(path: Path, retention: Retention, now: datetime) -> int:
    """Let go of what is kept no longer and give its space back; how many entries that were."""
    with writing(path) as connection:
        gone = trim(connection, retention, now)
    shrink(path)
    return gone


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise RegisterDamaged(f"{text!r} is no time", hint="put back a copy of the register") from error


def _text(when: datetime) -> str:
    return when.astimezone(UTC).isoformat()
