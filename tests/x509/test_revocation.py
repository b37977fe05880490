"""What lists and responses say of a chain, as a table of cases, and what they are not believed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.x509 import crl as crl_module
from cmakeys.x509.bundle import read_certificates
from cmakeys.x509.crl import MAX_LIST_SIZE, RevocationList, RevocationProblem
from cmakeys.x509.horizon import Horizon
from cmakeys.x509.ocsp import OcspResponse
from cmakeys.x509.revocation import (
    RevocationRecords,
    RevocationStatus,
    Standing,
    check_revocation,
    crl_urls,
    ocsp_urls,
    read_revocation,
)
from tests.x509.pki import LEAF_USAGE, NOW, certificates, issue
from tests.x509.revocations import (
    CRL_URL,
    DAY,
    LIST_SIGNER,
    OCSP_URL,
    UNKNOWN,
    chain,
    crl,
    crl_der,
    responder,
    response,
    scope,
)

ROOT, MIDDLE, LEAF = chain()
CHAIN = certificates(ROOT, MIDDLE, LEAF)
OTHER = issue("Other", number=7, key_usage=LIST_SIGNER)
NAMESAKE = issue("Middle", number=8, key_usage=LIST_SIGNER)
WEEK = Horizon(timedelta(days=7))
GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED
SERIAL = LEAF.certificate.serial_number


def records(*items: RevocationList | OcspResponse) -> RevocationRecords:
    return RevocationRecords(
        tuple(item for item in items if isinstance(item, RevocationList)),
        tuple(item for item in items if isinstance(item, OcspResponse)),
    )


def statuses(*items: RevocationList | OcspResponse, at: datetime | None = NOW) -> tuple[RevocationStatus, ...]:
    return check_revocation(CHAIN, records(*items), at=at, tolerance=WEEK)


@dataclass(frozen=True)
class Row:
    """One case: what is at hand, what it means for the leaf, and a word of the reason."""

    title: str
    make: Callable[[], tuple[RevocationList | OcspResponse, ...]]
    leaf: Standing
    says: str


def forged(made: OcspResponse) -> OcspResponse:
    """The response with the last byte of its signature changed; no certificate comes along behind it."""
    return OcspResponse.from_der(made.der[:-1] + bytes([made.der[-1] ^ 1]), made.source)


def revoked_by_list(reason: x509.ReasonFlags | None = None, **changes: object) -> RevocationList:
    return crl(MIDDLE, {SERIAL: reason}, **changes)  # type: ignore[arg-type]  # the caller names arguments of crl


Flags = x509.ReasonFlags
TABLE = [
    Row("nothing at hand", lambda: (), Standing.UNKNOWN, "nothing speaks of it"),
    Row("a fresh list without it", lambda: (crl(MIDDLE),), Standing.GOOD, "not revoked"),
    Row("a list of the root only", lambda: (crl(ROOT),), Standing.UNKNOWN, "nothing speaks of it"),
    Row("listed", lambda: (crl(MIDDLE, [LEAF]),), Standing.REVOKED, "revoked on 2039-12-30, says the list"),
    Row("listed with a reason", lambda: (revoked_by_list(Flags.key_compromise),), Standing.REVOKED, "keyCompromise"),
    Row("on hold", lambda: (revoked_by_list(Flags.certificate_hold),), Standing.REVOKED, "on hold since"),
    Row(
        "a hold that a later list lifts",
        lambda: (revoked_by_list(Flags.certificate_hold, this_update=NOW - 2 * DAY), crl(MIDDLE)),
        Standing.GOOD,
        "not revoked",
    ),
    Row(
        "a hold that an earlier list did not have",
        lambda: (revoked_by_list(Flags.certificate_hold), crl(MIDDLE, this_update=NOW - 2 * DAY)),
        Standing.REVOKED,
        "on hold",
    ),
    Row(
        "a hold that a later list of others seems to lift",
        lambda: (revoked_by_list(Flags.certificate_hold, this_update=NOW - 2 * DAY), crl(MIDDLE, key=OTHER.key)),
        Standing.REVOKED,
        "on hold",
    ),
    Row(
        "a revocation that a later list has forgotten",
        lambda: (revoked_by_list(Flags.key_compromise, this_update=NOW - 2 * DAY), crl(MIDDLE)),
        Standing.REVOKED,
        "keyCompromise",
    ),
    Row(
        "removed, in a list that is not a delta",
        lambda: (revoked_by_list(Flags.remove_from_crl),),
        Standing.UNKNOWN,
        "removeFromCRL",
    ),
    Row(
        "a little out of date",
        lambda: (crl(MIDDLE, this_update=NOW - 9 * DAY, next_update=NOW - DAY),),
        Standing.STALE,
        "the next one was due on 2039-12-31",
    ),
    Row(
        "long out of date",
        lambda: (crl(MIDDLE, this_update=NOW - 90 * DAY, next_update=NOW - 8 * DAY),),
        Standing.UNKNOWN,
        "out of date since",
    ),
    Row(
        "long out of date, and listed",
        lambda: (crl(MIDDLE, [LEAF], this_update=NOW - 90 * DAY, next_update=NOW - 60 * DAY),),
        Standing.REVOKED,
        "revoked on",
    ),
    Row(
        "a stale list and a fresh one",
        lambda: (crl(MIDDLE, this_update=NOW - 9 * DAY, next_update=NOW - DAY), crl(MIDDLE)),
        Standing.GOOD,
        "not revoked",
    ),
    Row(
        "from the future",
        lambda: (crl(MIDDLE, this_update=NOW + DAY, next_update=NOW + 2 * DAY),),
        Standing.UNKNOWN,
        "from the future",
    ),
    Row("a forged signature", lambda: (crl(MIDDLE, key=OTHER.key),), Standing.UNKNOWN, "is wrong"),
    Row("a forged revocation", lambda: (crl(MIDDLE, [LEAF], key=OTHER.key),), Standing.UNKNOWN, "is wrong"),
    Row("by a namesake", lambda: (crl(NAMESAKE, [LEAF]),), Standing.UNKNOWN, "is wrong"),
    Row("by somebody else", lambda: (crl(OTHER, [LEAF]),), Standing.UNKNOWN, "nothing speaks of it"),
    Row(
        "a delta list",
        lambda: (crl(MIDDLE, [LEAF], extensions=[(x509.DeltaCRLIndicator(1), True)]),),
        Standing.UNKNOWN,
        "a delta list",
    ),
    Row(
        "an indirect list",
        lambda: (crl(MIDDLE, [LEAF], extensions=[scope(indirect_crl=True)]),),
        Standing.UNKNOWN,
        "an indirect list",
    ),
    Row(
        "an entry for another issuer",
        lambda: (
            crl(
                MIDDLE,
                [LEAF],
                entry_extensions=[
                    (x509.CertificateIssuer([x509.DirectoryName(OTHER.certificate.parsed.subject)]), True)
                ],
            ),
        ),
        Standing.UNKNOWN,
        "names another issuer",
    ),
    Row(
        "attribute certificates only",
        lambda: (crl(MIDDLE, extensions=[scope(only_contains_attribute_certs=True)]),),
        Standing.UNKNOWN,
        "attribute certificates",
    ),
    Row(
        "authorities only",
        lambda: (crl(MIDDLE, extensions=[scope(only_contains_ca_certs=True)]),),
        Standing.UNKNOWN,
        "authorities only",
    ),
    Row(
        "devices only",
        lambda: (crl(MIDDLE, extensions=[scope(only_contains_user_certs=True)]),),
        Standing.GOOD,
        "not revoked",
    ),
    Row(
        "some reasons only",
        lambda: (crl(MIDDLE, extensions=[scope(only_some_reasons=frozenset({Flags.key_compromise}))]),),
        Standing.UNKNOWN,
        "some reasons",
    ),
    Row(
        "listed, in a list of some reasons only",
        lambda: (crl(MIDDLE, [LEAF], extensions=[scope(only_some_reasons=frozenset({Flags.key_compromise}))]),),
        Standing.REVOKED,
        "revoked on",
    ),
    Row(
        "this distribution point",
        lambda: (crl(MIDDLE, extensions=[scope(full_name=[x509.UniformResourceIdentifier(CRL_URL)])]),),
        Standing.GOOD,
        "not revoked",
    ),
    Row(
        "another distribution point",
        lambda: (crl(MIDDLE, extensions=[scope(full_name=[x509.UniformResourceIdentifier("http://x.example/")])]),),
        Standing.UNKNOWN,
        "another distribution point",
    ),
    Row(
        "an unknown critical extension",
        lambda: (crl(MIDDLE, [LEAF], extensions=[(UNKNOWN, True)]),),
        Standing.UNKNOWN,
        "1.3.6.1.4.1.32473.1 is not understood",
    ),
    Row(
        "an unknown extension that is not critical",
        lambda: (crl(MIDDLE, extensions=[(UNKNOWN, False)]),),
        Standing.GOOD,
        "not revoked",
    ),
    Row(
        "an unknown critical extension in an entry about another certificate",
        lambda: (crl(MIDDLE, {4711: None}, entry_extensions=[(UNKNOWN, True)]),),
        Standing.UNKNOWN,
        "of an entry is not understood",
    ),
    Row("a good response", lambda: (response(LEAF, MIDDLE),), Standing.GOOD, "not revoked"),
    Row("a response by name", lambda: (response(LEAF, MIDDLE, by_name=True),), Standing.GOOD, "not revoked"),
    Row(
        "a response that says revoked",
        lambda: (response(LEAF, MIDDLE, status=REVOKED, reason=Flags.key_compromise),),
        Standing.REVOKED,
        "keyCompromise",
    ),
    Row(
        "revoked wins over good",
        lambda: (response(LEAF, MIDDLE, status=REVOKED), crl(MIDDLE)),
        Standing.REVOKED,
        "revoked on",
    ),
    Row(
        "a responder that does not know it",
        lambda: (response(LEAF, MIDDLE, status=ocsp.OCSPCertStatus.UNKNOWN),),
        Standing.UNKNOWN,
        "does not know it",
    ),
    Row(
        "a delegated responder",
        lambda: (response(LEAF, MIDDLE, signer=responder(MIDDLE)),),
        Standing.GOOD,
        "not revoked",
    ),
    Row(
        "a delegated responder that was not certified for it",
        lambda: (response(LEAF, MIDDLE, signer=responder(MIDDLE, ocsp_signing=False)),),
        Standing.UNKNOWN,
        "not certified for OCSP",
    ),
    Row(
        "a responder certified by somebody else",
        lambda: (response(LEAF, MIDDLE, signer=responder(OTHER)),),
        Standing.UNKNOWN,
        "the responder CN=Responder",
    ),
    Row(
        "a delegated responder whose certificate is over",
        lambda: (response(LEAF, MIDDLE, signer=responder(MIDDLE, not_after=NOW - DAY)),),
        Standing.UNKNOWN,
        "expired",
    ),
    Row(
        "the device answers for itself",
        lambda: (response(LEAF, MIDDLE, signer=LEAF),),
        Standing.UNKNOWN,
        "the responder CN=Leaf",
    ),
    Row(
        "a forged response",
        lambda: (forged(response(LEAF, MIDDLE)),),
        Standing.UNKNOWN,
        "is wrong",
    ),
    Row(
        "a response about a namesake's certificate",
        lambda: (response(LEAF, NAMESAKE),),
        Standing.UNKNOWN,
        "nothing speaks of it",
    ),
    Row(
        "a response a little out of date",
        lambda: (response(LEAF, MIDDLE, this_update=NOW - 5 * DAY, next_update=NOW - DAY),),
        Standing.STALE,
        "was due",
    ),
    Row(
        "a response without a date for the next",
        lambda: (response(LEAF, MIDDLE, this_update=NOW - DAY, next_update=None),),
        Standing.STALE,
        "was due",
    ),
    Row(
        "an old response without a date for the next",
        lambda: (response(LEAF, MIDDLE, this_update=NOW - 8 * DAY, next_update=None),),
        Standing.UNKNOWN,
        "out of date",
    ),
    Row(
        "an unknown critical extension in a response",
        lambda: (response(LEAF, MIDDLE, extensions=[(UNKNOWN, True)]),),
        Standing.UNKNOWN,
        "not understood",
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.title)
def test_what_is_known_of_the_leaf(row: Row) -> None:
    middle, leaf = statuses(*row.make())
    assert (leaf.standing, leaf.certificate) == (row.leaf, LEAF.certificate)
    assert row.says in leaf.reason
    assert middle.standing is (Standing.GOOD if row.title == "a list of the root only" else Standing.UNKNOWN)


def test_a_delegated_responder_that_is_itself_revoked_is_not_believed() -> None:
    by = responder(MIDDLE)
    old = crl(MIDDLE, [by], this_update=NOW - 90 * DAY, next_update=NOW - 60 * DAY)
    _, leaf = statuses(response(LEAF, MIDDLE, signer=by), old)
    assert leaf.standing is Standing.UNKNOWN
    assert "is itself revoked" in leaf.reason


def test_a_revoked_intermediate_is_found() -> None:
    middle, leaf = statuses(crl(ROOT, [MIDDLE]), crl(MIDDLE))
    assert (middle.standing, leaf.standing) == (Standing.REVOKED, Standing.GOOD)


def test_the_anchor_is_not_asked_about() -> None:
    assert [status.certificate for status in statuses(crl(ROOT, [ROOT]))] == [MIDDLE.certificate, LEAF.certificate]
    assert check_revocation(CHAIN[:1], records(crl(ROOT, [ROOT])), at=NOW) == ()


def test_an_issuer_that_may_not_sign_lists_is_not_believed() -> None:
    root = issue("No Lists")
    leaf = issue("Device", root, number=2, ca=False, key_usage=LEAF_USAGE)
    (status,) = check_revocation(certificates(root, leaf), records(crl(root, [leaf])), at=NOW)
    assert status.standing is Standing.UNKNOWN
    assert "lacks cRLSign" in status.reason


def test_without_a_clock_nothing_is_stale_and_revoked_is_revoked() -> None:
    old = {"this_update": NOW - 900 * DAY, "next_update": NOW - 800 * DAY}
    assert statuses(crl(MIDDLE, **old), at=None)[1].standing is Standing.GOOD  # type: ignore[arg-type]
    assert statuses(crl(MIDDLE, [LEAF], **old), at=None)[1].standing is Standing.REVOKED  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("days", "percent", "standing"),
    [(0, 50, Standing.STALE), (0, 10, Standing.UNKNOWN), (5, 0, Standing.STALE), (4, 0, Standing.UNKNOWN)],
)
def test_the_tolerance_is_a_duration_or_a_share_of_the_list_s_time(days: int, percent: int, standing: Standing) -> None:
    late = crl(MIDDLE, this_update=NOW - 15 * DAY, next_update=NOW - 5 * DAY)
    found = check_revocation(CHAIN, records(late), at=NOW, tolerance=Horizon(timedelta(days=days), percent))
    assert found[1].standing is standing


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048", "ed25519", "ed448", "mldsa65"])
def test_lists_of_every_algorithm_that_signs_them(kind: str) -> None:
    root, middle, leaf = chain(kind)
    made = crl(middle, [leaf])
    assert made.issuer_problem(middle.certificate) == ""
    changed = RevocationList(made.der[:-1] + bytes([made.der[-1] ^ 1]))
    assert changed.issuer_problem(middle.certificate) != ""
    found = check_revocation(certificates(root, middle, leaf), records(made), at=NOW)
    assert [status.standing for status in found] == [Standing.UNKNOWN, Standing.REVOKED]


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048", "ed25519", "ed448"])
def test_responses_of_every_algorithm_that_signs_them(kind: str) -> None:
    root, middle, leaf = chain(kind)
    made = response(leaf, middle, status=REVOKED)
    assert made.signer_problem(middle.certificate, NOW) == ""
    found = check_revocation(certificates(root, middle, leaf), records(made), at=NOW)
    assert [status.standing for status in found] == [Standing.UNKNOWN, Standing.REVOKED]


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_list_and_a_response_are_told_apart_and_pem_is_read() -> None:
    made, answer = crl(MIDDLE), response(LEAF, MIDDLE)
    assert read_revocation(made.der, "x") == made
    assert read_revocation(made.parsed.public_bytes(Encoding.PEM), "x") == made
    assert read_revocation(b"from the vendor\n" + made.parsed.public_bytes(Encoding.PEM), "x") == made
    assert read_revocation(answer.der, "x") == answer


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        LEAF.certificate.der,
        crl_der(MIDDLE) + b"\0",
        crl_der(MIDDLE)[:-1],
        response(LEAF, MIDDLE).der + b"\0",
        2 * crl(MIDDLE).parsed.public_bytes(Encoding.PEM),
        b"-----BEGIN X509 CRL-----\nAAAA\n",
        ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER),
    ],
    ids=["empty", "text", "certificate", "longer", "cut", "longer-ocsp", "two", "half", "try-later"],
)
def test_what_is_neither_is_refused_by_the_name_of_its_file(data: bytes) -> None:
    with pytest.raises(RevocationProblem) as caught:
        read_revocation(data, "x.crl")
    assert caught.value.object == "x.crl"


def test_a_list_that_is_too_large_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(RevocationProblem, match=f"more than {MAX_LIST_SIZE}"):
        RevocationList.from_der(bytes(MAX_LIST_SIZE + 1), "x")


def test_a_list_of_too_many_entries_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crl_module, "MAX_LIST_ENTRIES", 2)
    made = crl(MIDDLE, {1: None, 2: None, 3: None})
    assert made.refusal == "3 entries, more than 2"
    assert not made.entries
    assert len(crl(MIDDLE, {1: None, 2: None}).entries) == 2


@given(st.binary(max_size=300))
def test_any_bytes_give_a_record_or_the_clean_error(data: bytes) -> None:
    with pytest.raises(RevocationProblem):
        read_revocation(data, "x")


SAMPLES = (
    crl_der(MIDDLE, {1: Flags.key_compromise, 2: None}, extensions=[scope(only_contains_ca_certs=True)]),
    response(LEAF, MIDDLE, signer=responder(MIDDLE), status=REVOKED).der,
)


@given(st.sampled_from(SAMPLES), st.data())
def test_a_changed_byte_never_gives_an_answer_that_is_believed(sample: bytes, data: st.DataObject) -> None:
    changed = bytearray(sample)
    changed[data.draw(st.integers(0, len(sample) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        record = read_revocation(bytes(changed), "x")
    except RevocationProblem:
        return
    believed = {status.standing for status in check_revocation(CHAIN, records(record), at=NOW)}
    original = {status.standing for status in check_revocation(CHAIN, records(read_revocation(sample, "x")), at=NOW)}
    # Bytes that nobody signed, as the order of certificates that come along, may change; what is said may not.
    assert believed <= original | {Standing.UNKNOWN}


def test_records_travel_to_another_process() -> None:
    both = records(crl(MIDDLE, [LEAF]), response(LEAF, MIDDLE))
    _ = (both.lists[0].entries, both.responses[0].statements)
    copy = pickle.loads(pickle.dumps(both))  # noqa: S301 our own
    assert copy == both
    assert check_revocation(CHAIN, copy, at=NOW)[1].standing is Standing.REVOKED


def test_records_are_joined_without_doubles() -> None:
    one, other = crl(MIDDLE), crl(ROOT)
    assert (records(one) + records(one, other)).lists == (one, other)
    assert not records()
    assert records(one)


def test_a_certificate_says_where_its_revocation_is_published() -> None:
    assert crl_urls(LEAF.certificate) == (CRL_URL,)
    assert ocsp_urls(LEAF.certificate) == (OCSP_URL,)
    assert crl_urls(ROOT.certificate) == ocsp_urls(ROOT.certificate) == ()
    assert all(status.published for status in statuses())


def test_a_real_chain_names_its_lists(shared_data: Path) -> None:
    chain = read_certificates((shared_data / "nvidia-hopper/hopperCertChain.txt").read_bytes(), "hopper")
    named = {url for certificate in chain for url in (*crl_urls(certificate), *ocsp_urls(certificate))}
    assert any(url.endswith(".crl") for url in named)
    assert all(url.startswith("http") for url in named)
