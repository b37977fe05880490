"""A chain is accepted only if every rule holds, and a broken rule is named with the certificate that breaks it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.x509.bundle import split_der
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.chain import (
    ChainFault,
    check_leaf_profile,
    check_root_hash,
    check_signatures,
    check_structure,
    check_validity,
    find_anchor,
    find_anchors,
    order_root_first,
    why_no_anchor,
)
from tests.x509.pki import (
    FOREVER,
    LEAF_USAGE,
    NOT_AFTER,
    NOT_BEFORE,
    NOW,
    Issued,
    certificates,
    device_chain,
    issue,
    leaf_of,
    make_key,
    rolled_over,
    usage,
)

ROOT, INTERMEDIATE, LEAF_CERTIFICATE = device_chain()
CHAIN = certificates(ROOT, INTERMEDIATE, LEAF_CERTIFICATE)
KINDS = ("p256", "p384", "p521", "rsa2048", "ed25519", "ed448", "mldsa65")


def only(faults: Sequence[ChainFault]) -> ChainFault:
    (fault,) = faults
    return fault


def everything(certs: Sequence[Certificate]) -> tuple[ChainFault, ...]:
    return (
        *check_structure(certs),
        *check_signatures(certs),
        *check_validity(certs, NOW),
        *check_leaf_profile(certs[-1], spdm_minor=4, alias=False),
    )


class TestSoundChains:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_sound_chain_of_any_key_type_has_no_fault(self, kind: str) -> None:
        assert everything(certificates(*device_chain(kind))) == ()

    def test_the_root_may_be_left_out(self) -> None:
        assert everything(CHAIN[1:]) == ()
        assert find_anchor(CHAIN[1:], [CHAIN[0]]) == CHAIN[0]

    def test_a_single_self_signed_leaf_is_a_chain(self) -> None:
        alone = issue("Pinned", ca=False, key_usage=LEAF_USAGE).certificate
        assert everything([alone]) == ()
        assert find_anchor([alone], [alone]) == alone

    def test_an_alias_chain_has_a_device_certificate_that_is_a_ca(self) -> None:
        root = issue("Root")
        device = issue("Device", root, number=1, key_usage=usage(digital_signature=True, key_cert_sign=True))
        alias = leaf_of(device)
        assert everything(certificates(root, device, alias)) == ()


class TestStructure:
    def test_no_certificate_is_a_fault(self) -> None:
        assert only(check_structure([])).message == "the chain has no certificate"

    def test_more_than_64_certificates_are_a_fault(self) -> None:
        assert only(check_structure([CHAIN[0]] * 65)).message == "65 certificates, more than 64"

    def test_a_chain_that_is_upside_down_is_told_so(self) -> None:
        assert "the leaf is first" in only(check_structure(CHAIN[::-1])).message

    def test_a_gap_is_named(self) -> None:
        fault = only(check_structure((CHAIN[0], CHAIN[2])))
        assert fault.index == 1
        assert "issuer is CN=Test Intermediate, but the certificate above it is CN=Test Root" in fault.message

    def test_a_certificate_that_comes_twice_is_named(self) -> None:
        fault = only(check_structure((CHAIN[0], CHAIN[0], *CHAIN[1:])))
        assert (fault.index, fault.message) == (1, "CN=Test Root: the same certificate as number 0")

    @pytest.mark.parametrize("ca", [None, False])
    def test_an_issuer_that_is_no_ca_is_a_fault(self, ca: bool | None) -> None:
        intermediate = issue("Test Intermediate", ROOT, number=1, ca=ca)
        fault = only(check_structure(certificates(ROOT, intermediate, leaf_of(intermediate))))
        assert fault.index == 1
        assert "is not a CA" in fault.message

    def test_a_leaf_that_is_a_ca_is_a_fault(self) -> None:
        fault = only(check_structure(certificates(ROOT, INTERMEDIATE)))
        assert (fault.index, fault.message) == (
            1,
            "CN=Test Intermediate: the last certificate is a CA, so there is no leaf",
        )

    def test_an_issuer_whose_key_may_not_sign_certificates_is_a_fault(self) -> None:
        intermediate = issue("Test Intermediate", ROOT, number=1, key_usage=LEAF_USAGE)
        fault = only(check_structure(certificates(ROOT, intermediate, leaf_of(intermediate))))
        assert fault.index == 1
        assert "keyUsage lacks keyCertSign" in fault.message

    def test_an_issuer_without_key_usage_is_accepted(self) -> None:
        intermediate = issue("Test Intermediate", ROOT, number=1, key_usage=None)
        assert check_structure(certificates(ROOT, intermediate, leaf_of(intermediate))) == ()

    @pytest.mark.parametrize(("path_length", "faults"), [(None, 0), (2, 0), (1, 0), (0, 1)])
    def test_the_path_length_counts_the_cas_between(self, path_length: int | None, faults: int) -> None:
        root = issue("Root", path_length=path_length)
        intermediate = issue("Intermediate", root, number=1)
        found = check_structure(certificates(root, intermediate, leaf_of(intermediate)))
        assert [fault.index for fault in found] == [0] * faults
        assert all("allows 0 CA certificates below it, 1 follow" in fault.message for fault in found)

    def test_a_self_issued_certificate_does_not_count_for_the_path_length(self) -> None:
        root = issue("Root", path_length=0)
        rolled = rolled_over(root)
        assert everything(certificates(root, rolled, leaf_of(rolled))) == ()

    def test_names_must_chain_byte_for_byte(self) -> None:
        intermediate = issue("Test Intermediate", ROOT, number=1, issuer_name="TEST ROOT")
        faults = check_structure(certificates(ROOT, intermediate, leaf_of(intermediate)))
        assert "issuer is CN=TEST ROOT" in only(faults).message

    @pytest.mark.parametrize("oid", ["2.23.133.5.4.1", "2.23.133.5.4.5", "1.3.6.1.4.1.412.274.6"])
    def test_critical_dice_and_spdm_extensions_are_understood(self, oid: str) -> None:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x30\x00")
        assert (
            check_structure(certificates(ROOT, INTERMEDIATE, leaf_of(INTERMEDIATE, extensions=[(extension, True)])))
            == ()
        )

    @pytest.mark.parametrize("oid", ["1.2.3.4", "2.23.133.5.4.99", "2.5.29.30", "2.5.29.36"])
    def test_other_critical_extensions_are_a_fault(self, oid: str) -> None:
        known: dict[str, x509.ExtensionType] = {
            "2.5.29.30": x509.NameConstraints([x509.DNSName("example.org")], None),
            "2.5.29.36": x509.PolicyConstraints(0, None),
        }
        extension = known.get(oid) or x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x30\x00")
        intermediate = issue("Test Intermediate", ROOT, number=1, extensions=[(extension, True)])
        fault = only(check_structure(certificates(ROOT, intermediate, leaf_of(intermediate))))
        assert (fault.index, fault.message) == (
            1,
            f"CN=Test Intermediate: critical extension {oid} is not understood",
        )

    def test_every_fault_is_reported_in_the_order_of_the_chain(self) -> None:
        root = issue("Root", path_length=0, key_usage=LEAF_USAGE)
        one = issue("One", root, number=1, ca=None)
        two = issue("Two", one, number=3)
        assert [f.index for f in check_structure(certificates(root, one, two))] == [0, 0, 1, 2]


class TestRootHash:
    def test_the_hash_of_an_included_root_must_be_its_own(self) -> None:
        digest = hashlib.sha384(CHAIN[0].der).digest()
        assert check_root_hash(CHAIN, digest, sha384) == ()
        assert "is not that of CN=Test Root" in only(check_root_hash(CHAIN, b"\0" * 48, sha384)).message
        assert check_root_hash(CHAIN, hashlib.sha256(CHAIN[0].der).digest(), sha384) != ()

    def test_the_hash_of_an_omitted_root_is_that_of_the_anchor(self) -> None:
        digest = hashlib.sha384(CHAIN[0].der).digest()
        assert check_root_hash(CHAIN[1:], digest, sha384, CHAIN[0]) == ()
        assert check_root_hash(CHAIN[1:], b"\0" * 48, sha384, CHAIN[0]) != ()

    def test_without_a_root_at_hand_there_is_nothing_to_compare(self) -> None:
        assert check_root_hash(CHAIN[1:], b"\0" * 48, sha384) == ()
        assert check_root_hash(CHAIN[2:], b"\0" * 48, sha384, CHAIN[1]) == ()

    def test_an_empty_chain_is_a_fault(self) -> None:
        assert check_root_hash([], b"", sha384) != ()


def sha384(data: bytes) -> bytes:
    return hashlib.sha384(data).digest()


class TestSignatures:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_certificate_signed_by_another_key_is_found(self, kind: str) -> None:
        root, intermediate, _ = device_chain(kind)
        forged = leaf_of(intermediate, kind=kind, signing_key=make_key(kind, 9))
        fault = only(check_signatures(certificates(root, intermediate, forged)))
        assert (fault.index, fault.message) == (
            2,
            "CN=Test Device: signature by CN=Test Intermediate is wrong",
        )

    def test_a_key_of_another_type_than_the_signature_is_found(self) -> None:
        forged = leaf_of(INTERMEDIATE, signing_key=make_key("rsa2048"))
        fault = only(check_signatures(certificates(ROOT, INTERMEDIATE, forged)))
        assert fault.index == 2
        assert "cannot be verified" in fault.message

    def test_a_first_certificate_that_says_it_signed_itself_must_have(self) -> None:
        forged = issue("Test Root", signing_key=make_key("p256", 9))
        fault = only(check_signatures([forged.certificate]))
        assert (fault.index, fault.message) == (0, "CN=Test Root: signature by itself is wrong")

    def test_a_first_certificate_issued_by_another_is_left_to_the_anchor(self) -> None:
        assert check_signatures(CHAIN[1:]) == ()
        assert check_signatures(certificates(rolled_over(issue("Vendor")))) == ()


class TestAnchor:
    def test_the_first_certificate_may_be_the_anchor_itself(self) -> None:
        assert find_anchor(CHAIN, [issue("Other").certificate, CHAIN[0]]) == CHAIN[0]
        assert find_anchor(CHAIN[1:], [CHAIN[1]]) == CHAIN[1]

    def test_a_name_alone_is_no_anchor(self) -> None:
        impostor = issue("Test Root", number=9).certificate
        assert find_anchor(CHAIN, [impostor]) is None
        assert find_anchor(CHAIN[1:], [impostor]) is None
        assert "signature by CN=Test Root is wrong" in why_no_anchor(CHAIN[1:], [impostor])

    def test_among_anchors_of_one_name_the_one_that_signed_is_found(self) -> None:
        impostor = issue("Test Root", number=9).certificate
        assert find_anchor(CHAIN[1:], [impostor, CHAIN[0]]) == CHAIN[0]

    def test_a_renewed_root_with_the_same_key_still_vouches(self) -> None:
        renewed = issue("Test Root", not_after=FOREVER).certificate
        assert find_anchor(CHAIN[1:], [renewed]) == renewed
        assert find_anchor(CHAIN, [renewed]) == renewed

    def test_all_anchors_that_vouch_are_found_and_the_chain_s_own_comes_first(self) -> None:
        renewed = issue("Test Root", not_after=FOREVER).certificate
        stranger, impostor = issue("Other").certificate, issue("Test Root", number=9).certificate
        assert find_anchors(CHAIN, [stranger, renewed, impostor, CHAIN[0]]) == (CHAIN[0], renewed)
        assert find_anchors(CHAIN[1:], [stranger, renewed, impostor, CHAIN[0]]) == (renewed, CHAIN[0])
        assert find_anchors(CHAIN, [stranger, impostor]) == ()
        assert find_anchors([], [CHAIN[0]]) == ()

    def test_an_anchor_further_down_the_chain_does_not_count(self) -> None:
        assert find_anchor(CHAIN, [CHAIN[1]]) is None
        assert "only certificate 1 of it, CN=Test Intermediate, is trusted" in why_no_anchor(CHAIN, [CHAIN[1]])

    @pytest.mark.parametrize(
        ("anchor", "words"),
        [
            (issue("Test Root", path_length=0), "allows 0 CA certificates below it, 1 follow"),
            (issue("Test Root", ca=False), "is not a CA"),
            (issue("Test Root", key_usage=LEAF_USAGE), "lacks keyCertSign"),
        ],
    )
    def test_leaving_the_root_out_does_not_escape_its_limits(self, anchor: Issued, words: str) -> None:
        assert find_anchor(CHAIN[1:], [anchor.certificate]) is None
        assert words in why_no_anchor(CHAIN[1:], [anchor.certificate])

    def test_a_root_rolled_over_is_anchored_by_the_old_one(self) -> None:
        old = issue("Vendor")
        new = rolled_over(old)
        certs = certificates(new, leaf_of(new))
        assert everything(certs) == ()
        assert find_anchor(certs, [old.certificate]) == old.certificate

    def test_nothing_is_anchored_without_anchors_or_certificates(self) -> None:
        assert find_anchor(CHAIN, []) is None
        assert find_anchor([], [CHAIN[0]]) is None
        assert why_no_anchor(CHAIN, []) == "no root is trusted"
        assert why_no_anchor([], [CHAIN[0]]) == "the chain has no certificate"

    def test_a_chain_of_strangers_is_explained_by_what_it_begins_with(self) -> None:
        wanted = "the chain begins with CN=Test Intermediate, issued by CN=Test Root, which "
        others = [issue("Other").certificate, issue("Another").certificate]
        assert why_no_anchor(CHAIN[1:], others) == f"{wanted}none of the 2 trusted roots is or has issued"
        assert why_no_anchor(CHAIN[1:], others[:1]) == f"{wanted}the one trusted root neither is nor has issued"


class TestValidity:
    def test_both_ends_are_inside(self) -> None:
        assert check_validity(CHAIN, NOT_BEFORE) == ()
        assert check_validity(CHAIN, NOT_AFTER) == ()

    def test_before_and_after_every_certificate_is_named(self) -> None:
        early = check_validity(CHAIN, NOT_BEFORE - timedelta(seconds=1))
        assert [fault.index for fault in early] == [0, 1, 2]
        assert early[0].message == "CN=Test Root is not valid before 2020-01-01 00:00:00Z"
        late = check_validity(CHAIN, NOT_AFTER + timedelta(seconds=1))
        assert [fault.index for fault in late] == [0, 1, 2]
        assert late[2].message == "CN=Test Device expired on 2090-01-01 00:00:00Z"

    def test_year_9999_never_expires(self) -> None:
        assert check_validity([issue("Root", not_after=FOREVER).certificate], datetime.max.replace(tzinfo=UTC)) == ()

    def test_only_the_certificate_that_expired_is_named(self) -> None:
        short = leaf_of(INTERMEDIATE, not_after=NOW - timedelta(days=1))
        assert only(check_validity(certificates(ROOT, INTERMEDIATE, short), NOW)).index == 2


class TestOrder:
    def test_every_order_of_a_chain_becomes_root_first(self) -> None:
        for shuffled in permutations(CHAIN):
            assert order_root_first(shuffled) == CHAIN
        for shuffled in permutations(CHAIN[1:]):
            assert order_root_first(shuffled) == CHAIN[1:]

    def test_one_certificate_and_duplicates_are_in_order(self) -> None:
        assert order_root_first(CHAIN[:1]) == CHAIN[:1]
        assert order_root_first((*CHAIN, *CHAIN)) == CHAIN

    def test_a_wrong_signature_does_not_hide_the_order(self) -> None:
        forged = leaf_of(INTERMEDIATE, signing_key=make_key("p256", 9)).certificate
        assert order_root_first((forged, CHAIN[0], CHAIN[1])) == (CHAIN[0], CHAIN[1], forged)

    def test_two_issuers_of_one_name_are_told_apart_by_their_signatures(self) -> None:
        old = issue("Vendor")
        new = rolled_over(old)
        certs = certificates(old, new, leaf_of(new))
        for shuffled in permutations(certs):
            assert order_root_first(shuffled) == certs

    @pytest.mark.parametrize(
        "certs",
        [
            pytest.param((), id="none"),
            pytest.param((CHAIN[0], CHAIN[2]), id="a gap"),
            pytest.param((*CHAIN, issue("Other").certificate), id="a stranger"),
            pytest.param((*CHAIN, leaf_of(INTERMEDIATE, number=5).certificate), id="two leaves"),
            pytest.param(
                certificates(
                    issue("A", issuer_name="B"), issue("B", issuer_name="A", number=1), issue("C", issuer_name="C")
                ),
                id="a circle",
            ),
        ],
    )
    def test_what_is_not_one_chain_is_refused(self, certs: tuple[Certificate, ...]) -> None:
        with pytest.raises(CertificateProblem, match=r"one chain"):
            order_root_first(certs)

    @given(st.lists(st.sampled_from(CHAIN), max_size=6))
    def test_the_result_is_the_input_reordered_or_the_clean_error(self, certs: list[Certificate]) -> None:
        wanted = [certificate for certificate in CHAIN if certificate in certs]
        if certs and wanted in ([*CHAIN], [*CHAIN[1:]], [*CHAIN[:2]], *([one] for one in CHAIN)):
            assert list(order_root_first(certs)) == wanted
        else:
            with pytest.raises(CertificateProblem):
                order_root_first(certs)


def test_more_certificates_than_a_chain_may_have_are_not_ordered() -> None:
    with pytest.raises(CertificateProblem, match="not one chain of 1 to 64"):
        order_root_first([issue("Root", not_after=NOW + timedelta(days=day)).certificate for day in range(65)])


@pytest.mark.parametrize("kind", ["p256", "rsa2048", "ed25519"])
def test_no_byte_of_a_chain_can_be_changed_unnoticed(kind: str) -> None:
    certs = certificates(*device_chain(kind))
    data = b"".join(certificate.der for certificate in certs)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x01
        try:
            found = split_der(bytes(changed), "changed")
        except CertificateProblem:
            continue
        noticed = check_structure(found) or check_signatures(found) or not find_anchor(found, certs[:1])
        assert noticed, f"byte {place}"
