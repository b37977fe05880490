"""The forms that a check's answer can take, chosen and rendered in one place."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cmakeys.cli.audience import Form
from cmakeys.cli.output import Output, plain
from cmakeys.errors import CmakeysError, UsageProblem
from cmakeys.images.freshness import Initrds
from cmakeys.reports.clock import ClockNotice, clock_text
from cmakeys.reports.html.page import html_report
from cmakeys.reports.initrds import rebuild_words, stale_text
from cmakeys.reports.json import check_lines, failed_line, findings_data
from cmakeys.reports.junit import junit_report
from cmakeys.reports.nagios import Beside, failure, plain_line
from cmakeys.reports.nagios import report as nagios_report
from cmakeys.reports.prometheus import RunTimes, prometheus_report
from cmakeys.reports.standing import standing_notes, unfinished_text
from cmakeys.reports.strangers import stranger_notes, stranger_text
from cmakeys.reports.text import check_report
from cmakeys.roots.rootset import RootSet
from cmakeys.running import Mark
from cmakeys.standing import Finding, worst
from cmakeys.verify.clock import ClockState
from cmakeys.whereabouts import Sighting

WHOLE = frozenset({Form.NAGIOS, Form.PROMETHEUS, Form.HTML})
"""Forms whose reader takes a device that is left out for one that is gone."""

SILENT = frozenset({Form.TEXT, Form.JSONL})
"""Forms that may be nothing at all."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How an answer is to be given."""

    form: Form
    quiet: bool = False
    changed_only: bool = False
    unreachable_critical: bool = False

    def __post_init__(self) -> None:
        if self.quiet and self.form not in SILENT:
            raise UsageProblem(f"--quiet has no meaning in the form {self.form.value}", hint="it is for text and jsonl")
        if self.changed_only and self.form in WHOLE:
            raise UsageProblem(
                f"the form {self.form.value} is about all devices",
                hint="leave --changed-only out, or take another form",
            )


@dataclass(frozen=True, slots=True)
class Answered:
    """A run that is over: its findings, when it began, how many seconds it took, and the one that did not finish.

    `rootset` is what the devices were held against, `sightings` what else was there, `initrds` what it was baked into
    and `clock` what is to be said of the machine's clock.
    """

    findings: tuple[Finding, ...]
    began: datetime
    seconds: float
    unfinished: Mark | None = None
    rootset: RootSet = field(default_factory=RootSet)
    sightings: tuple[Sighting, ...] | None = None
    initrds: Initrds | None = None
    clock: ClockNotice | None = None


def choose(form: Form | None, *, json: bool, nagios: bool) -> Form:
    """The form that the options ask for together. Raises `UsageProblem` when they ask for two."""
    asked = {form, Form.JSON if json else None, Form.NAGIOS if nagios else None} - {None}
    if len(asked) > 1:
        names = " and ".join(sorted(one.value for one in asked if one is not None))
        raise UsageProblem(f"{names} are two forms of one answer", hint="choose one of them")
    return next((one for one in asked if one is not None), Form.TEXT)


def answer(out: Output, run: Answered, how: Shown) -> None:
    """Give the answer of a run, and set the exit code that it has."""
    _FORMS[how.form](out, run, how)
    if how.form is not Form.NAGIOS:
        out.exit_code = int(worst(one.outcome for one in run.findings).exit_code) or None


def answer_failure(out: Output, error: CmakeysError, form: Form) -> bool:
    """Answer for a run that could not be done at all; false where the form has no words of its own for that."""
    if form is Form.NAGIOS:
        found = failure(error)
        out.show(*found.lines)
        out.exit_code = found.exit_code
        return True
    if form is Form.JSONL:
        out.show(_line(failed_line(error)))
    return False


def _shown(run: Answered, how: Shown) -> tuple[Finding, ...]:
    return tuple(
        one
        for one in run.findings
        if not (how.quiet and one.quiet) and not (how.changed_only and not one.standing.news)
    )


def _seen(run: Answered, how: Shown) -> tuple[Sighting, ...]:
    """The strangers to be shown: whoever wants to hear of news or trouble only hears of each once."""
    return tuple(one for one in run.sightings or () if one.news or not (how.quiet or how.changed_only))


def _text(out: Output, run: Answered, how: Shown) -> None:
    shown, strangers = _shown(run, how), stranger_notes(_seen(run, how))
    if how.quiet and not shown:
        for line in strangers:
            out.show(line.text, tone=line.tone)
        return
    named = [[(one.name, one.counted) for one in found] for found in (shown, run.findings)]
    for line in check_report(named[0], [*standing_notes(shown), *strangers], run=named[1]):
        out.show(line.text, tone=line.tone)


def _json(out: Output, run: Answered, how: Shown) -> None:
    out.data = findings_data(run.findings, _shown(run, how), run.unfinished, _seen(run, how), run.initrds, run.clock)


def _jsonl(out: Output, run: Answered, how: Shown) -> None:
    shown, seen = _shown(run, how), _seen(run, how)
    told = run.clock is not None and (run.clock.news or not how.changed_only)
    if how.quiet and not shown and not seen and run.unfinished is None and not told:
        return
    for document in check_lines(run.findings, shown, run.unfinished, out.errors, seen, run.initrds, run.clock):
        out.show(_line(document))


def _line(document: Mapping[str, object]) -> str:
    return json.dumps(plain(document), separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _nagios(out: Output, run: Answered, how: Shown) -> None:
    named = [(one.name, one.counted) for one in run.findings]
    beside = Beside(
        None if run.sightings is None else len(run.sightings),
        tuple(stranger_text(one) for one in run.sightings or () if one.news),
        clock_text(run.clock) if run.clock else "",
        str(out.errors[0]) if out.errors else "",
    )
    found = nagios_report(named, unreachable_is_critical=how.unreachable_critical, beside=beside)
    stale = [f"{stale_text(run.initrds)}; {rebuild_words(run.initrds)}"] if run.initrds and run.initrds.stale else []
    out.show(*found.lines, *([unfinished_text(run.unfinished)] if run.unfinished else []), *map(plain_line, stale))
    out.exit_code = found.exit_code


def _prometheus(out: Output, run: Answered, _how: Shown) -> None:
    stale = None if run.initrds is None else len(run.initrds.stale)
    strangers = None if run.sightings is None else len(run.sightings)
    state = run.clock.reading.state if run.clock else ClockState.PLAUSIBLE
    times = RunTimes(run.began, run.seconds, run.unfinished is not None, stale, strangers, state)
    out.show(*prometheus_report(run.findings, times))


def _junit(out: Output, run: Answered, how: Shown) -> None:
    out.show(*junit_report(_shown(run, how), run.began, run.seconds))


def _html(out: Output, run: Answered, _how: Shown) -> None:
    out.show(*html_report(run.findings, run.rootset, run.began, run.unfinished, run.sightings, run.clock))


_FORMS: Mapping[Form, Callable[[Output, Answered, Shown], None]] = {
    Form.TEXT: _text,
    Form.JSON: _json,
    Form.JSONL: _jsonl,
    Form.NAGIOS: _nagios,
    Form.PROMETHEUS: _prometheus,
    Form.JUNIT: _junit,
    Form.HTML: _html,
}
