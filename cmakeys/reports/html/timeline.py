"""The roots of a machine along time: how long each is valid, when it is being replaced, and where today is.

A certificate may claim to be valid from year 1 to 9999, which would press all others into a point: the axis shows the
years around today, and a bar that goes on beyond them says so with an arrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Root

MAX_ROOTS = 60
"""Roots in one picture."""

BACK = timedelta(days=20 * 366)
AHEAD = timedelta(days=40 * 366)
"""How far the axis goes from today at most."""

ENDLESS = 11
"""Years after today that are drawn at least where a certificate has no end, for its bar to look like that."""

MARGIN = 10.0
"""Left and right of the axis."""

ROW = 48.0
"""Height of a root: a line of text and its bar."""

AXIS = 26.0
"""Height of the years above the roots."""

BAR = 14.0
"""Height of a bar."""

TICK_ROOM = 58.0
"""Pixels that a year needs to be readable."""

_YEARS = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True, slots=True)
class Period:
    """One root in time: its validity, the overlap of a rotation, and after when its leaves are not believed.

    `ends` is None for a certificate without an end.
    """

    name: str
    state: LifeCycle
    begins: datetime
    ends: datetime | None
    overlap: tuple[datetime, datetime] | None = None
    successor: str = ""
    distrust_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A period and its place: the bar from `left` to `right`, cut off at the axis where `cut_left` or `cut_right`."""

    period: Period
    y: float
    left: float
    right: float
    cut_left: bool
    cut_right: bool
    overlap: tuple[float, float] | None
    distrusted_from: float | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """A drawing of `width` by `height`: rows, years with their places, and the place of today."""

    width: float
    height: float
    rows: tuple[Row, ...]
    ticks: tuple[tuple[int, float], ...]
    today: float


def periods(roots: Iterable[Root]) -> tuple[Period, ...]:
    """The roots as periods: in the order of their life cycle, then by name."""
    everyone = tuple(roots)
    names = {root.fingerprint: root.name for root in everyone}
    return tuple(
        Period(
            root.name,
            root.state,
            root.certificate.not_before,
            None if root.certificate.never_expires else root.certificate.not_after,
            (root.rotation.started, root.rotation.overlap_until) if root.rotation else None,
            names.get(root.rotation.successor, root.rotation.successor[:16]) if root.rotation else "",
            root.distrust_after,
        )
        for root in sorted(everyone, key=lambda one: (_order(one.state), one.name))
    )


def _order(state: LifeCycle) -> int:
    return (LifeCycle.TRUSTED, LifeCycle.RETIRING, LifeCycle.STAGED, LifeCycle.RETIRED, LifeCycle.DISTRUSTED).index(
        state
    )


def place(found: Sequence[Period], today: datetime, width: float) -> Timeline:
    """Where everything goes in a drawing of that width; at most `MAX_ROOTS` rows."""
    shown = found[:MAX_ROOTS]
    start, end = _axis(shown, today)
    room = width - 2 * MARGIN

    def x(when: datetime) -> float:
        part = (min(max(when, start), end) - start) / (end - start)
        return round(MARGIN + part * room, 2)

    rows = tuple(
        Row(
            one,
            AXIS + number * ROW,
            x(one.begins),
            max(x(end if one.ends is None else one.ends), x(one.begins)),
            one.begins < start,
            one.ends is None or one.ends > end,
            _stretch(x(one.overlap[0]), x(one.overlap[1])) if one.overlap else None,
            x(one.distrust_after) if one.distrust_after else None,
        )
        for number, one in enumerate(shown)
    )
    ticks = tuple((year, x(datetime(year, 1, 1, tzinfo=UTC))) for year in _ticks(start, end, room))
    return Timeline(width, AXIS + len(rows) * ROW + 4, rows, ticks, x(today))


def _stretch(one: float, other: float) -> tuple[float, float]:
    return min(one, other), max(one, other)


def _axis(found: Sequence[Period], today: datetime) -> tuple[datetime, datetime]:
    """The years that are drawn: whole ones, at least one before and after today."""
    first = max(min([one.begins for one in found], default=today), _moved(today, -BACK))
    last = min(max([one.ends for one in found if one.ends is not None], default=today), _moved(today, AHEAD))
    begin = min(first.year, today.year - 1)
    until = max(last.year + 1, today.year + (ENDLESS if any(one.ends is None for one in found) else 2))
    return datetime(max(begin, 1), 1, 1, tzinfo=UTC), datetime(min(until, 9999), 1, 1, tzinfo=UTC)


def _moved(when: datetime, by: timedelta) -> datetime:
    try:
        return when + by
    except OverflowError:
        edge = datetime.max if by > timedelta(0) else datetime.min
        return edge.replace(tzinfo=UTC)


def _ticks(start: datetime, end: datetime, room: float) -> list[int]:
    years = end.year - start.year
    step = next((one for one in _YEARS if years / one * TICK_ROOM <= room), _YEARS[-1])
    first = -(-start.year // step) * step
    return list(range(max(first, 1), end.year + 1, step))
