"""Can the machine's clock be right? A date is judged by it only if it is not plainly wrong.

A machine whose battery died believes that it is 1970, or the day its firmware was built. Certificates of today are then
"not valid yet" and expired ones are fine. Time does not run backwards, so a clock that is behind something that was
recorded on this machine, or behind the program itself, is wrong; whoever runs a check brings that newest record along
(`cmakeys.clock` finds it), and dates are then not judged at all. A clock that is ahead cannot be told from a right one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

TOLERANCE = timedelta(hours=1)
"""How far behind a record a clock may be: two runs at once, a time server that sets it right, are no fault."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Something that happened on this machine at an aware time; `what` names it: `the last check of a device`."""

    at: datetime
    what: str


RELEASE = Recorded(datetime(2026, 1, 1, tzinfo=UTC), "the release of this program")
"""No copy of this program ran before that day; a release moves it forward."""

CLOCK_HINT = "set the clock: timedatectl; if it is right, the record was made while it was wrong: cmakeys.yaml(5)"


def clock_fault(now: datetime, recorded: Recorded | None) -> str:
    """What shows that `now` cannot be the time, as half a sentence; empty when nothing does."""
    if recorded is None or recorded.at - now <= TOLERANCE:
        return ""
    return f"the machine's clock says {_moment(now)}, but {recorded.what} is of {_moment(recorded.at)}"


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}Z"
