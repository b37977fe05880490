"""What is new and what goes on is told, and nothing is told of a device that is as it was and well."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cmakeys.reports.layout import WIDTH
from cmakeys.reports.standing import standing_data, standing_notes, unfinished_text
from cmakeys.reports.text import check_report
from cmakeys.running import Mark
from cmakeys.standing import Finding
from tests.reports.findings import FINDINGS
from tests.reports.golden import assert_golden


def test_a_full_report() -> None:
    lines = check_report([(one.name, one.counted) for one in FINDINGS], standing_notes(FINDINGS))
    assert_golden("check-nightly", (line.text for line in lines))
    assert all(len(line.text) <= WIDTH for line in lines)


@pytest.mark.parametrize("one", [FINDINGS[0], FINDINGS[7], FINDINGS[9]], ids=lambda one: one.name)
def test_there_is_nothing_to_tell(one: Finding) -> None:
    assert standing_notes([one]) == []


def test_only_what_is_to_be_shown_is_shown_and_all_are_counted() -> None:
    everything = [(one.name, one.counted) for one in FINDINGS]
    lines = [line.text for line in check_report(everything[:1], run=everything)]
    assert lines[-1].startswith("10 devices: ")
    assert [line.split()[0] for line in lines[:2]] == ["DEVICE", "well0"]
    assert [line.text for line in check_report([], run=everything)] == [lines[-1]]


def test_a_device_without_memory_has_no_standing() -> None:
    assert standing_data(FINDINGS[-1]) is None
    assert standing_data(FINDINGS[0]) is not None


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        (Mark(), "the last check did not finish: none of its verdicts were kept"),
        (
            Mark(datetime(2040, 1, 2, 3, 4, tzinfo=UTC), 77, 3),
            "the last check, begun 2040-01-02 03:04 UTC by process 77, did not finish: none of its verdicts were kept",
        ),
    ],
)
def test_a_check_that_did_not_finish_is_told_with_what_is_known(mark: Mark, text: str) -> None:
    assert unfinished_text(mark) == text
