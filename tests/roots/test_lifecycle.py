"""Which state of a root may follow which."""

from __future__ import annotations

from itertools import pairwise

import pytest

from cmakeys.roots.lifecycle import TRANSITIONS, LifeCycle


def test_the_way_of_the_design_is_open() -> None:
    way = [LifeCycle.STAGED, LifeCycle.TRUSTED, LifeCycle.RETIRING, LifeCycle.RETIRED]
    assert all(first.may_become(second) for first, second in pairwise(way))


@pytest.mark.parametrize("state", [state for state in LifeCycle if state is not LifeCycle.DISTRUSTED])
def test_everything_can_be_distrusted(state: LifeCycle) -> None:
    assert state.may_become(LifeCycle.DISTRUSTED)


@pytest.mark.parametrize("state", LifeCycle)
def test_nothing_comes_back_from_distrust(state: LifeCycle) -> None:
    assert not LifeCycle.DISTRUSTED.may_become(state)


def test_a_retired_root_is_not_trusted_again_in_one_step() -> None:
    assert not LifeCycle.RETIRED.may_become(LifeCycle.TRUSTED)


def test_the_table_knows_every_state() -> None:
    assert set(TRANSITIONS) == set(LifeCycle)


@pytest.mark.parametrize("state", LifeCycle)
def test_only_trusted_and_retiring_roots_anchor_a_chain(state: LifeCycle) -> None:
    assert state.anchors == (state.value in {"trusted", "retiring"})
