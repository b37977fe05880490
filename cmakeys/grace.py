"""How long a device may be away before that counts: so many checks in a row, or so much time.

Checks suit a machine that is checked by a timer, time one that is checked whenever somebody feels like it. A clock that
was set back gives no device more grace: the time then begins anew (see `since`), and never ends later than a
whole grace after that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from cmakeys.errors import UsageProblem

MAX_CHECKS = 365
MAX_TIME = timedelta(days=365)

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_TEXT = re.compile(r"([0-9]{1,6})([mhd]?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Grace:
    """`checks` in a row that may fail to reach a device, or the `time` that this may go on; None is no such limit."""

    checks: int = 0
    time: timedelta | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `3` (checks), `90m`, `12h` or `2d`. Raises `UsageProblem` for anything else."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise UsageProblem(f"{text[:32]!r} is no grace", hint="a number of checks as 3, or a time as 90m, 12h, 2d")
        number, unit = int(found[1]), found[2]
        grace = cls(time=_UNITS[unit] * number) if unit else cls(number)
        if grace.checks > MAX_CHECKS or (grace.time or timedelta()) > MAX_TIME:
            raise UsageProblem(f"a grace of {text} is no alarm any more", hint="365 checks or 365d at most")
        return grace

    def excuses(self, silent: int, since: datetime, now: datetime) -> bool:
        """Whether `silent` checks in a row that failed, the first one at `since`, count as nothing yet."""
        if self.time is None:
            return silent <= self.checks
        return now - since < self.time

    def used(self, silent: int, since: datetime, now: datetime) -> str:
        """How much of it is used up, for a person."""
        if self.time is None:
            return f"not reached, {silent} of {self.checks} times that are allowed"
        return f"not reached for {hours(now - since)} of the {hours(self.time)} that are allowed"


def since(before: datetime | None, now: datetime) -> datetime:
    """When a device fell silent, as far as today's clock can tell; `before` is what was known until now."""
    return now if before is None or before > now else before


def hours(time: timedelta) -> str:
    """A time in the largest unit that says it whole."""
    minutes = int(time.total_seconds() // 60)
    if minutes and minutes % (24 * 60) == 0:
        return f"{minutes // (24 * 60)} d"
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
