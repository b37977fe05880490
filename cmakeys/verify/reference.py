"""Reference values: what a device's measurements were when it was enrolled, or what its vendor says they should be.

How they are compared is in `comparison`, and what may differ in `measurement_rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cmakeys.evidence.fields import Fields
from cmakeys.spdm.messages.measurements import MAX_BLOCKS, MeasurementBlock
from cmakeys.verify.comparison import Comparison, compare, latest_by_index, raised
from cmakeys.verify.measurement_rules import Rules
from cmakeys.verify.statement import Stated, read_stated
from cmakeys.verify.tcb_comparison import raised_tcb, tcb_differences
from cmakeys.verify.tcb_statement import MAX_DESCRIPTIONS, StatedTcb, read_stated_tcb
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.tcb import ChainTcb, TcbInfo

SCHEMA = 1
MAX_TCB = 1024
MAX_DEPTH = 255
MAX_VALUE_SIZE = 0xFFFF
"""Bytes of one value: its size field has 16 bits."""


@dataclass(frozen=True, slots=True)
class ReferenceValues:
    """One block for each index, ascending; `origin` says whose values they are, for messages.

    `tcb` is what the certificates say of firmware; None where that is not known, and is not compared. `stated` is what
    a vendor states, ascending; for its indices it counts before the blocks, which remain as what was seen. So does
    `stated_tcb` for what the certificates say.
    """

    blocks: tuple[MeasurementBlock, ...]
    origin: str = "enrolment"
    tcb: tuple[ChainTcb, ...] | None = None
    stated: tuple[Stated, ...] = ()
    stated_tcb: tuple[StatedTcb, ...] = ()

    @classmethod
    def of(
        cls, blocks: Iterable[MeasurementBlock], origin: str = "enrolment", tcb: tuple[ChainTcb, ...] | None = None
    ) -> ReferenceValues:
        """Take measured blocks as the reference."""
        return cls(latest_by_index(blocks), origin, tcb)

    def compare(self, measured: Iterable[MeasurementBlock], rules: Rules | None = None) -> tuple[Comparison, ...]:
        """Every index, by the rule for it; without rules all are fixed."""
        return compare(self.blocks, measured, rules or Rules(), self.stated)

    def differences(self, measured: Iterable[MeasurementBlock], rules: Rules | None = None) -> tuple[str, ...]:
        """Every difference, as text that names index, kind and both values."""
        return tuple(line.difference for line in self.compare(measured, rules) if not line.match.good)

    def tcb_differences(self, chain: Sequence[Certificate], rules: Rules) -> tuple[str, ...]:
        """How what a chain says of firmware differs from the reference, as text."""
        return tcb_differences(self.tcb, chain, rules.tcb, self.stated_tcb)

    def raised(
        self, measured: Iterable[MeasurementBlock], tcb: Sequence[ChainTcb] | None, rules: Rules
    ) -> ReferenceValues:
        """These values with every secure version number that rose by its rule as it is now."""
        certified = self.tcb if self.tcb is None or tcb is None else raised_tcb(self.tcb, tcb, rules.tcb)
        return replace(self, blocks=raised(self.blocks, measured, rules), tcb=certified)

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
            "tcb": None
            if self.tcb is None
            else [{"depth": place.depth, "der": place.info.der.hex()} for place in self.tcb],
            **({"stated": [one.to_json() for one in self.stated]} if self.stated else {}),
            **({"stated_tcb": [one.to_json() for one in self.stated_tcb]} if self.stated_tcb else {}),
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
        stated = tuple(map(read_stated, fields.objects("stated", MAX_BLOCKS))) if fields.has("stated") else ()
        if [one.index for one in stated] != sorted({one.index for one in stated}):
            raise fields.problem("stated", "indices must ascend")
        values = cls(tuple(blocks), fields.text("origin"), _tcb(fields), stated, _stated_tcb(fields))
        fields.finish()
        return values


def _stated_tcb(fields: Fields) -> tuple[StatedTcb, ...]:
    several = fields.objects("stated_tcb", MAX_DESCRIPTIONS) if fields.has("stated_tcb") else ()
    return tuple(map(read_stated_tcb, several))


def _tcb(fields: Fields) -> tuple[ChainTcb, ...] | None:
    if fields.null("tcb"):
        return None
    places = []
    for item in fields.objects("tcb", MAX_TCB):
        try:
            info = TcbInfo.parse(item.octets("der", MAX_VALUE_SIZE), item.source)
        except CertificateProblem as problem:
            raise item.problem("der", problem.message) from None
        places.append(ChainTcb(item.integer("depth", 0, MAX_DEPTH), info))
        item.finish()
    return tuple(places)
