"""What a vendor states of a measurement: alternatives, each of digests, a masked raw value and a version number.

One of the alternatives has to hold, with all that it says of the form in which the device measured: of a digest the
digests, of which one has to be the value; of a raw value the value under its mask and the secure version number, which
only a block can have that says it is one. An alternative that says nothing of that form does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from cmakeys.evidence.fields import FieldProblem, Fields, hex_octets
from cmakeys.spdm.codes import MeasurementType
from cmakeys.spdm.messages.measurements import MeasurementBlock

MAX_ALTERNATIVES = 256
MAX_DIGESTS = 64
MAX_VALUE_SIZE = 0xFFFF
MAX_VERSION_SIZE = 8
_MAX_VERSION = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Statement:
    """One alternative. `mask` has a bit for each bit of `value` that counts; empty: all. `at_least`: `svn` may rise."""

    digests: tuple[bytes, ...] = ()
    value: bytes | None = None
    mask: bytes = b""
    svn: int | None = None
    at_least: bool = False

    def holds(self, block: MeasurementBlock) -> bool:
        """Whether a measurement is as stated."""
        if not block.raw:
            return block.value in self.digests
        if self.value is None and self.svn is None:
            return False
        return (self.value is None or self._same(block.value, self.value)) and (
            self.svn is None or self._version(block)
        )

    def _same(self, actual: bytes, value: bytes) -> bool:
        if not self.mask:
            return actual == value
        return len(actual) == len(value) and all(
            (one ^ two) & bits == 0 for one, two, bits in zip(actual, value, self.mask, strict=True)
        )

    def _version(self, block: MeasurementBlock) -> bool:
        if self.svn is None or block.kind != MeasurementType.SECURE_VERSION_NUMBER:
            return False
        if not 1 <= len(block.value) <= MAX_VERSION_SIZE:
            return False
        number = int.from_bytes(block.value, "little")
        return number >= self.svn if self.at_least else number == self.svn

    @property
    def words(self) -> str:
        """For messages."""
        parts = [f"{digest[:5].hex()}…" for digest in self.digests]
        if self.value is not None:
            parts.append(f"{self.value[:5].hex()}{'…' if len(self.value) > 5 else ''}{' masked' if self.mask else ''}")
        if self.svn is not None:
            parts.append(f"svn {'≥ ' if self.at_least else ''}{self.svn}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Stated:
    """All alternatives for an index."""

    index: int
    alternatives: tuple[Statement, ...]

    def holds(self, block: MeasurementBlock) -> bool:
        """Whether one of them holds."""
        return any(one.holds(block) for one in self.alternatives)

    @property
    def exact(self) -> bool:
        """There is nothing to choose: one alternative, of one digest, one whole value or one number."""
        if len(self.alternatives) != 1:
            return False
        (one,) = self.alternatives
        return len(one.digests) <= 1 and not one.mask and not one.at_least

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        return {
            "index": self.index,
            "alternatives": [
                {
                    "digests": [digest.hex() for digest in one.digests],
                    "value": None if one.value is None else one.value.hex(),
                    "mask": one.mask.hex(),
                    "svn": one.svn,
                    "at_least": one.at_least,
                }
                for one in self.alternatives
            ],
        }


def read_stated(fields: Fields) -> Stated:
    """Read back what `to_json` wrote. Raises `FieldProblem`."""
    index = fields.integer("index", 1, 254)
    alternatives = tuple(_statement(item) for item in fields.objects("alternatives", MAX_ALTERNATIVES))
    fields.finish()
    if not alternatives:
        raise FieldProblem("no alternative", object=fields.source)
    return Stated(index, alternatives)


def _statement(fields: Fields) -> Statement:
    digests = tuple(hex_octets(one, fields.source, 64, "digests") for one in fields.items("digests", MAX_DIGESTS))
    value, mask = fields.optional_octets("value", MAX_VALUE_SIZE), fields.octets("mask", MAX_VALUE_SIZE)
    svn, at_least = fields.optional_integer("svn", 0, _MAX_VERSION), fields.take("at_least")
    fields.finish()
    if not isinstance(at_least, bool) or (mask and (value is None or len(mask) != len(value))):
        raise FieldProblem("a statement that makes no sense", object=fields.source)
    if not digests and value is None and svn is None:
        raise FieldProblem("a statement that says nothing", object=fields.source)
    return Statement(digests, value, mask, svn, at_least)
