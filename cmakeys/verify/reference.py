"""Reference values: what a device's measurements were when it was enrolled, or what its vendor says they should be.

Comparison is exact and by index. An index that is missing, new, of another type or of another value is a difference;
which of them matter is for the reader, so each is named with both values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cmakeys.evidence.fields import Fields
from cmakeys.spdm.codes import MeasurementType
from cmakeys.spdm.messages.measurements import MAX_BLOCKS, MeasurementBlock

SCHEMA = 1
MAX_VALUE_SIZE = 0xFFFF
"""Bytes of one value: its size field has 16 bits."""

SHOWN_BYTES = 8
"""Bytes of a value that a message shows."""


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


@dataclass(frozen=True, slots=True)
class ReferenceValues:
    """One block for each index, ascending; `origin` says whose values they are, for messages."""

    blocks: tuple[MeasurementBlock, ...]
    origin: str = "enrolment"

    @classmethod
    def of(cls, blocks: Iterable[MeasurementBlock], origin: str = "enrolment") -> ReferenceValues:
        """Take measured blocks as the reference."""
        return cls(latest_by_index(blocks), origin)

    def differences(self, measured: Iterable[MeasurementBlock]) -> tuple[str, ...]:
        """Every difference, as text that names index, kind and both values."""
        expected = {block.index: block for block in self.blocks}
        actual = {block.index: block for block in latest_by_index(measured)}
        texts = []
        for index in sorted(expected.keys() | actual.keys()):
            text = _difference(expected.get(index), actual.get(index))
            if text:
                texts.append(f"index {index} {text}")
        return tuple(texts)

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        return {
            "schema": SCHEMA,
            "origin": self.origin,
            "blocks": [
                {
                    "index": block.index,
                    "specification": block.specification,
                    "value_type": block.value_type,
                    "value": block.value.hex(),
                }
                for block in self.blocks
            ],
        }

    @classmethod
    def from_json(cls, document: object, source: str = "reference values") -> ReferenceValues:
        """Read back what `to_json` wrote. Raises `FieldProblem` for anything else."""
        fields = Fields(document, source)
        if fields.take("schema") != SCHEMA:
            raise fields.problem("schema", f"this cmakeys reads reference values of schema {SCHEMA}")
        blocks = []
        for item in fields.objects("blocks", MAX_BLOCKS):
            index, specification = item.integer("index", 1, 254), item.integer("specification", 0, 255)
            value_type, value = item.integer("value_type", 0, 255), item.octets("value", MAX_VALUE_SIZE)
            blocks.append(MeasurementBlock(index, value_type, value, specification))
            item.finish()
        if [block.index for block in blocks] != sorted({block.index for block in blocks}):
            raise fields.problem("blocks", "indices must ascend")
        values = cls(tuple(blocks), fields.text("origin"))
        fields.finish()
        return values


def _difference(expected: MeasurementBlock | None, actual: MeasurementBlock | None) -> str:
    if actual is None:
        return f"({kind_name(expected)}) is missing; it was {shorten(expected.value)}" if expected else ""
    if expected is None:
        return f"({kind_name(actual)}) is new: {shorten(actual.value)}"
    if (actual.value_type, actual.specification) != (expected.value_type, expected.specification):
        return f"is {kind_name(actual)}, it was {kind_name(expected)}"
    if actual.value != expected.value:
        return f"({kind_name(actual)}) is {shorten(actual.value)}, it was {shorten(expected.value)}"
    return ""
