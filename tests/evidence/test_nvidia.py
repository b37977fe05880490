"""NVIDIA's report and chain are taken as they come; only what is no report at all is an error."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.evidence import nvidia
from cmakeys.evidence.model import EvidenceKind
from cmakeys.x509.certificate import Certificate
from tests.evidence.loopback import NOW, credentials


def pem(*ders: bytes) -> bytes:
    blocks = (
        b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n" for der in ders
    )
    return b"".join(blocks)


def test_the_hopper_report_is_read_root_first(shared_data: Path) -> None:
    folder = shared_data / "nvidia-hopper"
    evidence = nvidia.evidence_of(
        (folder / "hopperAttestationReport.txt").read_bytes(),
        (folder / "hopperCertChain.txt").read_bytes(),
        device="gpu",
        chain_source="chain",
        collected_at=NOW,
    )
    assert evidence.kind is EvidenceKind.SIGNED_REPORT
    assert len(evidence.report) == 4117
    subjects = [Certificate.from_der(der).subject for der in evidence.certificates]
    assert "NVIDIA Device Identity CA" in subjects[0]
    assert "GH100 A01 GSP FMC LF" in subjects[-1]


def test_hex_text_and_binary_are_the_same_report() -> None:
    report = bytes.fromhex("11e001ff") + bytes(60)
    for form in (report, report.hex().encode(), report.hex(" ").upper().encode() + b"\r\n"):
        assert nvidia.is_report(form)
        assert nvidia.report_bytes(form, "r") == report


@pytest.mark.parametrize("data", [b"", b"\n", b"11e", b"hello", b"{}", b"12e0", b"\x11\x60\x00\x00", b"11 60 00 00"])
def test_what_is_no_report_is_not_taken_for_one(data: bytes) -> None:
    assert not nvidia.is_report(data)


def test_a_report_that_is_too_large_is_refused() -> None:
    with pytest.raises(nvidia.ReportProblem, match="report has"):
        nvidia.report_bytes(b"\x11" * (nvidia.MAX_REPORT_SIZE + 1), "r")
    with pytest.raises(nvidia.ReportProblem, match="more than"):
        nvidia.report_bytes(b" " * (3 * nvidia.MAX_REPORT_SIZE + 1), "r")


def test_either_order_gives_the_root_first() -> None:
    ders = tuple(certificate.der for certificate in credentials().chain)
    assert nvidia.chain_certificates(pem(*ders), "chain") == ders
    assert nvidia.chain_certificates(pem(*reversed(ders)), "chain") == ders
    assert nvidia.chain_certificates(b"".join(reversed(ders)), "chain") == ders


def test_a_damaged_certificate_is_kept_for_the_verdict() -> None:
    ders = [certificate.der for certificate in credentials().chain]
    ders[-1] = ders[-1][:50] + b"\xff" + ders[-1][51:]
    assert nvidia.chain_certificates(pem(*reversed(ders)), "chain") == tuple(ders)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no certificate",
        b"-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----",
        b"\x30\x82\xff",
        pem(b"\x30\x00") * 65,
    ],
)
def test_what_is_no_chain_is_one_clean_error(data: bytes) -> None:
    with pytest.raises(nvidia.ReportProblem) as caught:
        nvidia.chain_certificates(data, "chain file")
    assert caught.value.object.startswith("chain file")


@given(st.binary(max_size=120), st.binary(max_size=120))
def test_any_bytes_are_evidence_or_one_clean_error(report: bytes, chain: bytes) -> None:
    try:
        evidence = nvidia.evidence_of(report, chain, device="gpu", chain_source="chain", collected_at=NOW)
    except nvidia.ReportProblem as problem:
        assert problem.object  # noqa: PT017 the problem is what is tested
    else:
        assert evidence.certificates
