"""What has to change so that a declaration becomes true, and whether it may: all of it, or nothing.

The declaration is held against the roots that are there; the result is the same whatever way they came there, and
nothing when it is true already. Every reason against it is collected, so that whoever wrote the file hears all of them
at once. Nothing here touches a file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from cmakeys.errors import CmakeysError, Refused
from cmakeys.roots.catalogue import Catalogue
from cmakeys.roots.declaration import Declaration, DeclaredRoot, outline
from cmakeys.roots.deny import DenyEntry, DenyIndex
from cmakeys.roots.enrolment import TEST_ROOT
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Constraints, Provenance, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.transaction import Transition
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.horizon import ROOT_EXPIRY, Expiry
from cmakeys.x509.lint import Severity, lint_anchor

_TO_BELIEVE = (LifeCycle.STAGED, LifeCycle.TRUSTED, LifeCycle.RETIRING)
"""States of a root that is believed, or about to be: only then its certificate has to be a good one."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a declaration is held against besides the roots: the catalogue, the time, and who applies it.

    `clock_fault` says why `now` cannot be right, so that no date is judged; `provenance` is that of roots it brings.
    """

    catalogue: Catalogue
    now: datetime
    provenance: Provenance = field(default_factory=Provenance)
    expiry: Expiry = ROOT_EXPIRY
    clock_fault: str = ""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What makes a declaration true: changes of roots by name, deny entries to add and to take away.

    `problems` are all reasons why it may not be; with any of them nothing is to be done.
    """

    before: RootSet
    after: RootSet
    changes: tuple[Transition, ...] = ()
    deny: tuple[DenyEntry, ...] = ()
    allow: tuple[DenyEntry, ...] = ()
    problems: tuple[CmakeysError, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.changes or self.deny or self.allow)

    def diff(self, source: str) -> list[str]:
        """Before and after as a unified diff; `source` names the declaration."""
        return list(
            difflib.unified_diff(outline(self.before), outline(self.after), "in effect", source, n=3, lineterm="")
        )


def reconcile(
    declaration: Declaration,
    known: RootSet,
    bounds: Bounds,
    *,
    own_denials: Sequence[DenyEntry] = (),
    allow_empty: bool = False,
) -> Reconciliation:
    """What `declaration` asks of the roots that are `known`.

    `own_denials` are the deny entries that may be taken away: those of /etc. Where there are anchors, none may be left
    only with `allow_empty`. Never raises for what the declaration says.
    """
    wanted: dict[str, Root] = {}
    problems: list[CmakeysError] = []
    for declared in declaration.roots:
        try:
            wanted[declared.name] = _wanted(declared, known, bounds)
        except CmakeysError as problem:
            problems.append(problem)
    if problems:
        return Reconciliation(known, known, problems=tuple(problems))
    kept = () if declaration.prune else tuple(root for root in known.roots if root.name not in wanted)
    deny, allow = _denials(declaration, known, own_denials)
    gone = frozenset(allow)
    after = RootSet((*kept, *wanted.values()), (*(entry for entry in known.deny if entry not in gone), *deny))
    changes = tuple(_changes(known, after))
    problems += _denied(declaration, changes, after)
    if known.anchors() and not after.anchors() and not allow_empty:
        problems.append(
            Refused(
                f"it would leave none of {len(known.anchors())} trusted roots",
                object=declaration.source,
                hint="if that is meant: --allow-empty",
            )
        )
    if problems:
        return Reconciliation(known, known, problems=tuple(problems))
    return Reconciliation(known, after, changes, deny, allow)


def _wanted(declared: DeclaredRoot, known: RootSet, bounds: Bounds) -> Root:
    """The root as it is declared. Raises `Refused` where it may not be, whatever the others are."""
    present = known.named(declared.name)
    certificate = declared.certificate or (present.certificate if present else None)
    if certificate is None:
        raise Refused(
            f"{declared.name} is not there, and no certificate is given",
            object=declared.where,
            hint="add certificate: FILE, or the PEM text",
        )
    named = present.fingerprint if present else certificate.fingerprint
    if certificate.fingerprint != named or declared.fingerprint not in (None, named):
        raise Refused(
            f"{declared.name} is the name of another certificate, {named}",
            object=declared.where,
            hint="choose another name for this one; to let it take the other's place: cmakeys roots rotate",
        )
    if present is not None:
        return _checked(declared, _changed(declared, present), present, bounds)
    if declared.fingerprint is None:
        raise Refused(
            f"{declared.name} is new here, and no fingerprint confirms it",
            object=declared.where,
            hint="compare it with what the vendor publishes, then add fingerprint: SHA256",
        )
    holder = known.holding(certificate)
    if holder is not None:
        raise Refused(
            f"the certificate of {declared.name} is there already, as {holder.name!r}",
            object=declared.where,
            hint=f"call it {holder.name} here, or remove that one first: cmakeys roots remove {holder.name}",
        )
    return _checked(declared, _new(declared, certificate, bounds), None, bounds)


def _changed(declared: DeclaredRoot, present: Root) -> Root:
    return replace(
        present,
        state=declared.state,
        constraints=present.constraints if declared.constraints is None else declared.constraints,
        distrust_after=present.distrust_after if declared.keeps_distrust else declared.distrust_after,
    )


def _new(declared: DeclaredRoot, certificate: Certificate, bounds: Bounds) -> Root:
    entry = bounds.catalogue.match(certificate.fingerprint)
    usual = entry.constraints if entry else Constraints()
    return Root(
        declared.name,
        certificate,
        declared.state,
        usual if declared.constraints is None else declared.constraints,
        replace(
            bounds.provenance,
            reason=declared.reason or bounds.provenance.reason,
            catalogue=entry.name if entry else "",
        ),
        declared.distrust_after,
    )


def _checked(declared: DeclaredRoot, root: Root, present: Root | None, bounds: Bounds) -> Root:
    """`root`, unless its life cycle does not lead there or its certificate is no good one to begin to believe."""
    if present is not None and present.state is not root.state and not present.state.may_become(root.state):
        raise Refused(
            f"{root.name} is {present.state.value}, and from there it cannot become {root.state.value}",
            object=declared.where,
            hint="declare the state that it has; if it shall be trusted again, remove it first and add it anew",
        )
    if root.state in _TO_BELIEVE and (present is None or present.state not in _TO_BELIEVE):
        errors = [
            finding
            for finding in lint_anchor(
                root.certificate,
                now=bounds.now,
                expiry=bounds.expiry,
                clock_fault=bounds.clock_fault,
                test_roots=bounds.catalogue.test_roots,
            )
            if finding.severity is Severity.ERROR and not (finding.code == TEST_ROOT and declared.allow_test_root)
        ]
        if errors:
            hint = "allow-test-root: true allows it, for tests only" if errors[0].code == TEST_ROOT else errors[0].hint
            words = "; ".join(finding.message for finding in errors)
            raise Refused(f"{root.name}: {words}", object=declared.where, hint=hint)
    return root


def _denials(
    declaration: Declaration, known: RootSet, own: Sequence[DenyEntry]
) -> tuple[tuple[DenyEntry, ...], tuple[DenyEntry, ...]]:
    """The entries to add, and those to take away: with `prune` what nothing declared includes."""
    if declaration.deny is None:
        return (), ()
    new: dict[DenyEntry, None] = {entry: None for entry in declaration.deny if not known.denies(entry)}
    declared = DenyIndex(declaration.deny)
    gone = [entry for entry in own if declaration.prune and not declared.includes(entry)]
    return tuple(new), tuple(gone)


def _denied(declaration: Declaration, changes: Sequence[Transition], after: RootSet) -> Iterator[Refused]:
    """A root that is to be believed from now on although a deny entry covers it."""
    lines = {declared.name: declared.where for declared in declaration.roots}
    for change in changes:
        root = change.after
        if root is None or root.state not in _TO_BELIEVE:
            continue
        entry = after.denied(root.certificate)
        if entry is not None:
            reason = f": {entry.reason}" if entry.reason else ""
            yield Refused(
                f"{root.name} is denied by its {entry.words}{reason}",
                object=lines[root.name],
                hint="a deny entry always wins; take one of the two out of the file",
            )


def _changes(before: RootSet, after: RootSet) -> Iterator[Transition]:
    """What differs between two sets, by name."""
    old, new = ({root.name: root for root in one.roots} for one in (before, after))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield Transition(old.get(name), new.get(name))
