"""One root, one step of its life: what each verb of the life cycle does to a root, and what stands in its way.

The verbs are data (`VERBS`), which the manual prints. A verb that finds the root where it would bring it has nothing to
do and says so; one that finds it elsewhere is refused with the verb that comes before. Nothing here touches a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from types import MappingProxyType

from cmakeys.errors import Refused, UsageProblem
from cmakeys.roots.dependants import Dependant, LeafRule, anchors_of, own_rule
from cmakeys.roots.enrolment import check_fingerprint
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.transaction import Transaction, Transition


class Verb(Enum):
    """A verb that moves a root from one state to the next."""

    TRUST = "trust"
    RETIRE = "retire"
    FINISH = "retire --finish"
    DISTRUST = "distrust"
    RESTORE = "restore"


VERBS: Mapping[Verb, Mapping[LifeCycle, LifeCycle]] = MappingProxyType(
    {
        Verb.TRUST: MappingProxyType({LifeCycle.STAGED: LifeCycle.TRUSTED}),
        Verb.RETIRE: MappingProxyType({LifeCycle.TRUSTED: LifeCycle.RETIRING}),
        Verb.FINISH: MappingProxyType({LifeCycle.RETIRING: LifeCycle.RETIRED, LifeCycle.STAGED: LifeCycle.RETIRED}),
        Verb.DISTRUST: MappingProxyType(
            dict.fromkeys((state for state in LifeCycle if state is not LifeCycle.DISTRUSTED), LifeCycle.DISTRUSTED)
        ),
        Verb.RESTORE: MappingProxyType(
            {
                LifeCycle.RETIRING: LifeCycle.TRUSTED,
                LifeCycle.RETIRED: LifeCycle.RETIRING,
                LifeCycle.DISTRUSTED: LifeCycle.STAGED,
            }
        ),
    }
)
"""From which state each verb leads to which. A distrusted root comes back staged, where it anchors nothing, and only
with its whole fingerprint: one typo must not make a revoked vendor trusted."""

_NEEDED_FIRST = {
    (Verb.TRUST, LifeCycle.RETIRING): "cmakeys roots restore",
    (Verb.TRUST, LifeCycle.RETIRED): "cmakeys roots restore",
    (Verb.TRUST, LifeCycle.DISTRUSTED): "cmakeys roots restore --fingerprint",
    (Verb.RETIRE, LifeCycle.STAGED): "cmakeys roots retire --finish",
    (Verb.FINISH, LifeCycle.TRUSTED): "cmakeys roots retire",
}


@dataclass(frozen=True, slots=True)
class Loss:
    """A device that a step takes its last root from."""

    device: Dependant
    root: str


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What a verb would do: the root before and after, and the enrolled devices that it leaves without a root."""

    verb: Verb
    transition: Transition
    losses: tuple[Loss, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.transition.changes

    def check(self) -> None:
        """Raise `Refused` where devices would be lost by a step that is meant to lose none."""
        if self.verb is Verb.FINISH and self.losses:
            names = ", ".join(loss.device.name for loss in self.losses[:4])
            more = f" and {len(self.losses) - 4} more" if len(self.losses) > 4 else ""
            raise Refused(
                f"{names}{more} still needs it",
                object=self.transition.root.name,
                hint="give the device its vendor's new chain first, or forget it: cmakeys devices forget",
            )

    def transaction(self, *, at: datetime, by: str, reason: str) -> Transaction:
        """The change as it is committed and recorded."""
        action = f"roots-{self.verb.value.split()[0]}"
        return Transaction(action, self.transition.root.name, (self.transition,), at, by, reason)


def plan_step(
    verb: Verb,
    root: Root,
    known: RootSet,
    *,
    devices: Sequence[Dependant] = (),
    rule: LeafRule = own_rule,
    fingerprint: str | None = None,
) -> StepPlan:
    """What `verb` does to `root`.

    Raises `Refused` for a state from which the verb leads nowhere, for a denied root that would anchor, and for a
    distrusted one without its fingerprint.
    """
    targets = VERBS[verb]
    if root.state in targets.values() and root.state not in targets:
        return StepPlan(verb, Transition(root, root))
    target = targets.get(root.state)
    if target is None:
        first = _NEEDED_FIRST.get((verb, root.state), "")
        raise Refused(
            f"it is {root.state.value}, and {verb.value} does not lead on from there",
            object=root.name,
            hint=f"{first} {root.name}" if first else "see the life cycle in cmakeys-roots(8)",
        )
    if verb is Verb.RESTORE and root.state is LifeCycle.DISTRUSTED:
        _check_restored(root, fingerprint)
    after = replace(root, state=target)
    if target.anchors and (entry := known.denied(root.certificate)) is not None:
        raise Refused(
            f"denied by its {entry.words}",
            object=root.name,
            hint="a deny entry always wins; take it back first if it is wrong: cmakeys deny list",
        )
    return StepPlan(verb, Transition(root, after), _losses(root, after, known, devices, rule))


def plan_distrust_after(root: Root, after: datetime, known: RootSet) -> StepPlan:
    """Believe `root` no more for leaves that were issued after a date; those before stay as they are.

    The date is compared with each leaf's notBefore, and never with today. Raises `Refused` for a root that anchors
    nothing, `UsageProblem` for a date without zone.
    """
    if after.tzinfo is None:
        raise UsageProblem("the date needs a time zone", object="--after", hint="end it with Z")
    if not root.state.anchors:
        raise Refused(
            f"it is {root.state.value}, so no leaf is believed for it anyway",
            object=root.name,
            hint=f"cmakeys roots distrust {root.name} distrusts it altogether",
        )
    return StepPlan(Verb.DISTRUST, Transition(root, replace(root, distrust_after=after)))


def _check_restored(root: Root, fingerprint: str | None) -> None:
    if fingerprint is None:
        raise Refused(
            "it was distrusted, and comes back only with its whole fingerprint",
            object=root.name,
            hint="get the fingerprint from the vendor again: --fingerprint SHA256",
        )
    if check_fingerprint(fingerprint) != root.fingerprint:
        raise Refused(f"its fingerprint is {root.fingerprint}", object=root.name, hint="this is another certificate")


def _losses(
    before: Root, after: Root, known: RootSet, devices: Sequence[Dependant], rule: LeafRule
) -> tuple[Loss, ...]:
    if after.state.anchors or not before.state.anchors:
        return ()
    rest = replace(known, roots=(*(root for root in known.roots if root.name != before.name), after))
    return tuple(
        Loss(device, before.name)
        for device in devices
        if anchors_of(device, known, rule) and not anchors_of(device, rest, rule)
    )
