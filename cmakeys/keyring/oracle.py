"""Asking the running kernel whether a chain ends in our roots: by its own parser, lookup and algorithms.

A scratch keyring is restricted to keys that a key in another ring vouches for, or one that the scratch ring has taken
already (`key_or_keyring:<ring>:chain`, see keyctl_restrict_keyring(3)). The chain is then added to it, certificate by
certificate: each that the kernel takes it has looked up and verified as it would for a device (kernel-abi.md §3.6). No
`.cma` and no privilege is needed, and nothing is left behind: the scratch ring lives in the thread's own keyring.

A kernel that lacks an algorithm has no opinion; that is not a refusal.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from cmakeys.errors import EnvironmentProblem
from cmakeys.keyring.keyctl import Keyctl, KeyctlError, Serial, SpecialRing
from cmakeys.keyring.managed import Anchor, RootsRefused, build
from cmakeys.keyring.refusals import explain
from cmakeys.x509.certificate import Certificate

SCRATCH = "cmakeys-oracle"

# What the kernel lacks, and not what is wrong with the certificate: ENOPKG, and ENOENT for an algorithm that it was
# built without (kernel-abi.md §3.5).
_LACKING = frozenset({errno.ENOPKG, errno.ENOENT})
_MEANINGS = {
    errno.ENOKEY: "no key in the roots is its issuer's",
    errno.EKEYREJECTED: "its signature is wrong, or it is in the kernel's blacklist",
    errno.EBADMSG: "the kernel's parser does not read it",
    errno.EINVAL: "the kernel's parser does not read it, or its signature does not fit the key",
    errno.EKEYEXPIRED: "the key of its issuer has expired",
    errno.EKEYREVOKED: "the key of its issuer was revoked",
}


@dataclass(frozen=True, slots=True)
class OracleAnswer:
    """What the kernel said: `accepted` is None when it could not be asked.

    `index` is the certificate at which it stopped, `errno` its word for why, by name; None and empty when it took all.
    """

    accepted: bool | None
    reason: str
    index: int | None = None
    errno: str = ""


def ask(
    anchors: Sequence[Anchor], certificates: Sequence[Certificate], *, keyctl: Keyctl | None = None
) -> OracleAnswer:
    """Whether the kernel believes `certificates`, a chain with its root or first intermediate in front, by `anchors`.

    Roots that this kernel does not load are left out, and named when nothing else vouches for the chain. Raises an
    `EnvironmentProblem` when keys cannot be used here.
    """
    keyctl = keyctl or Keyctl()
    unloadable: tuple[str, ...] = ()
    usable = list(anchors)
    try:
        with build(keyctl, usable) as ring:
            return anchored_in(ring, certificates, keyctl=keyctl)
    except RootsRefused as refused:
        unloadable = tuple(problem.object for problem in refused.problems)
    usable = [anchor for anchor in anchors if anchor.name not in unloadable]
    with build(keyctl, usable) as ring:
        answer = anchored_in(ring, certificates, keyctl=keyctl)
    if answer.accepted is not False or answer.errno != "ENOKEY":
        return answer
    return OracleAnswer(None, f"this kernel does not load {', '.join(unloadable)}", answer.index, answer.errno)


def anchored_in(ring: Serial, certificates: Sequence[Certificate], *, keyctl: Keyctl | None = None) -> OracleAnswer:
    """The same by the keys of a ring that exists, `.cma` or one in it.

    Raises an `EnvironmentProblem` when the ring cannot be used.
    """
    keyctl = keyctl or Keyctl()
    with _scratch(keyctl, ring) as scratch:
        for index, certificate in enumerate(certificates):
            try:
                keyctl.add_key("asymmetric", f"{SCRATCH}:{index}", certificate.der, scratch)
            except KeyctlError as error:
                return _refusal(error, index, certificate)
    return OracleAnswer(True, f"it took all {len(certificates)} certificates")


def _refusal(error: KeyctlError, index: int, certificate: Certificate) -> OracleAnswer:
    number = error.errno or 0
    name = errno.errorcode.get(number, str(number))
    if number in _LACKING:
        return OracleAnswer(None, f"this kernel lacks an algorithm of {certificate.label} ({name})", index, name)
    meaning = _MEANINGS.get(number)
    if meaning is None:
        raise explain(error, SCRATCH) from error
    return OracleAnswer(False, f"it refuses {certificate.label}: {meaning} ({name})", index, name)


@contextmanager
def _scratch(keyctl: Keyctl, ring: Serial) -> Iterator[Serial]:
    try:
        scratch = keyctl.add_key("keyring", SCRATCH, None, SpecialRing.THREAD)
        try:
            keyctl.restrict(scratch, "asymmetric", f"key_or_keyring:{ring}:chain")
        except KeyctlError as error:
            _drop(keyctl, scratch)
            if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL):
                raise EnvironmentProblem(
                    "this kernel has no keyrings restricted to certificates",
                    object=SCRATCH,
                    hint="it was built without asymmetric keys; use kernel-view: simulate",
                ) from error
            raise
    except KeyctlError as error:
        raise explain(error, SCRATCH) from error
    try:
        yield scratch
    finally:
        _drop(keyctl, scratch)


def _drop(keyctl: Keyctl, scratch: Serial) -> None:
    with suppress(KeyctlError):  # it ends with the thread in any case
        keyctl.unlink(scratch, SpecialRing.THREAD)
