"""A vendor's statements for people and for programs: whose they are, what they say, and what was not used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cmakeys.corim.matching import Selection
from cmakeys.corim.reading import Taken
from cmakeys.reports.layout import Line, wrap
from cmakeys.verify.statement import Stated
from cmakeys.verify.tcb_statement import StatedTcb

MAX_SHOWN = 8
"""Environments and values that are told of each kind; JSON has all."""


def stated_data(stated: Sequence[Stated]) -> list[dict[str, object]]:
    """Statements for a program."""
    return [one.to_json() for one in stated]


def stated_lines(stated: Sequence[Stated]) -> Iterator[Line]:
    """Statements for a person."""
    for one in stated:
        for place, statement in enumerate(one.alternatives):
            lead = f"{one.index:>4}  stated: " if place == 0 else f"{'or:':>13} "
            for text in wrap(statement.words, lead, " " * 14):
                yield Line(text)


def stated_tcb_data(stated: Sequence[StatedTcb]) -> list[dict[str, object]]:
    """Statements about certificates for a program."""
    return [one.to_json() for one in stated]


def stated_tcb_lines(stated: Sequence[StatedTcb]) -> Iterator[Line]:
    """Statements about certificates for a person."""
    for one in stated:
        yield from (Line(text) for text in wrap(f"TcbInfo of {one.name}", " tcb  ", " " * 6))
        for place, statement in enumerate(one.alternatives):
            for text in wrap(statement.words, "      stated: " if place == 0 else "          or: ", " " * 14):
                yield Line(text)


def selection_data(taken: Taken, chosen: Selection) -> dict[str, object]:
    """What a CoRIM says of a device, for a program."""
    return {
        "corim": taken.manifest.identity,
        "profile": taken.manifest.profile or None,
        "source": taken.source,
        "sha256": taken.digest,
        "signature_checked": not taken.warning,
        "stated": stated_data(chosen.stated),
        "stated_tcb": stated_tcb_data(chosen.stated_tcb),
        "matched": list(chosen.matched),
        "not_matched": list(chosen.not_matched),
        "not_compared": list(chosen.not_compared),
    }


def selection_lines(taken: Taken, chosen: Selection) -> Iterator[Line]:
    """What a CoRIM says of a device, for a person."""
    for text in wrap(taken.source, "source     ", " " * 11):
        yield Line(text)
    for label, texts in (
        ("about", chosen.matched),
        ("not about", chosen.not_matched),
        ("not used", chosen.not_compared),
    ):
        for one in texts[:MAX_SHOWN]:
            for text in wrap(one, f"{label:<11}", " " * 11):
                yield Line(text)
        if len(texts) > MAX_SHOWN:
            yield Line(f"{label:<11}and {len(texts) - MAX_SHOWN} more; --json has them")
    yield from stated_lines(chosen.stated)
    yield from stated_tcb_lines(chosen.stated_tcb)
