"""A replayed device says what it said then, to exactly the same questions and in the same order."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cmakeys.errors import EvidenceProblem
from cmakeys.transports.base import Deadline, TransportClosed, TransportTimeout
from cmakeys.transports.framing import Framing, unwrap, wrap
from cmakeys.transports.recording import Entry, Recording, RecordingProblem
from cmakeys.transports.replay import ReplayMismatch, ReplayTransport

UNLIMITED = Deadline(math.inf)
CAPTURES = [
    "qemu10-nvme-doe-v12-p384-session",
    "v10-doe-rsassa3072-sha256",
    "v12-mctp-p384-chunk256",
    "v12-none-p256-sha256",
    "v12-tcp-p521-sha512",
    "v13-doe-p384-full",
    "v14-mctp-mldsa65-mlkem768-session",
]


def recorded(*messages: tuple[str, bytes], framing: int = Framing.PCI_DOE) -> Recording:
    kind = Framing(framing) if framing in list(Framing) else Framing.NONE
    return Recording(
        tuple(
            Entry(float(number), "req" if direction == "req" else "rsp", 1, framing, wrap(kind, message))
            for number, (direction, message) in enumerate(messages)
        ),
        "file",
    )


TWO = recorded(("req", b"one?"), ("rsp", b"one!"), ("req", b"two?"), ("rsp", b"two!"))


def test_answers_come_in_their_order_and_then_the_recording_ends() -> None:
    transport = ReplayTransport(TWO)
    assert transport.address == "replay:file"
    answers = [(transport.exchange(request, UNLIMITED), transport.finished) for request in (b"one?", b"two?")]
    assert answers == [(b"one!", False), (b"two!", True)]
    with pytest.raises(TransportClosed, match="ends here"):
        transport.exchange(b"three?", UNLIMITED)
    transport.close()


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"onE?", "at byte 10 of the frame: 0x45 instead of 0x65"),
        (b"one?more", "at byte 4 of the frame: 0x04 instead of 0x03"),
        (b"two?", "at byte 8"),
    ],
)
def test_another_request_is_refused_at_its_first_differing_byte(message: bytes, complaint: str) -> None:
    with pytest.raises(ReplayMismatch, match=complaint) as caught:
        ReplayTransport(TWO).exchange(message, UNLIMITED)
    assert caught.value.object == "replay:file, message 1"
    assert not isinstance(caught.value, EvidenceProblem)


def test_a_request_that_is_only_longer_or_shorter_differs_at_the_end() -> None:
    bare = recorded(("req", b"abc"), ("rsp", b"x"), framing=Framing.NONE)
    with pytest.raises(ReplayMismatch, match="at byte 3 of the frame: 0x64 instead of the end"):
        ReplayTransport(bare).exchange(b"abcd", UNLIMITED)
    with pytest.raises(ReplayMismatch, match="at byte 2 of the frame: the end instead of 0x63"):
        ReplayTransport(bare).exchange(b"ab", UNLIMITED)


def test_a_request_the_device_never_answered_times_out_again() -> None:
    lost = recorded(("req", b"one?"), ("req", b"one?"), ("rsp", b"one!"))
    transport = ReplayTransport(lost)
    with pytest.raises(TransportTimeout, match="never answered"):
        transport.exchange(b"one?", UNLIMITED)
    assert transport.exchange(b"one?", UNLIMITED) == b"one!"
    with pytest.raises(TransportTimeout):
        ReplayTransport(recorded(("req", b"one?"))).exchange(b"one?", UNLIMITED)


def test_an_answer_nobody_asked_for_is_a_mismatch() -> None:
    with pytest.raises(ReplayMismatch, match="another answer"):
        ReplayTransport(recorded(("rsp", b"x"))).exchange(b"x", UNLIMITED)


def test_an_unknown_transport_is_a_problem_of_the_recording() -> None:
    with pytest.raises(RecordingProblem, match="unknown transport 9"):
        ReplayTransport(recorded(("req", b"x"), ("rsp", b"x"), framing=9)).exchange(b"x", UNLIMITED)


def test_a_deadline_counts_here_too() -> None:
    with pytest.raises(TransportTimeout):
        ReplayTransport(TWO).exchange(b"one?", Deadline.after(-1))


@pytest.mark.parametrize("name", CAPTURES)
def test_a_recorded_conversation_replays_to_its_end(shared_data: Path, name: str) -> None:
    recording = Recording.read(shared_data / "captures" / f"{name}.pcap.raw.jsonl")
    transport = ReplayTransport(recording)
    words = recording.conversation()
    for request, answer in zip(words[::2], words[1::2], strict=True):
        asked = unwrap(Framing(request.transport), request.frame)
        expected = unwrap(Framing(answer.transport), answer.frame)
        assert transport.exchange(asked.payload, UNLIMITED, secured=asked.secured) == expected.payload
    assert transport.finished
