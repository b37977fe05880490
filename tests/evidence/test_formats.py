"""A file is known by its bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmakeys.errors import NotFound, UsageProblem
from cmakeys.evidence import archive
from cmakeys.evidence.fields import FieldProblem
from cmakeys.evidence.formats import UnknownForm, read_evidence
from cmakeys.evidence.model import EvidenceKind
from cmakeys.transports.recording import RecordingProblem
from tests.evidence.loopback import attest, credentials
from tests.evidence.test_nvidia import pem


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    path = tmp_path / "chain.txt"
    path.write_bytes(pem(*(certificate.der for certificate in credentials().chain)))
    return path


def test_saved_evidence(tmp_path: Path) -> None:
    evidence = attest()
    archive.save(evidence, tmp_path / "any.name")
    assert read_evidence(tmp_path / "any.name") == evidence


def test_a_recording(shared_data: Path) -> None:
    evidence = read_evidence(shared_data / "captures" / "v12-none-p256-sha256.pcap.raw.jsonl")
    assert evidence.kind is EvidenceKind.CONVERSATION
    assert evidence.tool == "recording"


def test_a_report_with_its_chain(tmp_path: Path, chain: Path) -> None:
    report = tmp_path / "report.bin"
    report.write_bytes(bytes.fromhex("11e001ff") + bytes(100))
    evidence = read_evidence(report, chain)
    assert evidence.kind is EvidenceKind.SIGNED_REPORT
    assert evidence.collected_at == datetime.fromtimestamp(report.stat().st_mtime, UTC)


def test_a_report_without_its_chain_says_what_is_missing(tmp_path: Path) -> None:
    report = tmp_path / "report.txt"
    report.write_text("11e001ff" + "00" * 100)
    with pytest.raises(UsageProblem) as caught:
        read_evidence(report)
    assert "--chain" in caught.value.hint


def test_a_damaged_report_with_a_chain_is_still_judged(tmp_path: Path, chain: Path) -> None:
    report = tmp_path / "report.bin"
    report.write_bytes(b"\xee\xe0\x01\xff" + bytes(100))
    assert read_evidence(report, chain).report[0] == 0xEE


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", UnknownForm),
        (b"hello", UnknownForm),
        (b"{}", FieldProblem),
        (b'{"schema": "cmakeys/evidence/9"}', FieldProblem),
        (b'{"dir": "req"}', RecordingProblem),
        (b"{" * 1000, FieldProblem),
    ],
)
def test_anything_else_is_one_clean_error(tmp_path: Path, data: bytes, problem: type[Exception]) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(problem, match="file"):
        read_evidence(path)


def test_a_missing_file_is_the_worlds_fault(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_evidence(tmp_path / "none")
