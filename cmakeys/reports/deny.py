"""Deny entries for a reader: as data, and as lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from cmakeys.roots.deny import DenyEntry, serial_text


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


def deny_lines(entry: DenyEntry, files: Sequence[str] = ()) -> tuple[str, ...]:
    """An entry as a person has to see it, its hash in full, and in which files it stands where that is told."""
    details = (
        f"serial number {serial_text(entry.serial)}" if entry.serial is not None else "",
        f"only what was issued after {entry.after.astimezone(UTC):%Y-%m-%d %H:%M}Z" if entry.after is not None else "",
        f"reason: {entry.reason}" if entry.reason else "",
        f"from: {entry.source}" if entry.source else "",
        *(f"in: {file}" for file in files),
    )
    return (f"{entry.kind.value:<13} {entry.sha256}", *(f"  {detail}" for detail in details if detail))
