"""What a flow asks of whoever drives it, the bounds it keeps, and the ways it ends without an answer.

A flow is a generator of `Send` and `Wait`; see `cmakeys.transports.drive` for the one that has a real device behind it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from cmakeys.errors import EvidenceProblem, Temporary
from cmakeys.spdm.codes import RequestCode
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.violation import STEP_NEGOTIATION, STEP_OF_REQUEST

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Send one SPDM message and answer with the response's bytes, padding allowed. `timeout` is seconds.

    `secured` messages are records of a session: they travel as the transport's secured type, and so must the answer.
    """

    message: bytes
    timeout: float
    secured: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for `seconds`; answer with empty bytes."""

    seconds: float


Flow = Generator[Send | Wait, bytes, T]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on a device's patience games. Times are seconds."""

    busy_retries: int = 6
    busy_delay: float = 0.05
    not_ready_rounds: int = 8
    not_ready_delay: float = 10.0
    resynchronisations: int = 2
    chunks: int = 8192
    portions: int = 4096
    content_changed_repeats: int = 2
    answer_timeout: float = 1.0
    crypto_timeout: float = 10.0


class DeviceUnavailable(Temporary):
    """The device answered, but only to put us off: Busy, not ready or resynchronising beyond the limits."""

    code = "device-unavailable"


class DeviceRefused(EvidenceProblem):
    """The device answered a required request with ERROR. `step` is the verification step this belongs to."""

    code = "device-refused"

    def __init__(self, error: ErrorResponse, request: RequestCode) -> None:
        super().__init__(
            f"the device answered ERROR {error.name}",
            object=request.name,
            hint="see what the device supports; a device under reset or update may refuse for a while",
        )
        self.error = error
        self.step = STEP_OF_REQUEST.get(request, STEP_NEGOTIATION)


class Resynchronise(Exception):
    """The device forgot the connection: start again at GET_VERSION."""
