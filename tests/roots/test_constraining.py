"""New constraints are the old ones with what was asked for, and no device is left out without being named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import UsageProblem
from cmakeys.roots.constraining import KINDS, ConstraintWishes, Loss, constrained, plan_constraints
from cmakeys.roots.root import Constraints, LeafNameRule
from tests.roots.succession import dependant, judge, rootset

ids = st.frozensets(st.integers(0, 0xFFFF), min_size=1, max_size=3)
constraints = st.builds(
    Constraints,
    ids | st.just(frozenset()),
    ids | st.just(frozenset()),
    st.frozensets(st.sampled_from(["01", "0302"])),
    st.frozensets(st.integers(0, 7)),
    st.frozensets(st.sampled_from(["ECDSA-P384", "ML-DSA-65"])),
    st.frozensets(st.sampled_from(["1.1", "1.2"])),
    st.sampled_from(LeafNameRule),
)
wishes = st.builds(
    ConstraintWishes,
    st.none() | ids,
    st.none() | ids,
    st.none() | st.frozensets(st.sampled_from(["01", "0302"]), min_size=1),
    st.none() | st.frozensets(st.integers(0, 7), min_size=1),
    st.none() | st.frozensets(st.sampled_from(["ECDSA-P384"]), min_size=1),
    st.none() | st.frozensets(st.sampled_from(["1.2"]), min_size=1),
    st.none() | st.sampled_from(LeafNameRule),
    st.frozensets(st.sampled_from(sorted(KINDS))),
)
ONLY_15B3 = ConstraintWishes(pci_vendors=frozenset({0x15B3}))


@given(constraints, wishes)
def test_every_kind_is_set_or_cleared_or_stays(before: Constraints, asked: ConstraintWishes) -> None:
    given_kinds = {word for word, field in KINDS.items() if getattr(asked, field) is not None}
    if given_kinds & asked.clear or not given_kinds | asked.clear:
        with pytest.raises(UsageProblem):
            constrained(before, asked)
        return
    after = constrained(before, asked)
    for word, field in KINDS.items():
        expected = before
        if word in given_kinds:
            assert getattr(after, field) == getattr(asked, field)
            continue
        if word in asked.clear:
            expected = Constraints()
        assert getattr(after, field) == getattr(expected, field)


def test_every_kind_of_constraint_can_be_changed() -> None:
    assert set(KINDS.values()) == set(Constraints.__dataclass_fields__)


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageProblem, match="no kind of constraint"):
        constrained(Constraints(), ConstraintWishes(clear=frozenset({"colour"})))


@pytest.mark.parametrize(
    ("known", "device", "lost", "moved"),
    [
        ("old", "on-old", True, False),
        ("old renewed", "on-old", False, True),
        ("old renewed:staged", "on-old", True, False),
        ("old:retiring", "on-old", True, False),
        ("old:staged", "on-old", False, False),
        ("old other", "on-other", False, False),
        ("old new", "on-new", False, False),
    ],
)
def test_who_is_left_out(known: str, device: str, *, lost: bool, moved: bool) -> None:
    roots = rootset(known)
    plan = plan_constraints(roots, roots.find("old"), ONLY_15B3, [dependant(device)])
    loss = (Loss(device, "PCI vendor 1b36 is not among 15b3"),)
    assert (plan.lost, plan.narrowed) == (loss if lost else (), loss if moved else ())


def test_a_device_that_is_not_named_is_rejected_by_no_check() -> None:
    roots = rootset("old renewed third")
    plan = plan_constraints(roots, roots.find("old"), ONLY_15B3, [dependant("on-old"), dependant("on-third")])
    assert plan.change.after is not None
    after = rootset("old renewed third", old=plan.change.after.constraints)
    assert plan.lost == ()
    assert judge("on-old", after).outcome.healthy
    assert judge("on-third", after).outcome.healthy


def test_a_wider_root_leaves_nobody_out() -> None:
    roots = rootset("old", old=Constraints(pci_vendors=frozenset({0x1B36}), slots=frozenset({0})))
    asked = ConstraintWishes(clear=frozenset({"slot"}))
    plan = plan_constraints(roots, roots.find("old"), asked, [dependant("on-old")])
    assert (plan.lost, plan.narrowed) == ((), ())
