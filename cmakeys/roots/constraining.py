"""What a root may vouch for, changed later: the new constraints, and the enrolled devices that they would leave out.

The kernel cannot tell one vendor's device from another's, so a root without constraints vouches for everybody. They are
changed a kind at a time: a kind that is given replaces what was there, one that is cleared restricts nothing more.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from cmakeys.errors import UsageProblem
from cmakeys.roots.dependants import Dependant, LeafRule, anchors_of, misfits, own_rule
from cmakeys.roots.root import Constraints, LeafNameRule, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.transaction import Transition

KINDS = {
    "pci-vendor": "pci_vendors",
    "pci-device": "pci_devices",
    "class": "classes",
    "slot": "slots",
    "algorithm": "algorithms",
    "version": "versions",
    "leaf-name": "leaf_name",
}
"""The kinds of constraints by the words of the command line, and the fields that they are."""


@dataclass(frozen=True, slots=True)
class ConstraintWishes:
    """New values of kinds, None for a kind that stays as it is; `clear` names kinds of `KINDS`."""

    pci_vendors: frozenset[int] | None = None
    pci_devices: frozenset[int] | None = None
    classes: frozenset[str] | None = None
    slots: frozenset[int] | None = None
    algorithms: frozenset[str] | None = None
    versions: frozenset[str] | None = None
    leaf_name: LeafNameRule | None = None
    clear: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Loss:
    """A device that nothing would vouch for any more, and why the root would not."""

    device: str
    reason: str


@dataclass(frozen=True, slots=True)
class ConstraintPlan:
    """What a change of constraints would do. `narrowed` are the devices that another root would have to vouch for."""

    change: Transition
    lost: tuple[Loss, ...]
    narrowed: tuple[Loss, ...]


def constrained(constraints: Constraints, wishes: ConstraintWishes) -> Constraints:
    """The constraints with these changes.

    Raises `UsageProblem` for a kind that is set and cleared, one that is not known, none at all, and for values that
    could never match anything.
    """
    given = {word: getattr(wishes, field) for word, field in KINDS.items() if getattr(wishes, field) is not None}
    unknown = sorted(wishes.clear - KINDS.keys())
    if unknown:
        raise UsageProblem(f"{unknown[0]!r} is no kind of constraint", object="--clear", hint=f"one of: {_known()}")
    both = sorted(wishes.clear & given.keys())
    if both:
        raise UsageProblem(f"{both[0]} is set and cleared at once", object="--clear", hint="leave one of the two out")
    if not given and not wishes.clear:
        raise UsageProblem("nothing to change", hint=f"give --pci-vendor ID or another kind, or --clear: {_known()}")
    changes = {KINDS[word]: getattr(Constraints(), KINDS[word]) for word in wishes.clear}
    changes |= {KINDS[word]: value for word, value in given.items()}
    return replace(constraints, **changes)


def _known() -> str:
    return ", ".join(KINDS)


def plan_constraints(
    known: RootSet,
    root: Root,
    wishes: ConstraintWishes,
    devices: Collection[Dependant] = (),
    rule: LeafRule = own_rule,
) -> ConstraintPlan:
    """What it means to change the constraints of `root`, a root of `known`, for these enrolled devices.

    Raises as `constrained` does.
    """
    after = replace(root, constraints=constrained(root.constraints, wishes))
    others = tuple(other for other in known.roots if other.name != root.name)
    then = replace(known, roots=(*others, after))
    lost: list[Loss] = []
    narrowed: list[Loss] = []
    for device in devices:
        if root not in anchors_of(device, known, rule):
            continue
        left = anchors_of(device, then, rule)
        if after not in left:
            loss = Loss(device.name, misfits(after, device, rule)[0])
            (narrowed if left else lost).append(loss)
    return ConstraintPlan(Transition(root, after), tuple(lost), tuple(narrowed))
