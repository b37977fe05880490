"""A run as JUnit XML, for whatever shows test results: one suite for the run, one case for each device.

A rejected device is a failure, one that could not be reached an error, and one that speaks no CMA-SPDM is skipped,
because nothing about it was tested. The fourteen steps stand in `system-out`. XML has no way to write most control
characters, so foreign text is escaped as on a terminal before it gets here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from cmakeys.evidence.fields import time_text
from cmakeys.reports.terminal import printable
from cmakeys.reports.text import STEP_WORDS
from cmakeys.standing import Finding
from cmakeys.verify.verdict import Outcome, Verdict

SUITE = "cmakeys check"

_MARKS = {Outcome.REJECTED: "failure", Outcome.UNREACHABLE: "error", Outcome.UNSUPPORTED: "skipped"}


def junit_report(findings: Sequence[Finding], began: datetime, seconds: float) -> list[str]:
    """The lines of the document."""
    totals = {mark: sum(_MARKS.get(one.outcome) == mark for one in findings) for mark in _MARKS.values()}
    numbers = {
        "tests": str(len(findings)),
        "failures": str(totals["failure"]),
        "errors": str(totals["error"]),
        "skipped": str(totals["skipped"]),
        "time": f"{seconds:.3f}",
    }
    suites = Element("testsuites", {"name": SUITE, **numbers})
    suite = SubElement(suites, "testsuite", {"name": SUITE, **numbers, "timestamp": time_text(began)})
    for one in findings:
        _case(suite, one)
    indent(suites)
    return ['<?xml version="1.0" encoding="UTF-8"?>', *tostring(suites, encoding="unicode").split("\n")]


def _case(suite: Element, one: Finding) -> None:
    verdict = one.counted
    case = SubElement(suite, "testcase", {"name": printable(one.name), "classname": "cmakeys.device", "time": "0"})
    mark = _MARKS.get(verdict.outcome)
    if mark is not None:
        found = SubElement(case, mark, {"message": printable(verdict.summary), "type": verdict.outcome.value})
        found.text = "\n".join([*_failures(verdict), *map(printable, one.standing.changes)]) or None
    SubElement(case, "system-out").text = "\n".join(_steps(verdict))


def _failures(verdict: Verdict) -> list[str]:
    return [
        printable(f"step {step.number}, {step.title}: {step.reason}{' - ' if step.hint else ''}{step.hint}")
        for step in verdict.failures
    ]


def _steps(verdict: Verdict) -> list[str]:
    head = printable(f"{verdict.outcome.value}: {verdict.summary}")
    return [
        head,
        *(printable(f"{one.number} {STEP_WORDS[one.outcome][0]}: {one.title}: {one.reason}") for one in verdict.steps),
    ]
