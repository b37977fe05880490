"""Horizons are read strictly, and say where a certificate stands between now and its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import UsageProblem
from cmakeys.x509.horizon import Expiry, Horizon, Nearness
from tests.x509.pki import FOREVER, issue

DAY = timedelta(days=1)
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
END = BEGIN + 1000 * DAY
MORTAL = issue("Mortal", not_before=BEGIN, not_after=END).certificate
ENDLESS = issue("Endless", not_after=FOREVER).certificate


@pytest.mark.parametrize(
    ("text", "horizon"),
    [
        ("0d", Horizon()),
        ("12h", Horizon(timedelta(hours=12))),
        ("90d", Horizon(90 * DAY)),
        ("13w", Horizon(91 * DAY)),
        ("10%", Horizon(percent=10)),
        ("100%", Horizon(percent=100)),
        ("36500d", Horizon(36500 * DAY)),
    ],
)
def test_durations_and_shares_are_read(text: str, horizon: Horizon) -> None:
    assert Horizon.parse(text) == horizon


@pytest.mark.parametrize(
    "text",
    ["", "90", "d", "-1d", "1.5d", "90 d", "90D", "1m", "1y", "101%", "36501d", "1d2h", "٣d", "9999999d", "5%\n"],
)
def test_what_could_mean_something_else_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem):
        Horizon.parse(text)


@given(st.text(max_size=12) | st.from_regex(r"[0-9]{1,7}[hdw%]", fullmatch=True))
def test_any_text_is_a_horizon_that_reads_back_or_a_clean_refusal(text: str) -> None:
    try:
        horizon = Horizon.parse(text)
    except UsageProblem:
        return
    assert Horizon.parse(str(horizon)) == horizon


def test_a_share_is_of_the_whole_lifetime_and_never_negative() -> None:
    assert Horizon(percent=10).span(1000 * DAY) == 100 * DAY
    assert Horizon(percent=10).span(-5 * DAY) == timedelta(0)


def test_a_duration_and_a_share_at_once_are_refused() -> None:
    with pytest.raises(UsageProblem, match="not both"):
        Horizon(DAY, 10)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (101 * DAY, Nearness.FAR),
        (100 * DAY, Nearness.WARN),
        (11 * DAY, Nearness.WARN),
        (10 * DAY, Nearness.FAIL),
        (timedelta(0), Nearness.FAIL),
        (timedelta(seconds=-1), Nearness.OVER),
    ],
)
@pytest.mark.parametrize(
    "expiry", [Expiry(Horizon(percent=10), Horizon(percent=1)), Expiry(Horizon(100 * DAY), Horizon(10 * DAY))]
)
def test_the_nearness_of_an_end(expiry: Expiry, left: timedelta, expected: Nearness) -> None:
    assert expiry.nearness(MORTAL, END - left) is expected


def test_without_a_second_horizon_a_certificate_is_good_to_its_last_second() -> None:
    assert Expiry().nearness(MORTAL, END) is Nearness.WARN


@pytest.mark.parametrize("now", [BEGIN, datetime.max.replace(tzinfo=UTC)])
def test_year_9999_is_no_end(now: datetime) -> None:
    assert Expiry(Horizon(percent=100), Horizon(percent=100)).nearness(ENDLESS, now) is Nearness.ENDLESS


@pytest.mark.parametrize("pair", [("1d", "2d"), ("5%", "6%"), ("0d", "1h")])
def test_a_failure_without_a_warning_before_it_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(UsageProblem, match="warns only"):
        Expiry(*map(Horizon.parse, pair))


def test_a_duration_and_a_share_cannot_be_compared_and_are_taken() -> None:
    assert Expiry(Horizon(percent=1), Horizon(DAY)).nearness(MORTAL, END - DAY) is Nearness.FAIL
