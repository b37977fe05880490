"""The set of roots: what anchors, what is denied, what is found, and that it never changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import NotFound, Refused, UsageProblem
from cmakeys.roots.deny import entry_about
from cmakeys.roots.root import LifeCycle, Root
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet, normalise_fingerprint
from cmakeys.x509.certificate import Certificate, CertificateProblem
from tests.roots.trust import certificate, root
from tests.x509.pki import NOT_BEFORE, issue

A, B, C = root("a"), root("b"), root("c")


def deny(of: Root, kind: DenyKind = DenyKind.CERTIFICATE) -> DenyEntry:
    return entry_about(of.certificate, kind, "stolen")


def test_the_order_of_roots_makes_no_difference() -> None:
    sets = [RootSet(roots) for roots in permutations((A, B, C))]
    assert all(each == sets[0] and each.digest == sets[0].digest for each in sets)


@pytest.mark.parametrize("state", LifeCycle)
def test_only_trusted_and_retiring_roots_are_anchors(state: LifeCycle) -> None:
    anchors = RootSet((replace(A, state=state), B)).anchors()
    assert (A.name in {each.name for each in anchors}) == state.anchors
    assert B in anchors


@pytest.mark.parametrize("kind", DenyKind)
def test_a_deny_entry_beats_a_trusted_root(kind: DenyKind) -> None:
    trusted = RootSet((A, B), (deny(A, kind),))
    assert trusted.anchors() == (B,)
    assert trusted.denied(A.certificate) == deny(A, kind)
    assert trusted.denied(B.certificate) is None


@pytest.mark.parametrize("kind", DenyKind)
def test_a_denied_certificate_cannot_be_imported_again(kind: DenyKind) -> None:
    with pytest.raises(Refused, match="denied by its"):
        RootSet((), (deny(A, kind),)).with_root(A)


def test_a_denied_key_covers_a_renewed_certificate_of_the_same_key() -> None:
    old = issue("renewed CA", number=7).certificate
    new = issue("renewed CA of 2041", number=7).certificate
    assert old.fingerprint != new.fingerprint
    assert RootSet((), (DenyEntry(DenyKind.KEY, old.spki_fingerprint),)).denied(new)


def test_a_name_occurs_once() -> None:
    with pytest.raises(Refused, match="occurs twice"):
        RootSet((A, root("a", of="b")))


def test_a_certificate_occurs_once() -> None:
    with pytest.raises(Refused, match="already there as"):
        RootSet((A, root("other", of="a")))


def test_a_name_is_never_passed_on_to_another_certificate() -> None:
    with pytest.raises(Refused, match="belongs to another certificate"):
        RootSet((A,)).with_root(root("a", of="b"))


def test_adding_and_removing_give_new_sets_and_leave_the_old_one() -> None:
    first = RootSet((A,))
    second = first.with_root(B)
    assert (first.roots, second.roots) == ((A,), (A, B))
    assert second.without("a").roots == (B,)
    assert second.roots == (A, B)


def test_what_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(NotFound):
        RootSet((A,)).without("b")


def test_a_state_changes_only_along_the_life_cycle() -> None:
    trusted = RootSet((A,))
    retiring = trusted.with_root(replace(A, state=LifeCycle.RETIRING))
    assert retiring.roots[0].state is LifeCycle.RETIRING
    distrusted = trusted.with_root(replace(A, state=LifeCycle.DISTRUSTED))
    with pytest.raises(Refused, match="it is distrusted"):
        distrusted.with_root(A)


def test_the_digest_tells_states_and_deny_entries_apart_and_not_names() -> None:
    digests = {
        RootSet().digest,
        RootSet((A,)).digest,
        RootSet((A, B)).digest,
        RootSet((replace(A, state=LifeCycle.RETIRING),)).digest,
        RootSet((A,), (deny(B),)).digest,
        RootSet((A,), (deny(A, DenyKind.KEY),)).digest,
        RootSet((A,), (deny(A, DenyKind.ISSUER_SERIAL),)).digest,
        RootSet((A,), (replace(deny(A, DenyKind.KEY), after=NOT_BEFORE),)).digest,
    }
    assert len(digests) == 8
    assert RootSet((root("renamed", of="a"),)).digest == RootSet((A,)).digest


class TestFind:
    def test_finds_by_name(self) -> None:
        assert RootSet((A, B)).find("a") is A

    @pytest.mark.parametrize("length", [4, 16, 64])
    def test_finds_by_the_beginning_of_the_fingerprint(self, length: int) -> None:
        assert RootSet((A,)).find(A.fingerprint[:length]) == A

    def test_takes_colons_and_capitals(self) -> None:
        pairs = [A.fingerprint[i : i + 2].upper() for i in range(0, 64, 2)]
        assert RootSet((A, B)).find(":".join(pairs)) == A

    def test_three_digits_are_too_few(self) -> None:
        with pytest.raises(NotFound):
            RootSet((A,)).find(A.fingerprint[:3])

    def test_an_ambiguous_beginning_names_all_that_fit(self) -> None:
        seen: dict[str, Root] = {}
        for number in range(100_000):
            made = Root(f"r{number}", replace_fingerprint(number))
            prefix = made.fingerprint[:4]
            if prefix in seen:
                both = RootSet((seen[prefix], made))
                break
            seen[prefix] = made
        with pytest.raises(UsageProblem, match="fits 2 roots") as caught:
            both.find(prefix)
        assert seen[prefix].name in caught.value.message
        assert made.name in caught.value.message

    def test_a_name_that_begins_the_fingerprint_of_another_root_is_ambiguous(self) -> None:
        shadow = root(A.fingerprint[:8], of="b")
        with pytest.raises(UsageProblem, match="fits 2 roots"):
            RootSet((A, shadow)).find(A.fingerprint[:8])

    def test_nothing_found_names_what_there_is(self) -> None:
        with pytest.raises(NotFound) as caught:
            RootSet((A, B)).find("zzz")
        assert "a, b" in caught.value.hint


def replace_fingerprint(number: int) -> Certificate:
    """A certificate value that is never parsed: only its bytes count for `find`."""
    return Certificate(number.to_bytes(4, "big"))


@pytest.mark.parametrize("text", ["", "xyz", "g" * 64, "a" * 63, "A" * 64])
def test_a_deny_entry_needs_a_whole_hash(text: str) -> None:
    with pytest.raises(UsageProblem):
        DenyEntry(DenyKind.CERTIFICATE, text)


@given(st.binary(min_size=1, max_size=40), st.sampled_from(["", ":", " "]), st.booleans(), st.booleans())
def test_a_fingerprint_is_understood_however_it_is_written(
    value: bytes, separator: str, capitals: bool, labelled: bool
) -> None:
    text = value.hex(separator) if separator else value.hex()
    text = ("sha256:" if labelled else "") + text
    assert normalise_fingerprint(text.upper() if capitals else text) == value.hex()


def test_a_certificate_of_an_unreadable_key_is_denied_by_any_key_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    unreadable = certificate("unreadable")

    def fail(self: Certificate) -> str:
        raise CertificateProblem("unsupported public key")

    monkeypatch.setattr(Certificate, "spki_fingerprint", property(fail))
    assert RootSet(deny=(DenyEntry(DenyKind.KEY, "0" * 64),)).denied(unreadable)


def test_a_name_finds_its_root_and_no_beginning_of_a_fingerprint_does() -> None:
    assert RootSet((A, B)).named("a") is A
    assert RootSet((A, B)).named(A.fingerprint) is None


KEPT = issue("Renewed", number=41).certificate
AGAIN = issue("Renewed", number=41, not_after=datetime(2095, 1, 1, tzinfo=UTC)).certificate
REKEYED = issue("Renewed", number=42).certificate


def test_a_certificate_with_the_key_of_a_distrusted_root_is_distrusted() -> None:
    known = RootSet((Root("kept", KEPT, LifeCycle.DISTRUSTED), Root("again", AGAIN)))
    assert [known.distrusting(each) for each in (KEPT, AGAIN, REKEYED)] == [known.roots[1], known.roots[1], None]
    assert RootSet((Root("kept", KEPT, LifeCycle.RETIRED),)).distrusting(KEPT) is None


@pytest.mark.parametrize("state", [LifeCycle.TRUSTED, LifeCycle.RETIRING])
def test_no_chain_ends_in_a_root_of_a_distrusted_key_whatever_its_own_state(state: LifeCycle) -> None:
    twin, other = Root("again", AGAIN, state), Root("rekeyed", REKEYED)
    assert RootSet((Root("kept", KEPT, LifeCycle.DISTRUSTED), twin, other)).anchors() == (other,)
    assert RootSet((Root("kept", KEPT, LifeCycle.RETIRED), twin, other)).anchors() == (twin, other)


def test_the_day_of_distrust_holds_for_every_certificate_of_the_key_and_the_earliest_counts() -> None:
    early, late = datetime(2030, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
    kept, again, rekeyed = Root("kept", KEPT), Root("again", AGAIN), Root("rekeyed", REKEYED)
    assert RootSet((kept, again)).believed_until(kept) is None
    known = RootSet((replace(kept, distrust_after=late), again, rekeyed))
    assert [known.believed_until(each) for each in known.roots] == [late, late, None]
    known = RootSet((replace(kept, distrust_after=late), replace(again, distrust_after=early), rekeyed))
    assert [known.believed_until(each) for each in known.roots] == [early, early, None]
