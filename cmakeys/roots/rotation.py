"""One root takes another's place, without a device falling between the two: what a rotation is, and a plan of one.

A rotation has three moments. *Start*: the new root becomes trusted beside the old one, which is retiring from then on;
both anchor. *Finish*, after the overlap: the old root is retired, if no enrolled device still needs it. *Abort*, any
time between: everything is as it was before the start, if no enrolled device needs the new root by then.

A plan holds the roots before and after, and everything that stands in its way. It touches the two roots it is about and
no other one; what it has to remember stands in the old root's record (`Rotation`). So a rotation that was interrupted
is continued by the same command: the plan is made from the roots as they are, and only what is left is in it. The
rules are in `rotation_start.py` and `rotation_end.py`; nothing here touches a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from types import MappingProxyType

from cmakeys.errors import Refused
from cmakeys.roots.dependants import Dependant, LeafRule, anchors_of, ends_in, own_rule
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Root, Rotation
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.transaction import Transaction, Transition
from cmakeys.roots.vouching import Vouching

ACTION = "roots-rotate"
"""The journal's word for every moment of a rotation; its detail says which one it was."""


class Moment(Enum):
    """Which part of a rotation a plan is for."""

    START = "start"
    FINISH = "finish"
    ABORT = "abort"


class Relation(Enum):
    """To which of the two roots the chain of a device leads, whatever their states."""

    OLD = "old"
    NEW = "new"
    BOTH = "both"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class DeviceView:
    """What a rotation means for one enrolled device.

    `before` and `after` name the roots that vouch for it before the plan and at the end of the rotation; a device that
    has some before and none after is `stranded`.
    """

    device: Dependant
    relation: Relation
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def stranded(self) -> bool:
        """Whether the device is lost at the end of the rotation."""
        return bool(self.before) and not self.after


@dataclass(frozen=True, slots=True)
class Block:
    """Something that forbids the plan; `code` is a stable word for machines."""

    code: str
    message: str
    object: str = ""
    hint: str = ""

    @property
    def problem(self) -> Refused:
        """The error that reports it."""
        return Refused(self.message, object=self.object, hint=self.hint)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a plan is made under.

    `now` is an aware time; `clock_fault` says why it cannot be right, in words. `rule` is the policy's for leaf names.
    `test_roots` maps SHA-256 fingerprints of well-known test roots to their names.
    """

    now: datetime
    devices: tuple[Dependant, ...] = ()
    clock_fault: str = ""
    rule: LeafRule = own_rule
    test_roots: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class RotationPlan:
    """What a start, a finish or an abort would do.

    `old` and `new` are the two roots as they are now; `new` is also given when it is not in the set yet, and is None
    when it has gone from it. `rotation` is what the old root's record says or will say. `remarks` are worth knowing and
    forbid nothing.
    """

    moment: Moment
    old: Root
    new: Root | None
    before: RootSet
    changes: tuple[Transition, ...]
    rotation: Rotation | None
    vouching: Vouching | None
    devices: tuple[DeviceView, ...]
    remarks: tuple[str, ...]
    blocks: tuple[Block, ...]

    @property
    def after(self) -> RootSet:
        """The roots when the plan has been carried out."""
        return changed(self.before, self.changes)

    @property
    def kernel_additions(self) -> tuple[Root, ...]:
        """The roots that the kernel gets, in one swap with `kernel_removals`."""
        held = {root.description for root in self.before.anchors()}
        return tuple(root for root in self.after.anchors() if root.description not in held)

    @property
    def kernel_removals(self) -> tuple[Root, ...]:
        """The roots that the kernel loses."""
        held = {root.description for root in self.after.anchors()}
        return tuple(root for root in self.before.anchors() if root.description not in held)

    def transaction(self, at: datetime, by: str, reason: str = "", undoes: int | None = None) -> Transaction:
        """The plan as a change of trust. `undoes` is the journal's number of the start that an abort takes back."""
        detail: dict[str, object] = {"moment": self.moment.value}
        if self.rotation is not None:
            detail["successor"] = self.rotation.successor
        if self.vouching is not None:
            detail["vouched-by"] = self.vouching.voucher.value
        return Transaction(ACTION, self.old.name, self.changes, at, by, reason, detail=detail, undoes=undoes)


def under_way(root: Root) -> Rotation | None:
    """The rotation that is replacing `root` now. The record of one that ended otherwise is history."""
    return root.rotation if root.state is LifeCycle.RETIRING else None


def successor_of(root: Root, known: RootSet) -> Root | None:
    """The root that replaces `root`, as far as the set has it."""
    rotation = root.rotation
    if rotation is None:
        return None
    return next((other for other in known.roots if other.fingerprint == rotation.successor), None)


def changed(known: RootSet, changes: Sequence[Transition]) -> RootSet:
    """The set with these changes; every other root is as it was."""
    touched = {change.root.name for change in changes}
    kept = [root for root in known.roots if root.name not in touched]
    after = [change.after for change in changes if change.after is not None]
    return replace(known, roots=(*kept, *after))


def views_of(before: RootSet, after: RootSet, old: Root, new: Root | None, at: Circumstances) -> tuple[DeviceView, ...]:
    """What it means for every device that the roots are `before` now and `after` then."""
    return tuple(
        DeviceView(
            device,
            _relation(old, new, device),
            tuple(root.name for root in anchors_of(device, before, at.rule)),
            tuple(root.name for root in anchors_of(device, after, at.rule)),
        )
        for device in at.devices
    )


def _relation(old: Root, new: Root | None, device: Dependant) -> Relation:
    to_old, to_new = ends_in(old, device), new is not None and ends_in(new, device)
    if to_old and to_new:
        return Relation.BOTH
    if to_old:
        return Relation.OLD
    return Relation.NEW if to_new else Relation.NEITHER


def day(moment: datetime) -> str:
    """A date as plans and refusals show it."""
    return f"{moment:%Y-%m-%d}"
