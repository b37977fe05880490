"""A declaration is made true wholly or not at all, and twice is the same as once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.roots.catalogue import Catalogue, CatalogueEntry, Purpose, Vendor, load_catalogue
from cmakeys.roots.declaration import Declaration, DeclaredRoot, read_declaration, render_declaration
from cmakeys.roots.reconciliation import Bounds, Reconciliation, reconcile
from cmakeys.roots.root import Constraints, LifeCycle, Provenance, Root
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet
from tests.roots.trust import root
from tests.x509.pki import LEAF_USAGE, NOW, issue

A, B, C = root("a"), root("b"), root("c")
BOUNDS = Bounds(load_catalogue(), NOW, Provenance("roots.yaml", NOW, "ada"))
VENDOR = Constraints(pci_vendors=frozenset({0x10DE}))
KEY = DenyEntry(DenyKind.KEY, "ab" * 32)
OTHER = DenyEntry(DenyKind.KEY, "cd" * 32)


def declared(one: Root, **changes: object) -> DeclaredRoot:
    plain = DeclaredRoot(one.name, f"x: {one.name}", one.fingerprint, one.certificate, one.state)
    return replace(plain, **changes)  # type: ignore[arg-type]  # the caller names fields of DeclaredRoot


def ask(
    *roots: DeclaredRoot,
    known: RootSet | None = None,
    deny: tuple[DenyEntry, ...] | None = None,
    prune: bool = False,
    own: Sequence[DenyEntry] = (),
    allow_empty: bool = False,
    bounds: Bounds = BOUNDS,
) -> Reconciliation:
    wish = Declaration("roots.yaml", roots, deny, prune)
    return reconcile(wish, known or RootSet(), bounds, own_denials=own, allow_empty=allow_empty)


def names(result: Reconciliation) -> list[str]:
    return [root.name for root in result.after.roots]


def refused(result: Reconciliation) -> str:
    """The only problem, in words; whatever is refused changes nothing."""
    (problem,) = result.problems
    assert problem.exit_code == 8
    assert (result.changed, result.after) == (False, result.before)
    return str(problem)


class TestRoots:
    def test_a_new_root_comes_with_its_fingerprint_and_where_it_came_from(self) -> None:
        result = ask(declared(A, reason="rack 3"))
        (change,) = result.changes
        assert change.before is None
        assert change.after == replace(A, provenance=replace(BOUNDS.provenance, reason="rack 3"))
        assert result.changed

    def test_without_a_fingerprint_a_new_root_is_refused(self) -> None:
        assert refused(ask(declared(A, fingerprint=None))) == "x: a: a is new here, and no fingerprint confirms it"

    def test_without_a_certificate_an_unknown_root_is_refused(self) -> None:
        assert "no certificate is given" in refused(ask(declared(A, certificate=None)))

    def test_a_root_that_is_known_needs_no_more_than_its_name(self) -> None:
        result = ask(declared(A, fingerprint=None, certificate=None), known=RootSet((A,)))
        assert not result.changed
        assert not result.problems

    @pytest.mark.parametrize(
        "wrong",
        [
            {"certificate": B.certificate, "fingerprint": B.fingerprint},
            {"fingerprint": B.fingerprint, "certificate": None},
        ],
    )
    def test_a_name_never_gets_another_certificate(self, wrong: dict[str, object]) -> None:
        assert A.fingerprint in refused(ask(declared(A, **wrong), known=RootSet((A,))))

    def test_a_certificate_never_gets_another_name(self) -> None:
        assert "there already, as 'a'" in refused(ask(declared(A, name="new"), known=RootSet((A,)), prune=True))

    def test_what_is_not_declared_stays_and_goes_only_when_asked(self) -> None:
        known = RootSet((A, B))
        assert names(ask(declared(A), known=known)) == ["a", "b"]
        pruned = ask(declared(A), known=known, prune=True)
        assert names(pruned) == ["a"]
        assert [(change.before, change.after) for change in pruned.changes] == [(B, None)]

    def test_an_empty_file_does_not_end_all_trust_by_accident(self) -> None:
        known = RootSet((A, B))
        assert "none of 2 trusted roots" in refused(ask(known=known, prune=True))
        assert ask(known=known, prune=True, allow_empty=True).after == RootSet()
        retired = declared(A, state=LifeCycle.DISTRUSTED)
        assert "none of 1 trusted roots" in refused(ask(retired, known=RootSet((A,))))

    def test_constraints_and_dates_that_are_left_out_stay(self) -> None:
        strict = replace(A, constraints=VENDOR, distrust_after=NOW)
        known = RootSet((strict,))
        assert not ask(declared(A), known=known).changed
        (change,) = ask(declared(A, constraints=Constraints(), keeps_distrust=False), known=known).changes
        assert change.after == A

    def test_a_state_changes_only_as_the_life_cycle_leads(self) -> None:
        result = ask(declared(A, state=LifeCycle.RETIRING), known=RootSet((A,)))
        assert result.after.roots[0].state is LifeCycle.RETIRING
        known = RootSet((replace(A, state=LifeCycle.DISTRUSTED), B))
        assert "it cannot become trusted" in refused(ask(declared(A), known=known))

    def test_every_reason_is_given_at_once(self) -> None:
        result = ask(declared(A, fingerprint=None), declared(B), declared(C, certificate=None))
        assert [problem.object for problem in result.problems] == ["x: a", "x: c"]
        assert not result.changed


class TestCertificates:
    BAD = Root("bad", issue("Bad", ca=False, key_usage=LEAF_USAGE).certificate)

    def test_one_certificate_that_is_no_root_refuses_the_whole_file(self) -> None:
        assert "not a CA certificate" in refused(ask(declared(A), declared(self.BAD)))

    def test_what_is_there_already_is_not_judged_again(self) -> None:
        late = replace(BOUNDS, now=datetime(2095, 1, 1, tzinfo=UTC))
        assert not ask(declared(A), known=RootSet((A,)), bounds=late).problems
        assert "expired on 2090-01-01" in refused(ask(declared(A), bounds=late))

    def test_a_clock_that_is_wrong_refuses_nothing_for_its_date(self) -> None:
        late = replace(BOUNDS, now=datetime(2095, 1, 1, tzinfo=UTC), clock_fault="it is 1970 here")
        assert not ask(declared(A), bounds=late).problems

    def test_a_bad_certificate_may_be_distrusted_but_not_come_back(self) -> None:
        gone = replace(self.BAD, state=LifeCycle.RETIRED)
        assert not ask(declared(gone)).problems
        back = declared(gone, state=LifeCycle.RETIRING)
        assert "not a CA certificate" in refused(ask(back, known=RootSet((gone,))))

    def test_a_test_root_has_to_be_allowed_by_name(self) -> None:
        entry = CatalogueEntry("a", A.fingerprint, "acme", "A", Purpose.TEST)
        bounds = replace(BOUNDS, catalogue=Catalogue((Vendor("acme", frozenset(), "", (), (entry,)),)))
        assert "its private key is public" in refused(ask(declared(A), bounds=bounds))
        assert not ask(declared(A, allow_test_root=True), bounds=bounds).problems

    def test_a_new_root_gets_the_constraints_of_the_catalogue(self) -> None:
        entry = CatalogueEntry("a", A.fingerprint, "acme", "A", Purpose.PRODUCTION, constraints=VENDOR)
        bounds = replace(BOUNDS, catalogue=Catalogue((Vendor("acme", frozenset(), "", (), (entry,)),)))
        assert ask(declared(A), bounds=bounds).after.roots[0].constraints == VENDOR
        assert ask(declared(A, constraints=Constraints()), bounds=bounds).after.roots[0].constraints == Constraints()


class TestDenials:
    def test_entries_are_added_once_and_taken_away_only_when_asked(self) -> None:
        known = RootSet((A,), (KEY,))
        assert not ask(declared(A), known=known, deny=(KEY,)).changed
        added = ask(declared(A), known=known, deny=(KEY, OTHER), own=(KEY,))
        assert (added.deny, added.allow) == ((OTHER,), ())
        assert ask(declared(A), known=known, deny=(OTHER,), own=(KEY,)).allow == ()
        pruned = ask(declared(A), known=known, deny=(OTHER,), prune=True, own=(KEY,))
        assert (pruned.deny, pruned.allow, pruned.after.deny) == ((OTHER,), (KEY,), (OTHER,))

    def test_a_file_that_does_not_speak_of_them_leaves_them(self) -> None:
        assert not ask(declared(A), known=RootSet((A,), (KEY,)), prune=True, own=(KEY,)).changed

    def test_an_entry_of_another_directory_stays(self) -> None:
        known = RootSet((A,), (KEY,))
        assert not ask(declared(A), known=known, deny=(), prune=True).changed

    def test_a_root_and_a_denial_of_it_in_one_file_are_refused(self) -> None:
        entry = DenyEntry(DenyKind.CERTIFICATE, A.fingerprint, "leaked")
        assert "a is denied by its certificate" in refused(ask(declared(A), declared(B), deny=(entry,)))

    def test_a_root_that_is_there_may_be_denied(self) -> None:
        entry = DenyEntry(DenyKind.CERTIFICATE, A.fingerprint, "leaked")
        result = ask(declared(A), declared(B), known=RootSet((A, B)), deny=(entry,))
        assert not result.problems
        assert [each.name for each in result.after.anchors()] == ["b"]


def test_the_difference_reads_as_one() -> None:
    known = RootSet((A, B), (KEY,))
    result = ask(declared(A, constraints=VENDOR), declared(C), known=known, deny=(OTHER,), prune=True, own=(KEY,))
    lines = result.diff("roots.yaml")
    assert lines[:2] == ["--- in effect", "+++ roots.yaml"]
    assert {"-- name: b", "+- name: c", "+  - 10de", f"-- key: {KEY.sha256}", f"+- key: {OTHER.sha256}"} <= {
        line.replace("    - 10de", "  - 10de") for line in lines
    }
    assert ask(declared(A), known=RootSet((A,))).diff("x") == []


states = st.sampled_from(LifeCycle)
sets = st.builds(
    lambda chosen, deny: RootSet(tuple(replace(one, state=state) for one, state in chosen.items()), deny),
    st.dictionaries(st.sampled_from([A, B, C]), states),
    st.sampled_from([(), (KEY,), (KEY, OTHER)]),
)


@given(sets)
def test_a_set_that_was_written_out_is_true_where_it_was_written(known: RootSet) -> None:
    text = render_declaration(known, {})
    result = reconcile(read_declaration(text, "x", lambda _: b""), known, BOUNDS, own_denials=known.deny)
    assert not result.changed
    assert not result.problems


@given(sets, sets)
def test_what_was_made_true_is_true(known: RootSet, wish: RootSet) -> None:
    wanted = read_declaration(render_declaration(wish, {}), "x", lambda _: b"")
    first = reconcile(wanted, known, BOUNDS, own_denials=known.deny)
    if first.problems:
        assert not first.changed
        return
    assert [(one.name, one.state) for one in first.after.roots] == [(one.name, one.state) for one in wish.roots]
    assert set(first.after.deny) == set(wish.deny)
    assert not reconcile(wanted, first.after, BOUNDS, own_denials=first.after.deny).changed
