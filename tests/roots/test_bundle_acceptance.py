"""Who signs the next bundle, and what of an old one is still believed: thresholds, rotations, rollbacks, freezes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from cmakeys.errors import CmakeysError, ExitCode, Refused
from cmakeys.roots.bundle_acceptance import BundleProblem, Named, accept
from cmakeys.roots.signed_bundle import SignedBundle, pack, read_bundle, render_bundle
from cmakeys.roots.signer import Signers
from tests.roots.bundles import DAY, NOW, after, bundle, private, public, signed, signers, unusable


@dataclass(frozen=True)
class Row:
    """A bundle remembered (version and signers, or none yet), the ones that come, and what is said of them."""

    id: str
    last: tuple[int, str] | None
    bundles: tuple[tuple[int, str, str], ...]  # version, signers of the next, signed by
    problem: str = ""
    named: tuple[str, int] | None = None
    expires: tuple[timedelta, ...] = ()
    issued: timedelta = -DAY


ROWS = (
    # -- the first one
    Row("first, key named", None, ((1, "1 of a", "a"),), named=("a", 1)),
    Row("first, nobody named a key", None, ((1, "1 of a", "a"),), "nobody has named its keys"),
    Row("first, another key named", None, ((1, "1 of a", "a"),), "is not one of its signers", named=("b", 1)),
    Row("first, named key did not sign", None, ((1, "1 of a b", "b"),), "signed by 0 of the 1", named=("a", 1)),
    Row("first, all named ones signed", None, ((1, "2 of a b", "a b"),), named=("a b", 2)),
    Row("first, one of two named ones signed", None, ((1, "1 of a b", "a"),), "signed by 1 of the 2", named=("a b", 2)),
    Row("first, a lower threshold was named", None, ((1, "2 of a b c", "a c"),), named=("a b c", 2)),
    Row("first, own threshold not met", None, ((1, "2 of a b", "a"),), "its own 2 keys", named=("a", 1)),
    Row("first, at any version", None, ((7, "1 of a", "a"),), named=("a", 1)),
    # -- thresholds
    Row("one of one", (1, "1 of a"), ((2, "1 of a", "a"),)),
    Row("not signed at all", (1, "1 of a"), ((2, "1 of a", ""),), "signed by 0 of version 1's 1 keys"),
    Row("signed by a stranger", (1, "1 of a"), ((2, "1 of a", "z"),), "signed by 0 of version 1's"),
    Row("two of three", (1, "2 of a b c"), ((2, "2 of a b c", "a c"),)),
    Row("one of three where two are needed", (1, "2 of a b c"), ((2, "2 of a b c", "b"),), "signed by 1 of version 1"),
    Row("one and a stranger", (1, "2 of a b c"), ((2, "2 of a b c", "a z"),), "signed by 1 of version 1"),
    Row("all of three", (1, "3 of a b c"), ((2, "3 of a b c", "a b c"),)),
    Row("more than are needed", (1, "1 of a b c"), ((2, "1 of a b c", "a b c z"),)),
    Row("threshold lowered by enough", (1, "2 of a b"), ((2, "1 of a b", "a b"),)),
    Row("threshold lowered by too few", (1, "2 of a b"), ((2, "1 of a b", "a"),), "signed by 1 of version 1's"),
    Row("threshold raised by enough", (1, "1 of a b"), ((2, "2 of a b", "a b"),)),
    Row("threshold raised, new one not met", (1, "1 of a b"), ((2, "2 of a b", "a"),), "signed by 1 of its own"),
    Row("kinds of keys mixed", (1, "3 of e p m"), ((2, "3 of q n o", "e p m q n o"),)),
    # -- rotations
    Row("key exchanged, both signed", (1, "1 of a"), ((2, "1 of b", "a b"),)),
    Row("key exchanged, old one did not sign", (1, "1 of a"), ((2, "1 of b", "b"),), "signed by 0 of version 1's"),
    Row("key exchanged, new one did not sign", (1, "1 of a"), ((2, "1 of b", "a"),), "signed by 0 of its own"),
    Row("one of three exchanged", (1, "2 of a b c"), ((2, "2 of a b d", "a d b"),)),
    Row("one of three exchanged, by a and d", (1, "2 of a b c"), ((2, "2 of a b d", "a d"),), "1 of version 1's"),
    Row("all exchanged, both thresholds", (1, "2 of a b c"), ((2, "2 of d e f", "a c d f"),)),
    Row("all exchanged, one new one short", (1, "2 of a b c"), ((2, "2 of d e f", "a c d"),), "1 of its own"),
    Row("all exchanged, one old one short", (1, "2 of a b c"), ((2, "2 of d e f", "a d f"),), "1 of version 1's"),
    Row("an old key after its exchange", (2, "1 of b"), ((3, "1 of b", "a"),), "signed by 0 of version 2's"),
    Row("an old key cannot take the place back", (2, "1 of b"), ((3, "1 of a", "a"),), "signed by 0 of version 2's"),
    Row("two exchanges, with the bundle between", (1, "1 of a"), ((2, "1 of b", "a b"), (3, "1 of c", "b c"))),
    Row("two exchanges, one missing", (1, "1 of a"), ((3, "1 of c", "b c"),), "signed by 0 of version 1's"),
    Row("the bundle between is not signed", (1, "1 of a"), ((2, "1 of b", "b"), (3, "1 of b", "b")), "version 1's"),
    Row("the one between expired", (1, "1 of a"), ((2, "1 of b", "a b"), (3, "1 of b", "b")), expires=(-DAY / 2,)),
    Row("versions skipped, same keys", (1, "1 of a"), ((9, "1 of a", "a"),)),
    Row("named as well, and right", (1, "1 of a"), ((2, "1 of a", "a"),), named=("a", 1)),
    Row("named as well, and wrong", (1, "1 of a"), ((2, "1 of a", "a"),), "not one of its signers", named=("b", 1)),
    # -- rollbacks
    Row("an older version", (3, "1 of a"), ((2, "1 of a", "a"),), "version 2 is older than 3"),
    Row("the same version, other content", (3, "1 of a"), ((3, "1 of a b", "a b"),), "with other content"),
    Row("an older one behind a newer one", (1, "1 of a"), ((3, "1 of a", "a"), (2, "1 of a", "a")), "older than 3"),
    Row("older and unsigned", (3, "1 of a"), ((2, "1 of a", ""),), "signed by 0"),
    # -- freezes
    Row("expired", (1, "1 of a"), ((2, "1 of a", "a"),), "it expired on", expires=(-DAY / 2,)),
    Row("expires this moment", (1, "1 of a"), ((2, "1 of a", "a"),), "it expired on", expires=(0 * DAY,)),
    Row("expires in a second", (1, "1 of a"), ((2, "1 of a", "a"),), expires=(timedelta(seconds=1),)),
    Row("the last of two has expired", (1, "1 of a"), ((2, "1 of a", "a"), (3, "1 of a", "a")), "expired",
        expires=(30 * DAY, -DAY / 2)),
    Row("from the future", (1, "1 of a"), ((2, "1 of a", "a"),), "yet to come", issued=DAY),
    Row("a clock a little ahead of ours", (1, "1 of a"), ((2, "1 of a", "a"),), issued=timedelta(minutes=30)),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_the_next_bundle_is_believed_or_it_is_said_why_not(row: Row) -> None:
    remembered = after(bundle(*row.last)) if row.last else None
    lives = (*row.expires, *[30 * DAY] * len(row.bundles))
    coming = [
        signed(bundle(version, keys, expires=expires, issued=row.issued), by)
        for (version, keys, by), expires in zip(row.bundles, lives, strict=False)
    ]
    named = None
    if row.named:
        named = Named(frozenset(public(name).id for name in row.named[0].split()), row.named[1])
    if not row.problem:
        accepted = accept(coming, NOW, remembered=remembered, named=named)
        assert accepted.bundle == coming[-1].bundle
        assert len(accepted.signed) >= accepted.bundle.signers.threshold
        return
    with pytest.raises(CmakeysError) as caught:
        accept(coming, NOW, remembered=remembered, named=named)
    assert row.problem in caught.value.message
    assert (caught.value.object, bool(caught.value.hint)) == ("acme.bundle", True)
    expected = Refused if "nobody" in row.problem else BundleProblem
    assert isinstance(caught.value, expected)


def test_the_same_bundle_again_is_no_rollback_and_more_signatures_do_not_make_it_another_one() -> None:
    first = bundle(2, "1 of a b")
    again = accept([signed(first, "a b")], NOW, remembered=after(first))
    assert again.repeated
    assert not accept([signed(bundle(3, "1 of a b"), "a")], NOW, remembered=after(first)).repeated


def test_an_exchange_of_keys_is_said() -> None:
    last = after(bundle(1, "1 of a"))
    assert accept([signed(bundle(2, "1 of b"), "a b")], NOW, remembered=last).rotated
    assert not accept([signed(bundle(2, "1 of a"), "a")], NOW, remembered=last).rotated


def test_a_bundle_of_another_name_does_not_follow() -> None:
    with pytest.raises(BundleProblem, match="it is called other, not acme"):
        accept([signed(bundle(2, name="other"))], NOW, remembered=after(bundle(1)))


def test_a_wrong_clock_judges_no_date() -> None:
    with pytest.raises(Refused, match="the clock says 1970") as caught:
        accept([signed(bundle(2))], NOW, remembered=after(bundle(1)), clock_fault="the clock says 1970")
    assert caught.value.exit_code is ExitCode.REFUSED


def test_a_signature_under_the_name_of_another_key_does_not_count() -> None:
    two = signed(bundle(2, "2 of a b"), "a")
    doubled = replace(two, signatures={**two.signatures, public("b").id: two.signatures[public("a").id]})
    with pytest.raises(BundleProblem, match="signed by 1 of"):
        accept([doubled], NOW, remembered=after(bundle(1, "2 of a b")))


@pytest.mark.parametrize("name", ["e", "p", "q", "m", "n", "o"])
def test_a_changed_bit_of_payload_or_signature_ends_every_kind_of_signature(name: str) -> None:
    good = signed(bundle(1, f"1 of {name}"), name)
    named = Named(frozenset({public(name).id}), 1)
    assert accept([good], NOW, remembered=None, named=named).signed == {public(name).id}
    signature = good.signatures[public(name).id]
    bad = replace(good, signatures={public(name).id: bytes([signature[0] ^ 1, *signature[1:]])})
    other = replace(good, payload=good.payload.replace(b'"version": 1', b'"version": 2'))
    for each in (bad, other):
        with pytest.raises(BundleProblem):
            accept([each], NOW, remembered=None, named=named)


def test_a_signature_over_the_bare_payload_is_none_for_a_bundle() -> None:
    content = pack(bundle(1, "1 of a"), "acme.bundle")
    bare = replace(content, signatures={public("a").id: private("a").sign(content.payload)})
    with pytest.raises(BundleProblem, match="signed by 0"):
        accept([bare], NOW, remembered=after(bundle(1, "1 of a")))


def test_a_key_of_a_kind_that_cannot_be_checked_is_said_and_never_counted() -> None:
    strange = unusable("x")
    content = replace(bundle(2), signers=Signers(2, (public("a"), strange)))
    made = signed(content, "a")
    forged: SignedBundle = replace(made, signatures={**made.signatures, strange.id: b"\0" * 256})
    last = replace(after(content), version=1)
    with pytest.raises(BundleProblem, match="1 of them of a kind that cannot be checked here"):
        accept([forged], NOW, remembered=last)
    lower = replace(content, signers=Signers(1, (public("a"), strange)))
    made = signed(lower, "a z")
    forged = replace(made, signatures={**made.signatures, strange.id: b"\0" * 256})
    said = accept([read_bundle(render_bundle(forged), "x")], NOW, remembered=replace(after(lower), version=1))
    assert said.signed == {public("a").id}
    assert sorted(said.uncounted) == sorted(
        (
            f"signature by {strange.id}, of a kind that cannot be checked here",
            f"signature by {public('z').id}, which is not one of its signers",
        )
    )


def test_the_table_is_no_shorter_than_promised() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS) >= 25
    assert signers("2 of a b") == signers("2 of b a") != signers("1 of a b")
