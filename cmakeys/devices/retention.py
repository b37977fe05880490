"""How much history is kept, and the statement that lets go of the rest.

What a device is compared with is its enrolment and its memory, never its history, so that no retention can turn into
an alarm or hide one. The newest entry of each device stays, however old it is: it is what lists show.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

KEPT = 500
"""Checks of each device that are kept, unless the configuration says otherwise."""


@dataclass(frozen=True, slots=True)
class Retention:
    """The newest `checks` of each device, and of these what is no older than `days`; None is no limit by age."""

    checks: int = KEPT
    days: int | None = None

    def __post_init__(self) -> None:
        if self.checks < 1 or (self.days is not None and self.days < 1):
            raise ValueError("a history keeps one check of each device at least, and a day")


def trim_device(connection: sqlite3.Connection, number: int, retention: Retention) -> int:
    """Let go of what one device has beyond its number of checks; how many entries that were."""
    return connection.execute(
        "DELETE FROM history WHERE device = ? AND id <="
        " (SELECT id FROM history WHERE device = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (number, number, retention.checks),
    ).rowcount


def trim_age(connection: sqlite3.Connection, retention: Retention, now: datetime) -> int:
    """Let go of what is too old at `now`; how many entries that were."""
    if retention.days is None:
        return 0
    try:
        limit = (now - timedelta(days=retention.days)).astimezone(UTC).isoformat()
    except OverflowError:
        return 0
    return connection.execute(
        "DELETE FROM history WHERE checked_at < ? AND EXISTS"
        " (SELECT 1 FROM history AS later WHERE later.device = history.device AND later.id > history.id)",
        (limit,),
    ).rowcount


def trim(connection: sqlite3.Connection, retention: Retention, now: datetime) -> int:
    """Let go of all that is kept no longer; how many entries that were."""
    numbers = [number for (number,) in connection.execute("SELECT id FROM device").fetchall()]
    return sum(trim_device(connection, number, retention) for number in numbers) + trim_age(connection, retention, now)


def count_beyond(connection: sqlite3.Connection, retention: Retention, now: datetime) -> int:
    """How many entries `trim` would let go of. Nothing is changed."""
    copy = sqlite3.connect(":memory:")
    try:
        copy.execute("CREATE TABLE device (id INTEGER PRIMARY KEY)")
        copy.execute("CREATE TABLE history (id INTEGER PRIMARY KEY, device INTEGER, checked_at TEXT)")
        copy.execute("CREATE INDEX history_of_device ON history (device, id)")
        copy.executemany("INSERT INTO device VALUES (?)", connection.execute("SELECT id FROM device"))
        copy.executemany(
            "INSERT INTO history VALUES (?, ?, ?)", connection.execute("SELECT id, device, checked_at FROM history")
        )
        return trim(copy, retention, now)
    finally:
        copy.close()
