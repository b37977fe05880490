"""An exported capture file holds the recorded frames, as Wireshark expects them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from cmakeys.transports.framing import Framing, wrap
from cmakeys.transports.pcap import to_pcap
from cmakeys.transports.recording import Entry, Recording, RecordingProblem


def read_pcap(data: bytes) -> tuple[int, list[tuple[float, bytes]]]:
    """Link type and records of a little-endian capture file."""
    magic, major, minor, _, _, largest, linktype = struct.unpack_from("<IHHiIII", data)
    assert (magic, major, minor) == (0xA1B2C3D4, 2, 4)
    records, offset = [], 24
    while offset < len(data):
        seconds, microseconds, kept, original = struct.unpack_from("<IIII", data, offset)
        assert kept == original <= largest
        assert microseconds < 1_000_000
        records.append((seconds + microseconds / 1e6, data[offset + 16 : offset + 16 + kept]))
        offset += 16 + kept
    return linktype, records


def recorded(framing: int, *frames: bytes) -> Recording:
    return Recording(tuple(Entry(1.9999999, "req", 1, framing, frame) for frame in frames), "file")


@pytest.mark.parametrize(
    ("framing", "linktype", "prefix"),
    [
        (Framing.MCTP, 291, bytes.fromhex("000000c0")),
        (Framing.PCI_DOE, 292, b""),
        (Framing.TCP, 147, b""),
        (Framing.NONE, 147, b""),
        (77, 147, b""),
    ],
)
def test_each_transport_has_its_link_type(framing: int, linktype: int, prefix: bytes) -> None:
    frame = wrap(Framing(framing), b"message") if framing < 4 else b"message"
    assert read_pcap(to_pcap(recorded(framing, frame))) == (linktype, [(2.0, prefix + frame)])


def test_an_empty_recording_is_an_empty_capture() -> None:
    assert read_pcap(to_pcap(Recording(()))) == (147, [])


def test_hello_and_farewell_are_left_out() -> None:
    entries = tuple(Entry(0.0, "req", command, 1, b"\5x") for command in (0xDEAD, 1, 0xFFFE))
    assert len(read_pcap(to_pcap(Recording(entries)))[1]) == 1


def test_frames_of_several_transports_do_not_fit_one_file() -> None:
    mixed = Recording((*recorded(1, b"\5x").entries, *recorded(0, b"x").entries), "mixed.jsonl")
    with pytest.raises(RecordingProblem, match=r"^mixed.jsonl: .*several transports"):
        to_pcap(mixed)


def test_every_recorded_conversation_exports_to_what_was_captured(shared_data: Path) -> None:
    recordings = sorted((shared_data / "captures").glob("*.raw.jsonl"))
    assert recordings
    for path in recordings:
        captured = path.with_name(path.name.removesuffix(".raw.jsonl")).read_bytes()
        ours, theirs = read_pcap(to_pcap(Recording.read(path))), read_pcap(captured)
        assert ours[0] == theirs[0], path.name
        assert [frame for _, frame in ours[1]] == [frame for _, frame in theirs[1]], path.name
