"""Verdicts for a person: one in full with its fourteen steps, many as a table, and what to do next.

Outcomes stand there as words, because marks and colour exist only on a terminal. No line is wider than 80 columns.
"""

from __future__ import annotations

from collections.abc import Sequence

from cmakeys.reports.layout import WIDTH, Line, shorten, wrap
from cmakeys.reports.terminal import Tone, width
from cmakeys.verify.verdict import Outcome, Step, StepOutcome, Verdict
from cmakeys.wording import counted

Named = tuple[str, Verdict]
"""A verdict and the name of its device, by which whoever reads the report knows it."""

OUTCOME_TONES = {
    Outcome.TRUSTED: Tone.GOOD,
    Outcome.DEGRADED: Tone.WARNING,
    Outcome.REJECTED: Tone.BAD,
    Outcome.UNREACHABLE: Tone.WARNING,
    Outcome.UNSUPPORTED: Tone.NOTE,
}
STEP_WORDS = {
    StepOutcome.PASSED: ("passed", Tone.GOOD),
    StepOutcome.WARNED: ("warned", Tone.WARNING),
    StepOutcome.FAILED: ("failed", Tone.BAD),
    StepOutcome.NOT_CHECKED: ("not checked", Tone.NOTE),
}

_INDENT = " " * 17
_MAX_NAME_CELLS = 28


def verdict_report(name: str, verdict: Verdict) -> list[Line]:
    """One verdict in full: what it is about, its outcome, all steps with reasons and hints."""
    lines = _paragraph(f"{name}: {verdict.outcome.value}: {verdict.summary}", OUTCOME_TONES[verdict.outcome])
    lines.append(Line(""))
    for label, value in _facts(name, verdict):
        lines += [Line(text) for text in wrap(value, f"  {label:<10}", " " * 12)]
    lines.append(Line(""))
    if _nothing_checked(verdict):
        hint = verdict.steps[0].hint
        following = [Line(text) for text in wrap(f"next: {hint}", "  ", "    ")] if hint else []
        return [*lines, Line("  none of the 14 steps could be checked", Tone.NOTE), *following]
    for step in verdict.steps:
        lines += _step(step)
    return lines


def _nothing_checked(verdict: Verdict) -> bool:
    """Whether every step gives the same reason for not having been checked: the summary says it once."""
    return {(step.outcome, step.reason) for step in verdict.steps} == {
        (StepOutcome.NOT_CHECKED, verdict.steps[0].reason)
    }


def _facts(name: str, verdict: Verdict) -> list[tuple[str, str]]:
    negotiated = ", ".join(
        text
        for text in (
            f"SPDM {verdict.version}" if verdict.version else "",
            verdict.algorithm or "",
            f"slot {verdict.slot}" if verdict.slot is not None else "",
        )
        if text
    )
    root = f"{verdict.root} {verdict.root_fingerprint}" if verdict.root else ""
    checked_at = f"{verdict.checked_at:%Y-%m-%d %H:%M:%S} UTC"
    facts = (
        ("device", verdict.device if verdict.device != name else ""),
        ("checked", checked_at),
        ("protocol", negotiated),
        ("root", root),
        ("leaf", verdict.leaf_fingerprint or ""),
        ("key", verdict.key_fingerprint or ""),
    )
    return [(label, value) for label, value in facts if value]


def _step(step: Step) -> list[Line]:
    word, tone = STEP_WORDS[step.outcome]
    first, *following = wrap(f"{step.title}: {step.reason}", f"{step.number:>3}  {word:<11} ", _INDENT)
    lines = [Line(first, tone), *(Line(text) for text in following)]
    if step.hint:
        lines += [Line(text) for text in wrap(f"next: {step.hint}", _INDENT, _INDENT + "  ")]
    return lines


def table(results: Sequence[Named]) -> list[Line]:
    """One line for each device: its name, the outcome, and as much of the reason as fits."""
    names = [shorten(name, _MAX_NAME_CELLS) for name, _ in results]
    cells = max([len("DEVICE"), *map(width, names)])
    words = max([len("VERDICT"), *(len(verdict.outcome.value) for _, verdict in results)])
    room = WIDTH - cells - words - 4
    lines = [Line(f"{'DEVICE':<{cells}}  {'VERDICT':<{words}}  REASON", Tone.NOTE)]
    for name, (_, verdict) in zip(names, results, strict=True):
        padding = " " * (cells - width(name))
        text = f"{name}{padding}  {verdict.outcome.value:<{words}}  {shorten(verdict.summary, room)}"
        lines.append(Line(text.rstrip(), OUTCOME_TONES[verdict.outcome]))
    return lines


def counts(results: Sequence[Named]) -> dict[Outcome, int]:
    """How many devices have each outcome, in the order of `Outcome`, zeros included."""
    return {outcome: sum(verdict.outcome is outcome for _, verdict in results) for outcome in Outcome}


def summary(results: Sequence[Named]) -> Line:
    """How many devices were checked and what came out."""
    number = len(results)
    parts = [f"{count} {outcome.value}" for outcome, count in counts(results).items() if count]
    return Line(f"{counted(number, 'device')}: {', '.join(parts) or 'none checked'}", _worst_tone(results))


def _worst_tone(results: Sequence[Named]) -> Tone:
    found = {verdict.outcome for _, verdict in results}
    order = (Outcome.REJECTED, Outcome.UNREACHABLE, Outcome.DEGRADED, Outcome.UNSUPPORTED, Outcome.TRUSTED)
    return next((OUTCOME_TONES[outcome] for outcome in order if outcome in found), Tone.PLAIN)


def next_step(results: Sequence[Named]) -> list[Line]:
    """What to do now, about the worst there is; nothing when all is well."""
    by_outcome: dict[Outcome, list[str]] = {}
    for name, verdict in results:
        by_outcome.setdefault(verdict.outcome, []).append(name)
    for outcome, what in (
        (Outcome.REJECTED, "see every step of it"),
        (Outcome.UNREACHABLE, "nothing is said about it; try again with more time"),
        (Outcome.DEGRADED, "see what is due"),
    ):
        if outcome in by_outcome:
            option = " --timeout 60" if outcome is Outcome.UNREACHABLE else ""
            return _paragraph(f"next: cmakeys check {by_outcome[outcome][0]}{option}  ({what})", Tone.PLAIN)
    return []


def _paragraph(text: str, tone: Tone) -> list[Line]:
    first, *following = wrap(text, "", "  ")
    return [Line(first, tone), *(Line(one) for one in following)]


def check_report(
    results: Sequence[Named], notes: Sequence[Line] = (), *, run: Sequence[Named] | None = None
) -> list[Line]:
    """The report of one run: a single device in full, several as a table with a summary and the next step.

    `notes` are what is to be said beside the verdicts. `run` are all devices of the run where `results` are only those
    to be shown.
    """
    everything = results if run is None else run
    said = [Line(""), *notes] if notes else []
    if len(everything) == 1 and results:
        return [*verdict_report(*results[0]), *said]
    lines = [*table(results), Line("")] if results else []
    total = summary(everything)
    lines += [*_paragraph(total.text, total.tone), *said]
    worst = [(name, verdict) for name, verdict in results if verdict.outcome is Outcome.REJECTED]
    for name, verdict in worst:
        lines += _failures(name, verdict)
    return [*lines, *next_step(results)]


def _failures(name: str, verdict: Verdict) -> list[Line]:
    lines = [Line(""), *_paragraph(f"{name} is rejected:", Tone.BAD)]
    steps = verdict.failures or (Step(11, StepOutcome.NOT_CHECKED, verdict.summary),)
    for step in steps:
        lines += _step(step)
    return lines
