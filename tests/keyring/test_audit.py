"""The audit names everything in the keyring that is not ours or not what it says, and nothing else."""

from __future__ import annotations

import os
import time

import pytest

from cmakeys.keyring.audit import SEARCH_DEPTH, AuditFinding, audit
from cmakeys.keyring.cma import CMA, Keyring
from cmakeys.keyring.contents import MANAGED_PERMISSION, ROOT_PERMISSION, read_contents
from cmakeys.keyring.keyctl import KeyctlError, KeyInfo, Permission, Serial, SpecialRing
from cmakeys.keyring.listing import read_listing
from cmakeys.keyring.managed import Cause, apply, plan
from cmakeys.roots.root import Root
from cmakeys.x509.lint import Severity
from tests.keyring.kernel import TestingKeyctl, root
from tests.x509.pki import issue

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("rsa_loads")]

A, B = root("a"), root("b", number=1)
IMPOSTOR = root("impostor", number=3)
INTERMEDIATE = Root(
    "intermediate", issue("Vendor Intermediate", issue("Vendor", kind="rsa2048"), kind="rsa2048", number=2).certificate
)
BARE = Root(
    "bare",
    issue("Vendor Bare", issue("Vendor", kind="rsa2048"), kind="rsa2048", number=2, subject_key_id=False).certificate,
)


def inside(kernel: TestingKeyctl, ring: Keyring) -> Serial:
    managed = read_contents(kernel, ring).managed
    assert managed is not None
    return managed.serial


def only(findings: tuple[AuditFinding, ...]) -> tuple[str, Severity, Serial]:
    assert len(findings) == 1, findings
    assert findings[0].hint
    return findings[0].code, findings[0].severity, findings[0].serial


def test_our_own_roots_are_no_finding(kernel: TestingKeyctl, ring: Keyring) -> None:
    assert audit([A], ring, keyctl=kernel) == ()
    apply([A, B, INTERMEDIATE], ring, keyctl=kernel)
    assert audit([A, B, INTERMEDIATE], ring, keyctl=kernel) == ()


def test_a_foreign_certificate_in_the_keyring_is_an_error(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A], ring, keyctl=kernel)
    key = kernel.add_key("asymmetric", "", IMPOSTOR.certificate.der, ring.serial)
    assert only(audit([A], ring, keyctl=kernel)) == ("foreign-anchor", Severity.ERROR, key)


def test_a_root_that_was_added_directly_as_well_is_recognised(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A], ring, keyctl=kernel)
    key = kernel.add_key("asymmetric", "any description", A.certificate.der, ring.serial)
    assert only(audit([A], ring, keyctl=kernel)) == ("direct-root", Severity.WARNING, key)


def test_a_foreign_type_is_noise(kernel: TestingKeyctl, ring: Keyring) -> None:
    key = kernel.add_key("user", "x", b"x", ring.serial)
    assert only(audit([A], ring, keyctl=kernel)) == ("foreign-type", Severity.WARNING, key)


def test_another_keyring_counts_by_what_is_in_it(kernel: TestingKeyctl, ring: Keyring) -> None:
    other = kernel.keyring("other", ring.serial)
    assert only(audit([A], ring, keyctl=kernel)) == ("foreign-keyring", Severity.INFO, other)
    kernel.add_key("asymmetric", "x", IMPOSTOR.certificate.der, kernel.keyring("nested", other))
    findings = audit([A], ring, keyctl=kernel)
    assert only(findings) == ("foreign-keyring", Severity.ERROR, other)
    assert "believes: 1" in findings[0].message


def nested(kernel: TestingKeyctl, ring: Keyring, depth: int) -> None:
    """Put a certificate into a ring that is nested `depth` levels below the keyring."""
    parent = ring.serial
    for level in range(depth):
        parent = kernel.keyring(f"level {level}", parent)
    kernel.add_key("asymmetric", "deep", IMPOSTOR.certificate.der, parent)


def test_certificates_count_as_deep_as_the_kernel_looks(kernel: TestingKeyctl, ring: Keyring) -> None:
    nested(kernel, ring, SEARCH_DEPTH)
    assert kernel.search(ring.serial, "asymmetric", "deep")
    assert audit([A], ring, keyctl=kernel)[0].severity is Severity.ERROR


def test_certificates_deeper_than_the_kernel_looks_are_not_believed(kernel: TestingKeyctl, ring: Keyring) -> None:
    nested(kernel, ring, SEARCH_DEPTH + 1)
    with pytest.raises(KeyctlError, match="Required key not available"):
        kernel.search(ring.serial, "asymmetric", "deep")
    findings = audit([A], ring, keyctl=kernel)
    assert (findings[0].code, findings[0].severity) == ("foreign-keyring", Severity.WARNING)
    assert "1 certificates in it lie too deep" in findings[0].message


def test_a_displaced_root_is_an_error(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A, B], ring, keyctl=kernel)
    key = kernel.add_key("asymmetric", A.description, IMPOSTOR.certificate.der, inside(kernel, ring))
    kernel.set_permission(key, ROOT_PERMISSION)
    assert only(audit([A, B], ring, keyctl=kernel)) == ("displaced", Severity.ERROR, key)


def test_a_displaced_intermediate_is_seen_by_its_key_identifier(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([INTERMEDIATE], ring, keyctl=kernel)
    key = kernel.add_key("asymmetric", INTERMEDIATE.description, IMPOSTOR.certificate.der, inside(kernel, ring))
    kernel.set_permission(key, ROOT_PERMISSION)
    assert only(audit([INTERMEDIATE], ring, keyctl=kernel)) == ("displaced", Severity.ERROR, key)


def test_what_cannot_be_proven_is_said_to_be_unproven(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([BARE], ring, keyctl=kernel)
    code, severity, _ = only(audit([BARE], ring, keyctl=kernel))
    assert (code, severity) == ("unproven", Severity.WARNING)


def test_a_forged_line_about_our_key_is_seen_and_proves_nothing(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([INTERMEDIATE], ring, keyctl=kernel)
    key = kernel.add_key("asymmetric", INTERMEDIATE.description, IMPOSTOR.certificate.der, inside(kernel, ring))
    kernel.set_permission(key, ROOT_PERMISSION)
    identifier = INTERMEDIATE.certificate.parsed.extensions[2].value.public_bytes().hex()[-8:]
    claim = f"{INTERMEDIATE.description}: X509.rsa {identifier} []"
    line = f"{key:08x} I--Q---     1 perm 39090000     0     0 asymmetri {claim}"
    kernel.add_key("user", f"x\n{line}\ny", b"x", ring.serial)
    codes = {finding.code for finding in audit([INTERMEDIATE], ring, keyctl=kernel)}
    assert codes == {"forged-listing", "foreign-type"}


def test_forged_lines_miss_their_aim_after_the_next_apply(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([INTERMEDIATE], ring, keyctl=kernel)
    (key,) = kernel.members(inside(kernel, ring))
    line = (
        f"{key:08x} I--Q---     1 perm 39090000     0     0 asymmetri {INTERMEDIATE.description}: X509.rsa 00000000 []"
    )
    kernel.add_key("user", f"x\n{line}\ny", b"x", ring.serial)
    assert [addition.cause for addition in plan([INTERMEDIATE], ring, keyctl=kernel).add] == [Cause.DISPUTED]
    assert apply([INTERMEDIATE], ring, keyctl=kernel).changed
    assert not plan([INTERMEDIATE], ring, keyctl=kernel).changes


def test_a_key_identifier_alone_makes_no_root_of_a_foreign_certificate(kernel: TestingKeyctl, ring: Keyring) -> None:
    key = kernel.add_key("asymmetric", INTERMEDIATE.description, INTERMEDIATE.certificate.der, ring.serial)
    findings = audit([INTERMEDIATE], ring, keyctl=kernel)
    assert only(findings) == ("foreign-anchor", Severity.ERROR, key)
    assert "proves nothing" in findings[0].message


def test_a_root_that_left_the_store_is_an_error_while_the_kernel_has_it(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A, B], ring, keyctl=kernel)
    code, severity, _ = only(audit([A], ring, keyctl=kernel))
    assert (code, severity) == ("not-in-store", Severity.ERROR)


@pytest.mark.parametrize(
    ("kind", "payload", "severity"),
    [
        ("user", b"x", Severity.WARNING),
        ("keyring", None, Severity.ERROR),
        ("asymmetric", IMPOSTOR.certificate.der, Severity.ERROR),
    ],
)
def test_what_is_in_our_ring_and_not_ours_is_named(
    kernel: TestingKeyctl, ring: Keyring, kind: str, payload: bytes | None, severity: Severity
) -> None:
    apply([A], ring, keyctl=kernel)
    key = kernel.add_key(kind, "stranger", payload, inside(kernel, ring))
    assert only(audit([A], ring, keyctl=kernel)) == ("foreign-in-managed", severity, key)


def test_dead_keys_are_named_by_what_is_left_of_them(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A], ring, keyctl=kernel)
    (key,) = kernel.members(inside(kernel, ring))
    kernel.revoke(key)
    brief = kernel.add_key("user", "brief", b"x", ring.serial)
    kernel.expire(brief)
    deadline = time.monotonic() + 5
    while len(read := audit([A], ring, keyctl=kernel)) < 2 or {finding.code for finding in read} != {"dead"}:
        assert time.monotonic() < deadline, read
        time.sleep(0.05)
    assert {(finding.serial, finding.description) for finding in read} == {(key, A.description), (brief, "brief")}
    assert {"revoked", "expired"} == {word for word in ("revoked", "expired") for one in read if word in one.message}


def test_a_key_that_we_may_not_look_at_is_an_error(kernel: TestingKeyctl, ring: Keyring) -> None:
    key = kernel.add_key("asymmetric", "x", IMPOSTOR.certificate.der, ring.serial)
    kernel.set_permission(key, Permission(0x20000000))
    assert only(audit([A], ring, keyctl=kernel)) == ("hidden", Severity.ERROR, key)


def test_our_ring_open_to_others_is_an_error(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A], ring, keyctl=kernel)
    kernel.set_permission(inside(kernel, ring), Permission(0x1F3F0004))
    assert only(audit([A], ring, keyctl=kernel)) == ("managed-ring", Severity.ERROR, inside(kernel, ring))


def test_our_ring_in_other_hands_is_an_error(
    kernel: TestingKeyctl, ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply([A], ring, keyctl=kernel)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    findings = audit([A], ring, keyctl=kernel)
    assert only(findings)[0] == "managed-ring"
    assert "belongs to user" in findings[0].message


def test_a_cma_with_other_permissions_than_known_is_told(kernel: TestingKeyctl, ring: Keyring) -> None:
    def like(permission: int) -> Keyring:
        return Keyring(ring.serial, CMA, KeyInfo("keyring", 0, 0, Permission(permission), CMA))

    assert audit([], like(0x1F0F0000), keyctl=kernel) == ()
    assert only(audit([], like(0x3F3F3F3F), keyctl=kernel)) == ("ring-permissions", Severity.WARNING, ring.serial)


def test_a_description_full_of_line_ends_is_reported_as_it_is(kernel: TestingKeyctl, ring: Keyring) -> None:
    kernel.add_key("user", "a\nb;c\x1b[2J", b"x", SpecialRing.SESSION)
    assert audit([], ring, keyctl=kernel)[0].description == "a\nb;c\x1b[2J"


def test_audit_changes_nothing(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A], ring, keyctl=kernel)
    before = (kernel.members(ring.serial), kernel.members(inside(kernel, ring)), len(read_listing().lines))
    audit([B], ring, keyctl=kernel)
    after = (kernel.members(ring.serial), kernel.members(inside(kernel, ring)), len(read_listing().lines))
    assert before == after
    assert kernel.describe(inside(kernel, ring)).permission == MANAGED_PERMISSION
