"""Verdicts for programs: the `data` of a check's JSON envelope, which `cmakeys.cli.output` prints."""

from __future__ import annotations

from collections.abc import Sequence

from cmakeys.reports.text import Named, counts


def check_data(results: Sequence[Named]) -> dict[str, object]:
    """The devices by name with their verdicts in full, and how many have each outcome."""
    return {
        "summary": {outcome.value: count for outcome, count in counts(results).items()},
        "devices": [{"name": name, "verdict": verdict.to_json()} for name, verdict in results],
    }
