"""A transport that answers from a recording, for tests and for looking again at what a device once said."""

from __future__ import annotations

from cmakeys.errors import EnvironmentProblem
from cmakeys.transports.base import Deadline, TransportClosed, TransportTimeout
from cmakeys.transports.framing import Framing, unwrap_answer, wrap
from cmakeys.transports.recording import Entry, Recording, RecordingProblem


class ReplayMismatch(EnvironmentProblem):
    """The recording answers another question than the one asked."""

    code = "replay-mismatch"


class ReplayTransport:
    """Answers from a recording, strictly in its order; see `Transport`.

    A request must equal the recorded one byte for byte, which needs the requester's nonces of that day.
    """

    def __init__(self, recording: Recording, address: str = "") -> None:
        self._recording = recording
        self._entries = recording.conversation()
        self._next = 0
        self._address = address or f"replay:{recording.source}"

    @property
    def address(self) -> str:
        """The URL of the recording."""
        return self._address

    @property
    def finished(self) -> bool:
        """Whether every recorded answer has been given."""
        return self._next >= len(self._entries)

    def exchange(self, message: bytes, deadline: Deadline, *, secured: bool = False) -> bytes:
        """Give the recorded answer to exactly this request."""
        deadline.require("to replay the answer", self._address)
        if self.finished:
            raise TransportClosed("the recording ends here", object=self._address)
        number = self._next + 1
        request = self._entries[self._next]
        framing = self._framing(request, number)
        _compare(wrap(framing, message, secured=secured), request, f"{self._address}, message {number}")
        if number == len(self._entries) or self._entries[number].direction != "rsp":
            self._next = number
            raise TransportTimeout(f"message {number} was never answered in the recording", object=self._address)
        answer = self._entries[number]
        self._next = number + 1
        return unwrap_answer(self._framing(answer, number + 1), answer.frame, self._address, secured=secured)

    def close(self) -> None:
        """Nothing is held open."""

    def _framing(self, entry: Entry, number: int) -> Framing:
        try:
            return Framing(entry.transport)
        except ValueError:
            raise RecordingProblem(
                f"message {number} has the unknown transport {entry.transport}", object=self._address
            ) from None


def _compare(sent: bytes, recorded: Entry, where: str) -> None:
    if recorded.direction != "req":
        raise ReplayMismatch("the recording has another answer here, not a request", object=where)
    if sent == recorded.frame:
        return
    shorter = min(len(sent), len(recorded.frame))
    offset = next((index for index in range(shorter) if sent[index] != recorded.frame[index]), shorter)
    raise ReplayMismatch(
        f"the request differs from the recorded one at byte {offset} of the frame: "
        f"{_byte(sent, offset)} instead of {_byte(recorded.frame, offset)}",
        object=where,
        hint="a recording answers only the requests it was made with; re-verify it as evidence instead",
    )


def _byte(frame: bytes, offset: int) -> str:
    return f"{frame[offset]:#04x}" if offset < len(frame) else "the end"
