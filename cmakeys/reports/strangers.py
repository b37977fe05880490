"""Devices that nobody enrolled, beside the report of a check: for a person, and as data."""

from __future__ import annotations

from collections.abc import Sequence

from cmakeys.reports.layout import Line, wrap
from cmakeys.reports.terminal import Tone
from cmakeys.standing import minute
from cmakeys.whereabouts import Sighting

SCHEMA = "cmakeys/check-stranger/1"


def stranger_notes(sightings: Sequence[Sighting]) -> list[Line]:
    """A paragraph about each, and the next step once."""
    lines: list[Line] = []
    for one in sightings:
        first, *following = wrap(stranger_text(one), "", "    ")
        lines += [Line(first, Tone.WARNING if one.news else Tone.NOTE), *map(Line, following)]
    return [*lines, Line("next: cmakeys devices enroll ADDRESS, for one that is meant to be there")] if lines else []


def stranger_text(one: Sighting) -> str:
    """What there is to say about one."""
    stranger = one.stranger
    since = "now for the first time" if one.news else f"since {minute(stranger.first_seen)}"
    label = f" ({stranger.label})" if stranger.label else ""
    text = f"{stranger.address}{label} speaks SPDM and is not enrolled; seen {since}"
    if stranger.twin:
        text += f"; it has the identity of {stranger.twin}, which answers in its own place"
    return text


def stranger_data(one: Sighting) -> dict[str, object]:
    """One as data."""
    stranger = one.stranger
    return {
        "address": stranger.address,
        "news": one.news,
        "first_seen": stranger.first_seen,
        "label": stranger.label or None,
        "device_key": stranger.device_key or None,
        "twin": stranger.twin or None,
    }


def stranger_line(one: Sighting) -> dict[str, object]:
    """One as an object of its own in a stream."""
    return {"schema": SCHEMA, **stranger_data(one)}
