"""Any verbs of the life cycle in any order, undone or overtaken, against a model that is a dictionary of words.

The second machine puts every change into a keyring of the real kernel as well, and looks what is in there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cmakeys.errors import NotFound, Refused, Temporary
from cmakeys.keyring.cma import Keyring, open_keyring
from cmakeys.keyring.managed import apply, status
from cmakeys.roots.deny import DenyEntry, DenyKind
from cmakeys.roots.ledger import Ledger
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.steps import Verb, plan_step
from cmakeys.roots.store import RootStore
from cmakeys.roots.transaction import Transaction, Transition
from tests.keyring.kernel import fresh_session, require_rsa
from tests.keyring.kernel import root as rsa_root

AT = datetime(2040, 1, 1, tzinfo=UTC)
ROOTS = {name: replace(rsa_root(name, number=number), name=name) for number, name in enumerate(("ada", "bob", "eve"))}
names = st.sampled_from(sorted(ROOTS))

# What each verb makes of each state, written down once more; a state that is missing is one in which it is refused.
MODEL = {
    Verb.TRUST: {"staged": "trusted", "trusted": "trusted"},
    Verb.RETIRE: {"trusted": "retiring", "retiring": "retiring"},
    Verb.FINISH: {"staged": "retired", "retiring": "retired", "retired": "retired"},
    Verb.DISTRUST: dict.fromkeys(("staged", "trusted", "retiring", "retired", "distrusted"), "distrusted"),
    Verb.RESTORE: {
        "staged": "staged",
        "trusted": "trusted",
        "retiring": "trusted",
        "retired": "retiring",
        "distrusted": "staged",
    },
}
ANCHORS = ("trusted", "retiring")


@dataclass(frozen=True)
class Done:
    """A change of one root that the model has made: its state before and after, "" for none, or of its denial."""

    name: str
    before: str = ""
    after: str = ""
    denial: bool | None = None


def denial(name: str) -> DenyEntry:
    return DenyEntry(DenyKind.CERTIFICATE, ROOTS[name].fingerprint, "stolen")


class Lives(RuleBasedStateMachine):
    """Three roots on a disk, and what a model says of them."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)
        top = Path(self.folder.name)
        self.store = RootStore(top)
        self.ledger = Ledger(self.store, top / "state")
        self.states: dict[str, str] = {}
        self.denied: set[str] = set()
        self.done: list[Done] = []
        self.changes = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    def commit(self, transaction: Transaction) -> None:
        """Make a change for good."""
        assert self.ledger.commit(transaction) == self.store.load()

    def made(self, done: Done) -> None:
        """Follow a change in the model."""
        self.changes += 1
        if done.denial is not None:
            (self.denied.add if done.denial else self.denied.discard)(done.name)
        elif done.after:
            self.states[done.name] = done.after
        else:
            del self.states[done.name]

    def change(self, name: str, after: LifeCycle | None) -> None:
        """Commit, or be refused, as the model says, something that no verb of the life cycle does."""
        before = next((root for root in self.store.load().roots if root.name == name), None)
        root = None if after is None else replace(ROOTS[name], state=after)
        transaction = Transaction("roots-test", name, (Transition(before, root),), AT, "ada")
        if after is not None and after.anchors and name in self.denied:
            with pytest.raises(Refused):
                self.commit(transaction)
            return
        self.commit(transaction)
        done = Done(name, self.states.get(name, ""), after.value if after else "")
        self.made(done)
        self.done.append(done)

    @rule(name=names, state=st.sampled_from([LifeCycle.STAGED, LifeCycle.TRUSTED]))
    def add(self, name: str, state: LifeCycle) -> None:
        if name not in self.states:
            self.change(name, state)

    @rule(name=names)
    def remove(self, name: str) -> None:
        if name in self.states:
            self.change(name, None)

    @initialize(states=st.lists(st.sampled_from(LifeCycle), min_size=len(ROOTS), max_size=len(ROOTS)))
    def populate(self, states: list[LifeCycle]) -> None:
        for name, state in zip(ROOTS, states, strict=True):
            self.change(name, state)

    @rule(name=names, verbs=st.lists(st.sampled_from(Verb), min_size=1, max_size=4))
    def live(self, name: str, verbs: list[Verb]) -> None:
        for verb in verbs:
            self.step(name, verb)

    def step(self, name: str, verb: Verb) -> None:
        """One verb, made or refused as the model says."""
        known = self.store.load()
        if name not in self.states:
            with pytest.raises(NotFound):
                known.find(name)
            return
        before = self.states[name]
        after = MODEL[verb].get(before)
        fingerprint = ROOTS[name].fingerprint
        if after is None or (after != before and after in ANCHORS and name in self.denied):
            with pytest.raises(Refused):
                plan_step(verb, known.find(name), known, fingerprint=fingerprint)
            return
        plan = plan_step(verb, known.find(name), known, fingerprint=fingerprint)
        self.commit(plan.transaction(at=AT, by="ada", reason=""))
        if after != before:
            self.done.append(Done(name, before, after))
            self.made(self.done[-1])

    @rule(name=names)
    def deny_or_allow(self, name: str) -> None:
        deny = name not in self.denied
        entries = {"deny_added" if deny else "deny_removed": (denial(name),)}
        self.commit(Transaction("deny-test", name, (), AT, "ada", **entries))  # type: ignore[arg-type]
        self.done.append(Done(name, denial=deny))
        self.made(self.done[-1])

    @rule()
    def undo(self) -> None:
        if not self.done:
            with pytest.raises(NotFound):
                self.ledger.undoing(None, at=AT, by="ada", reason="")
            return
        last = self.done[-1]
        back = self.ledger.undoing(None, at=AT, by="ada", reason="")
        if last.denial is None and last.before in ANCHORS and last.name in self.denied:
            with pytest.raises(Refused, match="denied"):
                self.commit(back)
            return
        self.commit(back)
        self.done.pop()
        denied = None if last.denial is None else not last.denial
        self.made(Done(last.name, last.after, last.before, denied))

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def be_overtaken(self, data: st.DataObject) -> None:
        """A plan that was made before somebody else changed its root changes nothing."""
        name = data.draw(st.sampled_from(sorted(self.states)))
        known = self.store.load()
        plan = plan_step(Verb.DISTRUST, known.find(name), known)
        self.change(name, None)
        with pytest.raises(Temporary):
            self.commit(plan.transaction(at=AT, by="bob", reason=""))

    @invariant()
    def the_disk_is_as_the_model_says(self) -> None:
        known = self.store.load()
        assert {root.name: root.state.value for root in known.roots} == self.states
        assert set(known.deny) == {denial(name) for name in self.denied}
        assert {root.name for root in known.anchors()} == self.anchors()
        self.in_effect(known)

    @invariant()
    def every_change_is_recorded_once(self) -> None:
        assert self.ledger.journal.verify().faults == ()
        assert len(self.ledger.transactions()) == self.changes

    def anchors(self) -> set[str]:
        return {name for name, state in self.states.items() if state in ANCHORS and name not in self.denied}

    def in_effect(self, known: RootSet) -> None:
        """Whatever else is to follow the roots."""


class LivesInTheKernel(Lives):
    """The same, and a keyring of the session follows."""

    ring: Keyring

    def __init__(self) -> None:
        super().__init__()
        apply((), self.ring)

    def in_effect(self, known: RootSet) -> None:
        apply(known.anchors(), self.ring)
        held = {own.name for own in status(self.ring).roots}
        assert held == self.anchors()
        assert not apply(known.anchors(), self.ring).changed


def test_any_life_is_as_the_model_says() -> None:
    run_state_machine_as_test(Lives, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))


@pytest.mark.system
def test_the_kernel_holds_what_the_model_says() -> None:
    keyctl = fresh_session()
    ring = open_keyring("@s", keyctl=keyctl)
    require_rsa(keyctl, ring.serial)
    LivesInTheKernel.ring = ring
    run_state_machine_as_test(
        LivesInTheKernel, settings=settings(max_examples=15, stateful_step_count=20, deadline=None)
    )
