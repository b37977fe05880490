"""What a run finds beside the enrolled devices, as entries of the system's log: strangers, and the machine's clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cmakeys.evidence.fields import time_text
from cmakeys.reports.clock import ClockNotice, clock_text
from cmakeys.reports.events import Event, Kind, Priority
from cmakeys.reports.strangers import stranger_text
from cmakeys.reports.terminal import printable
from cmakeys.whereabouts import Sighting


def stranger_events(sightings: Sequence[Sighting]) -> tuple[Event, ...]:
    """Devices that nobody enrolled: an entry for each that is news, none for those that were seen before."""
    return tuple(
        Event(Kind.STRANGER_SEEN, Priority.WARNING, (printable(stranger_text(one)),), tuple(_stranger_fields(one)))
        for one in sightings
        if one.news
    )


def _stranger_fields(one: Sighting) -> Iterator[tuple[str, str]]:
    stranger = one.stranger
    yield "CMAKEYS_ADDRESS", stranger.address
    if stranger.label:
        yield "CMAKEYS_LABEL", stranger.label
    if stranger.device_key:
        yield "CMAKEYS_DEVICE_KEY", stranger.device_key
    if stranger.twin:
        yield "CMAKEYS_TWIN", stranger.twin


def clock_events(notice: ClockNotice | None) -> tuple[Event, ...]:
    """A clock that is wrong or doubtful, as one entry; a warning where that is news."""
    if notice is None:
        return ()
    reading = notice.reading
    fields = (
        ("CMAKEYS_CLOCK", reading.state.value),
        ("CMAKEYS_NOW", time_text(reading.now)),
        ("CMAKEYS_RECORDED", time_text(reading.recorded.at)),
    )
    priority = Priority.WARNING if notice.news else Priority.NOTICE
    return (Event(Kind.CLOCK_WRONG, priority, (printable(clock_text(notice)),), fields),)
