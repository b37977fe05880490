"""`spdm probe`, `slots` and `trace`: a device on a socket, its recording, and recordings that are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cmakeys.cli.app import main
from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.line import Seat
from cmakeys.emulator.server import Server
from cmakeys.emulator.session_settings import SessionSettings
from cmakeys.emulator.settings import DeviceSettings, MultiKey
from tests.workbench import vendor

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    settings = DeviceSettings(multi_key=MultiKey.NEGOTIABLE)
    blueprint = Blueprint(slots=(0, 2), key_types=(KeyType.ECDSA_P384, KeyType.ML_DSA_65), settings=settings)
    with Server([Seat(build_device(vendor(), blueprint))]) as server:
        yield server.places[0].url


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        tree = [] if words[0] == "trace" else ["--sysroot", str(tmp_path / "tree")]
        code = main(["spdm", *map(str, words), *tree])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def data(text: str) -> Any:
    return json.loads(text)["data"]


def test_a_probe_fits_the_terminal_and_finds_what_the_device_does_not_choose(run: Run, url: str) -> None:
    code, out, err = run("probe", url)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert "versions       1.0, 1.1, 1.2, 1.3, 1.4" in out
    assert "ECDSA-P384 (its choice), ML-DSA-65" in out
    assert "new in 1.4     long certificate chains" in out
    assert "key pair 2" in out

    facts = data(run("probe", url, "--json")[1])
    assert facts["algorithms"]["asym"] == ["ECDSA-P384"]
    assert facts["algorithms"]["pqc"] == ["ML-DSA-65"]
    assert facts["chosen"]["pqc"] == []
    assert len(facts["algorithms"]["hashes"]) == 6
    assert set(facts["capabilities"]) == {"1.0", "1.1", "1.2", "1.3", "1.4"}
    assert "CHUNK" not in facts["capabilities"]["1.1"]["flags"]
    assert [slot["slot"] for slot in facts["slots"]] == [0, 2]
    assert facts["troubles"] == {}


def test_a_quick_probe_connects_once(run: Run, url: str, tmp_path: Path) -> None:
    recording = tmp_path / "quick.jsonl"
    facts = data(run("probe", url, "--quick", "--trace", recording, "--json")[1])
    assert list(facts["capabilities"]) == ["1.4"]
    assert facts["algorithms"]["hashes"] == []
    assert facts["chosen"]["hashes"] == ["SHA-384"]
    names = [message["name"] for message in data(run("trace", recording, "--json")[1])["messages"]]
    assert names.count("GET_VERSION") == 1


def test_slots_are_written_down_once(run: Run, url: str, tmp_path: Path) -> None:
    target = tmp_path / "slots"
    code, out, _ = run("slots", url, "--dump", target)
    assert code == 0
    assert "wrote 4 files" in out
    assert sorted(path.name for path in target.iterdir()) == ["slot0.chain", "slot0.pem", "slot2.chain", "slot2.pem"]
    assert (target / "slot0.pem").read_text().count("BEGIN CERTIFICATE") == 3
    before = (target / "slot0.chain").read_bytes()
    code, _, err = run("slots", url, "--dump", target)
    assert code != 0
    assert "slots" in err
    assert (target / "slot0.chain").read_bytes() == before


def test_a_device_that_is_not_there_is_unreachable(run: Run) -> None:
    code, _, err = run("probe", "emu://127.0.0.1:1?transport=doe", "--timeout", "1")
    assert code == 6
    assert "127.0.0.1:1" in err


def test_a_trace_tells_what_was_said_in_80_columns(run: Run, url: str, tmp_path: Path) -> None:
    recording = tmp_path / "slots.jsonl"
    assert run("slots", url, "--trace", recording)[0] == 0
    code, out, _ = run("trace", recording)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "> GET_VERSION" in out
    assert "< DIGESTS  slots 0 2" in out
    assert "0 unopened, 0 with a problem" in out
    detailed = run("trace", recording, "--details")[1]
    assert "ct exponent: 20" in detailed
    assert max(map(len, detailed.splitlines())) <= 80


def test_a_pcap_reads_as_its_recording(run: Run, url: str, tmp_path: Path) -> None:
    recording, capture = tmp_path / "slots.jsonl", tmp_path / "slots.pcap"
    run("slots", url, "--trace", recording)
    assert main(["evidence", "pcap", str(recording), "-o", str(capture)]) == 0
    run("trace", recording)
    (one, two) = (data(run("trace", file, "--octets", "--json")[1])["messages"] for file in (recording, capture))
    assert len(one) == len(two) > 10
    assert [message["octets"] for message in one] == [message["octets"] for message in two]


@pytest.mark.parametrize("content", [b"\0nothing", b"\xd4\xc3\xb2\xa1", b"{}"])
def test_what_is_no_recording_is_said_to_be_none(run: Run, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "odd"
    file.write_bytes(content)
    code, _, err = run("trace", file)
    assert code == 1
    assert str(file) in err


def test_octets_belong_to_json(run: Run, tmp_path: Path) -> None:
    assert run("trace", tmp_path / "any", "--octets")[0] == 2


def test_a_secret_that_is_none_is_named_by_its_line_and_never_shown(run: Run, url: str, tmp_path: Path) -> None:
    recording, secrets = tmp_path / "slots.jsonl", tmp_path / "secrets.txt"
    run("slots", url, "--trace", recording)
    secrets.write_text("# mine\nDHE secret=00ff\nDHE sekret=abcdef\n")
    code, _, err = run("trace", recording, "--secrets", secrets)
    assert code == 1
    assert "line 3" in err
    assert "abcdef" not in err


@pytest.mark.parametrize("words", [("devices", "enroll"), ("check",), ("measure", "get")])
def test_the_verbs_that_talk_to_a_device_can_be_traced(
    words: tuple[str, ...], url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = tmp_path / "trace.jsonl"
    main([*words, url, "--trace", str(recording), "--sysroot", str(tmp_path / "tree")])
    capsys.readouterr()
    assert main(["spdm", "trace", str(recording)]) == 0
    assert "CHALLENGE_AUTH" in capsys.readouterr().out


def test_the_root_of_a_device_is_fetched_in_view(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = tmp_path / "trace.jsonl"
    tree = ("--sysroot", str(tmp_path / "tree"))
    main(["roots", "add", "--from-device", url, "--trace", str(recording), "--dry-run", *tree])
    capsys.readouterr()
    assert main(["spdm", "trace", str(recording)]) == 0
    assert "CERTIFICATE" in capsys.readouterr().out


def test_the_secrets_of_a_recording_open_it_and_are_kept_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = DeviceSettings(sessions=SessionSettings())
    recording, secrets, saved = (str(tmp_path / name) for name in ("trace.jsonl", "secrets.txt", "saved.json"))
    words = ["--session", "require", "--trace", recording, "--trace-secrets", secrets]
    with Server([Seat(build_device(vendor(), Blueprint(settings=settings)))]) as server:
        assert main(["evidence", "save", server.places[0].url, "-o", saved, *words, "--sysroot", str(tmp_path)]) == 0
    assert (tmp_path / "secrets.txt").stat().st_mode & 0o077 == 0
    assert "secret=" not in (tmp_path / "trace.jsonl").read_text() + (tmp_path / "saved.json").read_text()
    capsys.readouterr()
    assert main(["spdm", "trace", recording]) == 0
    assert "0 unopened" not in capsys.readouterr().out
    assert main(["spdm", "trace", recording, "--secrets", secrets]) == 0
    out = capsys.readouterr().out
    assert "0 unopened, 0 with a problem" in out
    assert "END_SESSION_ACK" in out
