"""Words that reports, findings and commands share."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """The number with its noun: `1 root`, `2 roots`; `many` where the plural is not `one` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"
