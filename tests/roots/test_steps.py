"""What each verb of the life cycle does to a root in each state, and what stands in its way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cmakeys.errors import Refused, UsageProblem
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet
from cmakeys.roots.steps import VERBS, Verb, plan_distrust_after, plan_step
from tests.roots.trust import root

AT = datetime(2040, 1, 1, tzinfo=UTC)
S, T, G, R, D = LifeCycle  # in the order of a life; G is retiring

# For each verb, what becomes of a root in each of the five states; None where the verb is refused.
TABLE = {
    Verb.TRUST: (T, T, None, None, None),
    Verb.RETIRE: (None, G, G, None, None),
    Verb.FINISH: (R, None, R, R, None),
    Verb.DISTRUST: (D, D, D, D, D),
    Verb.RESTORE: (S, T, T, G, S),
}


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("state", LifeCycle)
def test_a_verb_leads_where_the_table_says_and_nowhere_else(verb: Verb, state: LifeCycle) -> None:
    entry = root("acme", state=state)
    known = RootSet((entry, root("other")))
    expected = TABLE[verb][list(LifeCycle).index(state)]
    if expected is None:
        with pytest.raises(Refused):
            plan_step(verb, entry, known, fingerprint=entry.fingerprint)
        return
    plan = plan_step(verb, entry, known, fingerprint=entry.fingerprint)
    after = plan.transaction(at=AT, by="ada", reason="").apply_to(known)
    assert after == RootSet((replace(entry, state=expected), root("other")))
    assert plan.changes == (expected is not state)


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb is not Verb.RESTORE])
def test_a_verb_has_no_step_that_the_life_cycle_lacks(verb: Verb) -> None:
    assert all(before.may_become(after) for before, after in VERBS[verb].items())


@pytest.mark.parametrize("given", [None, "cut", "other"])
def test_a_distrusted_root_is_not_restored_without_its_whole_fingerprint(given: str | None) -> None:
    entry = root("acme", state=D)
    texts = {"cut": entry.fingerprint[:32], "other": root("other").fingerprint}
    with pytest.raises((Refused, UsageProblem)):
        plan_step(Verb.RESTORE, entry, RootSet((entry,)), fingerprint=texts.get(given or ""))


@pytest.mark.parametrize(("verb", "state"), [(Verb.TRUST, S), (Verb.RESTORE, G), (Verb.RESTORE, R)])
def test_a_denied_root_anchors_again_by_no_verb(verb: Verb, state: LifeCycle) -> None:
    entry = root("acme", state=state)
    known = RootSet((entry,), (DenyEntry(DenyKind.CERTIFICATE, entry.fingerprint, "stolen"),))
    with pytest.raises(Refused, match="denied"):
        plan_step(verb, entry, known)


@pytest.mark.parametrize("year", [2000, 2100])
def test_a_day_of_distrust_leaves_the_root_an_anchor_whether_it_is_past_or_to_come(year: int) -> None:
    entry, day = root("acme"), datetime(year, 1, 1, tzinfo=UTC)
    plan = plan_distrust_after(entry, day, RootSet((entry,)))
    after = plan.transaction(at=AT, by="ada", reason="").apply_to(RootSet((entry,)))
    assert [one.distrust_after for one in after.anchors()] == [day]


def test_a_day_of_distrust_needs_a_root_that_anchors_and_a_zone() -> None:
    staged = root("acme", state=S)
    with pytest.raises(Refused, match="staged"):
        plan_distrust_after(staged, AT, RootSet((staged,)))
    with pytest.raises(UsageProblem):
        plan_distrust_after(root("acme"), AT.replace(tzinfo=None), RootSet((root("acme"),)))
