"""A change of trust as one value: which roots are how before and after, which deny entries come and go, who, when, why.

Whatever changes the roots is a `Transaction`: it is checked against the roots as they are (`apply_to`), written to the
journal as one entry, made as a whole (`ledger.py`), and can be turned round (`inverse`). A transaction never touches a
root it does not name, and refuses when a root it does name is not as it expects, because somebody else was quicker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from cmakeys.errors import Refused, Temporary, UsageProblem
from cmakeys.roots.deny import DenyEntry
from cmakeys.roots.record import read_deny, read_root, render_deny, render_pem, render_root
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.x509.certificate import Certificate

RESTORE = "roots-restore"
"""The one action that brings a distrusted root back; who may do that is decided in `steps.py`."""


def decision(root: Root | None) -> tuple[object, ...]:
    """What of a root decides something: its provenance does not. None, for no root, is a decision too."""
    if root is None:
        return ()
    return root.name, root.certificate, root.state, root.constraints, root.distrust_after, root.rotation


UNDO = "roots-undo"
"""The journal's word for a change that takes another one back."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One root before and after; `before` is None for a root that comes, `after` for one that goes.

    Raises `UsageProblem` for two different roots, and for none at all.
    """

    before: Root | None
    after: Root | None

    def __post_init__(self) -> None:
        known = [root for root in (self.before, self.after) if root is not None]
        if not known or len({(root.name, root.fingerprint) for root in known}) != 1:
            raise UsageProblem("a transition is about one root", object=", ".join(root.name for root in known))

    @property
    def root(self) -> Root:
        """The root, as it is in the end where it stays."""
        root = self.after or self.before
        assert root is not None  # noqa: S101 __post_init__ has seen to it
        return root

    @property
    def changes(self) -> bool:
        """Whether anything that decides something differs."""
        return decision(self.before) != decision(self.after)

    @property
    def inverse(self) -> Transition:
        """The way back."""
        return Transition(self.after, self.before)


@dataclass(frozen=True, slots=True)
class Transaction:
    """A change of trust. `action` is the journal's word for it and `subject` what it is about; `at` is an aware time.

    `detail` is what the journal is to say beside the roots: JSON. `undoes` is the number of the journal's entry that
    this takes back; such a transaction may go where the life cycle does not lead, because it leads back.
    """

    action: str
    subject: str
    transitions: tuple[Transition, ...]
    at: datetime
    by: str
    reason: str = ""
    deny_added: tuple[DenyEntry, ...] = ()
    deny_removed: tuple[DenyEntry, ...] = ()
    detail: Mapping[str, object] = field(default_factory=dict)
    undoes: int | None = None

    def __post_init__(self) -> None:
        """A root is changed once: twice would make the order matter."""
        names = [transition.root.name for transition in self.transitions]
        if len(set(names)) != len(names):
            raise UsageProblem("a transaction changes a root only once", object=self.subject)

    @property
    def effective(self) -> tuple[Transition, ...]:
        """The transitions that change something."""
        return tuple(transition for transition in self.transitions if transition.changes)

    @property
    def changes(self) -> bool:
        """Whether this changes anything at all."""
        return bool(self.effective or self.deny_added or self.deny_removed)

    def apply_to(self, known: RootSet) -> RootSet:
        """The roots afterwards.

        Raises `Temporary` when a root is not as it was when this was planned, `Refused` for what the rules of the set
        forbid: a denied root, one of a distrusted key, a name or certificate that is taken, a step that the life cycle
        does not have.
        """
        by_name = {root.name: root for root in known.roots}
        for transition in self.transitions:
            name = transition.root.name
            if decision(by_name.get(name)) != decision(transition.before):
                raise Temporary(
                    "it was changed meanwhile by somebody else; nothing was done",
                    object=name,
                    hint="look at it again: cmakeys roots list",
                )
        changed = self.effective
        touched = {transition.root.name for transition in changed}
        added = [entry for entry in self.deny_added if not known.denies(entry)]
        gone = frozenset(self.deny_removed)
        deny = tuple(entry for entry in known.deny if entry not in gone) + tuple(added)
        rest = tuple(root for root in known.roots if root.name not in touched)
        afterwards = tuple(transition.after for transition in changed if transition.after is not None)
        result = RootSet((*rest, *afterwards), deny)
        for transition in changed:
            self._check(transition, result)
        return result

    def _check(self, transition: Transition, result: RootSet) -> None:
        before, after = transition.before, transition.after
        if after is None:
            return
        entry = result.denied(after.certificate)
        if entry is not None and after.state.anchors:
            raise Refused(
                f"denied by its {entry.words}" + (f": {entry.reason}" if entry.reason else ""),
                object=after.name,
                hint="a deny entry always wins; take it back first if it is wrong: cmakeys deny list",
            )
        begins = after.state.anchors and not (before is not None and before.state.anchors)
        distrusted = result.distrusting(after.certificate) if begins else None
        if distrusted is not None:
            raise Refused(
                f"it has the key of {distrusted.name}, which is distrusted",
                object=after.name,
                hint="a new certificate does not make a lost key good; ask the vendor for a root with a new key",
            )
        if self.undoes is not None or self.action == RESTORE or before is None or before.state is after.state:
            return
        if not before.state.may_become(after.state):
            raise Refused(
                f"it is {before.state.value}, and from there it cannot become {after.state.value}",
                object=after.name,
                hint="see the life cycle in cmakeys-roots(8)",
            )

    def inverse(self, *, at: datetime, by: str, reason: str, undoes: int) -> Transaction:
        """The transaction that takes this one back."""
        return replace(
            self,
            action=UNDO,
            transitions=tuple(transition.inverse for transition in self.transitions),
            at=at,
            by=by,
            reason=reason,
            deny_added=self.deny_removed,
            deny_removed=self.deny_added,
            detail={},
            undoes=undoes,
        )


# -- as text -----------------------------------------------------------------------------------------------------------


def transition_json(transition: Transition) -> dict[str, object]:
    """A transition without its certificate, which is kept by its fingerprint."""
    return {
        "name": transition.root.name,
        "certificate": transition.root.fingerprint,
        "before": _document(transition.before),
        "after": _document(transition.after),
    }


def read_transition(value: object, certificate: Certificate, source: str) -> Transition:
    """Read back what `transition_json` wrote; `certificate` is the one that it names.

    Raises `UsageProblem`, `DocumentProblem` or `StoreProblem` for anything else.
    """
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise UsageProblem("this is no transition of a root", object=source)
    name = value["name"]
    pem = render_pem(certificate)

    def root(key: str) -> Root | None:
        text = value.get(key)
        if text is None:
            return None
        if not isinstance(text, str):
            raise UsageProblem(f"its {key} is no record of a root", object=source)
        return read_root(name, text.encode(), pem, record_source=source, pem_source=source)

    return Transition(root("before"), root("after"))


def deny_text(entries: Sequence[DenyEntry]) -> str:
    """Deny entries as their file has them; empty for none."""
    return render_deny(entries).decode() if entries else ""


def read_deny_text(text: object, source: str) -> tuple[DenyEntry, ...]:
    """Read back what `deny_text` wrote."""
    if not isinstance(text, str):
        raise UsageProblem("this is no list of deny entries", object=source)
    return read_deny(text.encode(), source) if text else ()


def _document(root: Root | None) -> str | None:
    return None if root is None else render_root(root).decode()
