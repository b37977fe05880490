"""A machine's clock that is wrong or doubtful, beside the report of a check: in words and as data."""

from __future__ import annotations

from dataclasses import dataclass

from cmakeys.verify.clock import ClockReading, ClockState


@dataclass(frozen=True, slots=True)
class ClockNotice:
    """What is to be said of a clock, and whether no check has said so yet."""

    reading: ClockReading
    news: bool


def clock_text(notice: ClockNotice) -> str:
    """What is wrong, and what that means for the devices."""
    if notice.reading.state is ClockState.BEHIND:
        return f"{notice.reading.text}; no date was judged by it"
    return f"{notice.reading.text}; what dates say of devices by it is not told as their news"


def clock_data(notice: ClockNotice | None) -> dict[str, object] | None:
    """The same for a program; null for a clock against which nothing speaks."""
    if notice is None:
        return None
    reading = notice.reading
    return {
        "state": reading.state,
        "news": notice.news,
        "now": reading.now,
        "newest_record": {"at": reading.recorded.at, "what": reading.recorded.what},
        "text": reading.text,
    }
