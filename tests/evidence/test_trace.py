"""Traces of the recorded conversations: every session opened, pcap as good as JSON lines, and nothing ever raised."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmakeys.evidence.trace import Spoken, read_conversation, read_secrets, trace
from cmakeys.reports.layout import WIDTH
from cmakeys.reports.trace import trace_data, trace_lines
from cmakeys.spdm.eavesdropper import KeptSecrets
from cmakeys.transports.recording import Entry, Recording

# Messages inside sessions, and records, that each recording with secrets holds.
SESSIONS = {
    "v11-mctp-p256-sha256-session-encrypted-handshake": 36,
    "v12-mctp-psk-sha384": 10,
    "v13-doe-p384-full": 364,
    "v13-mctp-p384-sha384-multikey-session": 32,
    "v14-doe-p384-sha384-session": 220,
    "v14-mctp-mldsa65-mlkem768-session": 48,
}
# A second pre-shared session of these is made with a key that the secrets do not name.
WITH_ANOTHER_KEY = {"v13-doe-p384-full": 18, "v14-doe-p384-sha384-session": 18}
PSK = b"PSK hint=5465737450736b48696e7400 key=5465737450736b4461746100\n"


def secrets_of(folder: Path, name: str, tmp_path: Path) -> KeptSecrets:
    """The recorded secrets, and the emulator's default pre-shared key."""
    file = tmp_path / "secrets.txt"
    file.write_bytes((folder / f"{name}.secrets.txt").read_bytes() + b"\n" + PSK)
    return read_secrets(file)


@pytest.mark.parametrize(("name", "count"), SESSIONS.items())
def test_every_session_is_opened(name: str, count: int, shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "captures"
    recording = read_conversation(folder / f"{name}.pcap.raw.jsonl")
    spoken = list(trace(recording, secrets_of(folder, name, tmp_path)))
    inside = [one for one in spoken if one.session is not None and not one.whole]
    assert len(inside) == count
    assert not [one for one in spoken if one.problem]
    assert sum(one.shut for one in inside) == WITH_ANOTHER_KEY.get(name, 0)


@pytest.mark.parametrize("name", ["v13-doe-p384-full", "v14-mctp-mldsa65-mlkem768-session", "v12-tcp-p521-sha512"])
def test_a_capture_file_tells_what_the_recording_tells(name: str, shared_data: Path) -> None:
    folder = shared_data / "captures"
    told = [
        [one.octets for one in trace(read_conversation(folder / f"{name}{form}"), KeptSecrets())]
        for form in (".pcap", ".pcap.raw.jsonl")
    ]
    assert told[0][-100:] == told[1][-100:]
    assert len(told[0]) > 10


def test_every_kind_of_message_is_decoded_and_fits_a_terminal(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "captures"
    kinds: Counter[str] = Counter()
    for name in SESSIONS:
        recording = read_conversation(folder / f"{name}.pcap.raw.jsonl")
        for one in trace(recording, secrets_of(folder, name, tmp_path)):
            assert one.decoded is not None or one.shut or one.application
            kinds[one.name] += 1
            assert trace_data(one, octets=True)["octets"] == one.octets
            assert all(len(line.text) <= WIDTH for line in trace_lines(one, 0, details=True))
    assert len(kinds) > 50


def entries_of(path: Path) -> tuple[Entry, ...]:
    return read_conversation(path).entries


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(data=st.data())
def test_whatever_a_recording_holds_it_is_shown(data: st.DataObject, shared_data: Path) -> None:
    entries = list(entries_of(shared_data / "captures/v12-mctp-p384-chunk256.pcap.raw.jsonl"))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(entries) - 1))
        old = entries[place]
        frame = bytearray(old.frame or b"\0")
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(frame)))
        transport = data.draw(st.sampled_from([old.transport, 0, 2, 3, 99]))
        direction = data.draw(st.sampled_from([old.direction, "req", "rsp"]))
        entries[place] = Entry(old.time, direction, old.command, transport, bytes(frame[:cut]))
    recording = Recording(tuple(entries), "file")
    spoken: list[Spoken] = list(trace(recording, KeptSecrets()))
    assert len([one for one in spoken if not one.whole]) == len(recording.conversation())
    for one in spoken:
        assert list(trace_lines(one, 0.0, details=True))
