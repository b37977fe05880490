"""Recorded frames become exchanges, or one clean error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.evidence.live import collect
from cmakeys.evidence.model import EndingKind, Evidence
from cmakeys.evidence.recording import evidence_of
from cmakeys.spdm.codes import RequestCode
from cmakeys.transports.base import Deadline
from cmakeys.transports.framing import Framing
from cmakeys.transports.recording import Recording, RecordingProblem, RecordingTransport
from tests.evidence.loopback import ADDRESS, NOW, Loopback, device


def recording(*frames: tuple[str, str], transport: int = 0) -> Recording:
    lines = (
        json.dumps({"t": number, "dir": direction, "cmd": 1, "trans": transport, "hex": text})
        for number, (direction, text) in enumerate(frames)
    )
    return Recording.parse("\n".join(lines).encode() + b"\n", "file")


def codes(evidence: Evidence) -> Sequence[int]:
    return [exchange.request[1] for exchange in evidence.exchanges]


@pytest.mark.parametrize("framing", list(Framing))
def test_our_own_recording_gives_the_evidence_of_the_live_conversation(tmp_path: Path, framing: Framing) -> None:
    transport = RecordingTransport.create(Loopback(device()), framing, tmp_path / "talk.jsonl")
    live = collect(transport, Deadline.after(30), now=NOW)
    transport.close()
    evidence = evidence_of(Recording.read(tmp_path / "talk.jsonl"))
    assert (evidence.device, evidence.ending.kind) == (ADDRESS, EndingKind.COMPLETE)
    for recorded, original in zip(evidence.exchanges, live.exchanges, strict=True):
        assert recorded.request[: len(original.request)] == original.request
        assert recorded.response[: len(original.response)] == original.response


@pytest.mark.parametrize("name", ["v12-mctp-p384-chunk256", "v14-mctp-mldsa65-mlkem768-session"])
def test_chunks_are_put_together(shared_data: Path, name: str) -> None:
    evidence = evidence_of(Recording.read(shared_data / "captures" / f"{name}.pcap.raw.jsonl"))
    assert not {RequestCode.CHUNK_GET, RequestCode.CHUNK_SEND} & set(codes(evidence))
    assert {RequestCode.GET_CERTIFICATE, RequestCode.CHALLENGE} & set(codes(evidence))


def test_an_unanswered_last_request_was_cut_short() -> None:
    evidence = evidence_of(recording(("req", "10840000"), ("rsp", "1004000000010012"), ("req", "12e10000")))
    assert evidence.ending.kind is EndingKind.UNREACHABLE
    assert codes(evidence) == [RequestCode.GET_VERSION]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [("rsp", "1004000000010012")],
        [("req", "10840000"), ("req", "10840000")],
        [("req", "10840000"), ("rsp", "1004000000010012"), ("rsp", "1004000000010012")],
    ],
)
def test_what_is_not_one_conversation_is_refused(frames: list[tuple[str, str]]) -> None:
    with pytest.raises(RecordingProblem, match="file"):
        evidence_of(recording(*frames))


def test_secured_records_are_left_out() -> None:
    evidence = evidence_of(
        recording(("req", "0510840000"), ("rsp", "051004000000010012"), ("req", "06ff"), ("rsp", "06ff"), transport=1)
    )
    assert codes(evidence) == [RequestCode.GET_VERSION]


def test_an_unknown_transport_is_refused() -> None:
    with pytest.raises(RecordingProblem, match="unknown transport 9"):
        evidence_of(recording(("req", "10840000"), ("rsp", "1004"), transport=9))


def test_a_time_beyond_all_calendars_is_refused() -> None:
    line = json.dumps({"t": 1 << 39, "dir": "req", "cmd": 1, "trans": 0, "hex": "10840000"})
    with pytest.raises(RecordingProblem, match="time"):
        evidence_of(Recording.parse(line.encode(), "file"))


@given(
    st.lists(st.tuples(st.sampled_from(["req", "rsp"]), st.binary(max_size=24).map(bytes.hex)), max_size=6),
    st.integers(0, 4),
)
def test_any_frames_are_evidence_or_one_clean_error(frames: list[tuple[str, str]], transport: int) -> None:
    try:
        assert evidence_of(recording(*frames, transport=transport)).exchanges is not None
    except RecordingProblem as problem:
        assert problem.object.startswith("file")  # noqa: PT017 the problem is what is tested
