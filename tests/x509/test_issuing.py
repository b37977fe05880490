"""When a certificate says it signed itself: the same answer as the kernel's `x509_check_for_self_signed`."""

from __future__ import annotations

import pytest
from cryptography import x509

from cmakeys.x509.issuing import claims_self_signature, signature_problem, unknown_critical_extensions
from tests.x509.pki import Issued, device_chain, issue, rolled_over

ROOT, INTERMEDIATE, LEAF = device_chain()
SERIAL = issue("Root").certificate.serial_number


def with_authority(key_identifier: bytes | None, serial: int | None = None, *, subject_key_id: bool = True) -> Issued:
    names = None if serial is None else [x509.DirectoryName(issue("Root").certificate.parsed.subject)]
    authority = x509.AuthorityKeyIdentifier(key_identifier, names, serial)
    return issue("Root", extensions=[(authority, False)], subject_key_id=subject_key_id)


def own_key_identifier() -> bytes:
    return issue("Root").certificate.parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


@pytest.mark.parametrize(
    ("issued", "expected"),
    [
        pytest.param(ROOT, True, id="equal names, no authority key identifier"),
        pytest.param(INTERMEDIATE, False, id="another issuer's name"),
        pytest.param(with_authority(own_key_identifier()), True, id="own key identifier"),
        pytest.param(with_authority(bytes(20)), False, id="another key's identifier"),
        pytest.param(with_authority(bytes(20), subject_key_id=False), False, id="no key identifier of its own"),
        pytest.param(with_authority(bytes(20), SERIAL), True, id="own serial number beside another key's identifier"),
        pytest.param(with_authority(None), True, id="an authority key identifier that says nothing"),
        pytest.param(with_authority(None, SERIAL), True, id="own serial number"),
        pytest.param(with_authority(None, SERIAL + 1), False, id="another serial number"),
        pytest.param(rolled_over(ROOT), False, id="rolled over"),
    ],
)
def test_who_claims_a_self_signature(issued: Issued, expected: bool) -> None:
    assert claims_self_signature(issued.certificate) is expected


def test_a_problem_with_a_signature_names_the_issuer() -> None:
    assert signature_problem(LEAF.certificate, INTERMEDIATE.certificate) is None
    other = issue("Test Intermediate", number=8).certificate
    assert signature_problem(LEAF.certificate, other) == "signature by CN=Test Intermediate is wrong"
    assert "cannot be verified" in (signature_problem(LEAF.certificate, ROOT.certificate) or "")


def test_only_critical_extensions_are_asked_about() -> None:
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert unknown_critical_extensions(issue("Root", extensions=[(extension, False)]).certificate) == ()
    assert unknown_critical_extensions(issue("Root", extensions=[(extension, True)]).certificate) == ("1.2.3.4",)
