"""Which request is legal when: the requester's state machine as a table (reference §1.4).

The table is data so that the code, the tests and the manual read the same one. Asking for an illegal transition is
our own mistake and raises `IllegalRequest`; what a device answers is judged in `cmakeys.spdm.connection`.
"""

from __future__ import annotations

from enum import Enum

from cmakeys.spdm.codes import RequestCode


class State(Enum):
    """How far a connection, or a session on it, has come."""

    NOT_STARTED = "not started"
    AFTER_VERSION = "after VERSION"
    AFTER_CAPABILITIES = "after CAPABILITIES"
    NEGOTIATED = "negotiated"
    HANDSHAKE = "in the handshake of a session"
    SESSION = "in a session"
    ENDED = "after the end of a session"


class IllegalRequest(RuntimeError):
    """This program tried to send a request that the state does not allow: a defect, not a finding about a device."""


_ONCE_NEGOTIATED = frozenset(
    {
        RequestCode.GET_DIGESTS,
        RequestCode.GET_CERTIFICATE,
        RequestCode.CHALLENGE,
        RequestCode.GET_MEASUREMENTS,
        RequestCode.GET_MEASUREMENT_EXTENSION_LOG,
        RequestCode.GET_ENDPOINT_INFO,
        RequestCode.GET_CSR,
        RequestCode.SET_CERTIFICATE,
        RequestCode.GET_KEY_PAIR_INFO,
        RequestCode.SET_KEY_PAIR_INFO,
        RequestCode.KEY_EXCHANGE,
        RequestCode.PSK_EXCHANGE,
        RequestCode.FINISH,
        RequestCode.GET_ENCAPSULATED_REQUEST,
        RequestCode.DELIVER_ENCAPSULATED_RESPONSE,
        RequestCode.VENDOR_DEFINED_REQUEST,
    }
)

_IN_A_SESSION = frozenset(
    {
        RequestCode.GET_DIGESTS,
        RequestCode.GET_CERTIFICATE,
        RequestCode.GET_MEASUREMENTS,
        RequestCode.GET_MEASUREMENT_EXTENSION_LOG,
        RequestCode.GET_ENDPOINT_INFO,
        RequestCode.GET_CSR,
        RequestCode.SET_CERTIFICATE,
        RequestCode.GET_KEY_PAIR_INFO,
        RequestCode.SET_KEY_PAIR_INFO,
        RequestCode.GET_SUPPORTED_EVENT_TYPES,
        RequestCode.SUBSCRIBE_EVENT_TYPES,
        RequestCode.SEND_EVENT,
        RequestCode.GET_ENCAPSULATED_REQUEST,
        RequestCode.DELIVER_ENCAPSULATED_RESPONSE,
        RequestCode.VENDOR_DEFINED_REQUEST,
        RequestCode.HEARTBEAT,
        RequestCode.KEY_UPDATE,
    }
)

TRANSITIONS: dict[State, dict[RequestCode, State]] = {
    State.NOT_STARTED: {RequestCode.GET_VERSION: State.AFTER_VERSION},
    State.AFTER_VERSION: {
        RequestCode.GET_VERSION: State.AFTER_VERSION,
        RequestCode.GET_CAPABILITIES: State.AFTER_CAPABILITIES,
    },
    State.AFTER_CAPABILITIES: {
        RequestCode.GET_VERSION: State.AFTER_VERSION,
        RequestCode.NEGOTIATE_ALGORITHMS: State.NEGOTIATED,
    },
    State.NEGOTIATED: {
        RequestCode.GET_VERSION: State.AFTER_VERSION,
        **dict.fromkeys(sorted(_ONCE_NEGOTIATED), State.NEGOTIATED),
    },
    State.HANDSHAKE: {
        RequestCode.GET_ENCAPSULATED_REQUEST: State.HANDSHAKE,
        RequestCode.DELIVER_ENCAPSULATED_RESPONSE: State.HANDSHAKE,
        RequestCode.FINISH: State.SESSION,
        RequestCode.PSK_FINISH: State.SESSION,
    },
    State.SESSION: {
        **dict.fromkeys(sorted(_IN_A_SESSION), State.SESSION),
        RequestCode.END_SESSION: State.ENDED,
    },
    State.ENDED: {},
}
"""State, request, and the state once its response has been accepted. RESPOND_IF_READY and CHUNK_* move nothing.

The first four states are those of a connection, the others those of each session on it.
"""


def after(state: State, code: RequestCode) -> State:
    """The state that an accepted answer to `code` leads to. Raises `IllegalRequest`."""
    try:
        return TRANSITIONS[state][code]
    except KeyError:
        raise IllegalRequest(f"{code.name} may not be sent when the connection is {state.value}") from None
