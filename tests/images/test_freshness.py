"""An initrd is out of step when it would load other roots than are trusted, and for no other reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmakeys.images.bake import Request, image
from cmakeys.images.freshness import Baked, Freshness, Initrd, Initrds, compare
from cmakeys.images.initrd import read_stream
from cmakeys.images.inspect import Difference, inspect
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet
from tests.images.initrds import stream
from tests.roots import trust

A, B = trust.root("a"), trust.root("b")


def baked(*roots: Root, deny: tuple[DenyEntry, ...] = ()) -> Baked:
    data = image(RootSet(roots, deny), Request()).cpio()
    return Baked.of(inspect(read_stream(stream(data), len(data), "test"), "test"))


def differences(found: Initrd) -> list[tuple[str, str]]:
    return [(kind.value, name) for kind, name in found.differences]


def test_what_was_baked_from_the_same_roots_is_current() -> None:
    found = compare("x", baked(A, B), RootSet((A, B)), hooked=True)
    assert (found.freshness, found.differences, found.words) == (Freshness.CURRENT, (), "")


@pytest.mark.parametrize(
    ("inside", "configured", "expected"),
    [
        ((A,), RootSet((A, B)), [("missing", "b")]),
        ((A, B), RootSet((A,)), [("extra", "b")]),
        ((A, B), RootSet((A, replace(B, state=LifeCycle.DISTRUSTED))), [("distrusted", "b")]),
        ((A, B), RootSet((A, replace(B, state=LifeCycle.RETIRED))), [("retired", "b")]),
        ((A, B), RootSet((A, replace(B, state=LifeCycle.STAGED))), [("extra", "b")]),
        ((A, B), RootSet((A, B), (DenyEntry(DenyKind.CERTIFICATE, B.fingerprint),)), [("distrusted", "b")]),
        ((A,), RootSet((replace(A, name="c"),)), [("extra", "a"), ("missing", "c")]),
        ((A,), RootSet((replace(B, name="a"),)), [("extra", "a"), ("missing", "a")]),
        ((A,), RootSet(()), [("extra", "a")]),
    ],
)
def test_each_difference_has_its_word(
    inside: tuple[Root, ...], configured: RootSet, expected: list[tuple[str, str]]
) -> None:
    found = compare("x", baked(*inside), configured, hooked=False)
    assert found.freshness is Freshness.STALE
    assert differences(found) == expected
    for kind, name in expected:
        assert kind in found.words
        assert name in found.words


def test_what_would_load_the_same_is_current_whatever_the_digest_says() -> None:
    """A rebuild would change nothing that the kernel sees."""
    entry = DenyEntry(DenyKind.KEY, "ab" * 32)
    inside = baked(A)
    for configured in (RootSet((A,), (entry,)), RootSet((replace(A, state=LifeCycle.RETIRING),))):
        assert configured.digest != inside.digest
        assert compare("x", inside, configured, hooked=True).freshness is Freshness.CURRENT


def test_an_initrd_without_roots_is_out_of_step_only_where_a_hook_was_to_bake_them() -> None:
    assert compare("x", Baked(), RootSet((A,)), hooked=False).freshness is Freshness.NOTHING
    assert compare("x", Baked(), RootSet(()), hooked=True).freshness is Freshness.NOTHING
    found = compare("x", Baked(), RootSet((A,)), hooked=True)
    assert (found.freshness, found.words) == (Freshness.STALE, "no roots are in it")


def test_an_image_at_fault_is_out_of_step_with_the_same_roots_too() -> None:
    found = compare("x", replace(baked(A), faults=("there is no loader in it",)), RootSet((A,)), hooked=False)
    assert (found.freshness, found.words) == (Freshness.STALE, "there is no loader in it")


def test_many_names_are_cut_and_the_worst_kind_comes_first() -> None:
    names = tuple((Difference.EXTRA, f"n{number}") for number in range(9))
    found = Initrd("x", Freshness.STALE, Baked("ab" * 32), (*names, (Difference.DISTRUSTED, "bad")))
    assert found.words == "distrusted: bad; extra: n0, n1, n2, 6 more"


def test_several_are_as_bad_as_the_worst() -> None:
    each = {one: Initrd("x", one) for one in Freshness}
    assert Initrds((), "").freshness is None
    assert Initrds(tuple(each.values()), "").freshness is Freshness.STALE
    assert Initrds((each[Freshness.CURRENT], each[Freshness.UNKNOWN]), "").freshness is Freshness.UNKNOWN
    assert Initrds((each[Freshness.NOTHING], each[Freshness.CURRENT]), "").freshness is Freshness.CURRENT


def test_what_an_image_says_of_itself_is_cut_and_printable() -> None:
    found = inspect(read_stream(stream(hostile := _named("\x1b[2J")), len(hostile), "t"), "t")
    assert all(fault.isprintable() and len(fault) <= 200 for fault in Baked.of(found).faults)
    assert Baked.of(found).anything


def _named(name: str) -> bytes:
    from cmakeys.images.cpio import Entry, render

    return render([Entry.file(f"usr/lib/cmakeys/roots/{name * 60}.der", b"no certificate")])
