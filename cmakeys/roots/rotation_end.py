"""The end of a rotation: the old root is retired, or everything is as it was before the start.

Both ways a root goes that devices may rest on, so both are refused while an enrolled device would be left with none.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cmakeys.errors import NotFound
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Root, Rotation
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.rotation import (
    Block,
    Circumstances,
    Moment,
    RotationPlan,
    changed,
    day,
    successor_of,
    under_way,
    views_of,
)
from cmakeys.roots.transaction import Transition


def plan_finish(known: RootSet, old: Root, at: Circumstances, *, early: bool = False) -> RotationPlan:
    """What it means that the rotation of `old` ends and `old` is retired.

    Raises `NotFound` when none was ever started. One that is finished already gives a plan without changes.
    """
    rotation = _recorded(old)
    new = successor_of(old, known)
    done = old.state is LifeCycle.RETIRED
    changes = () if done else (Transition(old, replace(old, state=LifeCycle.RETIRED)),)
    views = views_of(known, changed(known, changes), old, new, at)
    blocks = [] if done else _finish_blocks(known, old, new, rotation, at, early=early)
    blocks += [
        Block(
            "still-needed",
            f"still needs {old.name}",
            view.device.name,
            "give the device its vendor's new chain, then enrol it again or ask it with --live;"
            " or forget it: cmakeys devices forget",
        )
        for view in views
        if view.stranded and not done
    ]
    remarks = (f"finished already: {old.name} is retired",) if done else ()
    return RotationPlan(Moment.FINISH, old, new, known, changes, rotation, None, views, remarks, tuple(blocks))


def _finish_blocks(
    known: RootSet, old: Root, new: Root | None, rotation: Rotation, at: Circumstances, *, early: bool
) -> list[Block]:
    if under_way(old) is None:
        return [_not_under_way(old)]
    blocks = []
    if new is None or not known.is_anchor(new):
        state = "gone" if new is None else "denied" if new.state.anchors else new.state.value
        name = new.name if new else f"{rotation.successor[:16]}…"
        blocks.append(
            Block("new-not-trusted", f"its successor is {state}, so nothing would stand in for it", name, _abort(old))
        )
    ended = new is not None and not new.certificate.never_expires and new.certificate.not_after < at.now
    if new is not None and ended and not at.clock_fault:
        blocks.append(Block("expired", f"expired on {day(new.certificate.not_after)}", new.name, _abort(old)))
    waiting = _predecessor(known, old)
    if waiting is not None:
        blocks.append(
            Block(
                "chained",
                f"it replaces {waiting.name}, whose rotation is not finished",
                old.name,
                f"finish that first: cmakeys roots rotate {waiting.name} --finish",
            )
        )
    if early:
        return blocks
    hint = "wait until then, or say that you do not want to: --early"
    if at.clock_fault:
        blocks.append(
            Block("clock", f"the overlap cannot be judged: {at.clock_fault}", "", "set the clock: timedatectl")
        )
    elif at.now < rotation.overlap_until:
        blocks.append(Block("overlap", f"the overlap lasts until {_minute(rotation.overlap_until)}", old.name, hint))
    return blocks


def plan_abort(known: RootSet, old: Root, at: Circumstances) -> RotationPlan:
    """What it means that the rotation of `old` never was.

    Raises `NotFound` when none was ever started.
    """
    rotation = _recorded(old)
    new = successor_of(old, known)
    running = under_way(old)
    changes: tuple[Transition, ...] = ()
    remarks: tuple[str, ...] = ()
    if running is not None:
        changes = (Transition(old, replace(old, state=LifeCycle.TRUSTED, rotation=None)),)
        heir = _predecessor(known, new, besides=old) if new is not None else None
        if heir is not None:
            changes += _handed_over(heir, rotation)
            remarks = (f"{new.name if new else 'the new root'} stays: it replaces {heir.name} too",)
        elif new is not None and new.state is LifeCycle.TRUSTED:
            changes += _put_back(new, rotation.successor_was)
    views = views_of(known, changed(known, changes), old, new, at)
    blocks = [] if running is not None else [_not_under_way(old)]
    denied = known.denied(old.certificate)
    if denied is not None:
        hint = "a deny entry always wins; take it back first if it is wrong: cmakeys deny list"
        blocks.append(Block("old-denied", f"denied by its {denied.words}", old.name, hint))
    blocks += [
        Block(
            "still-needed",
            f"needs {new.name if new else 'the new root'} by now",
            view.device.name,
            f"keep both roots, or go on: cmakeys roots rotate {old.name} --finish",
        )
        for view in views
        if view.stranded
    ]
    return RotationPlan(Moment.ABORT, old, new, known, changes, rotation, None, views, remarks, tuple(blocks))


def _put_back(new: Root, was: LifeCycle | None) -> tuple[Transition, ...]:
    if was is None:
        return (Transition(new, None),)
    return () if was is new.state else (Transition(new, replace(new, state=was)),)


def _predecessor(known: RootSet, new: Root, besides: Root | None = None) -> Root | None:
    """A root that `new` is replacing now, other than `besides`."""
    for root in known.roots:
        running = under_way(root)
        if root != besides and running is not None and running.successor == new.fingerprint:
            return root
    return None


def _handed_over(heir: Root, rotation: Rotation) -> tuple[Transition, ...]:
    """What the new root was before is remembered by the rotation that is left, if the one that goes came first."""
    own = heir.rotation
    if own is None or own.started < rotation.started or own.successor_was is rotation.successor_was:
        return ()
    return (Transition(heir, replace(heir, rotation=replace(own, successor_was=rotation.successor_was))),)


def _recorded(old: Root) -> Rotation:
    if old.rotation is None:
        raise NotFound(
            "no rotation of it was started", object=old.name, hint=f"to start one: cmakeys roots rotate {old.name} NEW"
        )
    return old.rotation


def _not_under_way(old: Root) -> Block:
    return Block(
        "not-under-way",
        f"it is {old.state.value}, so its rotation is not under way",
        old.name,
        f"see cmakeys roots show {old.name}",
    )


def _abort(old: Root) -> str:
    return f"go back with: cmakeys roots rotate {old.name} --abort"


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"
