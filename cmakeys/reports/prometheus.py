"""A run for Prometheus, as a file that node_exporter's textfile collector reads.

Its rules: one HELP and one TYPE for each metric with its samples below them, no timestamps, and the file appears in one
piece. A run that failed altogether writes no file, so the old one stays with the time of the last run in it: whoever
alerts on that time hears of a check that has stopped, which no value of a device could tell. Times are unix seconds;
one that never was is 0, and one that will never come is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cmakeys.reports.terminal import printable
from cmakeys.standing import Finding
from cmakeys.verify.clock import ClockState
from cmakeys.verify.verdict import Outcome

PREFIX = "cmakeys_"

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RunTimes:
    """When a run began and how many seconds it took; `unfinished` when the one before it did not finish.

    `stale` counts the initrds that are out of step with the roots and `strangers` the devices that nobody enrolled;
    None where nobody looked. `clock` is what is to be made of the time `began`.
    """

    began: datetime
    seconds: float
    unfinished: bool = False
    stale: int | None = None
    strangers: int | None = None
    clock: ClockState = ClockState.PLAUSIBLE


def prometheus_report(findings: Sequence[Finding], run: RunTimes) -> list[str]:
    """The lines of the file, for all devices of a run."""
    lines: list[str] = []
    for name, explanation, samples in _metrics(findings, run):
        rows = [(labels, value) for labels, value in samples if value is not None]
        if rows:
            lines += [f"# HELP {PREFIX}{name} {explanation}", f"# TYPE {PREFIX}{name} gauge"]
            lines += [f"{PREFIX}{name}{_labels(labels)} {_number(value)}" for labels, value in rows]
    return lines


def _metrics(
    findings: Sequence[Finding], run: RunTimes
) -> Iterable[tuple[str, str, Iterable[tuple[Labels, float | None]]]]:
    devices: Mapping[str, Finding] = {printable(one.name): one for one in findings}

    def each(value: Mapping[str, float | None]) -> list[tuple[Labels, float | None]]:
        return [((("device", name),), number) for name, number in value.items()]

    passes = {name: _seconds(one.standing.passed_at) or 0 for name, one in devices.items()}
    ends = {name: _seconds(one.standing.expires) for name, one in devices.items()}
    yield (
        "device_outcome",
        "What the device counts as: 1 for the outcome that applies, 0 for the others.",
        [
            ((("device", name), ("outcome", outcome.value)), float(one.outcome is outcome))
            for name, one in devices.items()
            for outcome in Outcome
        ],
    )
    yield (
        "device_state_begin_timestamp_seconds",
        "When the device came to count as what it counts as.",
        each({name: _seconds(one.standing.began) for name, one in devices.items()}),
    )
    yield (
        "device_news",
        "1 when this check found a new state or a change that was not reported before.",
        each({name: float(one.standing.news) for name, one in devices.items()}),
    )
    yield (
        "device_unreached_checks",
        "Checks in a row, this one included, that did not reach the device.",
        each({name: float(one.standing.silent) for name, one in devices.items()}),
    )
    yield "device_last_pass_timestamp_seconds", "When the device passed last, 0 for never.", each(passes)
    yield (
        "device_certificate_expiry_timestamp_seconds",
        "When the first certificate in the chain of the device ends.",
        each(ends),
    )
    yield (
        "check_next_expiry_timestamp_seconds",
        "When the first certificate of any device ends.",
        [((), min((end for end in ends.values() if end is not None), default=None))],
    )
    yield "check_last_run_timestamp_seconds", "When the last check began.", [((), _seconds(run.began))]
    yield (
        "check_last_success_timestamp_seconds",
        "The oldest of the devices' last passes, the run's own when all pass; 0 for never.",
        [((), min(passes.values(), default=0))],
    )
    yield "check_duration_seconds", "How long the last check took.", [((), run.seconds)]
    yield "check_unfinished", "1 when the check before this one did not finish.", [((), float(run.unfinished))]
    yield "initrds_stale", "Initrds that would load other roots than are trusted.", [((), run.stale)]
    yield "strangers", "Devices that speak SPDM and that nobody enrolled.", [((), run.strangers)]
    yield (
        "clock_state",
        "What is to be made of the clock of the last check: 1 for the state that applies, 0 for the others.",
        [((("state", state.value),), float(run.clock is state)) for state in ClockState],
    )


def _seconds(when: datetime | None) -> float | None:
    return None if when is None else when.timestamp()


def _labels(labels: Labels) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"
