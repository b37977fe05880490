"""What is remembered of certificates are facts about bytes, bounded, and never a failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cmakeys.emulator.pki import VendorAuthority
from cmakeys.x509 import known
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.chain import check_signatures, check_validity
from cmakeys.x509.issuing import signature_problem
from cmakeys.x509.known import MAX_CERTIFICATES, is_verified, issuing_certificate, remember_verified
from tests.evidence.loopback import NOW, credentials


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    known.forget_all()
    yield
    known.forget_all()


def test_a_signature_that_verified_is_remembered_with_exactly_its_issuer() -> None:
    root, intermediate, leaf = credentials().chain
    assert check_signatures((root, intermediate, leaf)) == ()
    assert is_verified(intermediate, root)
    assert is_verified(leaf, intermediate)
    assert not is_verified(leaf, root)
    assert not is_verified(root, intermediate)
    again = tuple(Certificate.from_der(one.der) for one in (root, intermediate, leaf))
    assert check_signatures(again) == ()


def test_a_twin_of_the_issuer_under_its_name_is_asked_anew() -> None:
    intermediate, leaf = credentials().chain[1:]
    assert signature_problem(leaf, intermediate) is None
    impostor = VendorAuthority.create("Acme").intermediate
    assert impostor.subject == intermediate.subject
    assert signature_problem(leaf, impostor) is not None
    assert not is_verified(leaf, impostor)


def test_one_changed_bit_of_a_signature_is_another_certificate() -> None:
    intermediate, leaf = credentials().chain[1:]
    assert signature_problem(leaf, intermediate) is None
    forged = Certificate.from_der(leaf.der[:-1] + bytes([leaf.der[-1] ^ 1]))
    for _ in range(2):
        assert "is wrong" in (signature_problem(forged, intermediate) or "")
    assert not is_verified(forged, intermediate)


def test_what_is_remembered_says_nothing_about_dates() -> None:
    chain = credentials().chain
    assert check_signatures(chain) == ()
    assert check_validity(chain, NOW) == ()
    assert check_validity(chain, NOW.replace(year=1999)) != ()


def test_the_memory_of_pairs_is_bounded_and_keeps_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MAX_PAIRS", 3)
    root, intermediate, leaf = credentials().chain
    remember_verified(intermediate, root)
    for one, other in ((leaf, root), (root, root)):
        remember_verified(one, other)
    assert is_verified(intermediate, root)  # and so it was used last
    remember_verified(root, leaf)
    assert is_verified(intermediate, root)
    assert not is_verified(leaf, root)


def test_an_issuing_certificate_is_parsed_once_and_a_broken_one_is_never_remembered() -> None:
    der = credentials().chain[1].der
    first = issuing_certificate(der, "slot 0", 52)
    assert issuing_certificate(bytes(bytearray(der)), "slot 0", 52) is first
    assert issuing_certificate(der, "slot 1", 52).source == "slot 1"
    for _ in range(2):
        with pytest.raises(CertificateProblem):
            issuing_certificate(der[:-1], "slot 0", 52)
    assert issuing_certificate.cache_info().maxsize == MAX_CERTIFICATES
