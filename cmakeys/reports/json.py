"""Verdicts for programs: the `data` of JSON envelopes, which `cmakeys.cli.output` prints, and lines of JSON.

Of a check's lines the last one is about the run, so that whoever reads them knows that none is missing.
"""

from __future__ import annotations

from collections.abc import Sequence

from cmakeys.errors import CmakeysError
from cmakeys.images.freshness import Initrds
from cmakeys.reports.clock import ClockNotice, clock_data
from cmakeys.reports.initrds import initrds_data
from cmakeys.reports.standing import standing_data, unfinished_data
from cmakeys.reports.strangers import stranger_data, stranger_line
from cmakeys.reports.text import Named, counts
from cmakeys.running import Mark
from cmakeys.standing import Finding
from cmakeys.whereabouts import Sighting

DEVICE_SCHEMA = "cmakeys/check-device/1"
RUN_SCHEMA = "cmakeys/check-run/1"


def check_data(results: Sequence[Named]) -> dict[str, object]:
    """The devices by name with their verdicts in full, and how many have each outcome."""
    return {
        "summary": _summary(results),
        "devices": [{"name": name, "verdict": verdict.to_json()} for name, verdict in results],
    }


def findings_data(
    run: Sequence[Finding],
    shown: Sequence[Finding],
    unfinished: Mark | None,
    seen: Sequence[Sighting] = (),
    initrds: Initrds | None = None,
    clock: ClockNotice | None = None,
) -> dict[str, object]:
    """A whole check: how many devices count as what, and those to be shown, with how they stand with earlier ones."""
    return {
        "summary": _summary([(one.name, one.counted) for one in run]),
        "devices": [_finding(one) for one in shown],
        "unfinished": unfinished_data(unfinished),
        "strangers": [stranger_data(one) for one in seen],
        "initrds": _initrds(initrds),
        "clock": clock_data(clock),
    }


def check_lines(
    run: Sequence[Finding],
    shown: Sequence[Finding],
    unfinished: Mark | None,
    errors: Sequence[CmakeysError],
    seen: Sequence[Sighting] = (),
    initrds: Initrds | None = None,
    clock: ClockNotice | None = None,
) -> list[dict[str, object]]:
    """A check as one object for each device and stranger to be shown, and one about the run at the end."""
    return [*map(device_line, shown), *map(stranger_line, seen), _run(run, unfinished, errors, initrds, clock)]


def device_line(one: Finding) -> dict[str, object]:
    """One device as such an object."""
    return {"schema": DEVICE_SCHEMA, **_finding(one)}


def failed_line(error: CmakeysError) -> dict[str, object]:
    """The line about a run that could not be done at all."""
    return _run((), None, [error])


def _run(
    run: Sequence[Finding],
    unfinished: Mark | None,
    errors: Sequence[CmakeysError],
    initrds: Initrds | None = None,
    clock: ClockNotice | None = None,
) -> dict[str, object]:
    return {
        "schema": RUN_SCHEMA,
        "summary": _summary([(one.name, one.counted) for one in run]),
        "unfinished": unfinished_data(unfinished),
        "initrds": _initrds(initrds),
        "clock": clock_data(clock),
        "errors": [
            {"code": one.code, "message": one.message, "object": one.object, "hint": one.hint} for one in errors
        ],
    }


def _initrds(found: Initrds | None) -> dict[str, object] | None:
    return None if found is None else initrds_data(found)


def _finding(one: Finding) -> dict[str, object]:
    return {"name": one.name, "verdict": one.verdict.to_json(), "standing": standing_data(one)}


def _summary(results: Sequence[Named]) -> dict[str, object]:
    return {outcome.value: count for outcome, count in counts(results).items()}
