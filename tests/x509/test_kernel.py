"""What we say the kernel refuses is what a kernel refuses, asked of the table and of this very kernel."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from cmakeys.errors import CmakeysError
from cmakeys.keyring.keyctl import Keyctl, KeyctlError, SpecialRing
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.kernel import kernel_needed, kernel_refusal
from tests.rings import cannot
from tests.x509.pki import LEAF_USAGE, Issued, device_chain, issue, make_key


@cache
def made_up_rsa_key(bits: int) -> rsa.RSAPublicKey:
    """A public key that nobody has the private half of: making a real one of 8192 bits takes seconds."""
    return rsa.RSAPublicNumbers(65537, Random(bits).getrandbits(bits) | 1 << (bits - 1) | 1).public_key()


LOADED: dict[str, Callable[[], Issued]] = {
    "RSA 2048": lambda: issue("Root", kind="rsa2048"),
    "RSA 4096": lambda: issue("Child", device_chain("rsa2048")[0], public_key=made_up_rsa_key(4096)),
    "P-192": lambda: issue("Root", kind="p192"),
    "P-256": lambda: issue("Root"),
    "P-384": lambda: issue("Root", kind="p384"),
    "P-521": lambda: issue("Root", kind="p521"),
    "intermediate": lambda: device_chain("rsa2048")[1],
    "leaf": lambda: device_chain("rsa2048")[2],
    "no extensions": lambda: issue("Root", kind="rsa2048", ca=None, key_usage=None, subject_key_id=False),
    "self-signed leaf": lambda: issue("Leaf", kind="rsa2048", ca=False, key_usage=LEAF_USAGE),
    "expired": lambda: issue("Root", kind="rsa2048", not_after=datetime(2021, 1, 1, tzinfo=UTC)),
    "not yet valid": lambda: issue("Root", kind="rsa2048", not_before=datetime(2089, 1, 1, tzinfo=UTC)),
    "year 9999": lambda: issue("Root", kind="rsa2048", not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    "ML-DSA": lambda: issue("Root", kind="mldsa65"),
}

REFUSED: dict[str, tuple[Callable[[], Issued], str, set[str]]] = {
    "RSA 8192": (
        lambda: issue("Root", kind="rsa2048", public_key=made_up_rsa_key(8192)),
        "RSA 8192 is more than the kernel's 4096 bits",
        {"EINVAL"},
    ),
    "RSA-PSS": (lambda: issue("Root", kind="rsa2048", pss=True), "signed with RSASSA-PSS", {"ENOPKG"}),
    "Ed25519": (lambda: issue("Root", kind="ed25519"), "no Ed25519", {"ENOPKG"}),
    "Ed448": (lambda: issue("Root", kind="ed448"), "no Ed448", {"ENOPKG"}),
    "brainpool": (lambda: issue("Root", kind="brainpool"), "no ECDSA brainpoolP256r1", {"ENOPKG"}),
    "secp256k1": (lambda: issue("Root", kind="secp256k1"), "no ECDSA secp256k1", {"ENOPKG"}),
    "P-224": (lambda: issue("Root", kind="p224"), "no ECDSA secp224r1", {"ENOPKG"}),
    "signed by Ed25519": (
        lambda: issue("Child", issue("Root", kind="ed25519"), kind="rsa2048"),
        "an algorithm the kernel does not know, 1.3.101.112",
        {"ENOPKG"},
    ),
    "no subject": (lambda: issue("", kind="rsa2048"), "no subject", {"EBADMSG"}),
    "before 1970": (
        lambda: issue("Root", kind="rsa2048", not_before=datetime(1960, 1, 1, tzinfo=UTC)),
        "notBefore is in 1960",
        {"EBADMSG"},
    ),
    "forged self-signature": (
        lambda: issue("Root", kind="rsa2048", signing_key=make_key("rsa2048", 1)),
        "says it is self-signed, but the signature is wrong",
        {"EKEYREJECTED", "EINVAL"},
    ),
}


@pytest.mark.parametrize("case", LOADED)
def test_what_a_kernel_loads_is_not_called_refused(case: str) -> None:
    assert kernel_refusal(LOADED[case]().certificate) is None


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_kernel_loads_is_refused_with_reason_and_errno(case: str) -> None:
    make, reason, numbers = REFUSED[case]
    refusal = kernel_refusal(make().certificate) or ""
    assert reason in refusal
    assert any(number in refusal for number in numbers)


def test_two_signature_algorithm_fields_that_differ_are_refused() -> None:
    der = bytearray(LOADED["intermediate"]().certificate.der)
    outer = der.rindex(bytes.fromhex("06092a864886f70d01010b"))
    der[outer + 10] = 0x0C  # sha512WithRSAEncryption outside, sha256 inside
    refusal = kernel_refusal(Certificate.from_der(bytes(der)))
    assert refusal == "its two signature algorithm fields differ (EINVAL)"


def test_a_time_in_the_wrong_form_is_refused() -> None:
    der = LOADED["intermediate"]().certificate.der
    grown = der.replace(b"\x30\x20\x17\x0d20", b"\x30\x22\x18\x0f2020")
    outer, to_be_signed = len(grown) - 4, int.from_bytes(der[6:8], "big") + 2
    grown = grown[:2] + outer.to_bytes(2, "big") + grown[4:6] + to_be_signed.to_bytes(2, "big") + grown[8:]
    refusal = kernel_refusal(Certificate.from_der(grown))
    assert refusal == "GeneralizedTime for the year 2020, where UTCTime is needed (EBADMSG)"


def test_young_algorithms_name_the_kernel_that_brought_them() -> None:
    assert kernel_needed(LOADED["ML-DSA"]().certificate) == "7.0"
    assert kernel_needed(LOADED["P-521"]().certificate) == "6.10"
    assert kernel_needed(LOADED["P-384"]().certificate) is None


def unknown_here(certificate: Certificate) -> set[str]:
    """What a kernel answers that was built without the certificate's algorithm or is older than it."""
    without = {"ENOENT"} if certificate.key_description.startswith("ECDSA") else set()
    return without | ({"ENOENT", "ENOPKG"} if kernel_needed(certificate) else set())


def kernel_says(certificate: Certificate) -> str:
    """Add the certificate to this thread's own keyring: the errno's name, or `loaded`."""
    try:
        keyctl = Keyctl()
        key = keyctl.add_key(
            "asymmetric", f"cmakeys-test:{certificate.fingerprint}", certificate.der, SpecialRing.THREAD
        )
    except KeyctlError as error:
        if error.errno in (errno.ENODEV, errno.ENOSYS, errno.EPERM):
            cannot(f"its kernel has no key type asymmetric ({error})")
        return errno.errorcode[error.errno or 0]
    except CmakeysError as error:
        pytest.skip(str(error))
    keyctl.unlink(key, SpecialRing.THREAD)
    return "loaded"


@pytest.mark.system
@pytest.mark.parametrize("case", LOADED)
def test_this_kernel_loads_it_or_was_built_without_the_algorithm(case: str) -> None:
    certificate = LOADED[case]().certificate
    assert kernel_says(certificate) in {"loaded"} | unknown_here(certificate)


@pytest.mark.system
@pytest.mark.parametrize("case", REFUSED)
def test_this_kernel_refuses_it_with_that_errno(case: str) -> None:
    make, _, numbers = REFUSED[case]
    assert kernel_says(make().certificate) in numbers


@pytest.mark.system
def test_this_kernel_agrees_about_dmtf_s_sample_roots(shared_data: Path) -> None:
    for file in sorted(shared_data.glob("captures/roots/*/ca.cert.der")):
        certificate = Certificate.from_der(file.read_bytes(), file.name)
        if kernel_refusal(certificate):
            assert kernel_says(certificate) == "ENOPKG"
        else:
            assert kernel_says(certificate) in {"loaded"} | unknown_here(certificate)
