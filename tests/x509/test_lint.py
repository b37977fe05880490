"""What an admin hears about a certificate before it becomes an anchor."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import x25519

from cmakeys.x509.bundle import read_certificates
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.horizon import Expiry, Horizon
from cmakeys.x509.lint import Finding, Severity, kernel_refusal, lint_anchor
from tests.x509.pki import (
    CA_USAGE,
    FOREVER,
    LEAF_USAGE,
    NOT_AFTER,
    NOT_BEFORE,
    NOW,
    Issued,
    issue,
    make_key,
    rolled_over,
)

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

# Made with OpenSSL: the library signs nothing with SHA-1 any more. RSA 2048, valid to 2095.
SHA1_ROOT = Certificate.from_der(
    base64.b64decode(
        "MIIDGTCCAgGgAwIBAgIUZY6MJIp1ltzXB01Z15NDpe3Z9TEwDQYJKoZIhvcNAQEFBQAwEzERMA8GA1UEAwwIT2xkIFJvb3QwIBcN"
        "MjYxMTIyMjM0MjA5WhgPMjA5NTA1MDQyMzQyMDlaMBMxETAPBgNVBAMMCE9sZCBSb290MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"
        "MIIBCgKCAQEAuuJ8Ot3nvRXffVbMCF+kluO6zI5VD5HCbNkJqAQ6EuWU2FBxZ5z74VgtllSmDutlvMXpMXX8YDdaXBWC+FazGgPs"
        "C11wED2e5rYfb2qj8oTcGbGaM7+4aiAOye1/KyElGKA2X9X2+6mRN9U1QnvRZgzmk0DUMCysiLnrm9hikiakTFPfjPlC99/hKbjR"
        "IdVHYM12gJxbkZk1oRSK+IN7laIjOddNlD8EcNtGZ0LnqLUyb9voDzr0eWbLGBTvUYya9fIdnfBkcbyRXPC4ZNfDKEbuoIid0Tw9"
        "Zs5WA2I758giKs8fjsEt1f9gT0OTVs/5kDonUR8W4BfgpztWIDnuFwIDAQABo2MwYTAdBgNVHQ4EFgQU2dRP81wN/2Z+LYpBi5Bx"
        "YVS5wX0wHwYDVR0jBBgwFoAU2dRP81wN/2Z+LYpBi5BxYVS5wX0wDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAgQwDQYJ"
        "KoZIhvcNAQEFBQADggEBAHohE1wNs8m2FkWG/7QyuZgvCpDiKGtSQ/RzVeDAMQ5xm9qphB0mmONQSJO9MrGG0unpU2ieVJ+FAkop"
        "H2PN+eqNQgWtUw+nwjVmHaVSynX+LbVYOLRYzAhzmdr0i/EoxwucDOH7aEoHZiabwuUOAs1v+sjw+uXvnodpVznhNjvFWXTh3YnP"
        "xn8m5aZLz9IWgMDaYC5fz003Nb+9WdiGiBqZH4UP/D+goGXqm0umbQvC37rsvLYt0Egmcf4OomU6kqtXKeI4XS2t+ooxvUL3BysE"
        "7lbcinE3dugcr8MpGrhqlZ2S9FNt0gbEz/MF89uxn2GQOsEMsJAnonZWrgQ9NzE="
    )
)


def findings(issued: Issued | Certificate, now: datetime = NOW) -> dict[str, Finding]:
    certificate = issued.certificate if isinstance(issued, Issued) else issued
    found = lint_anchor(certificate, now=now)
    assert len({finding.code for finding in found}) == len(found)
    return {finding.code: finding for finding in found}


def severities(issued: Issued | Certificate, now: datetime = NOW) -> dict[str, Severity]:
    return {code: finding.severity for code, finding in findings(issued, now).items()}


class TestAuthority:
    @pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048", "rsa3072"])
    def test_a_clean_root_has_no_finding(self, kind: str) -> None:
        assert lint_anchor(issue("Root", kind=kind).certificate, now=NOW) == ()

    @pytest.mark.parametrize("ca", [None, False])
    def test_a_certificate_that_is_no_ca_is_refused(self, ca: bool | None) -> None:
        assert severities(issue("Device", ca=ca)) == {"not-ca": ERROR}

    def test_a_root_without_key_usage_is_a_warning_because_such_roots_are_in_the_field(self) -> None:
        assert severities(issue("Provisioner CA", key_usage=None)) == {"no-key-usage": WARNING}

    def test_a_key_usage_without_cert_sign_is_refused(self) -> None:
        assert severities(issue("Root", key_usage=LEAF_USAGE)) == {"key-usage": ERROR}

    def test_a_path_length_is_mentioned(self) -> None:
        assert severities(issue("Root", path_length=1)) == {"path-length": INFO}

    @pytest.mark.parametrize("oid", ["1.2.3.4", "2.5.29.30"])
    def test_a_critical_extension_that_is_not_evaluated_is_a_warning(self, oid: str) -> None:
        extension: x509.ExtensionType = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x05\x00")
        if oid == "2.5.29.30":
            extension = x509.NameConstraints([x509.DNSName("example.org")], None)
        found = findings(issue("Root", extensions=[(extension, True)]))
        assert found["critical-extension"].severity is WARNING
        assert oid in found["critical-extension"].message


class TestSelfSignature:
    def test_a_root_whose_self_signature_is_wrong_is_refused(self) -> None:
        forged = issue("Root", signing_key=make_key("p256", 7))
        found = findings(forged)
        assert found["self-signature"].severity is ERROR
        assert "signature by itself is wrong" in found["self-signature"].message

    def test_one_flipped_bit_is_found(self) -> None:
        der = bytearray(issue("Root").certificate.der)
        der[der.index(b"20200101") if b"20200101" in der else der.index(b"200101")] ^= 1
        assert severities(Certificate.from_der(bytes(der)))["self-signature"] is ERROR

    def test_an_intermediate_is_a_warning_that_says_what_the_kernel_does(self) -> None:
        found = findings(issue("Intermediate", issue("Root")))
        assert found.keys() == {"not-self-signed"}
        assert found["not-self-signed"].severity is WARNING
        assert "issued by CN=Root" in found["not-self-signed"].message
        assert "kernel does not care" in found["not-self-signed"].message

    def test_a_root_of_the_same_name_cross_signed_by_the_old_one_is_an_intermediate(self) -> None:
        rolled = rolled_over(issue("Vendor CA"))
        assert rolled.certificate.self_issued
        assert severities(rolled) == {"not-self-signed": WARNING}

    def test_the_same_without_key_identifiers_can_only_be_taken_for_a_forgery(self) -> None:
        assert severities(issue("Vendor CA", issue("Vendor CA"), number=1)) == {
            "self-signature": ERROR,
            "kernel-refuses": WARNING,
        }


class TestStrength:
    @pytest.mark.parametrize("kind", ["rsa1024", "p192", "p224"])
    def test_a_key_too_small_for_spdm_is_refused(self, kind: str) -> None:
        assert severities(issue("Root", kind=kind))["weak-key"] is ERROR

    def test_sha_1_is_refused_and_not_called_a_wrong_signature(self) -> None:
        found = severities(SHA1_ROOT)
        assert found["weak-signature"] is ERROR
        assert "self-signature" not in found

    def test_a_key_type_that_cannot_sign_is_refused(self) -> None:
        odd = issue("Odd", issue("Root"), public_key=x25519.X25519PrivateKey.generate().public_key())
        assert severities(odd)["key-type"] is ERROR

    def test_an_unknown_key_type_is_refused(self) -> None:
        der = issue("Root", kind="ed25519").certificate.der
        # 1.3.101.112 becomes 1.3.101.127, in the key only: the first of its three places is the signature's.
        first = der.index(b"\x06\x03\x2b\x65\x70")
        place = der.index(b"\x06\x03\x2b\x65\x70", first + 1)
        unknown = Certificate.from_der(der[: place + 4] + b"\x7f" + der[place + 5 :])
        found = findings(unknown)
        assert found["key-type"].severity is ERROR
        assert "1.3.101.127" in found["key-type"].message


class TestKernel:
    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            ("ed25519", "no Ed25519 (ENOPKG)"),
            ("ed448", "no Ed448 (ENOPKG)"),
            ("brainpool", "brainpoolP256r1 (ENOPKG)"),
            ("secp256k1", "secp256k1 (ENOPKG)"),
        ],
    )
    def test_what_only_the_kernel_refuses_is_a_warning_with_the_reason(self, kind: str, words: str) -> None:
        found = findings(issue("Root", kind=kind))
        assert found.keys() == {"kernel-refuses"}
        assert found["kernel-refuses"].severity is WARNING
        assert words in found["kernel-refuses"].message

    def test_rsa_pss_verifies_here_but_not_in_the_kernel(self) -> None:
        assert severities(issue("Root", kind="rsa2048", pss=True)) == {"kernel-refuses": WARNING}

    def test_ml_dsa_is_a_warning_about_older_kernels_not_a_refusal(self) -> None:
        root = issue("Root", kind="mldsa65")
        assert kernel_refusal(root.certificate) is None
        found = findings(root)
        assert found.keys() == {"kernel-version"}
        assert found["kernel-version"].severity is WARNING
        assert "before 7.0" in found["kernel-version"].message

    def test_p_521_is_only_mentioned(self) -> None:
        assert severities(issue("Root", kind="p521")) == {"kernel-version": INFO}

    def test_a_certificate_without_a_subject_is_refused(self) -> None:
        assert severities(issue("", kind="rsa2048")) == {"empty-subject": ERROR, "kernel-refuses": WARNING}


class TestDates:
    @pytest.mark.parametrize(
        ("now", "expected"),
        [
            (NOT_BEFORE - timedelta(seconds=1), {"not-yet-valid": WARNING}),
            (NOT_BEFORE, {}),
            (NOT_AFTER - timedelta(days=91), {}),
            (NOT_AFTER - timedelta(days=90), {"expires-soon": WARNING}),
            (NOT_AFTER, {"expires-soon": WARNING}),
            (NOT_AFTER + timedelta(seconds=1), {"expired": ERROR}),
        ],
    )
    def test_both_ends_of_validity_and_the_horizon(self, now: datetime, expected: dict[str, Severity]) -> None:
        assert severities(issue("Root"), now) == expected

    def test_the_horizon_can_be_chosen(self) -> None:
        root = issue("Root").certificate
        almost = NOT_AFTER - timedelta(days=300)
        assert lint_anchor(root, now=almost) == ()
        (finding,) = lint_anchor(root, now=almost, expiry=Expiry(Horizon(timedelta(days=365))))
        assert finding.code == "expires-soon"
        assert "2090-01-01, in 300 days" in finding.message

    def test_the_second_horizon_refuses_what_the_first_warned_of(self) -> None:
        expiry = Expiry(Horizon(timedelta(days=365)), Horizon(timedelta(days=30)))
        root = issue("Root").certificate
        (finding,) = lint_anchor(root, now=NOT_AFTER - timedelta(days=29), expiry=expiry)
        assert (finding.code, finding.severity) == ("expires-soon", ERROR)
        assert "the policy wants more than 30d" in finding.message

    @pytest.mark.parametrize("now", [NOT_BEFORE - timedelta(days=1), NOW, NOT_AFTER + timedelta(days=1)])
    def test_a_clock_that_cannot_be_right_is_said_once_and_judges_nothing(self, now: datetime) -> None:
        (finding,) = lint_anchor(issue("Root").certificate, now=now, clock_fault="it is 1970 here")
        assert (finding.code, finding.severity) == ("clock", WARNING)
        assert "not checked: it is 1970 here" in finding.message

    @pytest.mark.parametrize("now", [NOW, FOREVER, datetime.max.replace(tzinfo=UTC)])
    def test_year_9999_never_expires_whatever_the_clock_says(self, now: datetime) -> None:
        assert severities(issue("Root", not_after=FOREVER), now) == {"never-expires": INFO}

    def test_a_validity_that_ends_before_it_begins_is_refused(self) -> None:
        der = bytearray(issue("Root", not_after=datetime(2030, 1, 1, tzinfo=UTC)).certificate.der)
        der[der.index(b"300101") : der.index(b"300101") + 2] = b"19"
        assert severities(Certificate.from_der(bytes(der)))["validity"] is ERROR


def test_a_known_test_root_is_refused_under_its_name() -> None:
    root = issue("Sample CA").certificate
    (finding,) = lint_anchor(root, now=NOW, test_roots={root.fingerprint: "DMTF sample"})
    assert (finding.severity, finding.code) == (ERROR, "test-root")
    assert "DMTF sample" in finding.message
    assert "--allow-test-root" in finding.hint


def test_the_worst_is_said_first() -> None:
    root = issue("", kind="ed25519", ca=None, key_usage=None, not_after=FOREVER, subject_key_id=False).certificate
    found = [finding.severity for finding in lint_anchor(root, now=NOW)]
    assert found == sorted(found, key=list(Severity).index)
    assert set(found) == set(Severity)


def test_every_error_says_what_to_do_or_leaves_no_choice() -> None:
    bad = issue("Root", ca=None, key_usage=LEAF_USAGE, kind="rsa1024", signing_key=make_key("rsa1024", 1)).certificate
    errors = [f for f in lint_anchor(bad, now=NOT_AFTER + timedelta(days=1)) if f.severity is ERROR]
    assert {f.code for f in errors} == {"not-ca", "key-usage", "self-signature", "weak-key", "expired"}
    assert all(f.hint for f in errors)


def test_a_root_without_subject_key_identifier_is_mentioned() -> None:
    assert severities(issue("Root", subject_key_id=False, key_usage=CA_USAGE)) == {"no-subject-key-id": INFO}


def test_nvidia_s_root_is_clean_and_never_expires(shared_data: Path) -> None:
    (root,) = read_certificates((shared_data / "nvidia-hopper/nvidia_device_root.pem").read_bytes(), "nvidia")
    assert severities(root, datetime(2026, 11, 1, tzinfo=UTC)) == {"never-expires": INFO}


def test_nvidia_s_other_certificates_are_no_roots(shared_data: Path) -> None:
    leaf, *above, _ = read_certificates((shared_data / "nvidia-hopper/hopperCertChain.txt").read_bytes(), "nvidia")
    now = datetime(2026, 11, 1, tzinfo=UTC)
    assert severities(leaf, now)["not-ca"] is ERROR
    assert all(severities(one, now) == {"not-self-signed": WARNING, "never-expires": INFO} for one in above)
