"""What every transport has in common: one deadline, one way to ask, and trouble that accuses nobody.

A transport carries one SPDM message to a device and brings back the answer, with the binding's own framing taken off.
Whatever goes wrong on that way is a `Temporary` problem of the environment: the device was not reached, so nothing is
known about it. A transport never raises an `EvidenceProblem`; what an answer means is not its business.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from cmakeys.errors import Temporary


class TransportTimeout(Temporary):
    """No complete answer before the deadline."""

    code = "timeout"


class TransportClosed(Temporary):
    """No connection, or the peer ended it."""

    code = "closed"


class TransportFramingError(Temporary):
    """What arrived is not a frame of this transport, or more than we are ready to take."""

    code = "framing"


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock, in seconds, that a whole piece of work shares."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The moment `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining() == 0.0

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and `seconds` from now: the time one message of a longer work may take."""
        return Deadline(min(self.at, time.monotonic() + seconds))

    def require(self, what: str, subject: str) -> float:
        """The seconds left, more than zero; `TransportTimeout` naming `what` was awaited of `subject` otherwise."""
        left = self.remaining()
        if left == 0.0:
            raise TransportTimeout(
                f"no time left {what}", object=subject, hint="the device may be busy; try again, or allow more time"
            )
        return left


class Transport(Protocol):
    """A way to one device. Not for use by two threads at once; one request is under way at a time."""

    @property
    def address(self) -> str:
        """The URL that names this way, for messages and reports."""
        ...

    def exchange(self, message: bytes, deadline: Deadline, *, secured: bool = False) -> bytes:
        """Send one SPDM message (or, with `secured`, one secured record) and return the answer's bytes.

        The answer may end in up to three zero bytes that pad a DOE object: only the SPDM layer knows its true length.
        Raises `TransportTimeout`, `TransportClosed` or `TransportFramingError`; after any of them the transport is of
        no more use, because a late answer could be taken for the next one.
        """
        ...

    def close(self) -> None:
        """End the connection; never raises, and may be called twice."""
        ...
