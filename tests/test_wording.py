"""A number and its noun."""

from __future__ import annotations

import pytest

from cmakeys.wording import counted


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 deny entries"), (1, "1 deny entry"), (2, "2 deny entries"), (1_000_000, "1000000 deny entries")],
)
def test_the_noun_follows_the_number(number: int, words: str) -> None:
    assert counted(number, "deny entry", "deny entries") == words


def test_a_plural_is_the_noun_with_an_s_where_none_is_named() -> None:
    assert counted(3, "root") == "3 roots"
