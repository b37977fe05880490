"""A recording is what passed, in order; any other file is one clean error that names the line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import CmakeysError, EnvironmentProblem, NotFound
from cmakeys.transports import recording
from cmakeys.transports.base import Deadline, TransportTimeout
from cmakeys.transports.framing import Framing, wrap
from cmakeys.transports.recording import Entry, Recording, RecordingProblem, RecordingTransport

ENTRIES = st.builds(
    Entry,
    st.floats(0, 2**33),
    st.sampled_from(["req", "rsp"]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=80),
)
LINE = '{"t": 1.5, "dir": "req", "cmd": 1, "trans": 0, "hex": "10840000"}'


class Echo:
    """A transport whose device repeats what it is told, and goes silent at the word `quiet`."""

    address = "emu://127.0.0.1:2323"

    def __init__(self) -> None:
        self.closed = 0

    def exchange(self, message: bytes, deadline: Deadline, *, secured: bool = False) -> bytes:
        if message == b"quiet":
            raise TransportTimeout("silence", object=self.address)
        return message[::-1]

    def close(self) -> None:
        self.closed += 1


@given(st.lists(ENTRIES, min_size=1, max_size=5))
def test_entries_survive_the_file(entries: list[Entry]) -> None:
    data = "".join(entry.line() + "\n" for entry in entries).encode()
    assert Recording.parse(data, "file").entries == tuple(entries)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_recording_or_a_clean_error(data: bytes) -> None:
    try:
        parsed = Recording.parse(data, "file")
    except RecordingProblem as error:
        named = error.object
    else:
        named = parsed.source
    assert named.startswith("file")


@given(
    st.dictionaries(st.sampled_from(["t", "dir", "cmd", "trans", "hex", "format"]), st.none() | st.floats() | st.text())
)
def test_any_json_object_is_an_entry_or_a_clean_error(fields: dict[str, object]) -> None:
    with pytest.raises(RecordingProblem):
        Recording.parse(json.dumps({**fields, "cmd": "1"}).encode(), "file")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"t": "yesterday"}, "t must be"),
        ({"t": -1}, "t must be"),
        ({"t": float("nan")}, "t must be"),
        ({"t": True}, "t must be"),
        ({"dir": "both"}, "dir must be"),
        ({"dir": ["req"]}, "dir must be"),
        ({"cmd": 1 << 32}, "cmd must be"),
        ({"cmd": True}, "cmd must be"),
        ({"trans": -1}, "trans must be"),
        ({"trans": 1.0}, "trans must be"),
        ({"hex": "1"}, "hex must be"),
        ({"hex": "zz"}, "hex must be"),
        ({"hex": None}, "hex must be"),
        ({"hex": "00" * ((1 << 20) + 1)}, "at most 1 MiB"),
        ({"hex": "00" * ((1 << 20) + 1024)}, "a line of more than"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(change: dict[str, object], complaint: str) -> None:
    data = f"{LINE}\n\n{json.dumps({**json.loads(LINE), **change})}\n".encode()
    with pytest.raises(RecordingProblem, match=complaint) as caught:
        Recording.parse(data, "conversation.jsonl")
    assert caught.value.object == "conversation.jsonl, line 3"


@pytest.mark.parametrize("line", ["[]", "1", "nonsense", "{", "\x00", "[" * 100_000, '{"t": ' + "1" * 5000 + "}"])
def test_a_line_that_is_no_object_is_refused(line: str) -> None:
    with pytest.raises(RecordingProblem):
        Recording.parse(line.encode(), "file")


def test_our_first_line_tells_the_address_and_may_be_absent() -> None:
    header = '{"format": "cmakeys-recording/1", "address": "emu://x"}'
    assert Recording.parse(f"{header}\n{LINE}\n".encode(), "f").address == "emu://x"
    assert Recording.parse(f"{LINE}\n".encode(), "f").address == ""


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ('{"format": "cmakeys-recording/2"}', "reads cmakeys-recording/1"),
        ('{"format": "cmakeys-recording/1", "address": 1}', "address"),
    ],
)
def test_another_format_is_refused_not_guessed(header: str, complaint: str) -> None:
    with pytest.raises(RecordingProblem, match=complaint):
        Recording.parse(header.encode(), "f")


@pytest.mark.parametrize("data", [b"", b"\n \n", b'{"format": "cmakeys-recording/1"}\n'])
def test_a_file_without_a_message_is_no_recording(data: bytes) -> None:
    with pytest.raises(RecordingProblem, match="there is no message in it"):
        Recording.parse(data, "f")


def test_size_and_number_of_entries_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    file.write_text(f"{LINE}\n" * 4)
    monkeypatch.setattr(recording, "ENTRIES_MAXIMUM", 3)
    with pytest.raises(RecordingProblem, match="more than 3 entries"):
        Recording.read(file)
    monkeypatch.setattr(recording, "FILE_MAXIMUM", 100)
    with pytest.raises(RecordingProblem, match="larger than"):
        Recording.read(file)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Recording.read(tmp_path / "absent.jsonl")


@pytest.mark.parametrize("framing", Framing)
def test_what_passes_is_written_down_in_both_directions(framing: Framing) -> None:
    file, inner = io.BytesIO(), Echo()
    transport = RecordingTransport(inner, framing, file)
    assert transport.exchange(b"abcd", Deadline.after(5)) == b"dcba"
    written = Recording.parse(file.getvalue(), "memory")
    transport.close()
    assert written.address == transport.address == Echo.address
    assert [(entry.direction, entry.command, entry.transport, entry.frame) for entry in written.entries] == [
        ("req", 1, framing, wrap(framing, b"abcd")),
        ("rsp", 1, framing, wrap(framing, b"dcba")),
    ]
    assert inner.closed == 1


def test_a_request_without_an_answer_stays_in_the_recording() -> None:
    file = io.BytesIO()
    transport = RecordingTransport(Echo(), Framing.MCTP, file)
    with pytest.raises(TransportTimeout):
        transport.exchange(b"quiet", Deadline.after(5))
    assert [entry.direction for entry in Recording.parse(file.getvalue(), "memory").entries] == ["req"]


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "conversation.jsonl"
    RecordingTransport.create(Echo(), Framing.MCTP, path).close()
    before = path.read_bytes()
    with pytest.raises(EnvironmentProblem, match="File exists") as caught:
        RecordingTransport.create(Echo(), Framing.MCTP, path)
    assert caught.value.object == str(path)
    assert path.read_bytes() == before


def test_a_full_disk_is_a_problem_of_the_environment() -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(CmakeysError, match="No space left"):  # noqa: PTH123 a device
        RecordingTransport(Echo(), Framing.MCTP, full)


def test_hello_farewell_and_discovery_are_no_conversation(shared_data: Path) -> None:
    whole = Recording.read(shared_data / "captures" / "v12-doe-p384-alias.pcap.raw.jsonl")
    words = whole.conversation()
    assert len(words) < len(whole.entries)
    assert words[0].frame.endswith(bytes.fromhex("10840000"))
    assert [entry.direction for entry in words] == ["req", "rsp"] * (len(words) // 2)
