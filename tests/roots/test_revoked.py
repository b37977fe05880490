"""Deny entries made of revocation lists, and the kernel's blacklist made of deny entries."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from cmakeys.errors import Refused
from cmakeys.roots.blacklist import blacklist, hash_list, tbs_lines
from cmakeys.roots.catalogue import read_catalogue
from cmakeys.roots.deny import DenyKind, entry_about
from cmakeys.roots.directory import combine
from cmakeys.roots.document import DocumentProblem
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.revoked import entries_of, issuers_in, verified_issuer
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.store import RootStore
from cmakeys.x509.certificate import Certificate
from tests.x509.pki import NOT_BEFORE, issue, name
from tests.x509.revocations import LIST_SIGNER, chain, crl, scope

ROOT, MIDDLE, LEAF = chain()
ACME = Root("acme", ROOT.certificate)
OTHER = issue("Other", number=7, key_usage=LIST_SIGNER)


# -- from a list -------------------------------------------------------------------------------------------------------


def test_everything_on_a_list_is_denied_by_issuer_and_number() -> None:
    made = crl(ROOT, {MIDDLE.certificate.serial_number: x509.ReasonFlags.key_compromise, 99: None})
    issuer = verified_issuer(made, issuers_in(RootSet((ACME,))))
    entries = entries_of(made, issuer, reason="advisory 7", source="root.crl")
    assert {entry.serial for entry in entries} == {99, MIDDLE.certificate.serial_number}
    denied = RootSet((ACME,), entries).denied(MIDDLE.certificate)
    assert denied is not None
    assert (denied.reason, denied.source) == ("advisory 7: keyCompromise", "root.crl")
    assert RootSet((ACME,), entries).denied(LEAF.certificate) is None


def test_an_issuer_whose_name_is_written_in_two_ways_is_denied_in_both(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = ROOT.certificate.parsed.subject.public_bytes()
    assert crl(ROOT).issuer_der == subject
    made = crl(ROOT, [MIDDLE])
    monkeypatch.setattr(type(made), "issuer_der", subject.replace(b"\x0c\x04Root", b"\x13\x04Root"))
    entries = entries_of(made, verified_issuer(made, [ROOT.certificate]), reason="", source="")
    assert len(entries) == 2
    assert RootSet(deny=entries).denied(MIDDLE.certificate)


@pytest.mark.parametrize(
    ("roots", "deny"),
    [
        ((), False),
        ((replace(ACME, state=LifeCycle.DISTRUSTED),), False),
        ((ACME,), True),
        ((Root("other", OTHER.certificate),), False),
    ],
    ids=["no-root", "distrusted", "denied", "another-root"],
)
def test_a_list_counts_only_when_its_issuer_is_one_to_believe(roots: tuple[Root, ...], deny: bool) -> None:
    rootset = RootSet(roots, (entry_about(ROOT.certificate, DenyKind.KEY),) if deny else ())
    with pytest.raises(Refused, match="no certificate of its issuer, CN=Root, is known"):
        verified_issuer(crl(ROOT, [MIDDLE]), issuers_in(rootset))


@pytest.mark.parametrize("state", [state for state in LifeCycle if state is not LifeCycle.DISTRUSTED])
def test_a_root_that_no_longer_anchors_may_still_withdraw(state: LifeCycle) -> None:
    rootset = RootSet((replace(ACME, state=state),))
    assert verified_issuer(crl(ROOT, [MIDDLE]), issuers_in(rootset)) == ROOT.certificate


def test_a_forged_list_denies_nobody() -> None:
    with pytest.raises(Refused, match="is wrong"):
        verified_issuer(crl(ROOT, [MIDDLE], key=OTHER.key), issuers_in(RootSet((ACME,))))


def test_a_namesake_does_not_stand_in_the_way() -> None:
    namesake = issue("Root", number=8, key_usage=LIST_SIGNER)
    assert verified_issuer(crl(ROOT), [namesake.certificate, ROOT.certificate]) == ROOT.certificate


def test_a_list_that_is_not_supported_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="an indirect list"):
        verified_issuer(crl(ROOT, extensions=[scope(indirect_crl=True)]), [ROOT.certificate])


# -- to the kernel -----------------------------------------------------------------------------------------------------


def test_a_denied_certificate_is_listed_by_the_hash_of_what_is_signed() -> None:
    tbs = MIDDLE.certificate.parsed.tbs_certificate_bytes
    assert tbs_lines(MIDDLE.certificate) == (f"tbs:{hashlib.sha256(tbs).hexdigest()}",)
    found = blacklist(RootSet(deny=(entry_about(MIDDLE.certificate, DenyKind.KEY),)), [MIDDLE.certificate] * 2)
    assert found.lines == tbs_lines(MIDDLE.certificate)
    assert (found.certificates, found.unexpressed) == ((MIDDLE.certificate,), ())


@pytest.mark.parametrize(("kind", "count"), [("ed25519", 1), ("mldsa65", 1), ("p384", 1)])
def test_a_signature_that_names_no_hash_is_listed_by_sha256(kind: str, count: int) -> None:
    assert len(tbs_lines(chain(kind)[0].certificate)) == count


def test_a_signature_by_another_hash_is_listed_by_both() -> None:
    key = chain()[0].key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder().subject_name(name("X")).issuer_name(name("X")).serial_number(1)
    builder = builder.not_valid_before(NOT_BEFORE).not_valid_after(NOT_BEFORE + timedelta(days=1))
    made = builder.public_key(key.public_key()).sign(key, hashes.SHA384())
    lines = tbs_lines(Certificate.from_der(made.public_bytes(Encoding.DER)))
    assert [len(line) for line in lines] == [4 + 64, 4 + 96]


def test_what_no_certificate_at_hand_shows_is_said_to_be_left_out() -> None:
    unknown = entry_about(LEAF.certificate, DenyKind.ISSUER_SERIAL)
    dated = entry_about(ROOT.certificate, DenyKind.KEY, after=NOT_BEFORE + timedelta(days=1))
    known = entry_about(MIDDLE.certificate, DenyKind.CERTIFICATE)
    same = entry_about(MIDDLE.certificate, DenyKind.KEY)
    found = blacklist(RootSet((ACME,), (unknown, dated, known, same)), [ROOT.certificate, MIDDLE.certificate])
    assert found.unexpressed == (unknown, dated)
    assert found.certificates == (MIDDLE.certificate,)


def test_the_list_to_build_in_is_one_of_c_strings() -> None:
    text = hash_list(tbs_lines(ROOT.certificate) + tbs_lines(LEAF.certificate))
    assert re.fullmatch(r'("tbs:[0-9a-f]{64}",\n){2}', text)


# -- known to be bad ---------------------------------------------------------------------------------------------------


def vendor_file(known_bad: str) -> bytes:
    return f"schema: 1\nvendor: Acme\nroots: []\nknown-bad:\n{known_bad}".encode()


def test_what_the_catalogue_knows_to_be_bad_is_denied_whatever_the_store_says() -> None:
    key = ROOT.certificate.spki_fingerprint
    catalogue = read_catalogue({"acme.yaml": vendor_file(f"  - key: {key}\n    reason: published\n")})
    (entry,) = catalogue.known_bad
    assert (entry.kind, entry.reason, entry.source) == (DenyKind.KEY, "published", "catalogue, Acme")
    report = combine([], catalogue.known_bad)
    assert report.root_set.deny == (entry,)
    assert report.denials == {entry: ("catalogue, Acme",)}
    with pytest.raises(Refused, match="published"):
        report.root_set.with_root(ACME)


@pytest.mark.parametrize("entry", ["  - nvidia\n", "  - {reason: x}\n", "  - {key: abc}\n"])
def test_what_denies_nothing_certain_has_no_place_in_the_catalogue(entry: str) -> None:
    with pytest.raises(DocumentProblem, match=r".") as caught:
        read_catalogue({"acme.yaml": vendor_file(entry)})
    assert caught.value.object.startswith("acme.yaml line")


def test_the_store_denies_what_the_catalogue_knows_to_be_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ROOT.certificate.spki_fingerprint
    catalogue = read_catalogue({"acme.yaml": vendor_file(f"  - key: {key}\n")})
    monkeypatch.setattr("cmakeys.roots.store.load_catalogue", lambda: catalogue)
    with pytest.raises(Refused, match="denied by its key"):
        RootStore(tmp_path).add(ACME)
    assert not RootStore(tmp_path).deny(entry_about(ROOT.certificate, DenyKind.KEY))
