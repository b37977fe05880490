"""Lint findings for a reader: one line each, in the tone of its severity, and the same as JSON data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cmakeys.reports.terminal import Tone
from cmakeys.x509.lint import Finding, Severity

TONES: Mapping[Severity, Tone] = {
    Severity.ERROR: Tone.BAD,
    Severity.WARNING: Tone.WARNING,
    Severity.INFO: Tone.NOTE,
}


def finding_data(findings: Sequence[Finding]) -> list[dict[str, object]]:
    """Lint findings as data."""
    return [
        {
            "severity": finding.severity,
            "code": finding.code,
            "message": finding.message,
            "hint": finding.hint,
        }
        for finding in findings
    ]


def finding_line(finding: Finding) -> str:
    """One lint finding as a line."""
    return f"{finding.severity.value:<8} {finding.message}" + (f" ({finding.hint})" if finding.hint else "")
