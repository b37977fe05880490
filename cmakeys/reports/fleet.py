"""The judgement of many pieces of evidence, for a person and for programs, given as it comes.

Nothing here holds the results: a table for a person takes its widths from the rows that came first, and programs get a
line of JSON for each result and one about the run at the end, so that whoever reads them knows that none is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from cmakeys.fleet.item import CRASHED, UNREADABLE, Judged, Problem
from cmakeys.reports.layout import WIDTH, Line, shorten, wrap
from cmakeys.reports.terminal import Tone, printable, width
from cmakeys.reports.text import OUTCOME_TONES
from cmakeys.verify.verdict import Outcome

VERDICT_SCHEMA = "cmakeys/evidence-verdict/1"
RUN_SCHEMA = "cmakeys/evidence-run/1"

OUTCOMES = (*(outcome.value for outcome in Outcome), UNREADABLE, CRASHED)
TONES: Mapping[str, Tone] = {
    **{outcome.value: tone for outcome, tone in OUTCOME_TONES.items()},
    UNREADABLE: Tone.WARNING,
    CRASHED: Tone.BAD,
}
_WORST_FIRST = (CRASHED, *(outcome.value for outcome in (Outcome.REJECTED, Outcome.UNREACHABLE)), UNREADABLE)
_WORD_CELLS = max(map(len, OUTCOMES))
_MAX_NAME_CELLS = 36
_MIN_NAME_CELLS = 16


class Tally:
    """How many results there are of each outcome, and the first that could not be read."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(OUTCOMES, 0)
        self.first_problem: Problem | None = None

    def add(self, results: Sequence[Judged]) -> None:
        """Count them."""
        for result in results:
            self.counts[result.outcome] += 1
            if self.first_problem is None:
                self.first_problem = result.problem

    @property
    def total(self) -> int:
        """All results."""
        return sum(self.counts.values())

    @property
    def exit_code(self) -> int:
        """1 when one is rejected or crashed, else that of the first that could not be read, else 6 or 5."""
        if self.counts[Outcome.REJECTED.value] or self.counts[CRASHED]:
            return int(Outcome.REJECTED.exit_code)
        if self.first_problem is not None:
            return self.first_problem.exit_code
        for outcome in (Outcome.UNREACHABLE, Outcome.UNSUPPORTED):
            if self.counts[outcome.value]:
                return int(outcome.exit_code)
        return 0

    @property
    def words(self) -> str:
        """The counts that are not zero."""
        return ", ".join(f"{count} {outcome}" for outcome, count in self.counts.items() if count) or "nothing judged"


def rows(results: Sequence[Judged], cells: int) -> list[Line]:
    """One line for each result: its name in so many cells, the outcome, and as much of the reason as fits."""
    room = WIDTH - cells - _WORD_CELLS - 4
    lines = []
    for result in results:
        name = _end_of(result.place, cells)
        padding = " " * (cells - width(name))
        text = f"{name}{padding}  {result.outcome:<{_WORD_CELLS}}  {shorten(result.summary, room)}"
        lines.append(Line(text.rstrip(), TONES[result.outcome]))
    return lines


def _end_of(name: str, cells: int) -> str:
    """As much of a path as fits, from its end, which tells one file of a folder from another."""
    safe = printable(name)
    if width(safe) <= cells:
        return safe
    kept = safe[-cells + 1 :]
    while width(kept) >= cells:
        kept = kept[1:]
    return f"…{kept}"


def name_cells(results: Sequence[Judged]) -> int:
    """The cells that the names of a table take which begins with these results."""
    longest = max((width(result.place) for result in results), default=0)
    return min(max(longest, _MIN_NAME_CELLS), _MAX_NAME_CELLS)


def header(cells: int) -> Line:
    """The head of the table."""
    return Line(f"{'EVIDENCE':<{cells}}  {'VERDICT':<{_WORD_CELLS}}  REASON", Tone.NOTE)


def summary(tally: Tally) -> list[Line]:
    """How many there were and what came out, in more than one line where there were many of all kinds."""
    tone = next((TONES[outcome] for outcome in _WORST_FIRST if tally.counts[outcome]), Tone.PLAIN)
    number = tally.total
    words = f"{number} piece{'' if number == 1 else 's'} of evidence: {tally.words}"
    return [Line(text, tone) for text in wrap(words, "", "  ")]


def result_line(result: Judged) -> str:
    """One result as a line of JSON; the verdict in it is as the worker wrote it."""
    head = json.dumps(
        {"schema": VERDICT_SCHEMA, "file": result.name, "line": result.line, "outcome": result.outcome},
        separators=(",", ":"),
    )
    problem = json.dumps(problem_data(result.problem) if result.problem else None, separators=(",", ":"))
    return f'{head[:-1]},"problem":{problem},"verdict":{result.document or "null"}}}'


def run_line(tally: Tally) -> str:
    """The last line: how many of each outcome there were."""
    return json.dumps({"schema": RUN_SCHEMA, "total": tally.total, "summary": tally.counts}, separators=(",", ":"))


def problem_data(problem: Problem) -> dict[str, object]:
    """A problem as every answer in JSON has it."""
    return {
        "code": problem.code,
        "message": problem.message,
        "object": problem.object,
        "hint": problem.hint,
    }
