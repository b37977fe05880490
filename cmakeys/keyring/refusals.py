"""What an errno of the key service means, in words that say what to do next.

The kernel answers a refused certificate with a number that was made for something else: a kernel without ECDSA says
"no such file". The meanings are those measured in kernel-abi.md §2.4, §2.5 and §3.1 to §3.5; the certificate itself
and /proc/crypto tell which of several reasons it was.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa

from cmakeys.errors import EnvironmentProblem, NotFound, NotPermitted, Refused, Temporary, Unsupported
from cmakeys.keyring.keyctl import KeyctlError
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.kernel import kernel_needed, kernel_refusal

_DAMAGED = "this file is damaged or forged; fetch it again and compare the fingerprint with the vendor's"
_WITHOUT = "keep the root for userspace checks and leave it out here: --without {name}"

_CURVES = {
    "secp192r1": "ecdsa-nist-p192",
    "secp256r1": "ecdsa-nist-p256",
    "secp384r1": "ecdsa-nist-p384",
    "secp521r1": "ecdsa-nist-p521",
}


@dataclass(frozen=True, slots=True)
class _Meaning:
    kind: type[EnvironmentProblem]
    message: str
    hint: str


_QUOTA = _Meaning(
    EnvironmentProblem,
    "the key quota of this user is used up",
    "nothing was changed; /proc/key-users shows who holds how many. Old and new set exist side by side for a moment: "
    "raise kernel.keys.maxkeys and maxbytes (root_maxkeys, root_maxbytes for root)",
)

# What an operation on a keyring, or on a key in one, runs into, whatever the operation is.
_ANY: dict[int, _Meaning] = {
    errno.ENOSYS: _Meaning(
        Unsupported,
        "this kernel has no key service, or a sandbox hides it",
        "the kernel needs CONFIG_KEYS; in a container allow add_key and keyctl in its seccomp profile",
    ),
    errno.ENOKEY: _Meaning(
        NotFound, "there is no such key or keyring any more", "look for it again: cmakeys keyring status"
    ),
    errno.EKEYREVOKED: _Meaning(
        EnvironmentProblem,
        "the keyring or key has been revoked",
        "it can hold nothing any more; use another keyring, or log in again for a new @s",
    ),
    errno.EKEYEXPIRED: _Meaning(
        EnvironmentProblem,
        "the keyring or key has expired",
        "somebody set a timeout on it; use another keyring, or clear the timeout with: keyctl timeout SERIAL 0",
    ),
    errno.EDQUOT: _QUOTA,
    errno.ENOTDIR: _Meaning(NotFound, "it is a key and not a keyring", "name a keyring with --keyring"),
    errno.ENOMEM: _Meaning(Temporary, "the kernel is out of memory", "try again later; nothing was changed"),
    errno.EINTR: _Meaning(Temporary, "the call was interrupted", "try again; nothing was changed"),
    errno.EACCES: _Meaning(
        NotPermitted,
        "its permissions forbid it",
        "access to .cma goes by user id and not by capability: run as uid 0; a security module may forbid it on top "
        "(ausearch -m avc)",
    ),
    errno.EPERM: _Meaning(
        NotPermitted,
        "the kernel forbids it for this keyring",
        "the keyring is restricted, or keeps what it holds until reboot, or a container's seccomp profile blocks keys",
    ),
    errno.EOPNOTSUPP: _Meaning(Unsupported, "this kernel cannot do that with this type of key", "use a newer kernel"),
}

# What linking adds.
_LINK: dict[int, _Meaning] = {
    errno.EACCES: _Meaning(
        NotPermitted,
        "this user may not write to the keyring",
        "run as the keyring's owner, for .cma as uid 0: its permissions go by user id and not by capability",
    ),
    errno.EPERM: _Meaning(
        NotPermitted,
        "the keyring takes no further keys",
        "it was restricted (KEYCTL_RESTRICT_KEYRING); for .cma only a reboot undoes that",
    ),
    errno.EDEADLK: _Meaning(Refused, "the link would make a keyring contain itself", "name another keyring"),
    errno.ELOOP: _Meaning(
        Refused, "the keyring is nested too deep", "link into one nearer to the top: the kernel looks six levels down"
    ),
    errno.ENFILE: _Meaning(Refused, "the keyring is full", "take something out of it: cmakeys keyring audit"),
    errno.EKEYREJECTED: _Meaning(Refused, "the restriction of the keyring rejects the link", "name another keyring"),
}

# What taking something out of a keyring adds.
_UNLINK: dict[int, _Meaning] = {
    errno.ENOENT: _Meaning(NotFound, "the key is not in the keyring", "look again: cmakeys keyring status"),
    errno.EPERM: _Meaning(
        NotPermitted,
        "the keyring keeps this key until reboot",
        "it was added directly; only a key of the same type and description displaces it",
    ),
}

_TABLES = {"keyctl_link": _LINK, "keyctl_unlink": _UNLINK}


def explain(error: KeyctlError, object: str, *, hint: str = "") -> EnvironmentProblem:  # noqa: A002 as in errors
    """Say what a refused operation on the keyring or key called `object` means.

    `hint` replaces the general next step where the caller knows a better one.
    """
    number = error.errno or 0
    meaning = _TABLES.get(error.operation, {}).get(number) or _ANY.get(number)
    if meaning is None:
        return EnvironmentProblem(
            f"{error.operation} failed: {error.strerror} ({_name(number)})",
            object=object,
            hint=hint
            or "this answer is not in our tables; nothing was changed. Please report it with the kernel version",
        )
    return meaning.kind(f"{meaning.message} ({_name(number)})", object=object, hint=hint or meaning.hint)


def explain_certificate(
    error: KeyctlError, certificate: Certificate, name: str, algorithms: frozenset[str] | None
) -> EnvironmentProblem:
    """Say why the kernel did not take the certificate of the root `name`.

    `algorithms` are the names in /proc/crypto, None when they cannot be read.
    """
    number = error.errno or 0
    reason = _CERTIFICATE.get(number)
    if reason is None:
        return explain(error, name)
    meaning = reason(certificate, algorithms)
    return meaning.kind(f"{meaning.message} ({_name(number)})", object=name, hint=meaning.hint.replace("{name}", name))


def _name(number: int) -> str:
    return errno.errorcode.get(number, str(number))


def _missing_algorithm(certificate: Certificate, algorithms: frozenset[str] | None) -> _Meaning:
    """ENOENT: the parser knows the algorithm, but this kernel has no code for it (kernel-abi.md §3.5, last row)."""
    needed, option = _needed(certificate)
    digest = _digest(certificate)
    if algorithms is not None and needed in algorithms and digest and digest not in algorithms:
        needed, option = digest, _digest_option(digest)
    looked = "" if algorithms is None or needed in algorithms else f"; /proc/crypto lists no {needed}"
    module = " or the module: modprobe ecdsa_generic" if option == "CONFIG_CRYPTO_ECDSA" else ""
    return _Meaning(
        Unsupported,
        f"this kernel has no {needed}, which {certificate.key_description} needs{looked}",
        f"it needs a kernel with {option}{module}; until then {_WITHOUT}",
    )


def _needed(certificate: Certificate) -> tuple[str, str]:
    """The kernel's name of the certificate's public key algorithm, and the option that builds it."""
    try:
        key = certificate.public_key
    except CertificateProblem:
        return certificate.key_description, "support for its algorithm"
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa", "CONFIG_CRYPTO_RSA"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, key.curve.name), "CONFIG_CRYPTO_ECDSA"
    if isinstance(key, mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey):
        return certificate.key_description.lower().replace("-", ""), "CONFIG_CRYPTO_MLDSA"
    return certificate.key_description, "support for its algorithm"


def _digest(certificate: Certificate) -> str:
    try:
        algorithm = certificate.parsed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return ""
    return algorithm.name if algorithm else ""


def _digest_option(digest: str) -> str:
    if digest.startswith("sha3-"):
        return "CONFIG_CRYPTO_SHA3"
    return {"sha224": "CONFIG_CRYPTO_SHA256", "sha384": "CONFIG_CRYPTO_SHA512"}.get(
        digest, f"CONFIG_CRYPTO_{digest.upper()}"
    )


def _unknown_algorithm(certificate: Certificate, _algorithms: frozenset[str] | None) -> _Meaning:
    """ENOPKG: the parser does not know the key's or the signature's algorithm."""
    version = kernel_needed(certificate)
    if version:
        return _Meaning(
            Unsupported,
            f"this kernel does not know {certificate.key_description}",
            f"Linux {version} does; until then {_WITHOUT}",
        )
    why = _reason(certificate) or f"this kernel does not know {certificate.key_description} or its signature"
    return _Meaning(
        Unsupported,
        why,
        f"the kernel takes RSA up to 4096 (PKCS#1 v1.5) and ECDSA on NIST curves, signed with those; {_WITHOUT}",
    )


def _bad_certificate(certificate: Certificate, _algorithms: frozenset[str] | None) -> _Meaning:
    """EBADMSG: the kernel's parser is stricter than ours."""
    why = _reason(certificate) or "this kernel's X.509 parser refuses it"
    return _Meaning(
        Unsupported,
        why,
        "ask the vendor for a certificate in strict DER with a subject; cmakeys roots lint says more. Until then "
        + _WITHOUT,
    )


def _rejected(certificate: Certificate, _algorithms: frozenset[str] | None) -> _Meaning:
    """EKEYREJECTED: a self-signature that is wrong, or an entry in the kernel's blacklist."""
    why = _reason(certificate)
    if why:
        return _Meaning(Refused, why, _DAMAGED)
    return _Meaning(
        Refused,
        "the kernel rejects it although its signature holds: it is in the kernel's .blacklist",
        "see dmesg for 'is blacklisted'; whoever built the kernel or the firmware's dbx distrusts it: "
        "cmakeys roots remove {name}",
    )


def _invalid(certificate: Certificate, _algorithms: frozenset[str] | None) -> _Meaning:
    """EINVAL: RSA too large, signature algorithms that differ, a size out of range; or a wrong RSA self-signature."""
    why = _reason(certificate) or "the kernel finds its key or its size invalid"
    if why.endswith("signature is wrong"):
        return _Meaning(Refused, why, _DAMAGED)
    return _Meaning(Unsupported, why, f"the kernel takes RSA up to 4096 bits; {_WITHOUT}")


def _too_long(_certificate: Certificate, _algorithms: frozenset[str] | None) -> _Meaning:
    return _Meaning(
        Unsupported,
        "a length inside the certificate is beyond what the kernel parses",
        f"look at it with openssl asn1parse; {_WITHOUT}",
    )


def _no_key_type(_certificate: Certificate, _algorithms: frozenset[str] | None) -> _Meaning:
    return _Meaning(
        Unsupported,
        "this kernel has no asymmetric keys",
        "it needs CONFIG_ASYMMETRIC_KEY_TYPE and CONFIG_X509_CERTIFICATE_PARSER; userspace checks work without: "
        "cmakeys check",
    )


def _reason(certificate: Certificate) -> str:
    """What is known to be wrong with it for any kernel, without the errno that is added here."""
    refusal = kernel_refusal(certificate)
    return refusal.rpartition(" (")[0] if refusal else ""


_CERTIFICATE: dict[int, Callable[[Certificate, frozenset[str] | None], _Meaning]] = {
    errno.ENOENT: _missing_algorithm,
    errno.ENOPKG: _unknown_algorithm,
    errno.EBADMSG: _bad_certificate,
    errno.EKEYREJECTED: _rejected,
    errno.EINVAL: _invalid,
    errno.EMSGSIZE: _too_long,
    errno.ENODEV: _no_key_type,
}
