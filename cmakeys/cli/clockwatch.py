"""What a check says of the machine's clock, before it says anything by it."""

from __future__ import annotations

from pathlib import Path

from cmakeys.cli.output import Output
from cmakeys.clock import read_memory
from cmakeys.reports.clock import ClockNotice, clock_text
from cmakeys.verify.clock import CLOCK_HINT, ClockReading, ClockState


def look_at_clock(out: Output, state: Path, reading: ClockReading, *, news_only: bool) -> ClockNotice | None:
    """Warn of a clock that is wrong or doubtful, on stderr; None where nothing speaks against it.

    What the last check told already is no news.
    """
    if reading.plausible:
        return None
    memory = read_memory(state)
    told = ClockState.PLAUSIBLE if memory is None else memory.told
    notice = ClockNotice(reading, told is not reading.state)
    if notice.news or not news_only:
        out.warn(clock_text(notice), hint=CLOCK_HINT)
    return notice
