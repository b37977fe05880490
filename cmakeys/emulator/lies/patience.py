"""Devices that put the requester off, and what may be concluded from that: mostly nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cmakeys.emulator.lies.fault import Fault, LineFault, Outcome, Where, rejected, tolerated, unreachable
from cmakeys.emulator.lies.kinds import Refuse
from cmakeys.emulator.lies.lie import Lie, M
from cmakeys.spdm.codes import ErrorCode, RequestCode, ResponseCode
from cmakeys.spdm.messages.error import NotReady
from cmakeys.spdm.messages.version import VersionResponse

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation

_ATTESTATION = frozenset(
    {RequestCode.GET_DIGESTS, RequestCode.GET_CERTIFICATE, RequestCode.CHALLENGE, RequestCode.GET_MEASUREMENTS}
)
_AFTER_VERSION = _ATTESTATION | {RequestCode.GET_CAPABILITIES, RequestCode.NEGOTIATE_ALGORITHMS}
_RDT_EXPONENT = 10
"""2^10 µs, a millisecond."""

_TOKEN_OFFSET = 6


class Silent(Lie):
    """Does not answer requests of some codes."""

    def __init__(self, codes: frozenset[RequestCode]) -> None:
        self._codes = codes

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        """Say nothing."""
        return b"" if request[1] in self._codes else None


class NotReadyOnce(Lie):
    """Puts each kind of request off once in a connection."""

    def __init__(self) -> None:
        self._deferred: set[int] = set()

    def restarted(self) -> None:
        """Once in each connection."""
        self._deferred.clear()

    def defer(self, request: bytes, talk: Conversation) -> NotReady | None:
        """Defer the first of its kind."""
        code = request[1]
        if code in self._deferred or code not in _ATTESTATION:
            return None
        self._deferred.add(code)
        return NotReady(_RDT_EXPONENT, code, len(self._deferred), 2)


class NotReadyForever(Lie):
    """Puts requests off each time, with what the ERROR says changed."""

    def __init__(self, promise: NotReady, codes: frozenset[RequestCode] = _ATTESTATION) -> None:
        self._promise = promise
        self._codes = codes

    def defer(self, request: bytes, talk: Conversation) -> NotReady | None:
        """Defer it."""
        if request[1] not in self._codes:
            return None
        code = self._promise.request_code or request[1]
        return replace(self._promise, request_code=code)


class WrongToken(NotReadyOnce):
    """Tells another token than it will accept."""

    def transmit(self, octets: bytes, talk: Conversation) -> bytes:
        """Change the token in ResponseNotReady."""
        if octets[1:3] != bytes((ResponseCode.ERROR, ErrorCode.RESPONSE_NOT_READY)):
            return octets
        return octets[:_TOKEN_OFFSET] + bytes((octets[_TOKEN_OFFSET] ^ 0x80,)) + octets[_TOKEN_OFFSET + 1 :]


class ResyncOnce(Lie):
    """Asks for a new start once in its life."""

    def __init__(self) -> None:
        self._asked = False

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        """Answer the first GET_DIGESTS with RequestResynch."""
        if self._asked or request[1] != RequestCode.GET_DIGESTS:
            return None
        self._asked = True
        return Refuse(ErrorCode.REQUEST_RESYNCH, _ATTESTATION).intercept(request, talk)


class ResyncToLess(ResyncOnce):
    """Asks for a new start, and is a device of the version before from then on."""

    def amend(self, message: M, talk: Conversation) -> M:
        """Leave the highest version out, once it has asked."""
        if not self._asked or not isinstance(message, VersionResponse):
            return message
        return replace(message, entries=message.entries[:-1])


def _refusal(step: int, name: str, description: str, error: ErrorCode, code: RequestCode) -> Fault:
    return rejected(Where.PATIENCE, step, name, description, lambda: Refuse(error, frozenset({code})))


def _line(name: str, fault: LineFault) -> Fault:
    return Fault(name, fault.value, Where.LINE, Outcome.UNREACHABLE, line=fault)


_CHALLENGE = frozenset({RequestCode.CHALLENGE})

FAULTS: tuple[Fault, ...] = (
    unreachable(
        Where.PATIENCE, "busy-forever", "every request is answered Busy", lambda: Refuse(ErrorCode.BUSY, _AFTER_VERSION)
    ),
    tolerated(
        Where.PATIENCE,
        "busy-twice",
        "the first two requests of a connection are answered Busy",
        lambda: Refuse(ErrorCode.BUSY, _AFTER_VERSION, times=2),
    ),
    tolerated(Where.PATIENCE, "not-ready-once", "each kind of request is put off once", NotReadyOnce),
    unreachable(
        Where.PATIENCE,
        "not-ready-forever",
        "the answer is never ready",
        lambda: NotReadyForever(NotReady(_RDT_EXPONENT, 0, 1, 2)),
    ),
    unreachable(
        Where.PATIENCE,
        "not-ready-too-long",
        "the answer is promised in half an hour",
        lambda: NotReadyForever(NotReady(31, 0, 1, 2)),
    ),
    rejected(
        Where.PATIENCE,
        11,
        "not-ready-wrong-code",
        "ResponseNotReady to CHALLENGE names another request",
        lambda: NotReadyForever(NotReady(_RDT_EXPONENT, RequestCode.GET_DIGESTS, 1, 2), _CHALLENGE),
    ),
    rejected(
        Where.PATIENCE,
        11,
        "not-ready-illegal-delay",
        "ResponseNotReady to CHALLENGE has RDTExponent 40",
        lambda: NotReadyForever(NotReady(40, 0, 1, 2), _CHALLENGE),
    ),
    rejected(
        Where.PATIENCE, 2, "not-ready-wrong-token", "RESPOND_IF_READY is refused with the token given", WrongToken
    ),
    tolerated(Where.PATIENCE, "resync-once", "the first GET_DIGESTS is answered RequestResynch", ResyncOnce),
    tolerated(
        Where.PATIENCE,
        "resync-to-less",
        "the first GET_DIGESTS is answered RequestResynch, and the highest version is gone",
        ResyncToLess,
    ),
    unreachable(
        Where.PATIENCE,
        "resync-forever",
        "every GET_DIGESTS is answered RequestResynch",
        lambda: Refuse(ErrorCode.REQUEST_RESYNCH, frozenset({RequestCode.GET_DIGESTS})),
    ),
    _refusal(
        2, "error-unspecified", "GET_DIGESTS is answered Unspecified", ErrorCode.UNSPECIFIED, RequestCode.GET_DIGESTS
    ),
    _refusal(
        11,
        "challenge-refused",
        "CHALLENGE is answered UnsupportedRequest though CHAL_CAP is announced",
        ErrorCode.UNSUPPORTED_REQUEST,
        RequestCode.CHALLENGE,
    ),
    _refusal(
        12,
        "measurements-refused",
        "GET_MEASUREMENTS is answered UnsupportedRequest though MEAS_CAP is announced",
        ErrorCode.UNSUPPORTED_REQUEST,
        RequestCode.GET_MEASUREMENTS,
    ),
    unreachable(Where.PATIENCE, "silence", "nothing is ever answered", lambda: Silent(frozenset(RequestCode))),
    unreachable(Where.PATIENCE, "silent-challenge", "CHALLENGE is never answered", lambda: Silent(_CHALLENGE)),
    _line("close-mid-message", LineFault.CLOSE_MID_MESSAGE),
    _line("disconnect", LineFault.DISCONNECT),
    _line("slow-dribble", LineFault.DRIBBLE),
    _line("bad-frame", LineFault.BAD_FRAME),
    _line("huge-frame", LineFault.HUGE_FRAME),
)
