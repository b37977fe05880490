"""Can the machine's clock be right? A date is judged by it only if it is not plainly wrong.

A machine whose battery died believes that it is 1970, or the day its firmware was built. Certificates of today are then
"not valid yet" and expired ones are fine. Time does not run backwards, so a clock that is behind something that was
recorded on this machine, or behind the program itself, is wrong; whoever runs a check brings that newest record along
(`cmakeys.clock` finds it), and dates are then not judged at all.

A clock that is ahead cannot be told from a right one, but one that has leapt over half a year since the last record is
doubtful: it may have been set wrong, or the machine was in a store room. Dates are then judged by it all the same, for
nothing that has expired may pass. What is doubted is only that this is news about every device, and what the machine
records by that clock does not become the moment that later clocks are held against.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

TOLERANCE = timedelta(hours=1)
"""How far behind a record a clock may be: two runs at once, a time server that sets it right, are no fault."""

LEAP = timedelta(days=180)
"""How far ahead of the newest record a clock may be before it is doubted."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Something that happened on this machine at an aware time; `what` names it: `the last check of a device`."""

    at: datetime
    what: str


RELEASE = Recorded(datetime(2026, 1, 1, tzinfo=UTC), "the release of this program")
"""No copy of this program ran before that day; a release moves it forward."""

CLOCK_HINT = "set the clock: timedatectl; if it is right: cmakeys history clock --accept"


class ClockState(Enum):
    """Whether a clock can be believed: nothing speaks against it, it cannot be right, or it may well be wrong."""

    PLAUSIBLE = "plausible"
    BEHIND = "behind"
    AHEAD = "ahead"


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What a machine's clock says, held against the newest thing that it has recorded; `text` says what is wrong."""

    now: datetime
    recorded: Recorded
    state: ClockState = ClockState.PLAUSIBLE
    text: str = ""

    @property
    def plausible(self) -> bool:
        """Whether nothing speaks against it."""
        return self.state is ClockState.PLAUSIBLE


def read_clock(now: datetime, recorded: Recorded) -> ClockReading:
    """Hold a clock against the newest record. The release of this program can only show that one is behind."""
    behind = clock_fault(now, recorded)
    if behind:
        return ClockReading(now, recorded, ClockState.BEHIND, behind)
    if recorded != RELEASE and now - recorded.at > LEAP:
        days = (now - recorded.at).days
        text = f"the machine's clock says {_moment(now)}, {days} days after {recorded.what}, of {_moment(recorded.at)}"
        return ClockReading(now, recorded, ClockState.AHEAD, text)
    return ClockReading(now, recorded)


def clock_fault(now: datetime, recorded: Recorded | None) -> str:
    """What shows that `now` cannot be the time, as half a sentence; empty when nothing does."""
    if recorded is None or recorded.at - now <= TOLERANCE:
        return ""
    return f"the machine's clock says {_moment(now)}, but {recorded.what} is of {_moment(recorded.at)}"


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}Z"
