"""The forms that the answer of `evidence verify` can take, and the progress of a long run.

Each form takes results as they come and holds no more of them than it has to: the table for a person those by which it
finds its widths, JSON Lines none, and one JSON object all, for it is one object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import PurePath
from typing import Protocol

from cmakeys.cli.output import Output, write
from cmakeys.errors import CmakeysError, ExitCode
from cmakeys.fleet.item import Judged, Problem
from cmakeys.reports import fleet
from cmakeys.reports.fleet import Tally
from cmakeys.reports.text import verdict_report
from cmakeys.verify.verdict import Outcome, Verdict

ROWS_HELD = 200
"""Results by which a table finds its widths."""

PROBLEMS_TOLD = 50
"""Problems that a person is told one by one, with hints; every one of them has its row."""

PROGRESS_SECONDS = 0.25


class Form(Enum):
    """For whom the answer is: a person, a program, or a stream of them."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"


class Unread(CmakeysError):
    """A file or a line that could not be judged, as the worker said it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message, object=problem.object, hint=problem.hint)
        self.code = problem.code
        self.exit_code = ExitCode(problem.exit_code)


class Answer(Protocol):
    """One form."""

    def take(self, results: Sequence[Judged]) -> None:
        """The next results, in order."""

    def end(self, tally: Tally) -> None:
        """There are no more."""


class Text:
    """A table, or a single verdict with all its steps."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._held: list[Judged] = []
        self._cells = 0
        self._told = 0

    def take(self, results: Sequence[Judged]) -> None:
        """Hold the first few, then print as they come."""
        for result in results:
            if result.problem is not None and self._told < PROBLEMS_TOLD:
                self._told += 1
                self._out.problem(Unread(result.problem))
        if self._cells:
            self._show(results)
            return
        self._held += results
        if len(self._held) > ROWS_HELD:
            self._begin()

    def end(self, tally: Tally) -> None:
        """What is held, and the summary."""
        if tally.total == 1 and self._held and self._held[0].document:
            result = self._held[0]
            verdict = Verdict.from_json(json.loads(result.document), result.place)
            for line in verdict_report(result.place, verdict):
                self._out.show(line.text, tone=line.tone)
            return
        if tally.total == 1 and tally.first_problem is not None:
            return  # that it could not be read has been said
        if not self._cells and self._held:
            self._begin()
        for line in fleet.summary(tally):
            self._out.show(line.text, tone=line.tone)

    def _begin(self) -> None:
        self._cells = fleet.name_cells(self._held)
        line = fleet.header(self._cells)
        self._out.show(line.text, tone=line.tone)
        self._show(self._held)
        self._held.clear()

    def _show(self, results: Sequence[Judged]) -> None:
        for line in fleet.rows(results, self._cells):
            self._out.show(line.text, tone=line.tone)


class Whole:
    """All verdicts in one JSON object."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._devices: list[dict[str, object]] = []

    def take(self, results: Sequence[Judged]) -> None:
        """Keep them; what could not be read goes with the errors."""
        for result in results:
            if result.problem is not None:
                self._out.problem(Unread(result.problem))
            else:
                self._devices.append({"name": result.place, "verdict": json.loads(result.document)})

    def end(self, tally: Tally) -> None:
        """Hand all of it over."""
        self._out.data = {"summary": tally.counts, "devices": self._devices}


class Lines:
    """A line of JSON for each result, and one about the run."""

    def __init__(self, out: Output) -> None:
        self._out = out

    def take(self, results: Sequence[Judged]) -> None:
        """Print them."""
        self._out.show(*map(fleet.result_line, results))

    def end(self, tally: Tally) -> None:
        """The last line."""
        self._out.show(fleet.run_line(tally))


FORMS: Mapping[Form, type[Text | Whole | Lines]] = {Form.TEXT: Text, Form.JSON: Whole, Form.JSONL: Lines}


def well(result: Judged) -> bool:
    """Whether there is nothing to say about it."""
    return result.outcome == Outcome.TRUSTED.value


def briefly(result: Judged) -> Judged:
    """The result under the name of its file alone."""
    return result._replace(name=PurePath(result.name).name)


class Progress:
    """One line on stderr that is written over again, where stderr is a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = False
        self._begun = self._last = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def tell(self, tally: Tally) -> None:
        """How far the run is, a few times a second."""
        now = time.monotonic()
        if not self._terminal or now - self._last < PROGRESS_SECONDS:
            return
        self._last = now
        rate = tally.total / max(now - self._begun, 0.001)
        write(sys.stderr, f"\r\x1b[K{f'{tally.total} judged, {rate:.0f} a second: {tally.words}'[:79]}")
        self._shown = True

    def clear(self) -> None:
        """Take the line away, before anything else is written."""
        if self._shown:
            write(sys.stderr, "\r\x1b[K")
            self._shown = False
