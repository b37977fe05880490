"""Asking the running kernel whether a chain ends in our roots: by its own parser, lookup and algorithms.

A scratch keyring is restricted to keys that a key in another ring vouches for, or one that the scratch ring has taken
already (`key_or_keyring:<ring>:chain`, see keyctl_restrict_keyring(3)). The chain is then added to it, certificate by
certificate: each that the kernel takes it has looked up and verified as it would for a device (kernel-abi.md §3.6). No
`.cma` and no privilege is needed, and nothing is left behind: the scratch ring lives in the thread's own keyring.

A kernel that lacks an algorithm has no opinion; that is not a refusal. Neither has it one where it looks for a
certificate's issuer by a key identifier that is not that of the certificate above: for a device it would not look, but
verify with the key above (kernel-abi.md §6.3, rule 10).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from cmakeys.errors import EnvironmentProblem, Refused, Unsupported
from cmakeys.keyring.keyctl import Keyctl, KeyctlError, Serial, SpecialRing
from cmakeys.keyring.managed import Anchor, RootsRefused, build
from cmakeys.keyring.refusals import explain
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.chain import find_anchors
from cmakeys.x509.issuing import signature_problem

SCRATCH = "cmakeys-oracle"
ROOTS = "cmakeys-oracle-roots"

_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Seconds to wait for the kernel's collector of dead keys, one after the other."""

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


class Oracle:
    """Roots that are loaded into the kernel once, to be asked about many chains, by any thread.

    A thread of its own does the asking. What it makes lies in the keyring of that thread, which ends with this object,
    so that nothing is left behind however it ends, and few keys exist at a time: only root has a large quota.
    """

    def __init__(self, anchors: Sequence[Anchor], *, keyctl: Keyctl | None = None) -> None:
        self._anchors = tuple(anchors)
        self._keyctl = keyctl
        self._loaded: _Loaded | EnvironmentProblem | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="oracle")

    def ask(self, certificates: Sequence[Certificate]) -> OracleAnswer:
        """Whether the kernel believes `certificates`, a chain with its root or first intermediate in front.

        Where no root that the kernel loads vouches for the chain, and one that it does not load would, it has no
        opinion. Raises an `EnvironmentProblem` when keys cannot be used here.
        """
        return self._thread.submit(self._ask, tuple(certificates)).result()

    def _ask(self, certificates: tuple[Certificate, ...]) -> OracleAnswer:
        keyctl = self._keyctl = self._keyctl or Keyctl()
        if self._loaded is None:
            self._loaded = _load(keyctl, self._anchors)
        if isinstance(self._loaded, EnvironmentProblem):
            raise self._loaded
        answer = anchored_in(self._loaded.ring, certificates, keyctl=keyctl)
        if answer.accepted is not False or answer.index != 0:
            return answer
        without = find_anchors(certificates, [anchor.certificate for anchor in self._loaded.without])
        if not without:
            return answer
        return OracleAnswer(None, f"it does not load the root {without[0].label}", answer.index, answer.errno)


def ask(
    anchors: Sequence[Anchor], certificates: Sequence[Certificate], *, keyctl: Keyctl | None = None
) -> OracleAnswer:
    """What an `Oracle` with `anchors` says of one chain."""
    return Oracle(anchors, keyctl=keyctl).ask(certificates)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A ring of roots, and those that this kernel does not take."""

    ring: Serial
    without: tuple[Anchor, ...] = ()


def _load(keyctl: Keyctl, anchors: Sequence[Anchor]) -> _Loaded | EnvironmentProblem:
    """Load what this kernel takes, for as long as the thread lives; the problem, where no certificate is the cause."""
    try:
        return _Loaded(_kept(keyctl, anchors))
    except RootsRefused as refused:
        if not all(isinstance(problem, Unsupported | Refused) for problem in refused.problems):
            return refused
        names = {problem.object for problem in refused.problems}
    except EnvironmentProblem as problem:
        return problem
    without = tuple(anchor for anchor in anchors if anchor.name in names)
    try:
        return _Loaded(_kept(keyctl, [anchor for anchor in anchors if anchor not in without]), without)
    except EnvironmentProblem as problem:
        return problem


def _kept(keyctl: Keyctl, anchors: Sequence[Anchor]) -> Serial:
    """A ring like the one that `apply` would link, under a name of its own, in the keyring of this thread."""
    with build(keyctl, anchors) as ring:
        try:
            keep = keyctl.add_key("keyring", ROOTS, None, SpecialRing.THREAD)
            keyctl.link(ring, keep)
        except KeyctlError as error:
            raise explain(error, ROOTS) from error
        return ring


def anchored_in(ring: Serial, certificates: Sequence[Certificate], *, keyctl: Keyctl | None = None) -> OracleAnswer:
    """The same by the keys of a ring that exists, `.cma` or one in it.

    Raises an `EnvironmentProblem` when the ring cannot be used.
    """
    keyctl = keyctl or Keyctl()
    with _scratch(keyctl, ring) as scratch:
        for index, certificate in enumerate(certificates):
            try:
                _add(keyctl, "asymmetric", f"{SCRATCH}:{index}", certificate.der, scratch)
            except KeyctlError as error:
                above = certificates[index - 1] if index else None
                if error.errno == errno.ENOKEY and above and signature_problem(certificate, above) is None:
                    reason = f"it looks for another issuer of {certificate.label} than the one above, by key identifier"
                    return OracleAnswer(None, reason, index, "ENOKEY")
                return _refusal(error, index, certificate)
    return OracleAnswer(True, f"it took all {len(certificates)} certificates")


def _add(keyctl: Keyctl, key_type: str, description: str, payload: bytes | None, ring: Serial | SpecialRing) -> Serial:
    """Add a key. The quota of keys that are gone comes back a moment later, so that it is waited for."""
    for pause in _PAUSES:
        try:
            return keyctl.add_key(key_type, description, payload, ring)
        except KeyctlError as error:
            if error.errno != errno.EDQUOT:
                raise
        time.sleep(pause)
    return keyctl.add_key(key_type, description, payload, ring)


def _refusal(error: KeyctlError, index: int, certificate: Certificate) -> OracleAnswer:
    number = error.errno or 0
    name = errno.errorcode.get(number, str(number))
    if number in _LACKING:
        return OracleAnswer(None, f"it lacks an algorithm of {certificate.label} ({name})", index, name)
    meaning = _MEANINGS.get(number)
    if meaning is None:
        raise explain(error, SCRATCH) from error
    return OracleAnswer(False, f"{certificate.label}: {meaning} ({name})", index, name)


@contextmanager
def _scratch(keyctl: Keyctl, ring: Serial) -> Iterator[Serial]:
    try:
        scratch = _add(keyctl, "keyring", SCRATCH, None, SpecialRing.THREAD)
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
