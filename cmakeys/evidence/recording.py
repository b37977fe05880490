"""Evidence from a recorded conversation: transport frames in, SPDM exchanges out.

Chunks and postponed answers are put together as the requester would have done; secured records are left out, because
without the session's keys they say nothing. A recording that ends in an unanswered request is a collection that was
cut short.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from cmakeys.evidence.model import Ending, EndingKind, Evidence, EvidenceKind
from cmakeys.spdm.reassembly import logical_exchanges
from cmakeys.spdm.wire import WireError
from cmakeys.transports.base import TransportFramingError
from cmakeys.transports.framing import Framing, Unwrapped, unwrap
from cmakeys.transports.recording import Entry, Recording, RecordingProblem


def evidence_of(recording: Recording) -> Evidence:
    """What the device said in a recording.

    Raises `RecordingProblem` when it is not one conversation, a frame is broken, or chunks do not fit together.
    """
    entries = recording.conversation()
    if not entries:
        raise RecordingProblem("there is no SPDM message in it", object=recording.source)
    try:
        exchanges = tuple(logical_exchanges(_pairs(entries, recording.source)))
    except WireError as error:
        raise RecordingProblem(str(error), object=recording.source) from error
    ending = Ending()
    if entries[-1].direction == "req":
        ending = Ending(EndingKind.UNREACHABLE, "the recording ends in a request that was not answered")
    return Evidence(
        device=recording.address or f"replay:{recording.source}",
        kind=EvidenceKind.CONVERSATION,
        collected_at=_moment(entries[0].time, recording.source),
        exchanges=exchanges,
        ending=ending,
        tool="recording",
    )


def _moment(seconds: float, source: str) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError):
        raise RecordingProblem(f"the time {seconds:.0f} is in no calendar", object=source) from None


def _pairs(entries: tuple[Entry, ...], source: str) -> Iterator[tuple[bytes, bytes]]:
    """Request and answer of every exchange in the clear."""
    for number in range(0, len(entries), 2):
        pair = entries[number : number + 2]
        directions = [entry.direction for entry in pair]
        if directions == ["req"]:
            return
        if directions != ["req", "rsp"]:
            raise RecordingProblem(
                f"messages {number + 1} and {number + 2} are not a request and its answer", object=source
            )
        request, response = (_unwrap(entry, source, number + 1) for entry in pair)
        if not request.secured and not response.secured:
            yield request.payload, response.payload


def _unwrap(entry: Entry, source: str, number: int) -> Unwrapped:
    where = f"{source}, message {number}"
    try:
        framing = Framing(entry.transport)
    except ValueError:
        raise RecordingProblem(f"unknown transport {entry.transport}", object=where) from None
    try:
        return unwrap(framing, entry.frame, where)
    except TransportFramingError as error:
        raise RecordingProblem(error.message, object=where) from error
