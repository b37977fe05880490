"""The doctor's report fits a terminal and says in words what its colours say."""

from __future__ import annotations

from cmakeys.doctor.model import Finding, Group, Severity
from cmakeys.reports.doctor import doctor_report
from cmakeys.reports.layout import WIDTH
from tests.reports.golden import assert_golden

FINDINGS = (
    Finding(Group.KERNEL, "release", Severity.GOOD, "Linux 6.12.1 with the SPDM series: a writable authenticated"),
    Finding(Group.KERNEL, "lockdown", Severity.UNKNOWN, "lockdown: no such file", "nothing is known", "mount it"),
    Finding(Group.DEVICES, "cma", Severity.NOTE, "0 of 6 speak CMA", "nothing to do", "cmakeys devices scan --all"),
    Finding(
        Group.DEVICES, "asleep", Severity.WARNING, "in D3: " + "0000:01:00.0, " * 8, "it does not answer", "wake it"
    ),
    Finding(Group.CLOCK, "clock", Severity.BAD, "it is 1970\x1b[31m", "no date is judged", "timedatectl"),
)


def test_the_report_reads_as_it_was_reviewed() -> None:
    lines = [line.text for line in doctor_report(FINDINGS)]
    assert all(len(line) <= WIDTH for line in lines)
    assert_golden("doctor", lines)
