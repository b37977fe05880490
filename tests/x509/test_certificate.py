"""A certificate is its DER; every view on it is the library's, and bytes that are none are refused with a place."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.x509.certificate import MAX_CERTIFICATE_SIZE, Certificate, CertificateProblem
from tests.x509.pki import FOREVER, NOT_AFTER, NOT_BEFORE, device_chain, issue

ROOT = issue("Root").certificate


def test_the_fingerprint_is_that_of_the_der() -> None:
    assert ROOT.fingerprint == hashlib.sha256(ROOT.der).hexdigest()


def test_equality_is_the_der_and_nothing_else() -> None:
    elsewhere = Certificate.from_der(ROOT.der, "elsewhere", 7)
    assert elsewhere == ROOT
    assert hash(elsewhere) == hash(ROOT)
    assert issue("Root", not_after=FOREVER).certificate != ROOT


def test_a_renewed_certificate_keeps_the_fingerprint_of_its_key() -> None:
    renewed = issue("Root", not_after=FOREVER).certificate
    assert renewed.fingerprint != ROOT.fingerprint
    assert renewed.spki_fingerprint == ROOT.spki_fingerprint
    assert issue("Root", number=1).certificate.spki_fingerprint != ROOT.spki_fingerprint


def test_a_certificate_travels_to_another_process_after_it_was_used() -> None:
    used = Certificate.from_der(ROOT.der, "here", 3)
    again = pickle.loads(pickle.dumps(used))  # noqa: S301 our own bytes
    assert (again, again.source, again.offset, again.subject) == (used, "here", 3, used.subject)


def test_names_and_dates_are_read() -> None:
    _, intermediate, _ = device_chain()
    assert (intermediate.certificate.subject, intermediate.certificate.issuer) == (
        "CN=Test Intermediate",
        "CN=Test Root",
    )
    assert (ROOT.not_before, ROOT.not_after, ROOT.never_expires) == (NOT_BEFORE, NOT_AFTER, False)
    assert issue("Root", not_after=FOREVER).certificate.never_expires


def test_self_issued_is_about_names_only() -> None:
    root, intermediate, _ = device_chain()
    assert root.certificate.self_issued
    assert not intermediate.certificate.self_issued
    assert issue("Test Root", root, number=1).certificate.self_issued


def test_a_certificate_without_a_subject_is_labelled_by_its_fingerprint() -> None:
    nameless = issue("").certificate
    assert nameless.label == f"certificate {nameless.fingerprint[:16]}"
    assert ROOT.label == "CN=Root"


@pytest.mark.parametrize(
    ("kind", "description"),
    [
        ("rsa2048", "RSA 2048"),
        ("p256", "ECDSA P-256"),
        ("p384", "ECDSA P-384"),
        ("p521", "ECDSA P-521"),
        ("brainpool", "ECDSA brainpoolP256r1"),
        ("ed25519", "Ed25519"),
        ("ed448", "Ed448"),
        ("mldsa65", "ML-DSA-65"),
    ],
)
def test_keys_are_described_in_the_field_s_words(kind: str, description: str) -> None:
    assert issue("Root", kind=kind).certificate.key_description == description


def test_a_key_of_unknown_type_is_named_by_its_object_identifier() -> None:
    der = issue("Root", kind="ed25519").certificate.der.replace(b"\x06\x03\x2b\x65\x70", b"\x06\x03\x2b\x65\x7f")
    unknown = Certificate.from_der(der)
    assert unknown.key_description == "1.3.101.127"
    for view in ("public_key", "spki_fingerprint"):
        with pytest.raises(CertificateProblem, match=r"CN=Root: unsupported public key 1\.3\.101\.127"):
            getattr(unknown, view)


def test_a_negative_serial_number_is_read_without_a_warning() -> None:
    serial = ROOT.der.index(b"\xa0\x03\x02\x01\x02\x02") + 7
    assert Certificate.from_der(ROOT.der[:serial] + b"\x80" + ROOT.der[serial + 1 :]).serial_number < 0


@pytest.mark.parametrize(
    ("der", "words"),
    [
        (b"", "not a valid X.509 certificate"),
        (b"\x30\x00", "not a valid X.509 certificate"),
        (ROOT.der[:-1], "not a valid X.509 certificate"),
        (ROOT.der + b"\0", "not a valid X.509 certificate"),
        (bytes(MAX_CERTIFICATE_SIZE + 1), "65536 bytes, more than 65535"),
    ],
)
def test_what_is_not_exactly_one_certificate_is_refused_with_its_place(der: bytes, words: str) -> None:
    with pytest.raises(CertificateProblem, match=f"slot 1 at byte 9: {words}"):
        Certificate.from_der(der, "slot 1", 9)


def test_an_unreadable_field_is_found_at_once_not_when_first_asked_for() -> None:
    damaged = ROOT.der.replace(b"\x30\x0f\x06\x03\x55\x1d\x13", b"\x30\x0f\x06\x03\x55\x1d\x0f")
    assert damaged != ROOT.der
    with pytest.raises(CertificateProblem):
        Certificate.from_der(damaged)


def test_a_signature_with_padding_bits_is_refused_because_it_would_still_verify() -> None:
    dated = (issue("Root", not_before=datetime(2020, 1, day, tzinfo=UTC)).certificate for day in range(1, 32))
    even = next(certificate for certificate in dated if certificate.der[-1] % 2 == 0)
    unused_bits = even.der.rindex(b"\x30\x0a\x06\x08") + 12 + 2
    padded = even.der[:unused_bits] + b"\x01" + even.der[unused_bits + 1 :]
    lenient = x509.load_der_x509_certificate(padded)
    lenient.verify_directly_issued_by(even.parsed)
    with pytest.raises(CertificateProblem, match="signature with padding bits"):
        Certificate.from_der(padded)


@given(st.integers(0, len(ROOT.der) - 1), st.integers(1, 255))
def test_a_changed_byte_gives_another_certificate_or_the_clean_error(place: int, change: int) -> None:
    changed = bytearray(ROOT.der)
    changed[place] ^= change
    with contextlib.suppress(CertificateProblem):
        certificate = Certificate.from_der(bytes(changed))
        assert certificate != ROOT
        assert certificate.label
        assert certificate.key_description


def test_dates_are_aware_and_in_utc() -> None:
    assert ROOT.not_before == datetime(2020, 1, 1, tzinfo=UTC)
    assert ROOT.not_after.tzinfo is UTC


def test_threads_that_parse_leave_the_warning_filters_as_they_were() -> None:
    before, interval = list(warnings.filters), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: Certificate.from_der(ROOT.der, f"thread {n}"), range(400)))
    finally:
        sys.setswitchinterval(interval)
    assert warnings.filters == before


@pytest.mark.parametrize("ask", [lambda one: one.serial_number, lambda one: one.subject, lambda one: one.not_after])
def test_a_certificate_that_came_from_another_process_answers_any_question_first(
    ask: Callable[[Certificate], object],
) -> None:
    """The lock on the warning filters is taken again while it is held: the view is made in the middle of a question."""
    original = issue("Traveller").certificate
    copy = pickle.loads(pickle.dumps(original))  # noqa: S301 our own
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.append(ask(copy)), daemon=True)
    asking.start()
    asking.join(timeout=5)
    assert answers == [ask(original)]
