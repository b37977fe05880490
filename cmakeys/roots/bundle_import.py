"""What a bundle that holds would change on this machine: roots that come, change or are denied, and those it dropped.

A bundle changes only roots that it brought. A root that was there before, from whatever source, stays as the admin has
it, and a root that left its life behind, or was removed after it came, is not brought back. What it drops is reported
and left alone, unless it is asked for. Deny entries are added and never taken away, and a date of distrust becomes
earlier and never later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from cmakeys.roots.bundle_acceptance import Acceptance, Remembered
from cmakeys.roots.catalogue import Catalogue
from cmakeys.roots.deny import DenyEntry
from cmakeys.roots.enrolment import free_name
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Provenance, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.signed_bundle import BundledRoot
from cmakeys.roots.transaction import Transaction, Transition
from cmakeys.x509.horizon import ROOT_EXPIRY, Expiry
from cmakeys.x509.lint import Severity, lint_anchor

_LIVE = (LifeCycle.STAGED, LifeCycle.TRUSTED, LifeCycle.RETIRING)
_PRUNED: Mapping[LifeCycle, LifeCycle] = {
    LifeCycle.STAGED: LifeCycle.RETIRED,
    LifeCycle.TRUSTED: LifeCycle.RETIRING,
    LifeCycle.RETIRING: LifeCycle.RETIRING,
}
"""The step towards `retired` that lets nobody down: a trusted root is retiring, and a second import goes no further."""


@dataclass(frozen=True, slots=True)
class Passed:
    """A root of the bundle that is passed over, and why."""

    root: BundledRoot
    why: str


@dataclass(frozen=True, slots=True)
class BundleImport:
    """What importing would do.

    `dropped` are roots that an earlier version brought and this one no longer has; with `prune` they are among the
    transitions. `denied` are roots that would be believed no longer because a deny entry comes. `state` is what to
    remember afterwards.
    """

    acceptance: Acceptance
    before: RootSet
    after: RootSet
    transaction: Transaction
    state: Remembered
    remembered: Remembered | None
    passed: tuple[Passed, ...] = ()
    dropped: tuple[Root, ...] = ()
    denied: tuple[Root, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything of what is trusted changes."""
        return self.transaction.changes

    @property
    def newer(self) -> bool:
        """Whether there is anything to remember."""
        return self.state != self.remembered


@dataclass(frozen=True, slots=True)
class Import:
    """How a bundle is imported: at an aware time, by whom, and why. `prune` lets go of what it no longer has.

    `removed` are the fingerprints of roots that were here and were taken away, with the journal's entries that say so.
    """

    now: datetime
    by: str
    source: str
    catalogue: Catalogue
    reason: str = ""
    prune: bool = False
    removed: Mapping[str, int] = field(default_factory=dict)
    expiry: Expiry = field(default=ROOT_EXPIRY)


def plan_import(acceptance: Acceptance, known: RootSet, remembered: Remembered | None, how: Import) -> BundleImport:
    """What the bundle changes of the roots that are `known`. Raises as `Transaction.apply_to` does."""
    bundle = acceptance.bundle
    deny = _new_denials(bundle.deny, known, f"bundle {bundle.name}")
    denying = RootSet(known.roots, (*known.deny, *deny))
    earlier = remembered.added if remembered else frozenset()
    transitions: list[Transition] = []
    passed: list[Passed] = []
    taken = known
    for one in bundle.roots:
        present = known.holding(one.certificate)
        why = _objection(one, present, denying, how, own=one.fingerprint in earlier)
        if why:
            passed.append(Passed(one, why))
            continue
        after = _changed(one, present) if present else _new(one, taken, how, bundle.name)
        transitions.append(Transition(present, after))
        if present is None:
            taken = RootSet((*taken.roots, after), taken.deny)
    listed = frozenset(one.fingerprint for one in bundle.roots)
    dropped = tuple(root for root in known.roots if root.fingerprint in earlier - listed and root.state in _LIVE)
    if how.prune:
        transitions += [Transition(root, replace(root, state=_PRUNED[root.state])) for root in dropped]
    transaction = Transaction(
        "roots-bundle-import",
        bundle.name,
        tuple(transitions),
        how.now,
        how.by,
        how.reason,
        deny_added=deny,
        detail={"version": bundle.version, "digest": acceptance.digest, "source": how.source},
    )
    after_all = transaction.apply_to(known)
    added = {each.root.fingerprint for each in transitions if each.before is None}
    return BundleImport(
        acceptance,
        known,
        after_all,
        transaction,
        Remembered(
            bundle.name,
            bundle.version,
            acceptance.digest,
            bundle.signers,
            bundle.expires,
            listed,
            earlier | added,
        ),
        remembered,
        tuple(passed),
        dropped,
        tuple(root for root in known.anchors() if after_all.denied(root.certificate) is not None),
    )


def _objection(one: BundledRoot, present: Root | None, known: RootSet, how: Import, *, own: bool) -> str:
    """Why a root of the bundle is passed over; empty when nothing speaks against it."""
    entry = known.denied(one.certificate)
    if entry is not None:
        return f"denied by its {entry.kind.value}" + (f": {entry.reason}" if entry.reason else "")
    if present is not None:
        if present.state not in _LIVE:
            return f"it is {present.state.value} here, as {present.name}"
        if not own and _changed(one, present) != present:
            return f"it is here as {present.name}, from elsewhere, and stays as it is"
        return ""
    if own and one.fingerprint in how.removed:
        return (
            f"it was removed here (entry {how.removed[one.fingerprint]} of the journal); cmakeys roots add adds it anew"
        )
    if known.distrusting(one.certificate) is not None:
        return "its key is distrusted here"
    errors = [
        finding.message
        for finding in lint_anchor(one.certificate, now=how.now, expiry=how.expiry, test_roots=how.catalogue.test_roots)
        if finding.severity is Severity.ERROR
    ]
    return "; ".join(errors)


def _changed(one: BundledRoot, present: Root) -> Root:
    days = [day for day in (one.distrust_after, present.distrust_after) if day is not None]
    return replace(present, constraints=one.constraints, distrust_after=min(days, default=None))


def _new(one: BundledRoot, known: RootSet, how: Import, name: str) -> Root:
    entry = how.catalogue.match(one.fingerprint)
    return Root(
        free_name(one.name, one.certificate, known),
        one.certificate,
        LifeCycle.TRUSTED,
        one.constraints,
        Provenance(f"bundle {name}", how.now.replace(microsecond=0), how.by, how.reason, entry.name if entry else ""),
        one.distrust_after,
    )


def _new_denials(entries: tuple[DenyEntry, ...], known: RootSet, source: str) -> tuple[DenyEntry, ...]:
    fresh = {
        replace(entry, source=f"{source}, {entry.source}" if entry.source else source): None
        for entry in entries
        if not known.denies(entry)
    }
    return tuple(fresh)
