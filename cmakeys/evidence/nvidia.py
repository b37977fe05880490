"""Evidence from NVIDIA's GPU attestation report: the report's bytes, and its certificate chain in PEM, leaf first.

The report is GET_MEASUREMENTS ‖ MEASUREMENTS of SPDM 1.1, in hex text or binary. Nothing in it is parsed here beyond
what tells it apart from other files, and no certificate is parsed at all: a damaged certificate is a finding about the
evidence, with a step of its own, not a file that cannot be read.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime

from cmakeys.errors import EvidenceProblem
from cmakeys.evidence.model import Evidence, EvidenceKind
from cmakeys.spdm.codes import RequestCode, Version
from cmakeys.x509.certificate import MAX_CERTIFICATE_SIZE
from cmakeys.x509.der import SEQUENCE, DerError, read_element

MAX_REPORT_SIZE = 0x1000000
"""Bytes; a measurement record has a length of 24 bits."""

MAX_CHAIN_TEXT = 1024 * 1024
MAX_CERTIFICATES = 64
TOOL = "NVIDIA attestation report"

_HEX_TEXT = re.compile(rb"[0-9a-fA-F\s]+")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_VERSIONS = frozenset(Version)


class ReportProblem(EvidenceProblem):
    """A file that is no attestation report, or no chain for one."""

    code = "report"


def is_report(data: bytes) -> bool:
    """Whether the bytes look like a report, in hex text or binary."""
    try:
        return _is_binary(report_bytes(data, ""))
    except ReportProblem:
        return False


def report_bytes(data: bytes, source: str) -> bytes:
    """The report itself. Raises `ReportProblem` for hex text with an odd digit, or too much of either."""
    if len(data) > 3 * MAX_REPORT_SIZE:
        raise ReportProblem(f"a report of more than {MAX_REPORT_SIZE >> 20} MiB", object=source)
    report = data
    if _HEX_TEXT.fullmatch(data):
        try:
            report = bytes.fromhex(data.decode("ascii"))
        except ValueError:
            raise ReportProblem("hex text with an odd number of digits", object=source) from None
    if not report or len(report) > MAX_REPORT_SIZE:
        raise ReportProblem(f"a report has 1 to {MAX_REPORT_SIZE} bytes, not {len(report)}", object=source)
    return report


def _is_binary(report: bytes) -> bool:
    return len(report) >= 4 and report[0] in _VERSIONS and report[1] == RequestCode.GET_MEASUREMENTS


def chain_certificates(data: bytes, source: str) -> tuple[bytes, ...]:
    """The DER of each certificate of a chain in PEM or concatenated DER, root first.

    The format says leaf first; a chain that begins with a certificate whose issuer is its subject is taken as it is.
    Raises `ReportProblem`.
    """
    if len(data) > MAX_CHAIN_TEXT:
        raise ReportProblem(f"a chain of more than {MAX_CHAIN_TEXT >> 20} MiB", object=source)
    ders = _split_der(data, source) if data[:1] == bytes([SEQUENCE]) else _split_pem(data, source)
    if not 1 <= len(ders) <= MAX_CERTIFICATES:
        raise ReportProblem(
            f"{len(ders)} certificates where a chain of 1 to {MAX_CERTIFICATES} is expected",
            object=source,
            hint="give the PEM file that came with the report",
        )
    for number, der in enumerate(ders):
        if len(der) > MAX_CERTIFICATE_SIZE:
            raise ReportProblem(f"certificate {number} has {len(der)} bytes", object=source)
    return ders if _self_issued(ders[0]) else ders[::-1]


def _split_pem(data: bytes, source: str) -> tuple[bytes, ...]:
    ders = []
    for number, match in enumerate(_PEM.finditer(data)):
        if number == MAX_CERTIFICATES:
            raise ReportProblem(f"more than {MAX_CERTIFICATES} certificates", object=source)
        try:
            ders.append(base64.b64decode(b"".join(match[1].split()), validate=True))
        except binascii.Error:
            raise ReportProblem(f"certificate {number} is not base64", object=source) from None
    return tuple(ders)


def _split_der(data: bytes, source: str) -> tuple[bytes, ...]:
    ders: list[bytes] = []
    position = 0
    try:
        while position < len(data) and len(ders) <= MAX_CERTIFICATES:
            element = read_element(data, position)
            ders.append(data[element.start : element.end])
            position = element.end
    except DerError as error:
        raise ReportProblem(f"not DER: {error}", object=f"{source} at byte {error.offset}") from None
    return tuple(ders)


def _self_issued(der: bytes) -> bool:
    """Issuer and subject of what may be a certificate are the same bytes (RFC 5280 §4.1)."""
    try:
        outer = read_element(der, 0)
        body = read_element(der, outer.content, outer.end)
        element = read_element(der, body.content, body.end)
        if element.tag == 0xA0:  # [0] version
            element = read_element(der, element.end, body.end)
        algorithm = read_element(der, element.end, body.end)
        issuer = read_element(der, algorithm.end, body.end)
        validity = read_element(der, issuer.end, body.end)
        subject = read_element(der, validity.end, body.end)
    except DerError:
        return False
    return der[issuer.start : issuer.end] == der[subject.start : subject.end]


def evidence_of(report: bytes, chain: bytes, *, device: str, chain_source: str, collected_at: datetime) -> Evidence:
    """The evidence of a report file and a chain file; `device` is the name to note. Raises `ReportProblem`."""
    return Evidence(
        device=device,
        kind=EvidenceKind.SIGNED_REPORT,
        collected_at=collected_at,
        report=report_bytes(report, device),
        certificates=chain_certificates(chain, chain_source),
        tool=TOOL,
    )
