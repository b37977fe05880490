"""The doctor's findings for people, group by group, and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from cmakeys.doctor.model import Finding, Group, Severity
from cmakeys.reports.layout import Line, wrap
from cmakeys.reports.terminal import Tone
from cmakeys.wording import counted

_TONES = {
    Severity.GOOD: Tone.GOOD,
    Severity.NOTE: Tone.NOTE,
    Severity.WARNING: Tone.WARNING,
    Severity.BAD: Tone.BAD,
    Severity.UNKNOWN: Tone.WARNING,
}
_WORDS = {
    Severity.GOOD: "",
    Severity.NOTE: "",
    Severity.WARNING: "warning: ",
    Severity.BAD: "bad: ",
    Severity.UNKNOWN: "could not find out: ",
}


def doctor_report(findings: Sequence[Finding]) -> list[Line]:
    """Each group under its name; a line for what is good, with meaning and action for the rest."""
    lines: list[Line] = []
    for group in Group:
        members = [finding for finding in findings if finding.group is group]
        if members:
            lines.append(Line(group.value))
            lines += [line for finding in members for line in _finding(finding)]
    return [*lines, Line(_summary(findings), _worst(findings))]


def _finding(finding: Finding) -> Iterable[Line]:
    meaning = f"; {finding.meaning}" if finding.meaning else ""
    first, *more = wrap(f"{_WORDS[finding.severity]}{finding.message}{meaning}", "  ", "    ")
    yield Line(first, _TONES[finding.severity])
    yield from (Line(text) for text in more)
    if finding.action:
        yield from (Line(text) for text in wrap(finding.action, "    -> ", "       "))


def _counts(findings: Iterable[Finding]) -> dict[Severity, int]:
    found = Counter(finding.severity for finding in findings)
    return {severity: found[severity] for severity in Severity}


def _summary(findings: Sequence[Finding]) -> str:
    counts = _counts(findings)
    return (
        f"{counts[Severity.BAD]} bad, {counted(counts[Severity.WARNING], 'warning')}, "
        f"{counts[Severity.UNKNOWN]} could not be found out, {counts[Severity.GOOD]} good"
    )


def _worst(findings: Iterable[Finding]) -> Tone:
    counts = _counts(findings)
    order = (Severity.BAD, Severity.WARNING, Severity.UNKNOWN)
    return next((_TONES[severity] for severity in order if counts[severity]), Tone.GOOD)


def doctor_data(findings: Sequence[Finding]) -> dict[str, object]:
    """The same for a program."""
    return {
        "findings": [
            {
                "group": finding.group,
                "code": finding.code,
                "severity": finding.severity,
                "message": finding.message,
                "meaning": finding.meaning,
                "action": finding.action,
            }
            for finding in findings
        ],
        "counts": {severity.value: count for severity, count in _counts(findings).items()},
    }
