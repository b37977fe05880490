"""Who has vouched for a certificate, and what keeps it from becoming a root."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import Refused, UsageProblem
from cmakeys.roots.catalogue import Catalogue, CatalogueEntry, Purpose, Vendor
from cmakeys.roots.deny import entry_about
from cmakeys.roots.enrolment import (
    Confirmation,
    Enrolment,
    Wishes,
    check_fingerprint,
    default_name,
    propose,
    select,
)
from cmakeys.roots.root import Constraints, LeafNameRule, LifeCycle, Provenance, Root, check_name
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet
from cmakeys.x509.certificate import Certificate
from tests.roots.trust import certificate, root
from tests.x509.pki import NOW, issue, usage

A = certificate("a")
NO_WISHES, EMPTY, UNKNOWN = Wishes(), RootSet(), Catalogue()
CONSTRAINTS = Constraints(pci_vendors=frozenset({0x10DE}), leaf_name=LeafNameRule.DEVICE_INFO)


def known_as(purpose: Purpose) -> Catalogue:
    entry = CatalogueEntry("vendor-a", A.fingerprint, "Vendor", "A CA", purpose, constraints=CONSTRAINTS)
    return Catalogue((Vendor("Vendor", frozenset(), "", (), (entry,)),))


def ask(
    wishes: Wishes = NO_WISHES,
    *,
    of: Certificate = A,
    known: RootSet = EMPTY,
    catalogue: Catalogue = UNKNOWN,
    now: datetime = NOW,
) -> Enrolment:
    return propose(of, wishes, known=known, catalogue=catalogue, now=now, provenance=Provenance("file.pem"))


class TestWhoVouches:
    def test_an_unknown_certificate_needs_a_person(self) -> None:
        assert ask().confirmation is Confirmation.PERSON

    def test_the_fingerprint_answers(self) -> None:
        assert ask(Wishes(fingerprint=A.fingerprint)).confirmation is Confirmation.FINGERPRINT

    def test_another_fingerprint_never_answers(self) -> None:
        with pytest.raises(Refused):
            ask(Wishes(fingerprint=certificate("b").fingerprint))

    @pytest.mark.parametrize(
        ("purpose", "allowed", "answer"),
        [
            (Purpose.PRODUCTION, False, Confirmation.CATALOGUE),
            (Purpose.DEVELOPMENT, False, Confirmation.PERSON),
            (Purpose.DEVELOPMENT, True, Confirmation.PERSON),
            (Purpose.TEST, False, Confirmation.PERSON),
            (Purpose.TEST, True, Confirmation.CATALOGUE),
        ],
    )
    def test_the_catalogue_answers_only_for_what_it_stands_for(
        self, purpose: Purpose, allowed: bool, answer: Confirmation
    ) -> None:
        assert ask(Wishes(allow_test_root=allowed), catalogue=known_as(purpose)).confirmation is answer


class TestRefusals:
    def test_a_good_root_is_not_refused(self) -> None:
        enrolment = ask()
        enrolment.check()
        assert enrolment.refusals == ()

    def test_a_test_root_is_refused_unless_allowed_by_name(self) -> None:
        with pytest.raises(Refused) as caught:
            ask(catalogue=known_as(Purpose.TEST)).check()
        assert "--allow-test-root" in caught.value.hint
        ask(Wishes(allow_test_root=True), catalogue=known_as(Purpose.TEST)).check()

    def test_its_fingerprint_does_not_let_a_test_root_in(self) -> None:
        with pytest.raises(Refused):
            ask(Wishes(fingerprint=A.fingerprint), catalogue=known_as(Purpose.TEST)).check()

    def test_a_certificate_that_is_no_ca_is_refused_whoever_vouches(self) -> None:
        leaf = issue("leaf", ca=False, key_usage=usage(digital_signature=True)).certificate
        enrolment = ask(Wishes(fingerprint=leaf.fingerprint, allow_test_root=True), of=leaf)
        with pytest.raises(Refused, match="CA"):
            enrolment.check()

    def test_an_expired_root_is_refused(self) -> None:
        with pytest.raises(Refused, match="expired"):
            ask(now=datetime(2099, 1, 1, tzinfo=UTC)).check()

    @pytest.mark.parametrize("kind", DenyKind)
    def test_what_is_denied_is_refused(self, kind: DenyKind) -> None:
        with pytest.raises(Refused, match="denied"):
            ask(known=RootSet((), (entry_about(A, kind),)))


class TestWhatItBecomes:
    def test_the_catalogue_gives_name_and_constraints(self) -> None:
        made = ask(catalogue=known_as(Purpose.PRODUCTION)).root
        assert (made.name, made.constraints) == ("vendor-a", CONSTRAINTS)
        assert made.provenance == Provenance("file.pem", catalogue="vendor-a")
        assert made.state is LifeCycle.TRUSTED

    def test_a_wish_goes_before_the_catalogue(self) -> None:
        wishes = Wishes(name="mine", pci_vendors=frozenset({0x1AF4}), leaf_name=LeafNameRule.EITHER)
        made = ask(wishes, catalogue=known_as(Purpose.PRODUCTION)).root
        assert made.name == "mine"
        assert made.constraints == Constraints(pci_vendors=frozenset({0x1AF4}), leaf_name=LeafNameRule.EITHER)

    def test_a_name_that_is_taken_is_told_apart_by_the_fingerprint(self) -> None:
        taken = RootSet((Root("a-ca", certificate("b")),))
        assert ask(known=taken).root.name == f"a-ca-{A.fingerprint[:16]}"

    def test_a_name_that_was_asked_for_and_is_taken_is_refused(self) -> None:
        with pytest.raises(Refused, match="belongs to another certificate"):
            ask(Wishes(name="b"), known=RootSet((root("b"),)))

    @pytest.mark.parametrize(
        ("subject", "name"),
        [
            ("NVIDIA Device Identity CA", "nvidia-device-identity-ca"),
            ("Ünïcode, with: = marks \\ and \n lines", "n-code-with-marks-and-0a-lines"),
            ("x" * 64, "x" * 40),
        ],
    )
    def test_the_common_name_makes_the_name(self, subject: str, name: str) -> None:
        made = default_name(issue(subject).certificate)
        assert check_name(made) == made
        assert made.split("-")[0] == name.split("-", maxsplit=1)[0]

    @pytest.mark.parametrize("subject", ["deny", "Ω", "..", "-"])
    def test_without_a_usable_common_name_the_fingerprint_makes_it(self, subject: str) -> None:
        made = issue(subject).certificate
        assert default_name(made) == f"root-{made.fingerprint[:16]}"

    @given(st.text(min_size=1, max_size=16))
    def test_any_common_name_gives_a_name_that_can_be_used(self, subject: str) -> None:
        made = default_name(issue(subject).certificate)
        assert check_name(made) == made


class TestAlreadyThere:
    PRESENT = RootSet((Root("mine", A, constraints=CONSTRAINTS),))

    @pytest.mark.parametrize(
        "wishes",
        [
            Wishes(),
            Wishes(name="mine"),
            Wishes(pci_vendors=CONSTRAINTS.pci_vendors, leaf_name=CONSTRAINTS.leaf_name),
            Wishes(fingerprint=A.fingerprint),
        ],
    )
    def test_what_is_there_as_wished_needs_nobody_to_vouch(self, wishes: Wishes) -> None:
        enrolment = ask(wishes, known=self.PRESENT)
        assert enrolment.confirmation is Confirmation.KNOWN
        assert enrolment.root is self.PRESENT.roots[0]

    @pytest.mark.parametrize(
        ("wishes", "says"),
        [
            (Wishes(name="other"), "its name is not 'other'"),
            (Wishes(pci_vendors=frozenset()), "other PCI vendors"),
            (Wishes(leaf_name=LeafNameRule.NONE), "leaf name device-info"),
        ],
    )
    def test_what_is_there_otherwise_than_wished_is_refused(self, wishes: Wishes, says: str) -> None:
        with pytest.raises(Refused, match=says):
            ask(wishes, known=self.PRESENT)

    @pytest.mark.parametrize("state", [state for state in LifeCycle if not state.anchors])
    def test_what_is_there_and_not_trusted_is_refused(self, state: LifeCycle) -> None:
        with pytest.raises(Refused, match=f"but {state.value}"):
            ask(known=RootSet((replace(self.PRESENT.roots[0], state=state),)))

    def test_what_is_there_and_denied_is_refused(self) -> None:
        with pytest.raises(Refused, match="deny entry"):
            ask(known=replace(self.PRESENT, deny=(DenyEntry(DenyKind.CERTIFICATE, A.fingerprint),)))


class TestSelecting:
    BUNDLE = (certificate("a"), certificate("b"), certificate("c"))

    def test_the_only_one_is_meant(self) -> None:
        assert select(self.BUNDLE[:1], None) == A

    def test_several_need_a_fingerprint(self) -> None:
        with pytest.raises(Refused, match="holds 3 certificates") as caught:
            select(self.BUNDLE, None)
        assert "--fingerprint" in caught.value.hint

    def test_the_fingerprint_chooses(self) -> None:
        assert select(self.BUNDLE, certificate("b").fingerprint) == certificate("b")

    @pytest.mark.parametrize("count", [1, 3])
    def test_a_fingerprint_that_fits_none_is_refused(self, count: int) -> None:
        with pytest.raises(Refused, match="no certificate with fingerprint"):
            select(self.BUNDLE[:count], "0" * 64)


@pytest.mark.parametrize(
    "text",
    ["", A.fingerprint[:-1], A.fingerprint + "0", "sha1", A.fingerprint[:16]],
    ids=["nothing", "one digit less", "one digit more", "a word", "a prefix"],
)
def test_less_than_a_whole_fingerprint_is_no_fingerprint(text: str) -> None:
    with pytest.raises(UsageProblem, match="not a whole SHA-256"):
        check_fingerprint(text)


def test_a_fingerprint_is_taken_as_openssl_prints_it() -> None:
    printed = ":".join(A.fingerprint[i : i + 2].upper() for i in range(0, 64, 2))
    assert check_fingerprint(printed) == A.fingerprint
