"""Devices that answer where none is enrolled, remembered so that each is news once.

They are no part of what is checked: nobody has said what they must be. What is kept is where one was seen first and
last, and the key of its device certificate, so that another one in the same place is news again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cmakeys.devices.database import RegisterDamaged, read, writing

MAX_STRANGERS = 4096
"""More of them are not remembered: a bus has fewer."""

MAX_LABEL = 256


@dataclass(frozen=True, slots=True)
class Stranger:
    """One such device. `device_key` is the SHA-256 of its device key and `label` the name of its leaf.

    Both are empty for one that has shown no chain. `twin` is the enrolled device whose identity it has, while that one
    answers in its own place.
    """

    address: str
    first_seen: datetime
    last_seen: datetime
    device_key: str = ""
    label: str = ""
    twin: str = ""


def strangers(path: Path) -> Mapping[str, Stranger]:
    """Those that the register at `path` remembers, by address."""
    empty: dict[str, Stranger] = {}
    return read(path, _strangers, empty)


def _strangers(connection: sqlite3.Connection) -> dict[str, Stranger]:
    rows = connection.execute(
        "SELECT address, first_seen, last_seen, device_key, label, twin FROM stranger ORDER BY address"
    )
    try:
        return {
            address: Stranger(address, datetime.fromisoformat(first), datetime.fromisoformat(last), key, label, twin)
            for address, first, last, key, label, twin in rows
        }
    except ValueError as error:
        raise RegisterDamaged(
            f"a device that is not enrolled has no time: {error}", hint="put back a copy of the register"
        ) from error


def remember_strangers(path: Path, found: Iterable[Stranger]) -> None:
    """Remember these in place of all before them: one that is not seen any more is forgotten."""
    rows = [
        (one.address, _text(one.first_seen), _text(one.last_seen), one.device_key, one.label[:MAX_LABEL], one.twin)
        for one in found
    ]
    with writing(path) as connection:
        connection.execute("DELETE FROM stranger")
        connection.executemany(
            "INSERT OR REPLACE INTO stranger (address, first_seen, last_seen, device_key, label, twin)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            rows[:MAX_STRANGERS],
        )


def _text(when: datetime) -> str:
    return when.astimezone(UTC).isoformat()
