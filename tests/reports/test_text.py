"""The text reports say everything that a verdict says, within 80 columns, and harm no terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.reports.layout import WIDTH, Line, shorten, wrap
from cmakeys.reports.terminal import Terminal, Tone, printable, width
from cmakeys.reports.text import check_report, next_step, summary, table, verdict_report
from cmakeys.verify.verdict import Outcome, StepOutcome
from tests.reports.golden import assert_golden
from tests.reports.verdicts import ALL, HOSTILE, REJECTED, TRUSTED, UNREACHABLE

TERMINAL = Terminal(interactive=True, colour=False)


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


@pytest.mark.parametrize("outcome", ALL)
def test_a_verdict_in_full(outcome: str) -> None:
    assert_golden(f"verdict-{outcome}", texts(verdict_report("gpu0", ALL[outcome])))


def test_many_devices() -> None:
    assert_golden("check-many", texts(check_report(list(ALL.items()))))


def test_all_is_well() -> None:
    assert_golden("check-well", texts(check_report([("gpu0", TRUSTED), ("nvme1", TRUSTED)])))


def test_a_terminal_shows_marks() -> None:
    assert_golden("check-many-terminal", [TERMINAL.line(one.text, one.tone) for one in check_report(list(ALL.items()))])


def test_a_single_device_is_reported_in_full() -> None:
    assert check_report([("gpu0", REJECTED)]) == verdict_report("gpu0", REJECTED)


def test_every_step_of_a_verdict_is_there_with_its_hint() -> None:
    report = "".join("".join(texts(verdict_report("gpu0", REJECTED))).split())
    for step in REJECTED.steps:
        assert "".join(f"{step.title}: {step.reason}".split()) in report
        assert "".join(step.hint.split()) in report


def test_each_outcome_of_a_step_is_a_word_not_only_a_mark() -> None:
    words = {line.text[5:17].strip() for line in verdict_report("x", REJECTED) if line.tone is not Tone.PLAIN}
    assert {"passed", "failed", "not checked"} <= words


@pytest.mark.parametrize("outcome", ALL)
def test_no_line_is_wider_than_a_terminal_however_long_the_names(outcome: str) -> None:
    verdict = replace(ALL[outcome], summary="長い" * 60, device="emu://" + "h" * 300)
    lines = [*verdict_report("名" * 50, verdict), *table([("名" * 50, verdict)] * 2), *next_step([("n" * 64, verdict)])]
    assert all(width(TERMINAL.line(line.text, line.tone)) <= 80 for line in lines)


def test_foreign_text_cannot_touch_the_terminal() -> None:
    verdict = replace(REJECTED, summary=HOSTILE, device=HOSTILE)
    assert all(line.text.isprintable() for line in check_report([(HOSTILE, verdict)] * 2))
    assert all(line.text.isprintable() for line in verdict_report(HOSTILE, verdict))


def test_nothing_checked_is_said() -> None:
    assert summary([]).text == "0 devices: none checked"


def test_the_next_step_is_about_the_worst_there_is() -> None:
    assert "check bad" in texts(next_step([("ok", TRUSTED), ("gone", UNREACHABLE), ("bad", REJECTED)]))[0]
    assert "check gone --timeout" in texts(next_step([("ok", TRUSTED), ("gone", UNREACHABLE)]))[0]
    assert next_step([("ok", TRUSTED)]) == []


def test_a_rejection_without_a_failed_step_still_gives_its_reason() -> None:
    steps = tuple(replace(step, outcome=StepOutcome.NOT_CHECKED) for step in TRUSTED.steps)
    verdict = replace(TRUSTED, outcome=Outcome.REJECTED, steps=steps, summary="nothing proves possession")
    assert any("nothing proves possession" in line.text for line in check_report([("a", verdict), ("b", TRUSTED)]))


@given(st.text(), st.text(alphabet=" .", max_size=20))
def test_wrapping_loses_nothing_but_blanks_and_stays_in_bounds(text: str, indent: str) -> None:
    lines = wrap(text, indent, indent)
    assert all(width(line) <= WIDTH for line in lines)
    assert "".join(line[len(indent) :] for line in lines).replace(" ", "") == printable(text).replace(" ", "")


@given(st.text(), st.integers(1, 40))
def test_shortening_fits_and_shows_when_something_is_missing(text: str, cells: int) -> None:
    short = shorten(text, cells)
    assert width(short) <= cells
    assert short == printable(text) or short.endswith("…")
