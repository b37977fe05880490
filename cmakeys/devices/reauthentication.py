"""Asking the kernel to authenticate a device again, and its errno in words.

The write is synchronous: it lasts as long as the conversation with the device, and fails with the errno of the attempt.
In the series' last form EKEYREJECTED stands for every fault of every chain, an unknown root included; the words say so
instead of guessing (kernel-abi 4.2 and 6.6). Where the kernel takes a nonce for its next CHALLENGE it is given a fresh
one, so that the signature it logs can be told from any made before.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum

from cmakeys.devices.functions import FunctionEntry
from cmakeys.devices.kernel import Authenticated, KernelVerdict, error_words, read_verdict
from cmakeys.devices.sysfs import Sysfs, WriteTimeout
from cmakeys.spdm.codes import NONCE_LENGTH

COMMAND = b"re"
NONCE_FILE = "signatures/next_requester_nonce"
NONCE_SECONDS = 5.0
MAX_PARALLEL = 16


class RecheckOutcome(Enum):
    """What came of one attempt."""

    AUTHENTICATED = "authenticated"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    UNSUPPORTED = "unsupported"
    NOT_PERMITTED = "not-permitted"


@dataclass(frozen=True, slots=True)
class Cause:
    """What an errno of the attempt means, and what to do next."""

    outcome: RecheckOutcome
    words: str
    hint: str = ""


_REJECTED, _UNREACHABLE = RecheckOutcome.REJECTED, RecheckOutcome.UNREACHABLE
_ROOT_HINT = "cmakeys keyring audit shows what .cma trusts; cmakeys devices kernel shows the device's chains"
_LOG_HINT = "the kernel's log says more (dmesg)"

CAUSES: Mapping[int, Cause] = {
    errno.EKEYREJECTED: Cause(
        _REJECTED,
        "no chain of any slot holds (unknown root, malformed chain, wrong name), or the device's signature is wrong",
        _ROOT_HINT,
    ),
    errno.ENOKEY: Cause(_REJECTED, "the issuer of the slot's first certificate is not in .cma", _ROOT_HINT),
    errno.EKEYREVOKED: Cause(_REJECTED, "the key that issued the chain is in .cma, but revoked", _ROOT_HINT),
    errno.EKEYEXPIRED: Cause(_REJECTED, "the key that issued the chain is in .cma, but expired", _ROOT_HINT),
    errno.EINVAL: Cause(
        _REJECTED, "the chain is malformed or names another device, or the device answered with an error", _LOG_HINT
    ),
    errno.EBADMSG: Cause(_REJECTED, "a certificate of the device cannot be parsed", _LOG_HINT),
    errno.ENOPKG: Cause(_REJECTED, "a certificate uses an algorithm that this kernel lacks", _LOG_HINT),
    errno.EPROTO: Cause(_REJECTED, "the device broke the protocol, or has no certificate", _LOG_HINT),
    errno.EPROTONOSUPPORT: Cause(
        RecheckOutcome.UNSUPPORTED, "device and kernel have no version or capability in common", _LOG_HINT
    ),
    errno.EMSGSIZE: Cause(
        RecheckOutcome.UNSUPPORTED, "the device's answer is larger than this kernel takes", "ask it with cmakeys check"
    ),
    errno.EIO: Cause(_UNREACHABLE, "the mailbox failed or a message was cut short", "try again"),
    errno.EBUSY: Cause(_UNREACHABLE, "the device or its mailbox is busy", "try again"),
    errno.ECONNRESET: Cause(_UNREACHABLE, "the device wants a reset, or the conversation to start anew", "try again"),
    errno.EINPROGRESS: Cause(_UNREACHABLE, "the device needs more time, and this kernel does not wait", "try again"),
    errno.ENOENT: Cause(_UNREACHABLE, "the device has lost the request, or is gone", "try again"),
    errno.ENODEV: Cause(_UNREACHABLE, "the device is gone", "is it still plugged in?"),
    errno.ENOTTY: Cause(
        _UNREACHABLE,
        "the kernel could not find out whether the device can authenticate itself; possibly a downgrade",
        "the cause is in dmesg; then write 1 to the function's remove and to /sys/bus/pci/rescan",
    ),
    errno.ETIMEDOUT: Cause(_UNREACHABLE, "the kernel has not finished in time", "give it more with --timeout"),
    errno.EPERM: Cause(
        RecheckOutcome.NOT_PERMITTED, "not permitted, or the device belongs to a virtual machine", "run as root"
    ),
    errno.EACCES: Cause(RecheckOutcome.NOT_PERMITTED, "only root may ask the kernel for it", "run as root"),
    errno.EROFS: Cause(RecheckOutcome.NOT_PERMITTED, "sysfs is mounted read-only here", "run outside of the container"),
}
"""Each errno of kernel-abi 6.6, and those of the file itself."""


@dataclass(frozen=True, slots=True)
class Reauthentication:
    """One attempt: the kernel's verdict before and after it, and the errno it ended with, None for success.

    `nonce` is what the kernel was given for its CHALLENGE; None where it takes none, `nonce_problem` saying why.
    """

    function: FunctionEntry
    before: KernelVerdict
    after: KernelVerdict
    error: OSError | None = None
    nonce: bytes | None = None
    nonce_problem: str = ""

    @property
    def changed(self) -> bool:
        """Whether the kernel says something else than before."""
        return self.before.state is not self.after.state

    @property
    def cause(self) -> Cause:
        """Outcome, words and hint."""
        if not self.before.can_repeat:
            return Cause(
                RecheckOutcome.UNSUPPORTED,
                f"nothing to ask the kernel for: {self.before.words}",
                "cmakeys check asks the device itself",
            )
        if self.error is None:
            return self._without_error()
        if self.error.errno == errno.EINVAL and self.after.state is Authenticated.SUCCEEDED:
            return Cause(RecheckOutcome.UNSUPPORTED, "the kernel does not know the command 're'", _LOG_HINT)
        known = CAUSES.get(self.error.errno or 0)
        return known or Cause(_UNREACHABLE, f"the attempt failed: {error_words(self.error)}", _LOG_HINT)

    def _without_error(self) -> Cause:
        if self.after.state is Authenticated.SUCCEEDED:
            return Cause(RecheckOutcome.AUTHENTICATED, self.after.words)
        if self.after.state is Authenticated.FAILED:
            return Cause(_REJECTED, "the kernel reports no error and yet no success", _LOG_HINT)
        return Cause(_UNREACHABLE, f"after the attempt the kernel says: {self.after.words}", _LOG_HINT)


def reauthenticate(
    sysfs: Sysfs, function: FunctionEntry, seconds: float, nonce: bytes | None = None
) -> Reauthentication:
    """Have the kernel authenticate one function again; never raises for what the kernel or the device does.

    `seconds` limits the wait; `nonce`, 32 bytes, is handed to kernels that take one. Nothing is written to a function
    whose kernel knows no such command.
    """
    if nonce is not None and len(nonce) != NONCE_LENGTH:
        raise ValueError(f"a nonce has {NONCE_LENGTH} bytes")
    before = read_verdict(sysfs, function.folder)
    if not before.can_repeat:
        return Reauthentication(function, before, before)
    problem = _give_nonce(sysfs, function, nonce) if nonce is not None else "none was given"
    error: OSError | None = None
    try:
        sysfs.write(function.folder / "authenticated", COMMAND, seconds)
    except OSError as failure:
        error = failure
    # While the kernel is still at it, reading would wait for the same lock.
    after = before if isinstance(error, WriteTimeout) else read_verdict(sysfs, function.folder)
    return Reauthentication(function, before, after, error, None if problem else nonce, problem)


def reauthenticate_all(
    sysfs: Sysfs, functions: Iterable[FunctionEntry], seconds: float, fresh_nonce: Callable[[int], bytes]
) -> tuple[Reauthentication, ...]:
    """Have the kernel authenticate many functions again, side by side; answers in the order of `functions`."""
    work = [(function, fresh_nonce(NONCE_LENGTH)) for function in functions]
    if not work:
        return ()
    with ThreadPoolExecutor(max_workers=min(MAX_PARALLEL, len(work))) as pool:
        return tuple(pool.map(lambda item: reauthenticate(sysfs, item[0], seconds, item[1]), work))


def _give_nonce(sysfs: Sysfs, function: FunctionEntry, nonce: bytes) -> str:
    """Set the nonce of the next attempt; why it could not be, empty when it was."""
    path = function.folder / NONCE_FILE
    try:
        if sysfs.mode(path) is None:
            return "this kernel takes none"
        sysfs.write(path, nonce, NONCE_SECONDS)
    except OSError as error:
        return error_words(error)
    return ""
