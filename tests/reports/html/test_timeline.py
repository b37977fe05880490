"""Roots along time stay inside their drawing, whatever dates their certificates claim."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.reports.html.timeline import MAX_ROOTS, TICK_ROOM, Period, periods, place
from cmakeys.roots.lifecycle import LifeCycle
from tests.reports.html.fleets import NEXT, ROOTS
from tests.reports.verdicts import CHECKED_AT

moments = st.datetimes(timezones=st.just(UTC))
found = st.lists(
    st.builds(
        Period,
        st.text(max_size=8),
        st.sampled_from(LifeCycle),
        moments,
        st.none() | moments,
        st.none() | st.tuples(moments, moments),
        st.text(max_size=8),
        st.none() | moments,
    ),
    max_size=8,
)


@given(found, moments, st.sampled_from([344.0, 1072.0]))
def test_everything_is_inside_the_drawing(rows: list[Period], today: datetime, width: float) -> None:
    drawn = place(rows, today, width)
    assert 0 <= drawn.today <= width
    for row in drawn.rows:
        places = [row.left, row.right, *(row.overlap or ())]
        places += [] if row.distrusted_from is None else [row.distrusted_from]
        assert all(0 <= x <= width for x in places)
        assert row.left <= row.right
        assert row.y >= 0
        assert row.y + 40 <= drawn.height
    assert len({row.y for row in drawn.rows}) == len(rows)


@given(found, moments, st.sampled_from([344.0, 1072.0]))
def test_years_have_room(rows: list[Period], today: datetime, width: float) -> None:
    places = [x for _, x in place(rows, today, width).ticks]
    assert all(second - first >= TICK_ROOM * 0.95 for first, second in pairwise(places))


@given(found, moments)
def test_what_is_valid_today_is_drawn_over_today(rows: list[Period], today: datetime) -> None:
    drawn = place(rows, today, 1072)
    for row in drawn.rows:
        if row.period.begins <= today and (row.period.ends is None or row.period.ends >= today):
            assert row.left <= drawn.today <= row.right


def test_a_certificate_without_an_end_goes_on_beyond_the_axis() -> None:
    rows = {row.period.name: row for row in place(periods(ROOTS.roots), CHECKED_AT, 1072).rows}
    assert rows["forever"].cut_left
    assert rows["forever"].cut_right
    assert (rows["acme"].cut_left, rows["acme"].cut_right) == (False, False)
    assert rows["acme"].right - rows["acme"].left > 200


def test_an_absurd_date_does_not_press_the_others_together() -> None:
    absurd = Period("absurd", LifeCycle.TRUSTED, datetime(1, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC))
    usual = Period("usual", LifeCycle.TRUSTED, CHECKED_AT - timedelta(days=3650), CHECKED_AT + timedelta(days=3650))
    _, row = place([absurd, usual], CHECKED_AT, 1072).rows
    assert row.right - row.left > 300


def test_a_rotation_names_its_successor_and_its_overlap() -> None:
    retiring = next(one for one in periods(ROOTS.roots) if one.state is LifeCycle.RETIRING)
    assert retiring.successor == NEXT.name
    assert retiring.overlap is not None


def test_roots_stand_in_the_order_of_their_lives() -> None:
    order = [one.state for one in periods(ROOTS.roots)]
    expected = (LifeCycle.TRUSTED, LifeCycle.RETIRING, LifeCycle.STAGED, LifeCycle.RETIRED, LifeCycle.DISTRUSTED)
    assert order == sorted(order, key=expected.index)


@pytest.mark.parametrize("number", [0, 1, MAX_ROOTS, MAX_ROOTS + 5])
def test_the_number_of_rows_is_bounded(number: int) -> None:
    one = Period("a", LifeCycle.TRUSTED, CHECKED_AT, None)
    assert len(place([one] * number, CHECKED_AT, 344).rows) == min(number, MAX_ROOTS)
