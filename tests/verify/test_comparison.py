"""Measurements against their reference: by the rule for each index, and a version number never goes down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.verify.comparison import Comparison, Match, compare, raised
from cmakeys.verify.measurement_rules import FIXED, Rule, RuleKind, Rules, rules_for, secure_version

RAW_VERSION = 0x87
MONOTONE, IGNORE = Rule(RuleKind.MONOTONE), Rule(RuleKind.IGNORE)


def version(number: int, size: int = 8) -> MeasurementBlock:
    return MeasurementBlock(16, RAW_VERSION, number.to_bytes(size, "little"))


def firmware(value: bytes) -> MeasurementBlock:
    return MeasurementBlock(2, 1, value)


def one(expected: MeasurementBlock | None, actual: MeasurementBlock | None, rule: Rule) -> Comparison:
    index = (expected or actual or firmware(b"")).index
    (line,) = compare([expected] if expected else [], [actual] if actual else [], Rules.of({index: rule}))
    return line


@pytest.mark.parametrize(
    ("before", "now", "match"),
    [(7, 7, Match.SAME), (7, 8, Match.RISEN), (255, 256, Match.RISEN), (7, 6, Match.LOWER), (256, 255, Match.LOWER)],
)
def test_a_version_number_may_rise_and_never_goes_down(before: int, now: int, match: Match) -> None:
    line = one(version(before), version(now), MONOTONE)
    assert line.match is match
    assert bool(line.difference) is not match.good


def test_what_is_no_number_does_not_rise() -> None:
    long = MeasurementBlock(16, RAW_VERSION, bytes(8) + b"\1")
    assert one(version(7), long, MONOTONE).match is Match.CHANGED
    assert one(long, long, MONOTONE).match is Match.SAME
    digest = MeasurementBlock(16, 7, bytes(8))
    assert secure_version(digest) is None
    assert one(version(7), digest, MONOTONE).match is Match.CHANGED
    assert one(firmware(b"\1"), firmware(b"\2"), MONOTONE).match is Match.CHANGED


def test_a_version_number_that_is_gone_or_new_is_a_difference() -> None:
    assert one(version(7), None, MONOTONE).match is Match.MISSING
    assert one(None, version(7), MONOTONE).match is Match.NEW


def test_an_allowed_value_is_good_whatever_the_reference_says_and_no_other_is() -> None:
    rule = Rule(RuleKind.ALLOWED, (b"b", b"c"))
    assert one(firmware(b"a"), firmware(b"c"), rule).match is Match.ALLOWED
    assert one(None, firmware(b"b"), rule).match is Match.ALLOWED
    assert one(firmware(b"a"), firmware(b"a"), rule).match is Match.CHANGED
    assert one(firmware(b"a"), None, rule).match is Match.MISSING
    assert one(firmware(b"a"), MeasurementBlock(2, 0x81, b"b"), rule).match is Match.CHANGED  # of another type


def test_an_ignored_index_may_be_anything() -> None:
    for expected, actual in ((firmware(b"a"), None), (None, firmware(b"a")), (firmware(b"a"), firmware(b"b"))):
        assert one(expected, actual, IGNORE).match is Match.IGNORED


def test_the_rules_of_a_root_stand_over_those_for_all() -> None:
    rules = (("acme", Rules.of({16: FIXED})), ("all", Rules.of({9: IGNORE, 16: MONOTONE})))
    assert rules_for(rules, "acme") == Rules.of({9: IGNORE, 16: FIXED})
    assert rules_for(rules, "other") == rules_for(rules, None) == Rules.of({9: IGNORE, 16: MONOTONE})
    assert rules_for((), "acme").rule(3) == FIXED


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12))
def test_the_highest_number_ever_seen_is_the_one_that_is_remembered(numbers: list[int]) -> None:
    rules = Rules.of({16: MONOTONE})
    reference: tuple[MeasurementBlock, ...] = (version(numbers[0]),)
    for number in numbers:
        reference = raised(reference, [version(number)], rules) or reference
    assert reference == (version(max(numbers)),)


def test_only_a_number_that_rises_by_its_rule_is_remembered() -> None:
    before = (firmware(b"a"), version(7))
    assert raised(before, [firmware(b"b"), version(9)], Rules.of({16: MONOTONE})) == (firmware(b"a"), version(9))
    assert raised(before, [firmware(b"b"), version(9)], Rules()) == before
    assert raised(before, [version(3)], Rules.of({16: MONOTONE})) == before
