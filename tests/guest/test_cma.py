"""The kernel's own keyring `.cma`: what it lets root do, and what it does not. cmakeys is built on these answers.

Measured in kernel-abi.md §2.4, §2.5 and §3.5; here they are asked again of the kernel that the guest runs.
"""

from __future__ import annotations

import errno
from functools import cache

import pytest

from tests.guest import inside
from tests.guest.machine import Guest
from tests.keyring.kernel import NOBODY
from tests.x509.pki import issue

KEPT = {
    "describe the ring": "1f0f0000",
    "list the ring": True,
    "describe the key": "39010000",
    "read the key": "EACCES",
    "add the certificate again": True,
    "search, there": "EACCES",
    "search, not there": "ENOKEY",
    "search, bad digits": "EINVAL",
    "unlink the key": "EPERM",
    "revoke the key": "EACCES",
    "invalidate the key": "EACCES",
    "let the key expire": "EACCES",
    "set the key's permissions": "EACCES",
    "link the key elsewhere": "EACCES",
    "clear the ring": "EPERM",
    "revoke the ring": "EPERM",
    "invalidate the ring": "EPERM",
    "let the ring expire": "EACCES",
    "set the ring's permissions": "EACCES",
    "restrict the ring": "EACCES",
    "link the ring elsewhere": "EACCES",
    "link another ring into it and take it out": None,
    "link the ring into itself": "EACCES",
    "add a key of another type": True,
    "remove the key by displacing it": True,
}

OWN = {
    "read the key": errno.errorcode[errno.EOPNOTSUPP],
    "add the certificate again": True,
    "search, there": True,
    "search, not there": "ENOKEY",
    "unlink the key": None,
    "clear the ring": 0,
    "set the key's permissions": None,
    "link another ring into it and take it out": None,
    "link the ring into itself": errno.errorcode[errno.EDEADLK],
}


@cache
def rsa(name: str, **changes: object) -> str:
    """A certificate as the guest's functions take it."""
    return issue(name, **{"kind": "rsa2048", **changes}).certificate.der.hex()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def answers(_room: object) -> dict[str, dict[str, object]]:
    return {}


@pytest.mark.parametrize("operation", KEPT)
def test_the_ring_allows_root_exactly_this(operation: str, guest: Guest, answers: dict[str, dict[str, object]]) -> None:
    assert set(KEPT) == set(inside.OPERATIONS)
    if not answers:
        answers["cma"] = guest.call(inside.operations, ".cma", rsa("Victim"))
    assert answers["cma"][operation] == KEPT[operation]


def test_a_ring_of_our_own_allows_what_cma_does_not(guest: Guest) -> None:
    found = guest.call(inside.operations, "ours", rsa("Victim"))
    assert {name: found[name] for name in OWN} == OWN


def test_only_the_kernel_can_make_a_ring_with_a_dot(guest: Guest) -> None:
    assert guest.call(inside.make_keyring, ".cma") == "EPERM"
    assert guest.call(inside.make_keyring, "cma") == "ok"


LOADS: dict[str, tuple[dict[str, object], str]] = {
    "rsa 2048": ({"kind": "rsa2048"}, "ok"),
    "rsa 4096": ({"kind": "rsa4096"}, "ok"),
    "p-256": ({"kind": "p256"}, "ok"),
    "p-384": ({"kind": "p384"}, "ok"),
    "p-521": ({"kind": "p521"}, "ok"),
    "no authority": ({"ca": False}, "ok"),
    "expired": ({"not_after": issue("x").certificate.not_before.replace(year=2021)}, "ok"),
    "p-224": ({"kind": "p224"}, "ENOPKG"),
    "brainpool": ({"kind": "brainpool"}, "ENOPKG"),
    "ed25519": ({"kind": "ed25519"}, "ENOPKG"),
    "ed448": ({"kind": "ed448"}, "ENOPKG"),
    "rsa-pss": ({"kind": "rsa2048", "pss": True}, "ENOPKG"),
    "no subject": ({"subject": ""}, "EBADMSG"),
    "signed by another key": ({"kind": "p256", "signing": True}, "EKEYREJECTED"),
}


def test_the_kernel_takes_and_refuses_the_certificates_that_the_lint_says(guest: Guest) -> None:
    from cmakeys.x509.kernel import kernel_refusal

    ders, predicted = {}, {}
    for name, (changes, _) in LOADS.items():
        arguments = {"kind": "rsa2048", "subject": name, **changes}
        if arguments.pop("signing", False):
            arguments |= {"signing_key": issue("other", number=1).key, "subject_key_id": False}
        certificate = issue(arguments.pop("subject"), **arguments).certificate  # type: ignore[arg-type]
        ders[name] = certificate.der.hex()
        predicted[name] = kernel_refusal(certificate) is None
    found = guest.call(inside.load, ders)
    assert found == {name: answer for name, (_, answer) in LOADS.items()}
    assert {name: found[name] == "ok" for name in found if name != "no subject"} == {
        name: fine for name, fine in predicted.items() if name != "no subject"
    }


def test_what_is_no_certificate_alone_is_refused_and_what_follows_one_is_not_read(guest: Guest) -> None:
    der = rsa("Only the first")
    found = guest.call(
        inside.load,
        {"pem": b"-----BEGIN CERTIFICATE-----".hex(), "cut": der[:-2], "junk": "00" * 64, "two": der + rsa("Second")},
    )
    assert found == {"pem": "EBADMSG", "cut": "EBADMSG", "junk": "EBADMSG", "two": "ok"}


def test_nobody_else_may_see_or_touch_it(guest: Guest) -> None:
    listing = guest.run("busybox", "cat", "/proc/keys", user=NOBODY).check().out
    assert ".cma" not in listing
    status = guest.cmakeys("keyring", "status", "--json", user=NOBODY)
    assert status.code == 4, status
    assert status.json["errors"][0]["code"]
    assert "keyring .cma" in guest.cmakeys("keyring", "status").check().out
