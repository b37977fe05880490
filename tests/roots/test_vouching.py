"""A new root is vouched for by somebody whom the machine believes already, and by nobody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cmakeys.errors import Refused, UsageProblem
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet
from cmakeys.roots.vouching import Credentials, Voucher, Vouching, vouch
from cmakeys.x509.certificate import Certificate
from tests.roots.succession import NOW, certificate, crossed, root
from tests.x509.pki import issue

OLD, NEW = root("old"), root("new:staged")
KNOWN = RootSet((OLD, root("other")))
SIGNED = datetime(2039, 1, 1, tzinfo=UTC)


def ask(credentials: Credentials, *, old: Root = OLD, new: Root = NEW, known: RootSet = KNOWN) -> Vouching:
    return vouch(old, new, known, credentials, NOW)


def cross(*certificates: Certificate) -> Credentials:
    return Credentials(cross=certificates)


@pytest.mark.parametrize(
    ("credentials", "new", "voucher"),
    [
        (Credentials(fingerprint=NEW.fingerprint), NEW, Voucher.FINGERPRINT),
        (Credentials(fingerprint=NEW.fingerprint.upper()), NEW, Voucher.FINGERPRINT),
        (cross(crossed("new")), NEW, Voucher.CROSS_CERTIFICATE),
        (cross(certificate("old"), certificate("new"), crossed("new")), NEW, Voucher.CROSS_CERTIFICATE),
        (cross(crossed("new", by="other"), crossed("new")), NEW, Voucher.CROSS_CERTIFICATE),
        (Credentials(listed={NEW.fingerprint: "the list"}), NEW, Voucher.LIST),
        (Credentials(), root("signed:staged"), Voucher.OLD_KEY),
        (Credentials(), root("renewed:staged"), Voucher.RENEWAL),
        (Credentials(), root("other"), Voucher.STANDING),
        (Credentials(fingerprint=certificate("other").fingerprint), root("other"), Voucher.FINGERPRINT),
    ],
)
def test_who_vouches(credentials: Credentials, new: Root, voucher: Voucher) -> None:
    assert ask(credentials, new=new).voucher is voucher


@pytest.mark.parametrize(
    ("credentials", "complaint"),
    [
        (Credentials(), "nobody vouches for it"),
        (Credentials(listed={OLD.fingerprint: "the list"}), "nobody vouches for it"),
        (Credentials(fingerprint=OLD.fingerprint), f"its fingerprint is {NEW.fingerprint}"),
        (Credentials(cross=()), "no certificate about its name and key"),
        (cross(certificate("new")), "only that certificate itself"),
        (cross(crossed("third")), "no certificate about its name and key"),
        (cross(crossed("new", by="other")), "is not old's"),
        (cross(crossed("new", by="twin")), "is not old's"),
        (cross(crossed("new", end=datetime(2039, 6, 1))), "expired on"),
        (cross(crossed("new", begin=datetime(2041, 1, 1))), "is not valid before"),
        (cross(crossed("new", ca=False)), "is not a CA"),
    ],
)
def test_who_does_not(credentials: Credentials, complaint: str) -> None:
    with pytest.raises(Refused, match=complaint):
        ask(credentials)


def test_a_fingerprint_that_is_none_is_a_mistake_of_the_command_line() -> None:
    with pytest.raises(UsageProblem):
        ask(Credentials(fingerprint=NEW.fingerprint[:32]))


def test_what_was_given_has_to_hold_although_something_else_would_do() -> None:
    with pytest.raises(Refused, match="is not old's"):
        ask(Credentials(fingerprint=NEW.fingerprint, cross=(crossed("new", by="other"),)))
    with pytest.raises(Refused, match="its fingerprint is"):
        ask(Credentials(fingerprint=OLD.fingerprint, cross=(crossed("new"),)))


@pytest.mark.parametrize("state", ["staged", "retired", "distrusted"])
def test_only_an_anchor_stands_for_itself(state: str) -> None:
    with pytest.raises(Refused, match="nobody vouches"):
        ask(Credentials(), new=root(f"other:{state}"), known=RootSet((OLD, root(f"other:{state}"))))


# The classic mistake is to compare the day on which the key was lost with today: the signature has a day of its own.
@pytest.mark.parametrize(("lost", "believed"), [(2038, False), (2039, True), (2040, True)])
@pytest.mark.parametrize("by_entry", [False, True])
def test_a_lost_key_vouches_for_what_it_signed_before(lost: int, *, believed: bool, by_entry: bool) -> None:
    after = datetime(lost, 7, 1, tzinfo=UTC)
    entry = DenyEntry(DenyKind.KEY, OLD.certificate.spki_fingerprint, after=after)
    old = OLD if by_entry else replace(OLD, distrust_after=after)
    known = RootSet((old,), (entry,) if by_entry else ())
    if believed:
        assert ask(cross(crossed("new")), old=old, known=known).voucher is Voucher.CROSS_CERTIFICATE
        return
    with pytest.raises(Refused, match=r"not believed for what it signed on 2039-01-01") as refusal:
        ask(cross(crossed("new")), old=old, known=known)
    assert "--fingerprint" in refusal.value.hint


@pytest.mark.parametrize("word", ["signed", "renewed"])
def test_a_lost_key_does_not_vouch_by_having_signed_the_root_itself(word: str) -> None:
    old = replace(OLD, distrust_after=datetime(2019, 1, 1, tzinfo=UTC))
    with pytest.raises(Refused, match="not believed for what it signed"):
        ask(Credentials(), old=old, new=root(f"{word}:staged"), known=RootSet((old,)))


def test_a_denied_cross_certificate_does_not_vouch() -> None:
    entry = DenyEntry(DenyKind.CERTIFICATE, crossed("new").fingerprint)
    with pytest.raises(Refused, match="denied by its certificate"):
        ask(cross(crossed("new")), known=RootSet((OLD,), (entry,)))


def test_an_old_root_that_may_issue_no_further_authority_vouches_for_none() -> None:
    """Its path length allows leaves only, so a certificate of another authority under it was never meant."""
    short = issue("Short", path_length=0)
    newcomer = issue("Newcomer", number=1)
    between = issue("Newcomer", short, number=1)
    with pytest.raises(Refused, match="may not issue"):
        ask(cross(between.certificate), old=Root("short", short.certificate), new=Root("n", newcomer.certificate))
