"""A verdict always has its fourteen steps and survives JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import ExitCode
from cmakeys.evidence.fields import FieldProblem
from cmakeys.verify.verdict import STEP_TITLES, Outcome, Step, StepOutcome, Verdict
from tests.evidence import strategies as s
from tests.evidence.loopback import NOW

STEPS = tuple(Step(number, StepOutcome.PASSED, "fine") for number in STEP_TITLES)
VERDICT = Verdict("device", Outcome.TRUSTED, STEPS, "all is well", NOW)

steps = st.tuples(
    *(st.builds(Step, st.just(number), st.sampled_from(StepOutcome), s.texts, s.texts) for number in STEP_TITLES)
)
verdicts = st.builds(
    Verdict,
    s.texts,
    st.sampled_from(Outcome),
    steps,
    s.texts,
    s.times,
    s.texts,
    s.texts,
    st.none() | s.texts,
    st.none() | s.texts,
    st.none() | st.integers(0, 7),
    st.none() | s.texts,
    st.none() | s.texts,
    st.none() | s.texts,
    st.none() | s.texts,
)


@given(verdicts)
def test_json_gives_the_same_verdict_back(verdict: Verdict) -> None:
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


@given(st.data())
def test_any_other_json_is_one_clean_error(data: st.DataObject) -> None:
    document = VERDICT.to_json()
    document[data.draw(st.sampled_from(sorted(document)))] = data.draw(s.json_values)
    try:
        assert isinstance(Verdict.from_json(document, "row 7"), Verdict)
    except FieldProblem as problem:
        assert problem.object.startswith("row 7")  # noqa: PT017 the problem is what is tested
    with pytest.raises(FieldProblem):
        Verdict.from_json(data.draw(s.json_values))


def test_a_verdict_of_a_cmakeys_that_knew_no_provisioned_keys_is_read() -> None:
    document = VERDICT.to_json()
    assert document.pop("key_fingerprint") is None
    assert Verdict.from_json(document) == VERDICT


def test_a_step_more_less_or_elsewhere_is_no_verdict() -> None:
    for wrong in (STEPS[:-1], STEPS[::-1], ()):
        with pytest.raises(ValueError, match="fourteen"):
            replace(VERDICT, steps=wrong)
    document = VERDICT.to_json()
    document["steps"] = [step.to_json() for step in STEPS[:-1]]
    with pytest.raises(FieldProblem, match="fourteen"):
        Verdict.from_json(document)


@pytest.mark.parametrize("number", [0, 15, -1])
def test_there_are_no_other_steps(number: int) -> None:
    with pytest.raises(ValueError, match="no verification step"):
        Step(number, StepOutcome.PASSED, "")


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        replace(VERDICT, checked_at=datetime(2040, 1, 1))


@pytest.mark.parametrize(
    ("outcome", "exit_code", "nagios"),
    [
        (Outcome.TRUSTED, ExitCode.OK, 0),
        (Outcome.DEGRADED, ExitCode.OK, 1),
        (Outcome.REJECTED, ExitCode.FAILED, 2),
        (Outcome.UNREACHABLE, ExitCode.TEMPORARY, 3),
        (Outcome.UNSUPPORTED, ExitCode.UNSUPPORTED, 3),
    ],
)
def test_the_codes_are_those_of_the_design(outcome: Outcome, exit_code: ExitCode, nagios: int) -> None:
    assert (outcome.exit_code, outcome.nagios()) == (exit_code, nagios)
    assert outcome.healthy is (exit_code is ExitCode.OK)
    critical = outcome.nagios(unreachable_is_critical=True)
    assert critical == (2 if outcome is Outcome.UNREACHABLE else nagios)


def test_failures_and_warnings_are_found_by_outcome() -> None:
    mixed = list(STEPS)
    mixed[3] = Step(4, StepOutcome.FAILED, "no root")
    mixed[5] = Step(6, StepOutcome.WARNED, "soon")
    verdict = replace(VERDICT, steps=tuple(mixed))
    assert [step.number for step in verdict.failures] == [4]
    assert [step.number for step in verdict.warnings] == [6]
    assert verdict.step(4).title == "anchored in a trusted root"
