"""What a fault is: a name to ask for it by, the lies that make it, and what a careful requester must conclude.

The expectation is data, so that one table test can run every fault there is. `step` is the number of the verification
step (see the design's fourteen) whose check the fault has to fail; a fault that a device may show without being
rejected has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from cmakeys.emulator.flaws import Flaw
from cmakeys.emulator.lies.lie import Lie
from cmakeys.emulator.measurements import MeasurementSet
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.spdm.codes import Version


class Outcome(Enum):
    """What has to come out of a check."""

    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    TOLERATED = "tolerated"


class Where(Enum):
    """The part of a device that a fault acts on."""

    NEGOTIATION = "negotiation"
    CERTIFICATES = "certificates"
    CHAIN = "chain"
    CHALLENGE = "challenge"
    MEASUREMENTS = "measurements"
    CHUNKS = "chunks"
    PATIENCE = "patience"
    SESSIONS = "sessions"
    LINE = "line"


class Substitution(Enum):
    """Whose chain and key the device shows instead of its own."""

    IMPOSTOR = "a vendor of the same name with a root of its own making"
    STOLEN_CHAIN = "the device's chain, without its private key"
    TWIN = "another device of the same vendor and model"


class LineFault(Enum):
    """What goes wrong below the messages; the server does it."""

    CLOSE_MID_MESSAGE = "half an answer, then the connection closes"
    DISCONNECT = "the connection closes instead of an answer"
    DRIBBLE = "one byte of the answer each second"
    BAD_FRAME = "a transport frame that contradicts its own size"
    HUGE_FRAME = "a frame header that announces 4 GiB"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to be faulty.

    `since` is the first version in which it shows, `transfer_size` the DataTransferSize the device needs for it.
    `enrolled` marks what only shows against an earlier enrolment or reference values.
    """

    name: str
    description: str
    where: Where
    outcome: Outcome = Outcome.REJECTED
    step: int | None = None
    lies: Callable[[], tuple[Lie, ...]] = tuple
    since: Version = Version.V10
    transfer_size: int | None = None
    enrolled: bool = False
    flaw: Flaw | None = None
    substitution: Substitution | None = None
    settings: Callable[[DeviceSettings], DeviceSettings] | None = None
    measured: Callable[[MeasurementSet], MeasurementSet] | None = None
    line: LineFault | None = None

    @property
    def expectation(self) -> str:
        """What must come out, in words."""
        return f"{self.outcome.value} at step {self.step}" if self.step else self.outcome.value


def rejected(
    where: Where,
    step: int,
    name: str,
    description: str,
    *lies: Callable[[], Lie],
    since: Version = Version.V10,
    transfer_size: int | None = None,
    settings: Callable[[DeviceSettings], DeviceSettings] | None = None,
) -> Fault:
    """A fault that has to be rejected at `step`; `lies` make its lies anew for each device."""
    return Fault(
        name,
        description,
        where,
        Outcome.REJECTED,
        step,
        lambda: tuple(make() for make in lies),
        since,
        transfer_size,
        settings=settings,
    )


def unreachable(where: Where, name: str, description: str, *lies: Callable[[], Lie]) -> Fault:
    """A fault that says nothing about the device but that it could not be asked."""
    return Fault(name, description, where, Outcome.UNREACHABLE, None, lambda: tuple(make() for make in lies))


def tolerated(where: Where, name: str, description: str, *lies: Callable[[], Lie]) -> Fault:
    """Behaviour that SPDM allows, and that a requester has to live with."""
    return Fault(name, description, where, Outcome.TOLERATED, None, lambda: tuple(make() for make in lies))
