"""The two families of errors, and the exit codes that every verb shares.

*The world is wrong* (`EnvironmentProblem`): a missing file, no permission, no keyring, a timeout. *The evidence is
wrong* (`EvidenceProblem`): what a file or a device said does not hold. Keeping them apart is what lets a nightly check
say "could not find out" without accusing a device. Every error names the object it is about and the next thing to do.
"""

from __future__ import annotations

import errno
import os
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every verb."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOTHING_MATCHED = 3
    NOT_PERMITTED = 4
    UNSUPPORTED = 5
    TEMPORARY = 6
    LOCKED = 7
    REFUSED = 8
    FOLLOW_UP = 9
    CHANGED = 10


class CmakeysError(Exception):
    """Base of everything that cmakeys raises on purpose.

    `message` is one sentence; `object` names the file, device, key or root concerned; `hint` is the next thing to do;
    `code` is a stable word for machines.
    """

    exit_code: ExitCode = ExitCode.FAILED
    code: str = "failed"

    def __init__(self, message: str, *, object: str = "", hint: str = "") -> None:  # noqa: A002
        super().__init__(message)
        self.message = message
        self.object = object
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.object}: {self.message}" if self.object else self.message


class EnvironmentProblem(CmakeysError):
    """The world is wrong: nothing is said about any device or certificate."""

    code = "environment"


class UsageProblem(EnvironmentProblem):
    """The command line or the configuration asks for something that makes no sense."""

    exit_code = ExitCode.USAGE
    code = "usage"


class NotFound(EnvironmentProblem):
    """Nothing matched: no such file, root, device or keyring."""

    exit_code = ExitCode.NOTHING_MATCHED
    code = "not-found"


class NotPermitted(EnvironmentProblem):
    """The operating system forbids it."""

    exit_code = ExitCode.NOT_PERMITTED
    code = "not-permitted"


class Unsupported(EnvironmentProblem):
    """This kernel, library or device cannot do it."""

    exit_code = ExitCode.UNSUPPORTED
    code = "unsupported"


class Temporary(EnvironmentProblem):
    """It may work later: timeout, busy, device gone."""

    exit_code = ExitCode.TEMPORARY
    code = "temporary"


class Locked(EnvironmentProblem):
    """Another run holds the lock."""

    exit_code = ExitCode.LOCKED
    code = "locked"


class Refused(EnvironmentProblem):
    """A policy or a safety rule says no."""

    exit_code = ExitCode.REFUSED
    code = "refused"


class FollowUpFailed(EnvironmentProblem):
    """What was asked for is done and stands; what was to follow from it failed."""

    exit_code = ExitCode.FOLLOW_UP
    code = "follow-up"


class EvidenceProblem(CmakeysError):
    """The evidence is wrong: what a file or a device said does not hold."""

    code = "evidence"


_ELSEWHERE = "choose another place with --sysroot or --state-dir"


def from_oserror(error: OSError, object: str, *, hint: str = "") -> EnvironmentProblem:  # noqa: A002
    """Turn an OSError into the member of the family that carries the right exit code, its errno in words."""
    words = os.strerror(error.errno) if error.errno else str(error)
    name = errno.errorcode.get(error.errno or 0, "")
    message = f"{words} ({name})" if name else words
    kind: type[EnvironmentProblem] = EnvironmentProblem
    if error.errno in (errno.EACCES, errno.EPERM):
        kind = NotPermitted
        hint = hint or f"run as root, or {_ELSEWHERE}"
    elif error.errno == errno.EROFS:
        kind = NotPermitted
        hint = hint or f"remount its file system read-write, or {_ELSEWHERE}"
    elif error.errno in (errno.ENOENT, errno.ENOTDIR):
        kind = NotFound
    elif error.errno in (
        errno.ETIMEDOUT,
        errno.EAGAIN,
        errno.EBUSY,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EPIPE,
    ):
        kind = Temporary
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = hint or "free some space; what was there before is as it was"
    return kind(message, object=object, hint=hint)
