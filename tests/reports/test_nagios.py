"""A monitoring system reads the right state, and no text of a device can forge performance data or lines."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import NotFound
from cmakeys.reports.nagios import MAX_OUTPUT, failure, report
from tests.reports.golden import assert_golden
from tests.reports.verdicts import ALL, DEGRADED, HOSTILE, REJECTED, TRUSTED, UNREACHABLE, UNSUPPORTED

PERFORMANCE = re.compile(r"[a-z]+=\d+;(0)?;(0)?;0;\d+")


@pytest.mark.parametrize(
    ("verdicts", "code", "state"),
    [
        ([TRUSTED, TRUSTED], 0, "OK"),
        ([TRUSTED, DEGRADED], 1, "WARNING"),
        ([DEGRADED, REJECTED], 2, "CRITICAL"),
        ([TRUSTED, UNREACHABLE], 3, "UNKNOWN"),
        ([TRUSTED, UNSUPPORTED], 3, "UNKNOWN"),
        ([UNREACHABLE, REJECTED], 2, "CRITICAL"),
        ([UNREACHABLE, DEGRADED], 3, "UNKNOWN"),
        ([], 3, "UNKNOWN"),
    ],
)
def test_the_worst_device_makes_the_state(verdicts: list[object], code: int, state: str) -> None:
    found = report([("gpu", verdict) for verdict in verdicts])  # type: ignore[misc]  # they are verdicts
    assert found.exit_code == code
    assert found.lines[0].startswith(f"CMAKEYS {state} - ")


def test_unreachable_is_critical_only_when_asked() -> None:
    assert report([("gpu", UNREACHABLE)]).exit_code == 3
    assert report([("gpu", UNREACHABLE)], unreachable_is_critical=True).exit_code == 2
    assert report([("gpu", UNSUPPORTED)], unreachable_is_critical=True).exit_code == 3


def test_a_full_report() -> None:
    assert_golden("nagios-many", report(list(ALL.items())).lines)


def test_all_is_well() -> None:
    assert_golden("nagios-well", report([("gpu0", TRUSTED), ("nvme1", TRUSTED)]).lines)


def test_a_run_that_failed_is_unknown() -> None:
    found = failure(NotFound("no device | is enrolled", object="register", hint="cmakeys devices enroll"))
    assert found.exit_code == 3
    assert found.lines == ("CMAKEYS UNKNOWN - register: no device \\x7c is enrolled", "cmakeys devices enroll")


def test_foreign_text_forges_neither_lines_nor_performance_data() -> None:
    verdict = replace(REJECTED, summary=HOSTILE)
    found = report([(HOSTILE, verdict)])
    assert all(line.isprintable() for line in found.lines)
    assert "".join(found.lines).count("|") == 1


def test_more_devices_than_nagios_reads_are_cut_with_a_count() -> None:
    found = report([(f"gpu{number}", replace(TRUSTED, summary="x" * 300)) for number in range(200)])
    assert len("\n".join(found.lines).encode()) < MAX_OUTPUT
    assert found.lines[-1].endswith("more lines; see cmakeys check --all)")


@given(st.lists(st.tuples(st.text(), st.sampled_from(sorted(ALL)), st.text()), max_size=8))
def test_the_first_line_always_has_the_plugin_s_form(devices: list[tuple[str, str, str]]) -> None:
    found = report([(name, replace(ALL[outcome], summary=text)) for name, outcome, text in devices])
    text, _, performance = found.lines[0].partition(" | ")
    assert re.match(r"CMAKEYS (OK|WARNING|CRITICAL|UNKNOWN) - .", text)
    assert all(PERFORMANCE.fullmatch(item) for item in performance.split(" "))
    assert len(performance.split(" ")) == 5
    assert all("|" not in line for line in found.lines[1:])
