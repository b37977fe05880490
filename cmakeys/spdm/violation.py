"""The one way in which a device's answer is found wrong, tied to the verification step it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cmakeys.errors import EvidenceProblem
from cmakeys.spdm.codes import RequestCode
from cmakeys.spdm.wire import WireError

T = TypeVar("T")

STEP_NEGOTIATION = 1
STEP_CHAIN = 2
STEP_POSSESSION = 11
STEP_MEASUREMENTS = 12

STEP_OF_REQUEST: dict[RequestCode, int] = {
    RequestCode.GET_VERSION: STEP_NEGOTIATION,
    RequestCode.GET_CAPABILITIES: STEP_NEGOTIATION,
    RequestCode.NEGOTIATE_ALGORITHMS: STEP_NEGOTIATION,
    RequestCode.GET_DIGESTS: STEP_CHAIN,
    RequestCode.GET_CERTIFICATE: STEP_CHAIN,
    RequestCode.CHALLENGE: STEP_POSSESSION,
    RequestCode.GET_MEASUREMENTS: STEP_MEASUREMENTS,
    RequestCode.KEY_EXCHANGE: STEP_POSSESSION,
    RequestCode.FINISH: STEP_POSSESSION,
    RequestCode.PSK_EXCHANGE: STEP_POSSESSION,
    RequestCode.PSK_FINISH: STEP_POSSESSION,
    RequestCode.HEARTBEAT: STEP_POSSESSION,
    RequestCode.KEY_UPDATE: STEP_POSSESSION,
    RequestCode.END_SESSION: STEP_POSSESSION,
    RequestCode.GET_ENCAPSULATED_REQUEST: STEP_POSSESSION,
    RequestCode.DELIVER_ENCAPSULATED_RESPONSE: STEP_POSSESSION,
}
"""The verification step that a bad answer to each request belongs to."""


class ProtocolViolation(EvidenceProblem):
    """An answer that SPDM does not allow. `step` is the verification step it belongs to."""

    code = "protocol"

    def __init__(self, message: str, *, step: int, object: str = "", hint: str = "") -> None:  # noqa: A002 (see base)
        super().__init__(message, object=object, hint=hint)
        self.step = step


def violation(code: RequestCode, message: str, hint: str = "") -> ProtocolViolation:
    """A violation in the answer to a request; the caller raises it."""
    step = STEP_OF_REQUEST.get(code, STEP_NEGOTIATION)
    return ProtocolViolation(message, step=step, object=f"answer to {code.name}", hint=hint)


def decoded(code: RequestCode, pull: Callable[[], T]) -> T:
    """What `pull` reads from the answer to a request. Raises `ProtocolViolation` where it cannot be read."""
    try:
        return pull()
    except WireError as error:
        raise violation(code, error.message) from error
