"""A test system shows each device as a case, whatever a device writes into its names."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.check import Judgement
from cmakeys.reports.junit import junit_report
from cmakeys.standing import Finding, finding
from tests.reports.findings import FINDINGS
from tests.reports.golden import assert_golden
from tests.reports.verdicts import ALL, CHECKED_AT


def parsed(findings: tuple[Finding, ...]) -> ET.Element:
    suite = ET.fromstring("\n".join(junit_report(findings, CHECKED_AT, 1.5)).encode()).find("testsuite")  # noqa: S314 our own
    assert suite is not None
    return suite


def test_a_full_report() -> None:
    assert_golden("junit", junit_report((*FINDINGS[3:5], *FINDINGS[8:]), CHECKED_AT, 1.5))


@pytest.mark.parametrize(
    ("outcome", "mark"),
    [
        ("trusted", None),
        ("degraded", None),
        ("rejected", "failure"),
        ("unreachable", "error"),
        ("unsupported", "skipped"),
    ],
)
def test_an_outcome_is_what_a_test_system_knows(outcome: str, mark: str | None) -> None:
    suite = parsed((finding("gpu0", Judgement(ALL[outcome]), None),))
    (case,) = suite
    assert [part.tag for part in case] == [*([mark] if mark else []), "system-out"]
    counted = {"failure": "failures", "error": "errors", "skipped": "skipped"}
    assert {name: suite.get(name) for name in counted.values()} == {
        name: str(int(tag == mark)) for tag, name in counted.items()
    }


def test_a_device_that_is_excused_is_no_error() -> None:
    assert parsed(FINDINGS).get("errors") == "1"
    assert parsed(FINDINGS).get("failures") == "3"


def test_all_steps_are_in_the_output() -> None:
    (case,) = parsed(FINDINGS[4:5])
    text = case.findtext("system-out") or ""
    assert len(text.splitlines()) == 15
    assert "10 failed: same device as enrolled: the device's own certificate" in text


@given(st.text(), st.sampled_from(sorted(ALL)), st.text())
def test_any_text_makes_a_document_that_can_be_read(name: str, outcome: str, text: str) -> None:
    verdict = replace(ALL[outcome], summary=text)
    suite = parsed((finding(name, Judgement(verdict), None),))
    assert len(suite) == 1
    assert all(line.isprintable() for part in suite.itertext() for line in part.splitlines())
