"""What goes to a worker and what comes back: one piece of evidence as bytes, and what became of it.

Both are tuples, because tens of thousands of them a minute pass between processes. A worker hands its verdict back as
the JSON it will be printed as, so that the one process that collects them has nothing left to compute.
"""

from __future__ import annotations

from typing import NamedTuple

from cmakeys.errors import CmakeysError, ExitCode

UNREADABLE = "unreadable"
"""The outcome of what is no evidence, or could not be read. It says nothing about any device."""

CRASHED = "crashed"
"""The outcome of what ended the process that judged it, each time it was tried."""


class Problem(NamedTuple):
    """A `CmakeysError` as a value."""

    code: str
    message: str
    object: str
    hint: str
    exit_code: int

    @classmethod
    def of(cls, error: CmakeysError) -> Problem:
        """What the error says."""
        return cls(error.code, error.message, error.object, error.hint, int(error.exit_code))


class Item(NamedTuple):
    """One piece of evidence: the file it is from, its line there where the file has many, and its bytes.

    `modified` is when the file was written, in seconds of the epoch; None for a stream. With a `problem` there is
    nothing to judge: it could not be read, and takes its turn among the others to say so.
    """

    name: str
    line: int | None = None
    data: bytes = b""
    modified: float | None = None
    problem: Problem | None = None

    @property
    def place(self) -> str:
        """The file, and the line in it."""
        return self.name if self.line is None else f"{self.name}:{self.line}"


class Judged(NamedTuple):
    """What became of an item: an outcome of `Verdict`, `UNREADABLE` or `CRASHED`, and the reason in a line.

    `document` is the verdict as one line of JSON; empty, and `problem` set, where there is none.
    """

    name: str
    line: int | None
    outcome: str
    summary: str
    document: str = ""
    problem: Problem | None = None

    @property
    def place(self) -> str:
        """The file, and the line in it."""
        return self.name if self.line is None else f"{self.name}:{self.line}"


def unread(item: Item, problem: Problem) -> Judged:
    """What became of an item that cannot be judged."""
    return Judged(item.name, item.line, UNREADABLE, problem.message, problem=problem)


def crashed(item: Item, message: str) -> Judged:
    """What became of an item that nothing is known of because judging it does not come to an end."""
    problem = Problem(
        CRASHED,
        message,
        item.place,
        "nothing is known about the device behind it; keep the file and report this, it is a bug in cmakeys",
        int(ExitCode.FAILED),
    )
    return Judged(item.name, item.line, CRASHED, message, problem=problem)
