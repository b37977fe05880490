"""A bundle changes only what it brought, adds denials, loosens no distrust, and says whatever it passes over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from cmakeys.roots.bundle_acceptance import Remembered, accept
from cmakeys.roots.bundle_import import BundleImport, Import, plan_import
from cmakeys.roots.catalogue import Catalogue
from cmakeys.roots.deny import DenyEntry, DenyKind, entry_about
from cmakeys.roots.root import Constraints, LifeCycle, Root
from cmakeys.roots.rootset import RootSet
from tests.roots.bundles import NOW, after, bundle, signed
from tests.roots.trust import certificate, root
from tests.x509.pki import issue

A, B, C = root("a"), root("b"), root("c")
NARROW = Constraints(frozenset({0x10DE}))
LEAKED = DenyEntry(DenyKind.KEY, "ab" * 32, "leaked")


def plan(
    roots: tuple[Root, ...],
    known: RootSet = RootSet(),  # noqa: B008 an immutable value
    *,
    brought: tuple[Root, ...] = (),
    deny: tuple[DenyEntry, ...] = (),
    prune: bool = False,
) -> BundleImport:
    """The import of version 2, after version 1 brought some roots."""
    last: Remembered = replace(after(bundle(1, roots=brought)), added=frozenset(each.fingerprint for each in brought))
    found = accept([signed(bundle(2, "1 of a", roots, deny))], NOW, remembered=last)
    return plan_import(found, known, last, Import(NOW, "ada", "acme.bundle", Catalogue(), prune=prune))


def states(done: BundleImport) -> dict[str, str]:
    return {each.name: each.state.value for each in done.after.roots}


@dataclass(frozen=True)
class Row:
    """Roots here, roots the last version brought, roots of this one: what becomes of them, and what is said."""

    id: str
    here: tuple[Root, ...]
    brought: tuple[Root, ...]
    bundle: tuple[Root, ...]
    result: dict[str, str]
    passed: str = ""
    dropped: tuple[str, ...] = ()
    prune: bool = False


def at(entry: Root, state: LifeCycle) -> Root:
    return replace(entry, state=state)


RETIRING, RETIRED, STAGED, DISTRUSTED = (
    LifeCycle.RETIRING,
    LifeCycle.RETIRED,
    LifeCycle.STAGED,
    LifeCycle.DISTRUSTED,
)
ROWS = (
    Row("new", (), (), (A, B), {"a": "trusted", "b": "trusted"}),
    Row("there already, the same", (A,), (A,), (A,), {"a": "trusted"}),
    Row("from elsewhere, the same", (A,), (), (A,), {"a": "trusted"}),
    Row("from elsewhere, other constraints", (A,), (), (replace(A, constraints=NARROW),), {"a": "trusted"}, "stays"),
    Row("another root has the name", (root("a", of="b"),), (), (A,), {"a": "trusted", "a-x": "trusted"}),
    Row("staged here", (at(A, STAGED),), (A,), (A,), {"a": "staged"}),
    Row("retiring here", (at(A, RETIRING),), (A,), (A,), {"a": "retiring"}),
    Row("retired here is not brought back", (at(A, RETIRED),), (A,), (A,), {"a": "retired"}, "it is retired here"),
    Row("distrusted here stays so", (at(A, DISTRUSTED),), (A,), (A,), {"a": "distrusted"}, "it is distrusted here"),
    Row("dropped", (A, B), (A, B), (A,), {"a": "trusted", "b": "trusted"}, dropped=("b",)),
    Row("dropped and pruned", (A, B), (A, B), (A,), {"a": "trusted", "b": "retiring"}, dropped=("b",), prune=True),
    Row("staged, dropped and pruned", (at(A, STAGED),), (A,), (), {"a": "retired"}, dropped=("a",), prune=True),
    Row("pruned again", (at(A, RETIRING),), (A,), (), {"a": "retiring"}, dropped=("a",), prune=True),
    Row("an admin's own is never pruned", (A, B), (A,), (A,), {"a": "trusted", "b": "trusted"}, prune=True),
    Row("removed here comes back when it is listed", (), (A,), (A,), {"a": "trusted"}),
    Row("dropped and removed here", (), (A,), (), {}),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_roots_come_change_and_stay(row: Row) -> None:
    done = plan(row.bundle, RootSet(row.here), brought=row.brought, prune=row.prune)
    found = {("a-x" if name.startswith("a-") else name): state for name, state in states(done).items()}
    assert found == row.result
    assert tuple(each.name for each in done.dropped) == row.dropped
    assert bool(done.passed) == bool(row.passed)
    assert all(row.passed in each.why for each in done.passed)


def test_a_root_that_it_brought_takes_its_new_constraints() -> None:
    done = plan((replace(A, constraints=NARROW),), RootSet((A,)), brought=(A,))
    assert done.after.roots[0].constraints == NARROW
    assert done.changes


def test_a_date_of_distrust_becomes_earlier_and_never_later() -> None:
    here = replace(A, distrust_after=NOW)
    for day, expected in (
        (None, NOW),
        (NOW + timedelta(days=1), NOW),
        (NOW - timedelta(days=1), NOW - timedelta(days=1)),
    ):
        done = plan((replace(A, distrust_after=day),), RootSet((here,)), brought=(A,))
        assert done.after.roots[0].distrust_after == expected


def test_denials_are_added_and_say_where_they_came_from_and_none_goes() -> None:
    known = RootSet((), (DenyEntry(DenyKind.KEY, "cd" * 32),))
    done = plan((), known, deny=(LEAKED, DenyEntry(DenyKind.KEY, "cd" * 32)))
    assert [(each.sha256, each.source) for each in done.transaction.deny_added] == [("ab" * 32, "bundle acme")]
    assert done.transaction.deny_removed == ()
    assert set(known.deny) < set(done.after.deny)


def test_a_denial_wins_over_a_root_of_the_same_bundle_and_over_one_that_is_here() -> None:
    entries = (entry_about(A.certificate, DenyKind.CERTIFICATE), entry_about(B.certificate, DenyKind.KEY))
    done = plan((A, C), RootSet((B,)), deny=entries)
    assert [each.root.name for each in done.passed] == ["a"]
    assert done.passed[0].why == "denied by its certificate"
    assert [each.name for each in done.denied] == ["b"]
    assert [each.name for each in done.after.anchors()] == ["c"]


def test_another_certificate_of_a_distrusted_key_is_passed_over() -> None:
    lost, twin = issue("lost CA", number=7), issue("renewed CA", number=7)
    assert lost.certificate.spki_fingerprint == twin.certificate.spki_fingerprint
    known = RootSet((Root("lost", lost.certificate, LifeCycle.DISTRUSTED),))
    done = plan((Root("renewed", twin.certificate),), known)
    assert [each.why for each in done.passed] == ["its key is distrusted here"]
    assert states(done) == {"lost": "distrusted"}


def test_a_certificate_that_no_root_may_have_is_passed_over_and_the_others_come() -> None:
    weak = Root("weak", issue("leaf", ca=False).certificate)
    done = plan((weak, A))
    assert [each.root.name for each in done.passed] == ["weak"]
    assert states(done) == {"a": "trusted"}


def test_what_is_remembered_is_what_it_brought_and_what_it_vouches_for() -> None:
    done = plan((A, B), RootSet((A,)), brought=(C,))
    assert done.state.roots == {A.fingerprint, B.fingerprint}
    assert done.state.added == {B.fingerprint, C.fingerprint}
    assert (done.state.version, done.state.digest) == (2, done.acceptance.digest)
    assert done.transaction.detail["version"] == 2
    assert certificate("b") == done.after.roots[1].certificate
    assert done.after.roots[1].provenance.source == "bundle acme"


def test_the_same_bundle_again_changes_nothing() -> None:
    done = plan((A, B))
    again = accept([signed(bundle(2, "1 of a", (A, B)))], NOW, remembered=done.state)
    second = plan_import(again, done.after, done.state, Import(NOW, "ada", "acme.bundle", Catalogue()))
    assert (second.changes, second.newer, again.repeated) == (False, False, True)
