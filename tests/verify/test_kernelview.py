"""The kernel's rules on a chain, each broken by a chain made for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.verify.kernelview import RULES, Answer, Held, KernelView, simulate
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.identity import CMA_OID
from tests.evidence.loopback import IDENTITY
from tests.x509.pki import (
    LEAF_USAGE,
    Issued,
    authority,
    certificates,
    device_chain,
    issue,
    leaf_of,
    other_name,
    rolled_over,
    subject_alt_name,
    usage,
    utf8_string,
)

NAMED = (subject_alt_name(other_name(CMA_OID, utf8_string(IDENTITY.san_string()))), False)
ROOT, INTERMEDIATE, _ = device_chain()
LEAF = leaf_of(INTERMEDIATE, extensions=[NAMED])
GOOD = certificates(ROOT, INTERMEDIATE, LEAF)
ANCHORS = [ROOT.certificate]


def broken(view: KernelView) -> list[int]:
    return [finding.rule for finding in view.findings if finding.held is Held.BROKEN]


def of_leaf(leaf: Issued) -> tuple[Certificate, ...]:
    return certificates(ROOT, INTERMEDIATE, leaf)


def test_a_chain_that_keeps_every_rule_is_accepted() -> None:
    for chain in (GOOD, GOOD[1:]):
        view = simulate(chain, ANCHORS, slot=0, identity=IDENTITY)
        assert view.answer is Answer.ACCEPTS
        assert {finding.rule for finding in view.findings} == set(RULES)
        assert [finding.rule for finding in view.findings if finding.held is Held.UNKNOWN] == [4]


def other_key(number: int) -> Issued:
    return issue("Test Root", number=number)


BROKEN: dict[str, tuple[tuple[Certificate, ...], list[int]]] = {
    "the kernel lacks the algorithm of the leaf's key": (
        of_leaf(leaf_of(INTERMEDIATE, kind="p224", extensions=[NAMED])),
        [3],
    ),
    "a leaf whose dates the kernel's parser does not read": (
        of_leaf(leaf_of(INTERMEDIATE, not_before=datetime(1960, 1, 1, tzinfo=UTC), extensions=[NAMED])),
        [2],
    ),
    "an intermediate that is no CA": (
        certificates(
            ROOT,
            no_ca := issue("No CA", ROOT, number=3, ca=False),
            leaf_of(no_ca, extensions=[NAMED]),
        ),
        [5],
    ),
    "a leaf that is a CA": (of_leaf(leaf_of(INTERMEDIATE, ca=True, extensions=[NAMED])), [5]),
    "a leaf that may not sign": (
        of_leaf(leaf_of(INTERMEDIATE, key_usage=usage(), extensions=[NAMED])),
        [6],
    ),
    "a leaf that may issue": (
        of_leaf(leaf_of(INTERMEDIATE, key_usage=usage(digital_signature=True, key_cert_sign=True), extensions=[NAMED])),
        [7],
    ),
    "a root that nobody enrolled": (
        certificates(stranger := issue("Stranger", number=4), leaf_of(stranger, extensions=[NAMED])),
        [8],
    ),
    "a root with the name of an enrolled one and another key": (
        certificates(other_key(5), leaf_of(other_key(5), extensions=[NAMED])),
        [9],
    ),
    "a leaf signed by somebody else": (
        of_leaf(leaf_of(INTERMEDIATE, signing_key=issue("Forger", number=6).key, extensions=[NAMED])),
        [10],
    ),
    "a leaf without a name": (of_leaf(leaf_of(INTERMEDIATE)), [11]),
    "a leaf with the name of another function": (
        of_leaf(
            leaf_of(
                INTERMEDIATE,
                extensions=[
                    (
                        subject_alt_name(other_name(CMA_OID, utf8_string(replace(IDENTITY, device=0x11).san_string()))),
                        False,
                    )
                ],
            )
        ),
        [11],
    ),
}


@pytest.mark.parametrize(("chain", "rules"), BROKEN.values(), ids=list(BROKEN))
def test_each_rule_is_found_broken_by_a_chain_that_breaks_it(chain: tuple[Certificate, ...], rules: list[int]) -> None:
    view = simulate(chain, ANCHORS, slot=0, identity=IDENTITY)
    assert broken(view) == rules
    assert view.answer is Answer.REFUSES
    assert f"rule {rules[0]}" in view.reason


def test_a_leaf_of_another_slot_need_not_be_able_to_sign() -> None:
    chain = of_leaf(leaf_of(INTERMEDIATE, key_usage=usage(), extensions=[NAMED]))
    assert simulate(chain, ANCHORS, slot=1, identity=IDENTITY).answer is Answer.ACCEPTS


def test_only_the_issuer_of_the_first_certificate_counts() -> None:
    """Enrolling the intermediate of a chain that begins with its root does nothing (kernel-abi.md §6.3)."""
    assert broken(simulate(GOOD, [INTERMEDIATE.certificate], slot=0, identity=IDENTITY)) == [8]
    assert simulate(GOOD[2:], [INTERMEDIATE.certificate], slot=0, identity=IDENTITY).answer is Answer.ACCEPTS
    assert broken(simulate(GOOD[2:], [LEAF.certificate], slot=0, identity=IDENTITY)) == [8]


def test_a_self_signed_leaf_pins_one_device_and_a_self_signed_ca_does_not() -> None:
    pinned = issue("Pinned", ca=False, key_usage=LEAF_USAGE, extensions=[NAMED])
    assert simulate(certificates(pinned), [pinned.certificate], slot=0, identity=IDENTITY).answer is Answer.ACCEPTS
    authority = issue("Authority", key_usage=LEAF_USAGE, extensions=[NAMED])
    assert broken(simulate(certificates(authority), [authority.certificate], slot=0, identity=IDENTITY)) == [5]


def test_the_lookup_goes_by_key_identifier_where_there_is_one() -> None:
    heir = rolled_over(ROOT)
    chain = certificates(heir, leaf_of(heir, extensions=[NAMED]))
    assert simulate(chain, ANCHORS, slot=0, identity=IDENTITY).answer is Answer.ACCEPTS
    assert broken(simulate(chain, [heir.certificate], slot=0, identity=IDENTITY)) == [8]


@pytest.mark.parametrize(
    ("extension", "found"),
    [
        (authority(ROOT), True),
        (authority(ROOT, by_name=False), True),
        (authority(ROOT, serial=7), False),
        (authority(ROOT, key_id=bytes(20)), False),
        (authority(ROOT, key_id=bytes(20), by_name=False), False),
    ],
)
def test_an_authority_that_is_named_must_be_the_root_in_everything(
    extension: tuple[x509.ExtensionType, bool], found: bool
) -> None:
    chain = certificates(leaf_of(ROOT, extensions=[NAMED, extension]))
    assert broken(simulate(chain, ANCHORS, slot=0, identity=IDENTITY)) == ([] if found else [8])


@given(st.sampled_from(GOOD), st.data())
def test_a_damaged_certificate_is_judged_like_any_other(certificate: Certificate, data: st.DataObject) -> None:
    der = bytearray(certificate.der)
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        damaged = Certificate.from_der(bytes(der), "damaged")
    except CertificateProblem:
        return
    chain = [damaged if one == certificate else one for one in GOOD]
    view = simulate(chain, ANCHORS, slot=0, identity=IDENTITY)
    assert [finding.rule for finding in view.findings] == list(RULES)
    assert damaged == certificate or view.answer is not Answer.ACCEPTS


def test_of_two_roots_that_a_certificate_may_mean_the_kernel_tries_one() -> None:
    """Equal names, and no key identifier to choose by: which key it comes upon first is chance."""
    first = issue("Twin", subject_key_id=False, number=3)
    second = issue("Twin", subject_key_id=False, number=4)
    chain = certificates(leaf_of(first, extensions=[NAMED]))
    view = simulate(chain, certificates(second, first), slot=0, identity=IDENTITY)
    assert view.answer is Answer.UNKNOWN
    assert "names 2 roots as its issuer, and 1 of them did not sign it" in view.reason
    assert simulate(chain, certificates(first), slot=0, identity=IDENTITY).answer is Answer.ACCEPTS
    assert broken(simulate(chain, certificates(second), slot=0, identity=IDENTITY)) == [9]


def test_a_root_that_no_kernel_loads_is_named_as_the_reason() -> None:
    modern = issue("Modern", kind="ed25519")
    chain = certificates(modern, leaf_of(modern, extensions=[NAMED]))
    view = simulate(chain, [modern.certificate], slot=0, identity=IDENTITY)
    assert {3, 8} <= set(broken(view))
    (missing,) = [finding for finding in view.findings if finding.rule == 8]
    assert "no kernel loads" in missing.reason


def test_names_between_certificates_are_not_compared() -> None:
    """The kernel verifies with the key before and looks at nothing else; we are stricter."""
    chain = of_leaf(leaf_of(INTERMEDIATE, issuer_name="Somebody else", extensions=[NAMED]))
    assert simulate(chain, ANCHORS, slot=0, identity=IDENTITY).answer is Answer.ACCEPTS


def test_without_the_function_the_last_rule_is_unknown_and_said_so() -> None:
    view = simulate(GOOD, ANCHORS, slot=0)
    assert view.answer is Answer.ACCEPTS
    assert "rule 11" in view.reason


def test_an_undecodable_name_is_told_from_a_wrong_one() -> None:
    bad = (subject_alt_name(other_name(CMA_OID, b"\x13\x01x")), False)
    (finding,) = [
        one
        for one in simulate(of_leaf(leaf_of(INTERMEDIATE, extensions=[bad])), ANCHORS, identity=IDENTITY).findings
        if one.rule == 11
    ]
    assert finding.errno == "EBADMSG"


def test_without_a_chain_there_is_no_opinion() -> None:
    assert simulate((), ANCHORS).answer is Answer.UNKNOWN
