"""What was measured held against reference values, index by index and by the rule for each index.

An index that is missing, new, of another type or of another value is a difference; so is a secure version number that
went down. Which of the others is none is for the rules to say, and every index is told with the rule that decided.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from cmakeys.spdm.codes import MeasurementType
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.verify.measurement_rules import Rule, RuleKind, Rules, secure_version
from cmakeys.verify.statement import Stated

SHOWN_BYTES = 8
"""Bytes of a value that a message shows."""

SHOWN_ALTERNATIVES = 2
"""What a message shows of the alternatives that a vendor states."""


class Match(Enum):
    """How an index stands to its reference. The first four are as they should be."""

    SAME = "same"
    ALLOWED = "allowed"
    RISEN = "risen"
    IGNORED = "ignored"
    CHANGED = "changed"
    LOWER = "lower"
    MISSING = "missing"
    NEW = "new"

    @property
    def good(self) -> bool:
        """As it should be."""
        return self in (Match.SAME, Match.ALLOWED, Match.RISEN, Match.IGNORED)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One index: what was expected, what was measured (None: nothing), by which rule, and the difference in words.

    `stated` is what a vendor states of it, which counts before the expected value.
    """

    index: int
    match: Match
    rule: Rule
    expected: MeasurementBlock | None
    actual: MeasurementBlock | None
    difference: str = ""
    stated: Stated | None = None


def kind_name(block: MeasurementBlock) -> str:
    """What a block measures, in words: `mutable firmware`, `mutable firmware, raw`."""
    kind = block.kind
    name = kind.name.lower().replace("_", " ") if isinstance(kind, MeasurementType) else f"type {kind:#04x}"
    return f"{name}, raw" if block.raw else name


def shorten(value: bytes) -> str:
    """The first bytes of a value in hex."""
    if not value:
        return "empty"
    return value[:SHOWN_BYTES].hex() + ("…" if len(value) > SHOWN_BYTES else "")


def latest_by_index(blocks: Iterable[MeasurementBlock]) -> tuple[MeasurementBlock, ...]:
    """One block for each index, the last one given, ascending."""
    found = {block.index: block for block in blocks}
    return tuple(found[index] for index in sorted(found))


def compare(
    expected: Iterable[MeasurementBlock],
    measured: Iterable[MeasurementBlock],
    rules: Rules,
    stated: Iterable[Stated] = (),
) -> tuple[Comparison, ...]:
    """Every index that is expected, stated or was measured, ascending."""
    wanted = {block.index: block for block in expected}
    found = {block.index: block for block in latest_by_index(measured)}
    said = {one.index: one for one in stated}
    return tuple(
        _compare(index, wanted.get(index), found.get(index), rules.rule(index), said.get(index))
        for index in sorted(wanted.keys() | found.keys() | said.keys())
    )


def _compare(
    index: int,
    expected: MeasurementBlock | None,
    actual: MeasurementBlock | None,
    rule: Rule,
    stated: Stated | None,
) -> Comparison:
    if stated is None or actual is None or rule.kind in (RuleKind.IGNORE, RuleKind.ALLOWED):
        match, text = _match(expected, actual, rule)
    else:
        match, text = _against_statement(expected, actual, rule, stated)
    return Comparison(index, match, rule, expected, actual, f"index {index} {text}" if text else "", stated)


def _against_statement(
    expected: MeasurementBlock | None, actual: MeasurementBlock, rule: Rule, stated: Stated
) -> tuple[Match, str]:
    """A vendor's statement counts before the value that was seen; a version number still may not go down."""
    if not stated.holds(actual):
        words = "; or ".join(one.words for one in stated.alternatives[:SHOWN_ALTERNATIVES])
        more = len(stated.alternatives) - SHOWN_ALTERNATIVES
        others = f"; or {more} others" if more > 0 else ""
        return Match.CHANGED, f"({kind_name(actual)}) is {shorten(actual.value)}, stated is {words}{others}"
    if rule.kind is RuleKind.MONOTONE and expected is not None and secure_version(expected) is not None:
        return _monotone(expected, actual)
    return (Match.SAME if stated.exact else Match.ALLOWED), ""


def _match(expected: MeasurementBlock | None, actual: MeasurementBlock | None, rule: Rule) -> tuple[Match, str]:
    if rule.kind is RuleKind.IGNORE:
        return Match.IGNORED, ""
    if actual is None:
        return Match.MISSING, (
            f"({kind_name(expected)}) is missing; it was {shorten(expected.value)}" if expected else "is missing"
        )
    if expected is not None and (actual.value_type, actual.specification) != (
        expected.value_type,
        expected.specification,
    ):
        return Match.CHANGED, f"is {kind_name(actual)}, it was {kind_name(expected)}"
    if rule.kind is RuleKind.ALLOWED:
        if actual.value in rule.values:
            return Match.ALLOWED, ""
        return Match.CHANGED, f"({kind_name(actual)}) is {shorten(actual.value)}, none of the allowed values"
    if expected is None:
        return Match.NEW, f"({kind_name(actual)}) is new: {shorten(actual.value)}"
    if rule.kind is RuleKind.MONOTONE:
        return _monotone(expected, actual)
    if actual.value != expected.value:
        return Match.CHANGED, f"({kind_name(actual)}) is {shorten(actual.value)}, it was {shorten(expected.value)}"
    return Match.SAME, ""


def _monotone(expected: MeasurementBlock, actual: MeasurementBlock) -> tuple[Match, str]:
    before, now = secure_version(expected), secure_version(actual)
    if before is None or now is None:
        if expected.value == actual.value:
            return Match.SAME, ""
        return Match.CHANGED, (
            f"({kind_name(actual)}) is {shorten(actual.value)}, it was {shorten(expected.value)}, and neither rises:"
            " they are no numbers"
        )
    if now < before:
        return Match.LOWER, f"({kind_name(actual)}) went down to {now}, it was {before}"
    return (Match.RISEN, "") if now > before else (Match.SAME, "")


def raised(
    blocks: Iterable[MeasurementBlock], measured: Iterable[MeasurementBlock], rules: Rules
) -> tuple[MeasurementBlock, ...]:
    """The reference with every secure version number that rose as it is now: below it, nothing is good again."""
    return tuple(
        line.actual if line.match is Match.RISEN and line.actual is not None else line.expected
        for line in compare(blocks, measured, rules)
        if line.expected is not None
    )
