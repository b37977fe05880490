"""A person reads what is denied with its hash in full, in 80 columns; and what the machine knows of revocation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.x509 import ocsp

from cmakeys.reports.deny import deny_data, deny_lines
from cmakeys.reports.revocation import record_data, record_lines, source_data, source_line
from cmakeys.revocation.sources import sources
from cmakeys.roots.deny import DenyEntry, DenyKind
from cmakeys.x509.crl import RevocationList
from cmakeys.x509.ocsp import OcspResponse
from tests.reports.golden import assert_golden
from tests.x509.pki import NOW, certificates
from tests.x509.revocations import DAY, chain, crl, response, scope

ROOT, MIDDLE, LEAF = chain()
AFTER = datetime(2027, 1, 31, tzinfo=UTC)
ENTRIES = (
    DenyEntry(DenyKind.CERTIFICATE, "ab" * 32, "test part, sold"),
    DenyEntry(DenyKind.KEY, "cd" * 32, "stolen, see the advisory", after=AFTER, source="intermediate.pem"),
    DenyEntry(DenyKind.ISSUER_SERIAL, "ef" * 32, "keyCompromise", 0x1A2B3C, source="vendor.crl"),
)
RECORDS: tuple[RevocationList | OcspResponse, ...] = (
    crl(ROOT),
    crl(MIDDLE, [LEAF], this_update=NOW - 9 * DAY, next_update=NOW - DAY),
    crl(MIDDLE, extensions=[scope(indirect_crl=True)]),
    response(LEAF, MIDDLE),
    response(LEAF, MIDDLE, status=ocsp.OCSPCertStatus.REVOKED, next_update=None),
)


def test_the_list_of_what_is_denied() -> None:
    lines = [line for entry in ENTRIES for line in deny_lines(entry, ["/etc/cmakeys/roots/deny.yaml"])]
    assert_golden("deny-list", lines)
    assert max(map(len, lines)) <= 80


def test_the_list_of_revocations() -> None:
    lines = [line for record in RECORDS for line in record_lines(record, NOW)]
    assert_golden("revocation-list", lines)
    assert max(map(len, lines)) <= 80


def test_the_places_that_would_be_asked() -> None:
    places = sources([certificates(ROOT, MIDDLE, LEAF)])
    assert_golden("revocation-fetch", map(source_line, places))
    assert source_data(places[0]) == {
        "kind": places[0].kind,
        "url": places[0].url,
        "issuer": "CN=Root",
        "certificate": "CN=Middle",
    }


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.kind.value)
def test_an_entry_as_data_says_everything_about_it(entry: DenyEntry) -> None:
    data = deny_data(entry)
    assert (data["kind"], data["sha256"], data["reason"]) == (entry.kind, entry.sha256, entry.reason)
    assert (data["after"], data["source"]) == (entry.after, entry.source)
    assert data["serial"] == ("1a2b3c" if entry.serial else None)


def test_what_is_due_is_not_fresh() -> None:
    assert [record_data(record, NOW)["fresh"] for record in RECORDS] == [True, False, True, True, False]
