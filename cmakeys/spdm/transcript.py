"""The transcripts that signatures cover, with their resets (reference §4.4 and §4.5).

M1 = A ‖ B ‖ C for CHALLENGE_AUTH: A is VCA, B every GET_DIGESTS and GET_CERTIFICATE exchange since B was last reset,
C the challenge itself. L1 = [VCA from 1.2] ‖ every GET_MEASUREMENTS exchange since its last reset. When what resets is
the nastiest trap of the protocol, so both sides, requester and emulated responder, use this one class. Chunk wrappers,
RESPOND_IF_READY, ERROR messages and transport padding never enter a transcript.
"""

from __future__ import annotations

from cmakeys.spdm.codes import RequestCode, Version

_RESETS_B_BEFORE_AUTHENTICATION = frozenset(
    {
        RequestCode.GET_MEASUREMENTS,
        RequestCode.KEY_EXCHANGE,
        RequestCode.FINISH,
        RequestCode.PSK_EXCHANGE,
        RequestCode.PSK_FINISH,
        RequestCode.KEY_UPDATE,
        RequestCode.HEARTBEAT,
        RequestCode.GET_ENCAPSULATED_REQUEST,
        RequestCode.DELIVER_ENCAPSULATED_RESPONSE,
        RequestCode.END_SESSION,
        RequestCode.GET_MEASUREMENT_EXTENSION_LOG,
    }
)


class Transcript:
    """VCA, B and L1 of one connection. Messages are appended at their true length."""

    def __init__(self) -> None:
        self.version = Version.V10
        self.authenticated = False
        self._vca: list[bytes] = []
        self._b: list[bytes] = []
        self._l1: list[bytes] = []

    @property
    def vca(self) -> bytes:
        """GET_VERSION to ALGORITHMS, six messages."""
        return b"".join(self._vca)

    def again(self) -> Transcript:
        """Another one that has come as far."""
        other = Transcript()
        other.version, other.authenticated = self.version, self.authenticated
        other._vca, other._b, other._l1 = list(self._vca), list(self._b), list(self._l1)
        return other

    def of_session(self) -> Transcript:
        """The transcript of a session on this connection: the same VCA, an L1 of its own."""
        session = Transcript()
        session.version, session.authenticated = self.version, self.authenticated
        session._vca = list(self._vca)
        return session

    def begin(self, code: RequestCode) -> None:
        """Apply the resets that sending (or receiving) a request of `code` causes; call before appending it."""
        if code == RequestCode.GET_VERSION:
            self._vca.clear()
            self._b.clear()
            self.authenticated = False
        if code == RequestCode.GET_DIGESTS or (not self.authenticated and code in _RESETS_B_BEFORE_AUTHENTICATION):
            self._b.clear()
        if code != RequestCode.GET_MEASUREMENTS:
            self._l1.clear()

    def add_vca(self, request: bytes, response: bytes) -> None:
        """Append an exchange of connection set-up."""
        self._vca += (request, response)

    def add_b(self, request: bytes, response: bytes) -> None:
        """Append a GET_DIGESTS or GET_CERTIFICATE exchange."""
        self._b += (request, response)

    def add_l1(self, request: bytes, response: bytes) -> None:
        """Append a GET_MEASUREMENTS exchange, the response without its signature."""
        self._l1 += (request, response)

    def m1(self, request: bytes, response_without_signature: bytes) -> bytes:
        """M1 (M2 on the responder's side) for this challenge."""
        return b"".join((*self._vca, *self._b, request, response_without_signature))

    def challenged(self) -> None:
        """A CHALLENGE_AUTH was signed: B starts anew and no longer resets."""
        self._b.clear()
        self.authenticated = True

    def l1(self) -> bytes:
        """L1 (L2) over everything appended since the last reset."""
        prefix = self._vca if self.version >= Version.V12 else []
        return b"".join((*prefix, *self._l1))

    def reset_l1(self) -> None:
        """After a signed response or an ERROR answer to GET_MEASUREMENTS."""
        self._l1.clear()
