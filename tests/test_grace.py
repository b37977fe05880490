"""How long a device may be away: what is written, and what it excuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import UsageProblem
from cmakeys.grace import Grace, hours, since

NOW = datetime(2040, 1, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", Grace()),
        ("3", Grace(3)),
        ("90m", Grace(time=timedelta(minutes=90))),
        ("12h", Grace(time=12 * HOUR)),
        ("2d", Grace(time=timedelta(days=2))),
        ("0h", Grace(time=timedelta())),
    ],
)
def test_a_grace_is_a_number_of_checks_or_a_time(text: str, expected: Grace) -> None:
    assert Grace.parse(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "366", "366d", "8761h", "3 h", "h", "1w", "1.5h", "٣", "99999999"])
def test_what_is_none_is_a_usage_problem(text: str) -> None:
    with pytest.raises(UsageProblem):
        Grace.parse(text)


@given(st.text(max_size=12))
def test_any_text_is_a_grace_or_a_usage_problem(text: str) -> None:
    try:
        grace = Grace.parse(text)
    except UsageProblem:
        return
    assert grace.checks >= 0
    assert grace.checks == 0 or grace.time is None


def test_checks_are_counted_and_time_is_measured() -> None:
    assert [Grace(2).excuses(silent, NOW, NOW + 1000 * HOUR) for silent in (1, 2, 3)] == [True, True, False]
    assert [Grace(time=12 * HOUR).excuses(99, NOW, NOW + hour * HOUR) for hour in (0, 11, 12)] == [True, True, False]
    assert not Grace(time=timedelta()).excuses(1, NOW, NOW)


def test_a_clock_that_was_set_back_begins_the_time_anew() -> None:
    assert since(None, NOW) == NOW
    assert since(NOW - HOUR, NOW) == NOW - HOUR
    assert since(NOW + HOUR, NOW) == NOW


@pytest.mark.parametrize(
    ("time", "words"), [(12 * HOUR, "12 h"), (48 * HOUR, "2 d"), (90 * timedelta(minutes=1), "90 min")]
)
def test_a_time_is_said_in_its_largest_unit(time: timedelta, words: str) -> None:
    assert hours(time) == words
