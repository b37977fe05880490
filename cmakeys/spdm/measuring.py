"""What a MEASUREMENTS answer may hold, given what was asked (reference §4.2), and what stands for a signed one."""

from __future__ import annotations

from dataclasses import dataclass

from cmakeys.spdm.algorithms import MEASUREMENT_HASH_FUNCTIONS, MEASUREMENT_SPECIFICATION_DMTF, MeasurementHash
from cmakeys.spdm.codes import MeasurementOperation, RequestCode
from cmakeys.spdm.messages.measurements import GetMeasurements, MeasurementBlock, Measurements
from cmakeys.spdm.signing import Statement
from cmakeys.spdm.violation import violation

CODE = RequestCode.GET_MEASUREMENTS


@dataclass(frozen=True, slots=True)
class SignedMeasurements:
    """One signed MEASUREMENTS and all blocks of the series that its L1 covers."""

    statement: Statement
    blocks: tuple[MeasurementBlock, ...]
    content_changed: int


def check_operation(asked: GetMeasurements, answer: Measurements, blocks: tuple[MeasurementBlock, ...]) -> int | None:
    """The blocks are those asked for; the number of indices when that was the question, else None.

    Raises `ProtocolViolation`.
    """
    if asked.operation == MeasurementOperation.COUNT:
        if blocks or answer.record:
            raise violation(CODE, "blocks in the answer to a question for their number")
        if answer.param1 in (0, 0xFF):
            raise violation(CODE, f"{answer.param1} is no number of measurement indices")
        return answer.param1
    indices = [block.index for block in blocks]
    if asked.operation == MeasurementOperation.ALL:
        if not blocks:
            raise violation(CODE, "no block in the answer to a request for all measurements")
        if len(set(indices)) != len(indices):
            raise violation(CODE, "two blocks have the same index")
    elif indices != [asked.operation]:
        got = ", ".join(map(str, indices)) or "none"
        raise violation(CODE, f"block {asked.operation} was asked, the answer holds {got}")
    return None


def check_block(block: MeasurementBlock, measurement_hash: MeasurementHash | None) -> None:
    """One block by itself. Raises `ProtocolViolation`."""
    if block.index in (0, 0xFF):
        raise violation(CODE, f"a block with the reserved index {block.index}")
    if block.specification != MEASUREMENT_SPECIFICATION_DMTF:
        raise violation(
            CODE, f"block {block.index} has the measurement specification {block.specification:#x}, not DMTF"
        )
    function = MEASUREMENT_HASH_FUNCTIONS.get(measurement_hash) if measurement_hash else None
    if not block.raw and function is not None and len(block.value) != function.size:
        size = len(block.value)
        raise violation(CODE, f"block {block.index} has a digest of {size} bytes, {function.name} has {function.size}")
