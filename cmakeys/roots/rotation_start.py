"""The start of a rotation: may this root take that one's place, and what would change?

The new root has to be one that `roots add` would take, vouched for, as lasting as the overlap, and open to every device
that the old one vouches for: what would break on the day the old root goes is found out before the new one comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from cmakeys.errors import Refused
from cmakeys.roots.catalogue import Catalogue
from cmakeys.roots.dependants import misfits, outside
from cmakeys.roots.enrolment import default_name, free_name
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Constraints, Provenance, Root, Rotation
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.rotation import (
    Block,
    Circumstances,
    DeviceView,
    Moment,
    Relation,
    RotationPlan,
    changed,
    day,
    successor_of,
    under_way,
    views_of,
)
from cmakeys.roots.transaction import Transition
from cmakeys.roots.vouching import Credentials, Vouching, vouch
from cmakeys.x509.certificate import Certificate, same_key
from cmakeys.x509.kernel import kernel_needed, kernel_refusal
from cmakeys.x509.lint import Severity, lint_anchor

OVERLAP = timedelta(days=30)
"""How long both roots are kept when nothing else is said."""


def newcomer(
    certificate: Certificate, old: Root, known: RootSet, catalogue: Catalogue, provenance: Provenance, name: str | None
) -> Root:
    """A certificate that is no root yet as the successor of `old`: staged, under a free name.

    What the catalogue does not say about it, it takes over from `old`: a successor that may vouch for more than the
    root it replaces has to be wanted.
    """
    entry = catalogue.match(certificate.fingerprint)
    return Root(
        name or free_name(entry.name if entry else default_name(certificate), certificate, known),
        certificate,
        LifeCycle.STAGED,
        entry.constraints if entry else old.constraints,
        replace(provenance, catalogue=entry.name if entry else ""),
    )


def plan_start(
    known: RootSet,
    old: Root,
    new: Root,
    at: Circumstances,
    *,
    credentials: Credentials,
    overlap: timedelta | None = None,
) -> RotationPlan:
    """What it means that `new` takes the place of `old`, a root of `known`.

    `new` may be of `known` or not. Without an `overlap` it is `OVERLAP`, or that of a rotation that is under way.
    Raises `UsageProblem` for credentials that make no sense; everything else that forbids it is in the plan's `blocks`.
    """
    present = known.holding(new.certificate)
    new = present or new
    blocks = [*_old_blocks(old, new, known), *_new_blocks(old, new, known, at)]
    running = under_way(old)
    continued = running is not None and running.successor == new.fingerprint
    vouching = None
    try:
        vouching = None if continued else vouch(old, new, known, credentials, at.now)
    except Refused as refusal:
        blocks.append(Block("not-vouched", refusal.message, refusal.object, refusal.hint))
    if running is not None and continued:
        rotation = running if overlap is None else replace(running, overlap_until=running.started + overlap)
    else:
        until = at.now + (OVERLAP if overlap is None else overlap)
        rotation = Rotation(new.fingerprint, at.now, until, present.state if present else None)
    # Two roots that cannot stand beside each other make no set, and so no picture of what would be.
    mixed_up = any(block.code in ("same-root", "name-taken") for block in blocks)
    changes = () if mixed_up else _start_changes(old, new, present, rotation)
    views = views_of(known, _ended(changed(known, changes), old), old, new, at)
    blocks += _narrower(new, views, at)
    if not at.clock_fault and not new.certificate.never_expires and new.certificate.not_after < rotation.overlap_until:
        blocks.append(
            Block(
                "ends-first",
                f"ends on {day(new.certificate.not_after)}, before the overlap does",
                new.name,
                "ask the vendor for a root that lasts, or make the overlap shorter",
            )
        )
    remarks = _start_remarks(old, new, rotation, vouching, at, continued=continued)
    return RotationPlan(
        Moment.START, old, new, known, changes, rotation, vouching, views, remarks, tuple(dict.fromkeys(blocks))
    )


def _start_changes(old: Root, new: Root, present: Root | None, rotation: Rotation) -> tuple[Transition, ...]:
    wanted_old = replace(old, state=LifeCycle.RETIRING, rotation=rotation)
    wanted_new = replace(present or new, state=LifeCycle.TRUSTED)
    changes = (Transition(present, wanted_new), Transition(old, wanted_old))
    return tuple(change for change in changes if change.before != change.after)


def _old_blocks(old: Root, new: Root, known: RootSet) -> list[Block]:
    if old.fingerprint == new.fingerprint:
        return [Block("same-root", "a root cannot replace itself", old.name, "name the vendor's new root second")]
    running = under_way(old)
    denied = known.denied(old.certificate)
    if denied is not None:
        return [
            Block(
                "old-not-trusted",
                f"denied by its {denied.words}, so there is nothing to replace",
                old.name,
                f"add the new one by its fingerprint: cmakeys roots add FILE --fingerprint {new.fingerprint}",
            )
        ]
    if running is not None and running.successor != new.fingerprint:
        other = successor_of(old, known)
        name = other.name if other else f"{running.successor[:16]}…"
        return [
            Block(
                "under-way",
                f"it is being replaced by {name} since {day(running.started)}",
                old.name,
                f"end that first: cmakeys roots rotate {old.name} --finish, or --abort",
            )
        ]
    if old.state is LifeCycle.TRUSTED or running is not None:
        return []
    hint = f"trust it again first: cmakeys roots restore {old.name}" if old.state is LifeCycle.RETIRING else ""
    return [Block("old-not-trusted", f"it is {old.state.value}, and only a trusted root is rotated", old.name, hint)]


def _new_blocks(old: Root, new: Root, known: RootSet, at: Circumstances) -> list[Block]:
    if old.fingerprint == new.fingerprint:
        return []
    blocks = []
    denied = known.denied(new.certificate)
    distrusted = known.distrusting(new.certificate)
    if denied is not None:
        blocks.append(
            Block(
                "new-denied", f"denied by its {denied.words}", new.name, "a deny entry always wins: cmakeys deny list"
            )
        )
    if distrusted is not None:
        what = "it is distrusted" if distrusted == new else f"it has the key of {distrusted.name}, distrusted"
        blocks.append(Block("new-distrusted", what, new.name, "ask the vendor for a root with a key of its own"))
    elif new.state in (LifeCycle.RETIRING, LifeCycle.RETIRED):
        blocks.append(
            Block(
                "new-leaving",
                f"it is {new.state.value} itself",
                new.name,
                f"choose another, or take it back first: cmakeys roots restore {new.name}",
            )
        )
    held = next((root for root in known.roots if root.name == new.name), None)
    if held is not None and held.fingerprint != new.fingerprint:
        blocks.append(
            Block("name-taken", f"the name belongs to {held.fingerprint}", new.name, "choose another: --name")
        )
    blocks += _key_blocks(old, new, known)
    if at.clock_fault:
        blocks.append(Block("clock", f"no date can be judged: {at.clock_fault}", "", "set the clock: timedatectl"))
    for finding in lint_anchor(new.certificate, now=at.now, clock_fault=at.clock_fault, test_roots=at.test_roots):
        if finding.severity is Severity.ERROR or finding.code == "not-yet-valid":
            blocks.append(Block(finding.code, finding.message, new.name, finding.hint))
    refusal = kernel_refusal(new.certificate)
    if refusal and not kernel_refusal(old.certificate):
        blocks.append(
            Block(
                "kernel-refuses",
                f"no kernel loads it: {refusal}",
                new.name,
                f"the kernel would lose {old.name} and get nothing for it; ask the vendor for another root",
            )
        )
    return blocks


def _key_blocks(old: Root, new: Root, known: RootSet) -> list[Block]:
    if not same_key(old.certificate, new.certificate):
        return []
    until = known.believed_until(old)
    if until is not None:
        return [
            Block(
                "lost-key",
                f"it has {old.name}'s key, which is not believed after {day(until)}",
                new.name,
                "a new certificate does not make a lost key good; ask the vendor for a root with a new key",
            )
        ]
    if old.certificate.parsed.subject != new.certificate.parsed.subject:
        return [
            Block(
                "same-key",
                f"it has {old.name}'s key under another name, so no chain of today ends in it",
                new.name,
                "a renewed root keeps its name; a new one has a key of its own",
            )
        ]
    return []


def _narrower(new: Root, views: Sequence[DeviceView], at: Circumstances) -> list[Block]:
    """The devices that the new root's constraints would leave out, one block each."""
    blocks = []
    for view in views:
        if not view.before or view.after or view.relation is Relation.NEITHER:
            continue
        leads_there = view.relation is not Relation.OLD
        faults = misfits(new, view.device, at.rule) if leads_there else outside(new, view.device)
        if faults:
            blocks.append(
                Block(
                    "narrower",
                    f"would leave out {view.device.name}: {faults[0]}",
                    new.name,
                    f"widen it first: cmakeys roots constrain {new.name}",
                )
            )
    return blocks


def _start_remarks(
    old: Root, new: Root, rotation: Rotation, vouching: Vouching | None, at: Circumstances, *, continued: bool
) -> tuple[str, ...]:
    remarks = []
    if continued:
        remarks.append(f"under way since {day(rotation.started)}")
    if same_key(old.certificate, new.certificate):
        remarks.append(
            f"{new.name} is a renewal: it has {old.name}'s key, so every chain that ends in one ends in both"
        )
    if old.certificate.not_after < rotation.overlap_until and not old.certificate.never_expires:
        over = "ended" if old.certificate.not_after < at.now else "ends"
        remarks.append(f"{old.name} {over} on {day(old.certificate.not_after)}, before the overlap does")
    wider = _wider(old.constraints, new.constraints)
    if wider:
        remarks.append(f"{new.name} may vouch for more than {old.name}: other {', '.join(wider)}")
    since, before = kernel_needed(new.certificate), kernel_needed(old.certificate)
    if since and since != before:
        remarks.append(f"kernels before {since} do not load {new.name}: its key is {new.certificate.key_description}")
    if kernel_refusal(new.certificate) and kernel_refusal(old.certificate):
        remarks.append("no kernel loads either of the two: cmakeys alone verifies their devices")
    return tuple(remarks)


def _wider(old: Constraints, new: Constraints) -> list[str]:
    """The kinds of constraints by which `new` lets in what `old` keeps out."""
    kinds: tuple[tuple[str, frozenset[int] | frozenset[str], frozenset[int] | frozenset[str]], ...] = (
        ("PCI vendors", old.pci_vendors, new.pci_vendors),
        ("PCI devices", old.pci_devices, new.pci_devices),
        ("PCI classes", old.classes, new.classes),
        ("slots", old.slots, new.slots),
        ("algorithms", old.algorithms, new.algorithms),
        ("SPDM versions", old.versions, new.versions),
    )
    return [kind for kind, before, after in kinds if before and (not after or after - before)]


def _ended(known: RootSet, old: Root) -> RootSet:
    """The set as it will be when the old root is retired: what the start of a rotation has to think of."""
    return replace(
        known,
        roots=tuple(replace(root, state=LifeCycle.RETIRED) if root.name == old.name else root for root in known.roots),
    )
