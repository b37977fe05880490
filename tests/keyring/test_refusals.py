"""Every errno of the key service becomes words that say what to do."""

from __future__ import annotations

import errno

import pytest

from cmakeys.errors import EnvironmentProblem, NotFound, NotPermitted, Refused, Temporary, Unsupported
from cmakeys.keyring.cma import Keyring
from cmakeys.keyring.keyctl import KeyctlError
from cmakeys.keyring.listing import kernel_algorithms
from cmakeys.keyring.refusals import explain, explain_certificate
from cmakeys.roots.root import Root
from cmakeys.x509.certificate import Certificate
from tests.keyring.kernel import TestingKeyctl
from tests.rings import cannot
from tests.x509.pki import issue

OPERATIONS = ("add_key", "keyctl_link", "keyctl_unlink", "keyctl_read", "keyctl_describe", "keyctl_setperm")


@pytest.mark.parametrize(
    ("operation", "number", "kind", "words"),
    [
        ("keyctl_describe", errno.ENOKEY, NotFound, "no such key"),
        ("keyctl_read", errno.EKEYREVOKED, EnvironmentProblem, "revoked"),
        ("keyctl_read", errno.EKEYEXPIRED, EnvironmentProblem, "expired"),
        ("keyctl_read", errno.EACCES, NotPermitted, "permissions forbid"),
        ("add_key", errno.EDQUOT, EnvironmentProblem, "quota"),
        ("add_key", errno.ENOSYS, Unsupported, "no key service"),
        ("add_key", errno.EPERM, NotPermitted, "forbids"),
        ("add_key", errno.ENOTDIR, NotFound, "not a keyring"),
        ("add_key", errno.ENOMEM, Temporary, "memory"),
        ("keyctl_link", errno.EINTR, Temporary, "interrupted"),
        ("keyctl_link", errno.EACCES, NotPermitted, "may not write"),
        ("keyctl_link", errno.EPERM, NotPermitted, "no further keys"),
        ("keyctl_link", errno.EDEADLK, Refused, "contain itself"),
        ("keyctl_link", errno.ELOOP, Refused, "too deep"),
        ("keyctl_link", errno.ENFILE, Refused, "full"),
        ("keyctl_link", errno.EKEYREJECTED, Refused, "restriction"),
        ("keyctl_unlink", errno.ENOENT, NotFound, "not in the keyring"),
        ("keyctl_unlink", errno.EPERM, NotPermitted, "until reboot"),
        ("keyctl_read", errno.EOPNOTSUPP, Unsupported, "cannot do that"),
    ],
)
def test_a_refused_operation_says_what_it_means(
    operation: str, number: int, kind: type[EnvironmentProblem], words: str
) -> None:
    problem = explain(KeyctlError(number, operation, 7), ".cma (0x7)")
    assert type(problem) is kind
    assert words in problem.message
    assert errno.errorcode[number] in problem.message
    assert (problem.object, bool(problem.hint)) == (".cma (0x7)", True)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_errno_is_without_words_and_a_hint(operation: str) -> None:
    certificate = issue("Any Vendor").certificate
    for number, name in errno.errorcode.items():
        error = KeyctlError(number, operation, 7)
        for problem in (explain(error, "x"), explain_certificate(error, certificate, "any", None)):
            assert name in problem.message
            assert problem.hint
            assert "{name}" not in problem.hint


ECDSA = issue("EC Vendor", kind="p384").certificate
RSA = issue("RSA Vendor", kind="rsa2048").certificate
EDWARDS = issue("Edwards Vendor", kind="ed25519").certificate
ML_DSA = issue("Lattice Vendor", kind="mldsa65").certificate
PSS = issue("PSS Vendor", kind="rsa2048", pss=True).certificate
NAMELESS = issue("", kind="rsa2048").certificate
FORGED = issue("Vendor", kind="rsa2048", signing_key=issue("Vendor", kind="rsa2048", number=1).key).certificate


@pytest.mark.parametrize(
    ("number", "certificate", "kind", "words", "hint"),
    [
        (errno.ENOENT, ECDSA, Unsupported, "no ecdsa-nist-p384", "CONFIG_CRYPTO_ECDSA"),
        (errno.ENOENT, ECDSA, Unsupported, "/proc/crypto lists no ecdsa-nist-p384", "modprobe ecdsa_generic"),
        (errno.ENOENT, ML_DSA, Unsupported, "no mldsa65", "CONFIG_CRYPTO_MLDSA"),
        (errno.ENOENT, RSA, Unsupported, "no sha256", "CONFIG_CRYPTO_SHA256"),
        (errno.ENOENT, EDWARDS, Unsupported, "no Ed25519", "--without vendor"),
        (errno.ENOPKG, EDWARDS, Unsupported, "no Ed25519", "--without vendor"),
        (errno.ENOPKG, PSS, Unsupported, "RSASSA-PSS", "PKCS#1 v1.5"),
        (errno.ENOPKG, ML_DSA, Unsupported, "does not know ML-DSA-65", "Linux 7.0"),
        (errno.ENOPKG, RSA, Unsupported, "does not know RSA 2048", "--without vendor"),
        (errno.EBADMSG, NAMELESS, Unsupported, "no subject", "strict DER"),
        (errno.EBADMSG, RSA, Unsupported, "parser refuses", "roots lint"),
        (errno.EKEYREJECTED, FORGED, Refused, "signature is wrong", "damaged or forged"),
        (errno.EKEYREJECTED, RSA, Refused, ".blacklist", "roots remove vendor"),
        (errno.EINVAL, RSA, Unsupported, "invalid", "4096"),
        (errno.EINVAL, FORGED, Refused, "signature is wrong", "damaged or forged"),
        (errno.EMSGSIZE, RSA, Unsupported, "length", "asn1parse"),
        (errno.ENODEV, RSA, Unsupported, "no asymmetric keys", "CONFIG_ASYMMETRIC_KEY_TYPE"),
        (errno.EDQUOT, RSA, EnvironmentProblem, "quota", "key-users"),
    ],
)
def test_a_refused_certificate_says_why_and_what_to_do(
    number: int, certificate: Certificate, kind: type[EnvironmentProblem], words: str, hint: str
) -> None:
    problem = explain_certificate(KeyctlError(number, "add_key", 7), certificate, "vendor", frozenset({"rsa"}))
    assert type(problem) is kind
    assert words in problem.message
    assert hint in problem.hint
    assert problem.object == "vendor"


def test_an_algorithm_that_is_listed_is_not_said_to_be_missing_from_the_list() -> None:
    error = KeyctlError(errno.ENOENT, "add_key", 7)
    problem = explain_certificate(error, ECDSA, "vendor", frozenset({"ecdsa-nist-p384", "sha256"}))
    assert "/proc/crypto" not in problem.message


@pytest.mark.system
def test_this_kernel_without_ecdsa_says_so_in_words(kernel: TestingKeyctl, ring: Keyring) -> None:
    root = Root("vendor", ECDSA)
    algorithms = kernel_algorithms()
    if algorithms is None or "ecdsa-nist-p384" in algorithms:
        cannot("this kernel has ECDSA")
    with pytest.raises(KeyctlError) as raised:
        kernel.add_key("asymmetric", root.description, ECDSA.der, ring.serial)
    problem = explain_certificate(raised.value, ECDSA, root.name, algorithms)
    assert problem.message == (
        "this kernel has no ecdsa-nist-p384, which ECDSA P-384 needs; /proc/crypto lists no ecdsa-nist-p384 (ENOENT)"
    )


@pytest.mark.system
@pytest.mark.usefixtures("rsa_loads")
@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (EDWARDS, "no Ed25519 (ENOPKG)"),
        (PSS, "RSASSA-PSS (ENOPKG)"),
        (NAMELESS, "no subject (EBADMSG)"),
        (FORGED, "signature is wrong (E"),
    ],
    ids=["ed25519", "pss", "nameless", "forged"],
)
def test_the_kernel_s_own_answer_gets_the_right_words(
    kernel: TestingKeyctl, ring: Keyring, certificate: Certificate, words: str
) -> None:
    with pytest.raises(KeyctlError) as raised:
        kernel.add_key("asymmetric", "cmakeys:x:y", certificate.der, ring.serial)
    assert words in explain_certificate(raised.value, certificate, "x", kernel_algorithms()).message
