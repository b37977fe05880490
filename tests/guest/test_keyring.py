"""`cmakeys keyring` on the kernel's own `.cma`: the swap, what is found behind our back, and who may do what."""

from __future__ import annotations

import pytest
from cryptography.x509 import SubjectKeyIdentifier

from cmakeys.emulator.pki import VendorAuthority
from cmakeys.x509.certificate import Certificate
from tests.guest import inside
from tests.guest.conftest import Room
from tests.guest.machine import Guest
from tests.guest.trust import trust
from tests.keyring.kernel import NOBODY
from tests.workbench import vendor
from tests.x509.pki import issue


def rsa(name: str, number: int = 0) -> Certificate:
    return issue(name, kind="rsa2048", number=number).certificate


@pytest.fixture
def applied(guest: Guest) -> Guest:
    """A machine whose `.cma` holds one root of each kind, put there by us."""
    trust(guest, "acme", vendor().certificate)
    trust(guest, "other", rsa("Other"))
    guest.cmakeys("keyring", "apply").check()
    return guest


def test_without_cma_it_says_so_and_what_still_works(guest: Guest) -> None:
    guest.call(inside.remove_cma)
    status = guest.cmakeys("keyring", "status", "--json")
    assert status.code == 5
    assert ".cma" in status.json["errors"][0]["object"]
    assert status.json["errors"][0]["hint"]


def test_apply_puts_all_roots_there_at_once_and_a_second_one_changes_nothing(applied: Guest) -> None:
    assert applied.cmakeys("keyring", "diff", "--detailed-exitcode").code == 0
    again = applied.cmakeys("keyring", "apply", "--json", "--detailed-exitcode")
    assert (again.code, again.json["changed"]) == (0, False)
    shown = applied.run("keyctl", "show", "%:.cma").check().out
    assert f"asymmetric: cmakeys:acme:{vendor().certificate.fingerprint}" in shown
    assert f"asymmetric: cmakeys:other:{rsa('Other').fingerprint}" in shown


def test_a_changed_set_replaces_our_ring_and_nothing_else(applied: Guest) -> None:
    direct = applied.call(inside.add_directly, "somebody's", rsa("Somebody").der.hex())
    (before,) = applied.call(inside.managed_rings)
    applied.cmakeys("roots", "remove", "other", "--yes").check()
    trust(applied, "third", rsa("Third"))
    result = applied.cmakeys("keyring", "apply", "--json").check().json["data"]
    assert [root["name"] for root in result["added"]] == ["third"]
    assert [root["name"] for root in result["removed"]] == ["other"]
    (after,) = applied.call(inside.managed_rings)
    assert after != before
    listed = applied.run("keyctl", "rlist", "%:.cma").check().out.split()
    assert sorted(map(int, listed)) == sorted([direct, after])


def test_what_others_put_there_is_named_and_cannot_be_taken_away(applied: Guest) -> None:
    applied.call(inside.add_directly, "somebody's", rsa("Somebody").der.hex())
    audit = applied.cmakeys("keyring", "audit", "--json")
    assert audit.code == 1
    assert any("somebody's" in str(finding) for finding in audit.json["data"]["findings"])


def test_a_root_displaced_inside_our_ring_is_found_and_mended(applied: Guest) -> None:
    description = f"cmakeys:other:{rsa('Other').fingerprint}"
    applied.call(inside.add_to_managed, description, rsa("Impostor", 1).der.hex())
    assert applied.cmakeys("keyring", "audit").code == 1
    diff = applied.cmakeys("keyring", "diff", "--json").check().json["data"]
    assert [(root["name"], root["cause"]) for root in diff["add"]] == [("other", "displaced")]
    applied.cmakeys("keyring", "apply").check()
    assert applied.cmakeys("keyring", "diff", "--json").check().json["data"]["add"] == []


def test_another_key_under_the_key_identifier_of_ours_is_found(applied: Guest) -> None:
    """The displacement that only a signature shows: description and key identifier are our root's."""
    victim = rsa("Other")
    key_id = victim.parsed.extensions.get_extension_for_class(SubjectKeyIdentifier).value
    forger = issue("Forger", kind="rsa2048", number=1)
    forged = issue("Other", forger, kind="rsa2048", number=2, subject_key_id=False, extensions=[(key_id, False)])
    description = f"cmakeys:other:{victim.fingerprint}"
    applied.call(inside.add_to_managed, description, forged.certificate.der.hex())
    diff = applied.cmakeys("keyring", "diff", "--json").check().json["data"]
    assert [(root["name"], root["cause"]) for root in diff["add"]] == [("other", "displaced")]


def test_a_root_of_ours_that_somebody_else_put_there_again_is_found_by_its_permissions(applied: Guest) -> None:
    description = f"cmakeys:other:{rsa('Other').fingerprint}"
    applied.call(inside.add_to_managed, description, rsa("Other").der.hex(), 0x39010000)
    diff = applied.cmakeys("keyring", "diff", "--json").check().json["data"]
    assert "so we did not add it" in diff["rebuild"]


def test_a_root_that_the_kernel_does_not_take_changes_nothing(applied: Guest) -> None:
    (before,) = applied.call(inside.managed_rings)
    trust(applied, "modern", issue("Modern", kind="ed25519").certificate)
    refused = applied.cmakeys("keyring", "apply", "--json")
    assert refused.code not in (0, 10)
    assert [error["object"] for error in refused.json["errors"]] == ["modern"]
    assert applied.call(inside.managed_rings) == [before]
    applied.cmakeys("keyring", "apply", "--without", "modern").check()


@pytest.mark.parametrize("verb", ["status", "diff", "apply", "audit"])
def test_a_user_without_rights_is_told_so(verb: str, applied: Guest) -> None:
    done = applied.cmakeys("keyring", verb, "--json", user=NOBODY)
    assert done.code == 4, done
    assert done.json["errors"][0]["hint"]


def test_the_real_command_does_what_the_loaded_one_does(room: Room) -> None:
    trust(room.guest, "acme", VendorAuthority.create("Acme").certificate)
    python = room.guest.run("busybox", "cat", "/python").check().out.split()
    done = room.guest.run(*python, "-m", "cmakeys", "keyring", "apply", timeout=120).check()
    assert "acme" in done.out
