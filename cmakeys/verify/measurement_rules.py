"""How each measurement may differ from its reference value: a rule for an index, and the rules for a vendor's devices.

In a configuration file they are the setting `measurements` of the section `policy`, by the name of a root, or `all`:

    policy:
      measurements:
        all: {16: monotone}                # a secure version number: it may rise, and never goes down again
        nvidia:
          9: ignore                        # whatever it is, and whether it is there
          35: [aabb…, ccdd…]               # one of these values, in hex, whatever the reference says
          36: fixed                        # as in the reference, which is the rule for every index without one
          tcb: monotone                    # what certificates say of firmware (DICE TcbInfo): fixed, ignore, or
                                           # fixed but for a secure version number that may rise

The rules of a root stand over those of `all`, index by index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from cmakeys.roots.document import Node
from cmakeys.spdm.messages.measurements import MeasurementBlock

ALL_ROOTS = "all"
"""The name under which rules hold for the devices of every root; no root is called so in a policy."""

TCB = "tcb"
"""The name that stands in the place of an index for what certificates say of firmware."""

MAX_ALLOWED_VALUES = 64
MAX_VALUE_SIZE = 0xFFFF
MAX_VERSION_SIZE = 8
"""Bytes of a secure version number (DSP0274, DMTFSpecMeasurementValueType 7)."""


class RuleKind(Enum):
    """What a measurement is held to."""

    FIXED = "fixed"
    ALLOWED = "allowed"
    MONOTONE = "monotone"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule for one index; `values` are those of an allow-list."""

    kind: RuleKind = RuleKind.FIXED
    values: tuple[bytes, ...] = ()

    def setting(self) -> object:
        """As a configuration file has it."""
        return [value.hex() for value in self.values] if self.kind is RuleKind.ALLOWED else self.kind.value


FIXED = Rule()


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for the indices that have one, ascending; every other index is fixed.

    `tcb` is the rule for what certificates say of firmware; None is fixed, where no other rules say otherwise.
    """

    by_index: tuple[tuple[int, Rule], ...] = ()
    tcb: RuleKind | None = None

    @classmethod
    def of(cls, rules: Mapping[int, Rule], tcb: RuleKind | None = None) -> Rules:
        """Put rules in order."""
        return cls(tuple(sorted(rules.items(), key=lambda item: item[0])), tcb)

    def rule(self, index: int) -> Rule:
        """The rule for an index."""
        return dict(self.by_index).get(index, FIXED)

    def under(self, above: Rules) -> Rules:
        """These rules, with those of `above` in their place where both have one."""
        return Rules.of(dict(self.by_index) | dict(above.by_index), above.tcb or self.tcb)

    def setting(self) -> dict[str, object]:
        """As a configuration file has them."""
        rules: dict[str, object] = {str(index): rule.setting() for index, rule in self.by_index}
        return rules | ({TCB: self.tcb.value} if self.tcb else {})


RulesByRoot = tuple[tuple[str, Rules], ...]
"""Rules by the name of a root, or by `all`."""


def rules_for(rules: RulesByRoot, root: str | None) -> Rules:
    """The rules for a device whose chain ends in the root of this name; None where no root vouches for it."""
    known = dict(rules)
    return known.get(ALL_ROOTS, Rules()).under(known.get(root, Rules()) if root else Rules())


def secure_version(block: MeasurementBlock | None) -> int | None:
    """The number that a block holds, little-endian; None where it is no raw value of at most eight bytes."""
    if block is None or not block.raw or not 1 <= len(block.value) <= MAX_VERSION_SIZE:
        return None
    return int.from_bytes(block.value, "little")


def read_rules(node: Node) -> RulesByRoot:
    """The setting `measurements`. Raises `DocumentProblem`, naming file and line, for what is not understood."""
    if not isinstance(node.value, Mapping):
        raise node.problem("names of roots, or all, with rules each are expected here", "as: {all: {16: monotone}}")
    return tuple((name, _read_indices(item)) for name, item in sorted(node.value.items()))


def _read_indices(node: Node) -> Rules:
    if not isinstance(node.value, Mapping):
        raise node.problem("measurement indices with a rule each are expected here", "as: {16: monotone}")
    rules: dict[int, Rule] = {}
    tcb: RuleKind | None = None
    for text, item in node.value.items():
        if text == TCB:
            if item.text() not in _WORDS:
                raise item.problem(f"{item.text()[:40]!r} is not known here", f"one of: {', '.join(_WORDS)}")
            tcb = _WORDS[item.text()]
            continue
        if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= 254):
            raise item.problem(f"{text[:40]!r} is no measurement index", "indices are 1 to 254")
        if int(text) in rules:
            raise item.problem(f"index {int(text)} has two rules")
        rules[int(text)] = _read_rule(item)
    return Rules.of(rules, tcb)


_WORDS = {kind.value: kind for kind in RuleKind if kind is not RuleKind.ALLOWED}


def _read_rule(node: Node) -> Rule:
    if isinstance(node.value, str):
        if node.value not in _WORDS:
            hint = f"one of: {', '.join(_WORDS)}; or a list of values in hex"
            raise node.problem(f"{node.value[:40]!r} is not known here", hint)
        return Rule(_WORDS[node.value])
    items = node.items()
    if not 1 <= len(items) <= MAX_ALLOWED_VALUES:
        raise node.problem(f"1 to {MAX_ALLOWED_VALUES} values in hex are expected here")
    return Rule(RuleKind.ALLOWED, tuple(_octets(item) for item in items))


def _octets(node: Node) -> bytes:
    text = node.text()
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if not octets or len(octets) > MAX_VALUE_SIZE or octets.hex() != text.lower():
        raise node.problem(f"{text[:40]!r} is not a value in hex digits")
    return octets
