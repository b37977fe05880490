"""Reference values: what a device's measurements were when it was enrolled, or what its vendor says they should be.

How they are compared is in `comparison`, and what may differ in `measurement_rules`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cmakeys.evidence.fields import Fields
from cmakeys.spdm.messages.measurements import MAX_BLOCKS, MeasurementBlock
from cmakeys.verify.comparison import Comparison, compare, latest_by_index
from cmakeys.verify.measurement_rules import Rules

SCHEMA = 1
MAX_VALUE_SIZE = 0xFFFF
"""Bytes of one value: its size field has 16 bits."""


@dataclass(frozen=True, slots=True)
class ReferenceValues:
    """One block for each index, ascending; `origin` says whose values they are, for messages."""

    blocks: tuple[MeasurementBlock, ...]
    origin: str = "enrolment"

    @classmethod
    def of(cls, blocks: Iterable[MeasurementBlock], origin: str = "enrolment") -> ReferenceValues:
        """Take measured blocks as the reference."""
        return cls(latest_by_index(blocks), origin)

    def compare(self, measured: Iterable[MeasurementBlock], rules: Rules | None = None) -> tuple[Comparison, ...]:
        """Every index, by the rule for it; without rules all are fixed."""
        return compare(self.blocks, measured, rules or Rules())

    def differences(self, measured: Iterable[MeasurementBlock], rules: Rules | None = None) -> tuple[str, ...]:
        """Every difference, as text that names index, kind and both values."""
        return tuple(line.difference for line in self.compare(measured, rules) if not line.match.good)

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
