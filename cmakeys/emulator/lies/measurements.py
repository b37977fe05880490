"""Lies in MEASUREMENTS and about its signature, and devices whose measurements have changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from cmakeys.emulator.lies.challenge import other_nonce
from cmakeys.emulator.lies.fault import Fault, Outcome, Where, rejected
from cmakeys.emulator.lies.kinds import Amend, Encode, Sign, Spoil, Transmit, cut_last_byte, flip_bit_at, flip_last_bit
from cmakeys.emulator.lies.lie import Lie, M
from cmakeys.emulator.measurements import (
    DEBUG_INVASIVE,
    INDEX_DEVICE_MODE,
    INDEX_FIRMWARE,
    INDEX_SVN,
    MeasurementSet,
    device_mode,
)
from cmakeys.spdm.codes import MAX_OPAQUE_LENGTH, ResponseCode, Version
from cmakeys.spdm.messages.measurements import MeasurementBlock, Measurements
from cmakeys.spdm.signing import Context

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation

_CONTEXT = Context.MEASUREMENTS
_CONTENT_CHANGED = 0x10
_RECORD_OFFSET = 8


class ChangedOnce(Lie):
    """Says of the first signed measurements that they just changed, and of no others."""

    def __init__(self) -> None:
        self._told = False

    def restarted(self) -> None:
        """Once in each connection."""
        self._told = False

    def amend(self, message: M, talk: Conversation) -> M:
        """Say so."""
        if self._told or not isinstance(message, Measurements):
            return message
        changed = cast(M, _changed(message))
        self._told = changed is not message
        return changed


Blocks = list[MeasurementBlock]


def _reblock(change: Callable[[Blocks], Blocks]) -> Amend[Measurements]:
    """A lie about the blocks, re-encoded with sizes that fit."""

    def amend(message: Measurements) -> Measurements:
        if not message.block_count:
            return message
        blocks = change(list(message.blocks()))
        return replace(message, block_count=len(blocks), record=b"".join(block.push() for block in blocks))

    return Amend(Measurements, amend)


def _first(blocks: Blocks, changed: MeasurementBlock) -> Blocks:
    return [changed, *blocks[1:]]


def _wrong_index(blocks: Blocks) -> Blocks:
    """Another index than asked; the reserved 0 where all were asked."""
    return _first(blocks, replace(blocks[0], index=blocks[0].index + 1 if len(blocks) == 1 else 0))


def _same_index(blocks: Blocks) -> Blocks:
    return blocks if len(blocks) < 2 else [blocks[0], replace(blocks[1], index=blocks[0].index), *blocks[2:]]


def _short_digest(blocks: Blocks) -> Blocks:
    return [block if block.raw else replace(block, value=block.value[:-1]) for block in blocks]


def _sizes_contradict(message: Measurements) -> Measurements:
    """MeasurementSize of the first block says one more than its value has."""
    if not message.block_count:
        return message
    return replace(message, record=message.record[:2] + bytes((message.record[2] ^ 1,)) + message.record[3:])


def _changed(message: Measurements) -> Measurements:
    """Content changed is a statement of signed answers only; those have a slot and unchanged bits already."""
    return replace(message, param2=(message.param2 & 0x0F) | _CONTENT_CHANGED) if message.param2 & 0x30 else message


def _fault(name: str, description: str, *lies: Lie, since: Version = Version.V10) -> Fault:
    # These lies keep no state, so one instance serves every device.
    return rejected(Where.MEASUREMENTS, 12, name, description, *((lambda one=one: one) for one in lies), since=since)


def _measured(name: str, description: str, change: Callable[[MeasurementSet], MeasurementSet], since: Version) -> Fault:
    return Fault(
        name,
        description,
        Where.MEASUREMENTS,
        Outcome.REJECTED,
        13,
        since=since,
        enrolled=True,
        measured=change,
    )


FAULTS: tuple[Fault, ...] = (
    _fault(
        "wrong-measurement-index", "a block has another index than was asked, or a reserved one", _reblock(_wrong_index)
    ),
    _fault("duplicate-measurement-index", "two blocks have the same index", _reblock(_same_index)),
    _fault(
        "measurement-spec-wrong",
        "a block is of another measurement specification than was negotiated",
        _reblock(lambda blocks: _first(blocks, replace(blocks[0], specification=2))),
    ),
    _fault("measurement-digest-size", "digests are one byte short", _reblock(_short_digest)),
    _fault("no-measurements", "there is no block in the answer", _reblock(lambda _: [])),
    _fault("measurement-sizes-contradict", "a block's two sizes disagree", Amend(Measurements, _sizes_contradict)),
    _fault(
        "measurement-trailing-bytes",
        "bytes follow the last block of the record",
        Amend(Measurements, lambda m: replace(m, record=m.record + bytes(3)) if m.block_count else m),
    ),
    _fault(
        "measurement-count-wrong",
        "more blocks are announced than there are",
        Amend(Measurements, lambda m: replace(m, block_count=m.block_count + 1)),
    ),
    _fault(
        "content-changed",
        "the device says each time that its measurements just changed",
        Amend(Measurements, _changed),
        since=Version.V12,
    ),
    Fault(
        "content-changed-once",
        "the device says once that its measurements just changed",
        Where.MEASUREMENTS,
        Outcome.TOLERATED,
        lies=lambda: (ChangedOnce(),),
        since=Version.V12,
    ),
    _fault(
        "measurement-record-huge",
        "MeasurementRecordLength is 16 MiB less one byte",
        Encode(ResponseCode.MEASUREMENTS, lambda octets: octets[:5] + b"\xff\xff\xff" + octets[8:]),
    ),
    _fault(
        "measurements-wrong-slot",
        "MEASUREMENTS is signed for another slot than was asked",
        Amend(Measurements, lambda m: replace(m, param2=m.param2 ^ 1)),
        since=Version.V11,
    ),
    _fault(
        "measurements-wrong-context-echo",
        "MEASUREMENTS echoes another RequesterContext",
        Amend(Measurements, lambda m: replace(m, context=flip_last_bit(m.context))),
        since=Version.V13,
    ),
    _fault(
        "measurements-oversize-opaque",
        "MEASUREMENTS carries 1025 bytes of opaque data",
        Amend(Measurements, lambda m: replace(m, opaque=bytes(MAX_OPAQUE_LENGTH + 1))),
    ),
    _fault(
        "truncated-measurements", "MEASUREMENTS ends one byte early", Encode(ResponseCode.MEASUREMENTS, cut_last_byte)
    ),
    _fault("measurements-bad-signature", "MEASUREMENTS' signature has a flipped bit", Spoil(_CONTEXT, flip_last_bit)),
    _fault(
        "measurements-wrong-signature-context",
        "MEASUREMENTS is signed as if it were CHALLENGE_AUTH",
        Sign(_CONTEXT, lambda s: replace(s, context=Context.CHALLENGE_AUTH)),
        since=Version.V12,
    ),
    _fault("replayed-measurements", "MEASUREMENTS is signed for another nonce", Sign(_CONTEXT, other_nonce)),
    _fault(
        "measurements-tampered",
        "somebody in the middle changes a measured value",
        Transmit(ResponseCode.MEASUREMENTS, flip_bit_at(_RECORD_OFFSET + 20)),
    ),
    _measured(
        "firmware-changed",
        "the device runs other firmware than at enrolment",
        lambda measured: measured.changed(INDEX_FIRMWARE, b"firmware of somebody else"),
        Version.V10,
    ),
    _measured(
        "svn-rollback",
        "the device's secure version number went back to 1",
        lambda measured: measured.changed(INDEX_SVN, (1).to_bytes(8, "little")),
        Version.V12,
    ),
    _measured(
        "debug-active",
        "the device says that invasive debug is active",
        lambda measured: measured.changed(INDEX_DEVICE_MODE, device_mode(debug=DEBUG_INVASIVE)),
        Version.V12,
    ),
)
