"""The history of checks for a person and for a program: checks one by one, and runs at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from cmakeys.devices.chronicle import Run
from cmakeys.devices.enrolled import CheckRecord
from cmakeys.reports.layout import Line, wrap
from cmakeys.reports.terminal import Tone, width
from cmakeys.reports.text import OUTCOME_TONES
from cmakeys.standing import minute
from cmakeys.verify.verdict import Outcome

RUNS_HEADER = ("CHECKED", "ALL", "TRUSTED", "DEGRADED", "REJECTED", "UNREACHABLE", "NO SPDM", "NEWS")
_TONES = {outcome.value: tone for outcome, tone in OUTCOME_TONES.items()}
_MAX_NAME = 24


def checks_report(records: Sequence[CheckRecord]) -> list[Line]:
    """A paragraph about each check, newest first; a star stands at what was news."""
    cells = min(max((width(one.device) for one in records), default=0), _MAX_NAME)
    lines: list[Line] = []
    for one in records:
        mark = "*" if one.news else " "
        lead = f"{minute(one.checked_at).removesuffix(' UTC')} {mark} {one.device:<{cells}}  "
        reason = f": {one.reason}" if one.reason else ""
        first, *following = wrap(f"{one.outcome}{reason}", lead, " " * 21)
        lines += [Line(first, _TONES.get(one.outcome, Tone.NOTE)), *map(Line, following)]
    return lines


def runs_rows(found: Sequence[Run]) -> list[tuple[str, ...]]:
    """One row for each run."""
    return [
        (
            minute(run.checked_at).removesuffix(" UTC"),
            str(run.devices),
            *(str(run.outcomes.get(outcome.value, 0) or "-") for outcome in Outcome),
            str(run.news or "-"),
        )
        for run in found
    ]


def check_data(record: CheckRecord) -> dict[str, object]:
    """One check as data."""
    return {
        "device": record.device,
        "checked_at": record.checked_at,
        "outcome": record.outcome,
        "reason": record.reason,
        "news": record.news,
    }


def run_data(run: Run) -> dict[str, object]:
    """One run as data."""
    return {
        "checked_at": run.checked_at,
        "devices": run.devices,
        "outcomes": {outcome.value: run.outcomes.get(outcome.value, 0) for outcome in Outcome},
        "news": run.news,
    }
