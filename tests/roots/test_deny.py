"""Deny entries: what each form covers, and that a date is held against certificates and never against today."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import Refused, UsageProblem
from cmakeys.roots.deny import DenyEntry, DenyIndex, DenyKind, entry_about, parse_serial, serial_text
from cmakeys.roots.document import DocumentProblem
from cmakeys.roots.ledger import Ledger
from cmakeys.roots.record import read_deny, render_deny
from cmakeys.roots.root import LifeCycle
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.store import ETC, USR, RootStore
from cmakeys.roots.transaction import Transaction, Transition
from tests.roots.trust import put, root
from tests.x509.pki import FOREVER, LEAF_USAGE, NOT_BEFORE, Issued, issue
from tests.x509.test_twins import holding_twins

A, B = root("a"), root("b")
VENDOR = issue("Vendor CA", number=1)
LONG_PAST = datetime(1990, 1, 1, tzinfo=UTC)
FAR_FUTURE = datetime(2200, 1, 1, tzinfo=UTC)


def device(not_before: datetime) -> Issued:
    return issue("Device", VENDOR, number=2, ca=False, key_usage=LEAF_USAGE, not_before=not_before, not_after=FOREVER)


def test_a_certificate_is_denied_in_the_other_form_that_its_signature_has() -> None:
    """(r, n - s) is a signature as good as (r, s): whoever presents the chain chooses between two hashes."""
    denied, (other,) = VENDOR.certificate, holding_twins(VENDOR.certificate, VENDOR.certificate)
    assert other.fingerprint != denied.fingerprint
    known = RootSet(deny=(entry_about(denied, DenyKind.CERTIFICATE),))
    assert known.denied(other) == known.denied(denied) == known.deny[0]
    assert known.denied(A.certificate) is None


# -- dates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DenyKind)
@pytest.mark.parametrize("after", [LONG_PAST, FAR_FUTURE], ids=["long-past", "far-future"])
def test_the_date_is_held_against_the_certificate_and_not_against_today(kind: DenyKind, after: datetime) -> None:
    """The classic mistake: to deny everything once the date is over, or nothing until it is."""
    older = device(after - timedelta(days=1)).certificate
    newer = device(after + timedelta(days=1)).certificate
    for certificate, expected in ((older, False), (newer, True)):
        rootset = RootSet(deny=(entry_about(certificate, kind, after=after),))
        assert (rootset.denied(certificate) is not None) is expected


@pytest.mark.parametrize("after", [LONG_PAST, FAR_FUTURE], ids=["long-past", "far-future"])
def test_in_a_chain_the_date_is_held_against_the_leaf(after: datetime) -> None:
    stolen = RootSet(deny=(entry_about(VENDOR.certificate, DenyKind.KEY, after=after),))
    issuer = issue("Vendor CA", number=1, not_before=LONG_PAST - timedelta(days=9)).certificate
    older, newer = (device(after + timedelta(days=days)).certificate for days in (-1, 1))
    assert stolen.denied(issuer, older) is None
    assert stolen.denied(issuer, newer) == stolen.deny[0]
    assert stolen.denied(newer, newer) is None  # whom the stolen key certified has another key


def test_what_begins_in_that_very_moment_is_still_believed() -> None:
    certificate = device(LONG_PAST).certificate
    assert RootSet(deny=(entry_about(certificate, DenyKind.KEY, after=LONG_PAST),)).denied(certificate) is None


def test_a_root_with_a_date_still_anchors_what_was_issued_before() -> None:
    late, early = NOT_BEFORE + timedelta(days=1), NOT_BEFORE - timedelta(days=1)
    assert RootSet((A,), (entry_about(A.certificate, DenyKind.KEY, after=late),)).anchors() == (A,)
    assert RootSet((A,), (entry_about(A.certificate, DenyKind.KEY, after=early),)).anchors() == ()


def test_an_entry_without_a_date_wins_over_one_with_a_date() -> None:
    certificate = device(LONG_PAST).certificate
    dated = entry_about(certificate, DenyKind.KEY, after=FAR_FUTURE)
    plain = entry_about(certificate, DenyKind.KEY)
    for entries in ((dated, plain), (plain, dated)):
        assert RootSet(deny=entries).denied(certificate) == plain


# -- forms -------------------------------------------------------------------------------------------------------------


def test_an_issuer_and_a_serial_number_cover_that_certificate_only() -> None:
    first, second = issue("One", VENDOR, ca=False).certificate, issue("Two", VENDOR, ca=False).certificate
    namesake = issue("One", issue("Other CA", number=3), ca=False).certificate
    rootset = RootSet(deny=(entry_about(first, DenyKind.ISSUER_SERIAL),))
    assert [rootset.denied(each) is not None for each in (first, second, namesake)] == [True, False, False]


def test_the_issuer_is_known_by_the_bytes_of_its_name() -> None:
    certificate = device(NOT_BEFORE).certificate
    name = hashlib.sha256(certificate.parsed.issuer.public_bytes()).hexdigest()
    assert entry_about(certificate, DenyKind.ISSUER_SERIAL).sha256 == name


@pytest.mark.parametrize(
    ("kind", "sha256", "serial"),
    [
        (DenyKind.ISSUER_SERIAL, "a" * 64, None),
        (DenyKind.KEY, "a" * 64, 7),
        (DenyKind.CERTIFICATE, "a" * 64, 7),
        (DenyKind.ISSUER_SERIAL, "a" * 63, 7),
    ],
)
def test_an_entry_that_would_deny_nothing_is_refused(kind: DenyKind, sha256: str, serial: int | None) -> None:
    with pytest.raises(UsageProblem):
        DenyEntry(kind, sha256, serial=serial)


def test_a_date_without_a_zone_is_refused() -> None:
    with pytest.raises(UsageProblem, match="time zone"):
        DenyEntry(DenyKind.KEY, "a" * 64, after=datetime(2027, 1, 1))


@given(st.integers(-(2**255), 2**255))
def test_a_serial_number_survives_being_written(serial: int) -> None:
    assert parse_serial(serial_text(serial)) == serial
    assert parse_serial(serial_text(serial).upper()) == serial


@pytest.mark.parametrize("text", ["", "0x1", "g", "1.2", "1" * 65, "-", "--1", "1 2"])
def test_what_is_no_serial_number_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem, match="not a serial number"):
        parse_serial(text)


TIMES = st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))
HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
TEXTS = st.text(st.characters(categories=("L", "N", "P")), max_size=40)
ENTRIES = st.one_of(
    st.builds(
        DenyEntry,
        st.sampled_from([DenyKind.CERTIFICATE, DenyKind.KEY]),
        HASHES,
        TEXTS,
        after=st.none() | TIMES,
        source=TEXTS,
    ),
    st.builds(
        DenyEntry,
        st.just(DenyKind.ISSUER_SERIAL),
        HASHES,
        TEXTS,
        st.integers(0, 2**159),
        after=st.none() | TIMES,
        source=TEXTS,
    ),
)


@given(st.lists(ENTRIES, max_size=5))
def test_written_entries_are_read_back(entries: list[DenyEntry]) -> None:
    assert read_deny(render_deny(entries), "deny.yaml") == tuple(entries)


@pytest.mark.parametrize(
    "entry",
    [
        f"{{issuer: {'a' * 64}}}",
        f"{{serial: 1a, key: {'a' * 64}}}",
        f"{{issuer: {'a' * 64}, serial: xyz}}",
        f"{{issuer: {'a' * 64}, serial: 1, key: {'a' * 64}}}",
        f"{{key: {'a' * 64}, after: 2027-01-01}}",
    ],
)
def test_a_written_entry_that_denies_nothing_certain_is_refused(entry: str) -> None:
    with pytest.raises(DocumentProblem) as caught:
        read_deny(f"schema: 1\ndeny:\n  - {entry}\n".encode(), "deny.yaml")
    assert caught.value.object == "deny.yaml line 3"


# -- many --------------------------------------------------------------------------------------------------------------


@given(st.lists(ENTRIES, max_size=30), st.sampled_from(DenyKind), st.booleans())
def test_the_index_finds_what_a_search_through_all_would_find(
    entries: list[DenyEntry], kind: DenyKind, present: bool
) -> None:
    certificate = device(NOT_BEFORE).certificate
    mine = entry_about(certificate, kind)
    index = DenyIndex([*entries, mine] if present else entries)
    assert (index.covering(certificate) == mine) is present
    assert index.includes(mine) is present


def test_ten_thousand_entries_are_read_and_asked() -> None:
    many = tuple(
        DenyEntry(DenyKind.ISSUER_SERIAL, "a" * 64, "keyCompromise", number, NOT_BEFORE, "vendor.crl")
        for number in range(10_000)
    )
    entries = read_deny(render_deny(many), "deny.yaml")
    assert entries == many
    assert RootSet((A, B), entries).anchors() == (A, B)


# -- always win --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DenyKind)
def test_an_entry_wins_over_a_copy_that_is_imported_later(tmp_path: Path, kind: DenyKind) -> None:
    store = RootStore(tmp_path)
    store.add(A)
    assert store.deny(entry_about(A.certificate, kind, "stolen"))
    store.remove("a")
    with pytest.raises(Refused, match=r"denied by its .*: stolen"):
        store.add(A)
    with pytest.raises(Refused, match="denied by its"):
        store.add(root("a-under-another-name", of="a"))
    put(tmp_path / USR, A)  # as a package brings it, past every rule
    assert store.load().roots == (A,)
    assert store.load().anchors() == ()


@pytest.mark.parametrize("state", [LifeCycle.TRUSTED, LifeCycle.RETIRING])
def test_an_entry_wins_over_a_root_that_a_bundle_or_a_declaration_brings(tmp_path: Path, state: LifeCycle) -> None:
    store = RootStore(tmp_path)
    store.deny(entry_about(A.certificate, DenyKind.KEY, "stolen"))
    brought = Transition(None, root("a", state=state))
    with pytest.raises(Refused, match="stolen"):
        Ledger(store, tmp_path / "state").commit(Transaction("bundle-import", "acme", (brought,), NOT_BEFORE, "ada"))
    assert store.load().roots == ()


def test_entries_of_all_directories_count_and_only_our_own_is_taken_back(tmp_path: Path) -> None:
    store = RootStore(tmp_path)
    ours, theirs = entry_about(A.certificate, DenyKind.KEY), entry_about(B.certificate, DenyKind.KEY)
    (tmp_path / USR).mkdir(parents=True)
    (tmp_path / USR / "vendor.deny.yaml").write_bytes(render_deny([theirs]))
    assert store.deny(ours, theirs)
    assert store.own_denials() == (ours,)
    taking = Transaction("deny-remove", "both", (), NOT_BEFORE, "ada", deny_removed=(ours, theirs))
    Ledger(store, tmp_path / "state").commit(taking)
    assert store.load().deny == (theirs,)
    assert not (tmp_path / ETC / "deny.yaml").exists()


def test_an_entry_that_says_no_more_than_those_there_is_not_added(tmp_path: Path) -> None:
    store = RootStore(tmp_path)
    always = entry_about(A.certificate, DenyKind.KEY)
    late = entry_about(A.certificate, DenyKind.KEY, after=FAR_FUTURE)
    early = entry_about(A.certificate, DenyKind.KEY, after=LONG_PAST)
    assert [store.deny(entry) for entry in (late, early, late, always, early)] == [True, True, False, True, False]
