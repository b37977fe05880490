"""A run has one budget of time: trouble that passes within it is nobody's alarm, and what is over is not asked."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import pytest

from cmakeys.check import CheckResult, Conditions, Target, Trouble, check
from cmakeys.errors import EnvironmentProblem, Locked, NotFound, NotPermitted, Refused
from cmakeys.transports.backoff import Backoff
from cmakeys.transports.base import Deadline, Transport, TransportClosed, TransportFramingError, TransportTimeout
from cmakeys.verify.verdict import Outcome
from tests.nightly.world import Wire
from tests.workbench import conditions, honest

ONCE = Backoff(attempts=1, first=0.0)
BUSY = TransportTimeout("no answer", object="x")


@dataclass
class Line:
    """Devices that fail a number of times before they answer; notes who was asked, and how long was waited."""

    failures: dict[str, int]
    problem: EnvironmentProblem = BUSY
    slow: float = 0.0
    asked: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def reach(self, address: str, _deadline: Deadline) -> Transport:
        self.asked.append(address)
        time.sleep(self.slow)
        if self.failures[address]:
            self.failures[address] -= 1
            raise self.problem
        return Wire(address, honest("0001"))

    def check(self, budget: float | None) -> dict[str, CheckResult]:
        terms: Conditions = replace(
            conditions(),
            reach=self.reach,
            backoff=ONCE,
            rounds=Backoff(attempts=12, first=1.0, longest=60.0),
            pause=self.waits.append,
            budget=budget,
        )
        results = check([Target(name, name) for name in self.failures], terms, jobs=1)
        return {result.target.name: result for result in results}


def outcomes(results: dict[str, CheckResult]) -> dict[str, Outcome]:
    return {name: result.verdict.outcome for name, result in results.items()}


def test_without_a_budget_a_device_has_its_attempts_and_no_more() -> None:
    line = Line({"a": 1, "b": 0})
    assert outcomes(line.check(None)) == {"a": Outcome.UNREACHABLE, "b": Outcome.TRUSTED}
    assert (line.asked, line.waits) == (["a", "b"], [])


def test_trouble_that_passes_within_the_budget_is_no_alarm() -> None:
    line = Line({"a": 3, "b": 0, "c": 1})
    assert set(outcomes(line.check(600)).values()) == {Outcome.TRUSTED}
    assert line.asked == ["a", "b", "c", "a", "c", "a", "a"]
    assert line.waits == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    "problem",
    [
        BUSY,
        TransportClosed("reset", object="x"),
        TransportFramingError("nonsense", object="x"),
        Locked("the mailbox is taken", object="x"),
        NotFound("there is no such PCI function", object="x"),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_what_may_pass_is_tried_again(problem: EnvironmentProblem) -> None:
    assert outcomes(Line({"a": 2}, problem).check(600)) == {"a": Outcome.TRUSTED}


@pytest.mark.parametrize("problem", [NotPermitted("root only", object="x"), Refused("no", object="x")])
def test_what_only_a_person_can_mend_is_not(problem: EnvironmentProblem) -> None:
    line = Line({"a": 2}, problem)
    assert outcomes(line.check(600)) == {"a": Outcome.UNREACHABLE}
    assert (line.asked, line.waits) == (["a"], [])


def test_waits_grow_to_a_minute_and_end_with_the_budget() -> None:
    line = Line({"a": 1_000_000})
    result = line.check(100)["a"]
    assert (result.verdict.outcome, result.trouble) == (Outcome.UNREACHABLE, Trouble.PASSING)
    assert line.waits[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert max(line.waits) == 60.0


def test_no_wait_outlasts_the_budget() -> None:
    line = Line({"a": 1_000_000})
    line.check(3)
    assert line.waits == [1.0, 2.0]


def test_a_device_whose_turn_does_not_come_is_unreachable_and_says_why() -> None:
    line = Line({"a": 0, "b": 0, "c": 0}, slow=0.3)
    results = line.check(0.2)
    assert outcomes(results)["c"] is Outcome.UNREACHABLE
    assert "c" not in line.asked
    assert results["c"].verdict.summary.endswith("not asked: the 0.2 s of the run were over before its turn")


def test_a_device_that_is_gone_is_told_from_one_that_is_silent() -> None:
    gone = Line({"a": 9}, NotFound("there is no such PCI function", object="a")).check(None)["a"]
    silent = Line({"a": 9}).check(None)["a"]
    assert (gone.judgement.gone, silent.judgement.gone) == (True, False)
    assert (gone.trouble, silent.trouble) == (Trouble.GONE, Trouble.PASSING)
