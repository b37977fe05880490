"""Any rotations in any order, and other changes in between: no device is lost, and no root goes that was not named."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cmakeys.errors import NotFound
from cmakeys.roots.dependants import Dependant, anchors_of
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Constraints, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.rotation import Circumstances, Moment, RotationPlan, under_way
from cmakeys.roots.rotation_end import plan_abort, plan_finish
from cmakeys.roots.rotation_start import plan_start
from cmakeys.roots.vouching import Credentials
from tests.roots.succession import NOW, certificate, dependant, root

WORDS = ("old", "new", "renewed", "rekeyed", "third", "other")
DEVICES = ("on-old", "on-old-bare", "on-new", "on-rekeyed", "on-third", "on-other")
words = st.sampled_from(WORDS)
likely = st.sampled_from([LifeCycle.TRUSTED, LifeCycle.TRUSTED, LifeCycle.TRUSTED, LifeCycle.STAGED])
limits = st.sampled_from(
    [
        Constraints(),
        Constraints(pci_vendors=frozenset({0x1B36})),
        Constraints(pci_vendors=frozenset({0x15B3})),
        Constraints(slots=frozenset({0})),
    ]
)


class Rotations(RuleBasedStateMachine):
    """The roots of a machine as a value, and everything that `roots rotate` can do to them."""

    def __init__(self) -> None:
        super().__init__()
        self.now: datetime = NOW
        self.known = RootSet()
        self.devices: tuple[Dependant, ...] = ()

    @initialize(
        states=st.dictionaries(words, likely | st.sampled_from(LifeCycle), min_size=2),
        limits=st.lists(limits, min_size=6, max_size=6),
        devices=st.sets(st.sampled_from(DEVICES), max_size=3),
    )
    def populate(self, states: dict[str, LifeCycle], limits: list[Constraints], devices: set[str]) -> None:
        self.known = RootSet(
            tuple(
                replace(root(word), state=state, constraints=limits[WORDS.index(word)])
                for word, state in states.items()
            )
        )
        self.devices = tuple(dependant(word) for word in DEVICES if word in devices)

    def root(self, word: str) -> Root | None:
        return next((each for each in self.known.roots if each.name == word), None)

    def rotating(self) -> st.SearchStrategy[str]:
        """The roots whose rotation is under way, where there are any."""
        found = [each.name for each in self.known.roots if under_way(each) is not None]
        return st.sampled_from(found) if found else words

    def at(self) -> Circumstances:
        return Circumstances(self.now, self.devices)

    def healthy(self, known: RootSet) -> set[str]:
        return {device.name for device in self.devices if anchors_of(device, known)}

    def carry_out(self, plan: RotationPlan) -> None:
        """Make the change, if nothing forbids it, and hold it against what no rotation may do."""
        if plan.blocks:
            return
        undoes = 1 if plan.moment is Moment.ABORT else None
        before, after = self.known, plan.transaction(self.now, "ada", undoes=undoes).apply_to(self.known)
        assert after == plan.after
        assert self.healthy(after) >= self.healthy(before)
        named = {change.root.name for change in plan.changes}
        assert {each for each in before.roots if each.name not in named} == {
            each for each in after.roots if each.name not in named
        }
        assert len(named) <= 3
        self.known = after

    @rule(old=words, new=words, days=st.integers(0, 40))
    def start(self, old: str, new: str, days: int) -> None:
        leaving = self.root(old)
        if leaving is None:
            return
        arriving = self.root(new) or replace(root(f"{new}:staged"), constraints=leaving.constraints)
        credentials = Credentials(fingerprint=certificate(new).fingerprint)
        plan = plan_start(
            self.known, leaving, arriving, self.at(), credentials=credentials, overlap=timedelta(days=days)
        )
        before = self.known
        self.carry_out(plan)
        if plan.blocks or under_way(leaving) is not None:
            return
        started = self.known.find(old)
        assert under_way(started) is not None
        again = plan_start(self.known, started, self.known.find(new), self.at(), credentials=Credentials())
        assert (again.blocks, again.changes) == ((), ())
        back = plan_abort(self.known, started, self.at())
        if not back.blocks and leaving.rotation is None:
            restored = {each.name: (each.state, each.rotation is None) for each in back.after.roots}
            assert restored == {each.name: (each.state, each.rotation is None) for each in before.roots}

    @rule(device=st.sampled_from(DEVICES), to=st.sampled_from(DEVICES))
    def move(self, device: str, to: str) -> None:
        """A device gets another chain, as by an update of its firmware."""
        chain = dependant(to).chain
        self.devices = tuple(replace(each, chain=chain) if each.name == device else each for each in self.devices)

    @rule(data=st.data(), early=st.booleans())
    def finish(self, data: st.DataObject, *, early: bool) -> None:
        old = data.draw(self.rotating())
        leaving = self.root(old)
        if leaving is None:
            return
        try:
            plan = plan_finish(self.known, leaving, self.at(), early=early)
        except NotFound:
            assert leaving.rotation is None
            return
        rotation = under_way(leaving)
        if rotation is not None and not early and self.now < rotation.overlap_until:
            assert "overlap" in {block.code for block in plan.blocks}
        self.carry_out(plan)
        if not plan.blocks:
            assert self.known.find(old).state is LifeCycle.RETIRED

    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        old = data.draw(self.rotating())
        leaving = self.root(old)
        if leaving is None or leaving.rotation is None:
            return
        plan = plan_abort(self.known, leaving, self.at())
        self.carry_out(plan)
        if not plan.blocks:
            assert self.known.find(old).state is LifeCycle.TRUSTED

    @rule(days=st.integers(1, 20))
    def wait(self, days: int) -> None:
        self.now += timedelta(days=days)

    @precondition(lambda self: self.known.roots)
    @rule(word=words, state=st.sampled_from([LifeCycle.TRUSTED, LifeCycle.RETIRED, LifeCycle.DISTRUSTED, None]))
    def somebody_else(self, word: str, state: LifeCycle | None) -> None:
        """Whatever another verb, or an editor, does to a root."""
        others = tuple(each for each in self.known.roots if each.name != word)
        there = self.root(word)
        kept = () if there is None or state is None else (replace(there, state=state),)
        self.known = RootSet((*others, *kept))

    @invariant()
    def a_rotation_under_way_keeps_its_old_root_trusted(self) -> None:
        for each in self.known.roots:
            assert under_way(each) is None or each.state.anchors


TestRotations = Rotations.TestCase
TestRotations.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
