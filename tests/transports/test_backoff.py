"""Trying again is bounded in count and by the deadline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.transports.backoff import Backoff, retry
from cmakeys.transports.base import Deadline, TransportClosed, TransportFramingError, TransportTimeout


class Flaky:
    """Fails as many times as it is told, then succeeds."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.calls = 0
        self.failures = failures
        self.error = error

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "done"


def test_waits_grow_to_their_limit() -> None:
    assert list(Backoff(attempts=5, first=0.1, factor=3, longest=0.5).delays()) == pytest.approx([0.1, 0.3, 0.5, 0.5])


@given(st.integers(1, 20), st.floats(0, 10), st.floats(1, 10), st.floats(10, 100))
def test_a_schedule_has_one_wait_less_than_attempts_and_never_shrinks(
    attempts: int, first: float, factor: float, longest: float
) -> None:
    delays = list(Backoff(attempts, first, factor, longest).delays())
    assert len(delays) == attempts - 1
    assert delays == sorted(delays)
    assert all(delay <= longest for delay in delays)


@pytest.mark.parametrize(
    "wrong",
    [{"attempts": 0}, {"first": -1.0}, {"factor": 0.5}, {"first": 3.0, "longest": 1.0}],
)
def test_a_schedule_that_makes_no_sense_cannot_be_made(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="back-off"):
        Backoff(**wrong)  # type: ignore[arg-type]  # the point is a wrong value


def test_a_passing_failure_is_tried_again() -> None:
    waits: list[float] = []
    action = Flaky(2, TransportClosed("refused"))
    assert retry(action, Backoff(attempts=4, first=1, longest=4), Deadline.after(100), sleep=waits.append) == "done"
    assert waits == [1, 2]


def test_the_last_error_is_raised_when_the_schedule_ends() -> None:
    action = Flaky(10, TransportTimeout("silence"))
    with pytest.raises(TransportTimeout, match="silence"):
        retry(action, Backoff(attempts=3), Deadline.after(100), sleep=lambda _: None)
    assert action.calls == 3


def test_no_wait_outlasts_the_deadline() -> None:
    action = Flaky(10, TransportTimeout("silence"))
    with pytest.raises(TransportTimeout):
        retry(action, Backoff(attempts=10, first=60, longest=60), Deadline.after(1), sleep=lambda _: None)
    assert action.calls == 1


def test_a_framing_error_is_not_tried_again() -> None:
    action = Flaky(1, TransportFramingError("garbage"))
    with pytest.raises(TransportFramingError):
        retry(action, Backoff(), Deadline.after(100), sleep=lambda _: None)
    assert action.calls == 1
