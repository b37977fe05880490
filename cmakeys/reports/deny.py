"""Deny entries for a reader: as data, as a line, as rows of a table."""

from __future__ import annotations

from datetime import UTC

from cmakeys.roots.deny import DenyEntry, serial_text

DENY_COLUMNS = ("denied", "sha256", "serial", "after", "reason", "source")


def deny_data(entry: DenyEntry) -> dict[str, object]:
    """An entry as data; `serial` and `after` are null where the entry has none."""
    return {
        "kind": entry.kind,
        "sha256": entry.sha256,
        "serial": None if entry.serial is None else serial_text(entry.serial),
        "after": entry.after,
        "reason": entry.reason,
        "source": entry.source,
    }


def deny_row(entry: DenyEntry) -> tuple[str, ...]:
    """An entry as one row under `DENY_COLUMNS`."""
    return (
        entry.kind.value,
        entry.sha256,
        "-" if entry.serial is None else serial_text(entry.serial),
        "-" if entry.after is None else f"{entry.after.astimezone(UTC):%Y-%m-%d}",
        entry.reason or "-",
        entry.source or "-",
    )


def deny_line(entry: DenyEntry) -> str:
    """An entry as a person has to see it before it is made or taken away."""
    after = f", issued after {entry.after.astimezone(UTC):%Y-%m-%d %H:%M}Z" if entry.after is not None else ""
    return entry.words + after + (f": {entry.reason}" if entry.reason else "")
