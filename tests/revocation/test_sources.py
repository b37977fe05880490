"""Places that certificates name, and whose signature lets something be kept."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from cmakeys.errors import Refused
from cmakeys.revocation.sources import SourceKind, check_issuer, sources
from tests.x509.pki import NOW, certificates, issue
from tests.x509.revocations import (
    CRL_URL,
    LIST_SIGNER,
    OCSP_URL,
    chain,
    crl,
    published_at,
    responder,
    response,
    scope,
)

ROOT, MIDDLE, LEAF = chain()
CHAIN = certificates(ROOT, MIDDLE, LEAF)
OTHER = issue("Other", number=7, key_usage=LIST_SIGNER)


def test_each_place_is_named_once_for_each_issuer_and_question() -> None:
    found = sources([CHAIN, CHAIN])
    assert [(one.kind, one.url, one.issuer, one.certificate) for one in found] == [
        (SourceKind.LIST, CRL_URL, ROOT.certificate, MIDDLE.certificate),
        (SourceKind.RESPONDER, OCSP_URL, ROOT.certificate, MIDDLE.certificate),
        (SourceKind.LIST, CRL_URL, MIDDLE.certificate, LEAF.certificate),
        (SourceKind.RESPONDER, OCSP_URL, MIDDLE.certificate, LEAF.certificate),
    ]


def test_a_root_names_its_own_list() -> None:
    url = "http://vendor.example/root.crl"
    root = issue("Lister", number=9, key_usage=LIST_SIGNER, extensions=[published_at(url, "ldap://vendor.example/")])
    assert [one.url for one in sources([certificates(root)])] == [url, "ldap://vendor.example/"]


def test_a_responder_is_asked_about_the_certificate() -> None:
    listed, asked = sources([CHAIN])[2:]
    assert listed.request() is None
    question = asked.request()
    assert question is not None
    request = ocsp.load_der_ocsp_request(question)
    assert request.serial_number == LEAF.certificate.serial_number
    assert request.public_bytes(Encoding.DER) == question


def test_the_issuer_that_signed_is_found_among_many() -> None:
    assert check_issuer(crl(MIDDLE), (OTHER.certificate, *CHAIN), NOW) == MIDDLE.certificate
    assert check_issuer(response(LEAF, MIDDLE), (OTHER.certificate, *CHAIN), NOW) == MIDDLE.certificate
    delegated = response(LEAF, MIDDLE, signer=responder(MIDDLE))
    assert check_issuer(delegated, CHAIN, NOW) == MIDDLE.certificate


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (crl(OTHER), "not known here"),
        (crl(MIDDLE, key=OTHER.key), "is wrong"),
        (crl(MIDDLE, extensions=[scope(indirect_crl=True)]), "an indirect list"),
        (crl(MIDDLE, extensions=[(x509.DeltaCRLIndicator(1), True)]), "a delta list"),
        (response(OTHER, OTHER), "not known here"),
        (response(LEAF, MIDDLE, signer=responder(MIDDLE, ocsp_signing=False)), "not certified for OCSP"),
    ],
    ids=["unknown", "forged", "indirect", "delta", "unknown-responder", "not-certified"],
)
def test_what_nobody_known_vouches_for_is_refused(record: object, says: str) -> None:
    with pytest.raises(Refused, match=says):
        check_issuer(record, CHAIN, NOW)  # type: ignore[arg-type]  # the table holds both kinds
