"""Verdicts for Nagios, Icinga and whatever else speaks the plugin API: a status line, performance data, an exit code.

The first line is what an alert shows, so it names the first bad device. A device that could not be reached is
*unknown*, never *critical*, unless whoever runs the check says otherwise. `|` separates performance data, so no foreign
text may bring one along; lines after the first are the long output, the worst devices first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cmakeys.errors import CmakeysError
from cmakeys.reports.terminal import printable
from cmakeys.reports.text import Named, counts
from cmakeys.verify.verdict import Outcome, StepOutcome
from cmakeys.wording import counted

STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
OK, WARNING, UNKNOWN = 0, 1, 3

MAX_OUTPUT = 8000
"""Characters; Nagios reads 8 KiB of a plugin's output."""

_MAX_LINE = 400
_BADNESS = (2, 3, 1, 0)
"""Nagios states from worst to best: a known failure outweighs not knowing."""

_LIMITS = {Outcome.REJECTED: ";;0", Outcome.DEGRADED: ";0;"}
"""Warning and critical thresholds in the performance data: any value above 0."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a plugin prints, line by line, and the code it leaves with."""

    exit_code: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Beside:
    """What a run found beside the enrolled devices.

    `strangers` are devices that nobody enrolled, None where nobody looked, and `new` what is said of those that are
    news; they are no part of the state. `clock` says what is wrong with the machine's clock, and `trouble` what of the
    run could not be done, such as keeping its results; either is a warning.
    """

    strangers: int | None = None
    new: tuple[str, ...] = ()
    clock: str = ""
    trouble: str = ""


_NOTHING = Beside()


def report(results: Sequence[Named], *, unreachable_is_critical: bool = False, beside: Beside = _NOTHING) -> Report:
    """The report of one run over at least one device; over none it is unknown."""

    def state_of(outcome: Outcome) -> int:
        return outcome.nagios(unreachable_is_critical=unreachable_is_critical)

    ranked = sorted(results, key=lambda result: _BADNESS.index(state_of(result[1].outcome)))
    state = state_of(ranked[0][1].outcome) if ranked else UNKNOWN
    numbers = counts(results)
    total = len(results)
    headline = f"{counted(total, 'device')} trusted"
    if not results:
        headline = "no devices were checked"
    elif numbers[Outcome.TRUSTED] != total:
        parts = [f"{count} of {total} {outcome.value}" for outcome, count in _worst_first(numbers) if count]
        name, verdict = ranked[0]
        headline = f"{', '.join(parts)}: {name}: {verdict.summary}"
    for remark in filter(None, (beside.clock, beside.trouble)):
        headline = f"{remark}; {headline}" if state == OK else f"{headline}; {remark}"
        state = state or WARNING
    performance = " ".join(
        f"{outcome.value}={count}{_LIMITS.get(outcome, ';;')};0;{total}" for outcome, count in numbers.items()
    )
    if beside.strangers is not None:
        performance += f" strangers={beside.strangers};;;0;"
    first = f"CMAKEYS {STATES[state]} - {plain_line(headline)} | {performance}"
    return Report(state, tuple(_bounded([first, *map(plain_line, beside.new), *_long_output(ranked)])))


def failure(error: CmakeysError) -> Report:
    """The report of a run that could not be done at all: unknown, whatever the reason."""
    return Report(
        UNKNOWN, (f"CMAKEYS UNKNOWN - {plain_line(str(error))}", *([plain_line(error.hint)] if error.hint else []))
    )


def _worst_first(numbers: dict[Outcome, int]) -> list[tuple[Outcome, int]]:
    order = (Outcome.REJECTED, Outcome.UNREACHABLE, Outcome.UNSUPPORTED, Outcome.DEGRADED)
    return [(outcome, numbers[outcome]) for outcome in order]


def _long_output(ranked: Sequence[Named]) -> list[str]:
    lines = []
    for name, verdict in ranked:
        lines.append(plain_line(f"{name}: {verdict.outcome.value}: {verdict.summary}"))
        for step in verdict.steps:
            if step.outcome in (StepOutcome.FAILED, StepOutcome.WARNED):
                hint = f" - {step.hint}" if step.hint else ""
                lines.append(plain_line(f"  step {step.number} {step.title}: {step.reason}{hint}"))
    return lines


def _bounded(lines: Sequence[str]) -> list[str]:
    """As many lines as Nagios reads; the last one says how many are left out."""
    kept: list[str] = []
    used = 0
    for position, line in enumerate(lines):
        used += len(line.encode()) + 1
        if used > MAX_OUTPUT - 80:
            return [*kept, f"({len(lines) - position} more lines; see cmakeys check --all)"]
        kept.append(line)
    return kept


def plain_line(text: str) -> str:
    """Foreign text without control characters, without the separator, and of bounded length."""
    safe = printable(text).replace("|", "\\x7c")
    return safe if len(safe) <= _MAX_LINE else safe[: _MAX_LINE - 1] + "…"
