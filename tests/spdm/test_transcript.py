"""When transcripts reset: the rows of the reference's §4.4 and §4.5."""

from __future__ import annotations

import pytest

from cmakeys.spdm.codes import RequestCode, Version
from cmakeys.spdm.transcript import Transcript

DIGESTS, CERTIFICATE, CHALLENGE, MEASURE = (
    RequestCode.GET_DIGESTS,
    RequestCode.GET_CERTIFICATE,
    RequestCode.CHALLENGE,
    RequestCode.GET_MEASUREMENTS,
)


def negotiated(version: Version = Version.V12) -> Transcript:
    transcript = Transcript()
    transcript.version = version
    transcript.begin(RequestCode.GET_VERSION)
    transcript.add_vca(b"<vca", b">")
    return transcript


def run(transcript: Transcript, *codes: RequestCode) -> Transcript:
    """Let exchanges happen; each adds its name to the transcript it belongs to."""
    for code in codes:
        transcript.begin(code)
        name = code.name.encode()
        if code in (DIGESTS, CERTIFICATE):
            transcript.add_b(name, b"|")
        elif code == MEASURE:
            transcript.add_l1(name, b"|")
        elif code == CHALLENGE:
            transcript.challenged()
    return transcript


def b_of(transcript: Transcript) -> bytes:
    return transcript.m1(b"", b"").removeprefix(b"<vca>")


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], b""),
        ([DIGESTS, CERTIFICATE], b"GET_DIGESTS|GET_CERTIFICATE|"),
        ([DIGESTS, CERTIFICATE, CERTIFICATE], b"GET_DIGESTS|GET_CERTIFICATE|GET_CERTIFICATE|"),
        ([DIGESTS, CERTIFICATE, DIGESTS], b"GET_DIGESTS|"),
        ([CERTIFICATE], b"GET_CERTIFICATE|"),
        ([DIGESTS, CERTIFICATE, CHALLENGE], b""),
        ([DIGESTS, MEASURE], b""),
        ([DIGESTS, CHALLENGE, DIGESTS, CERTIFICATE, MEASURE], b"GET_DIGESTS|GET_CERTIFICATE|"),
        ([DIGESTS, RequestCode.KEY_EXCHANGE, CERTIFICATE], b"GET_CERTIFICATE|"),
        ([DIGESTS, RequestCode.GET_MEASUREMENT_EXTENSION_LOG], b""),
        ([DIGESTS, RequestCode.GET_ENDPOINT_INFO], b"GET_DIGESTS|"),
    ],
)
def test_b_holds_the_reads_since_its_last_reset(codes: list[RequestCode], expected: bytes) -> None:
    assert b_of(run(negotiated(), *codes)) == expected


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([MEASURE], b"GET_MEASUREMENTS|"),
        ([MEASURE, MEASURE], b"GET_MEASUREMENTS|GET_MEASUREMENTS|"),
        ([MEASURE, DIGESTS, MEASURE], b"GET_MEASUREMENTS|"),
        ([MEASURE, CHALLENGE], b""),
    ],
)
def test_l1_holds_the_measurements_since_any_other_request(codes: list[RequestCode], expected: bytes) -> None:
    assert run(negotiated(), *codes).l1() == b"<vca>" + expected


@pytest.mark.parametrize(
    ("version", "begins"), [(Version.V10, False), (Version.V11, False), (Version.V12, True), (Version.V14, True)]
)
def test_l1_begins_with_vca_from_1_2_on_and_m1_always(version: Version, begins: bool) -> None:
    transcript = run(negotiated(version), MEASURE)
    assert transcript.l1().startswith(b"<vca>") is begins
    assert transcript.m1(b"", b"").startswith(b"<vca>")


def test_get_version_starts_everything_anew() -> None:
    transcript = run(negotiated(), DIGESTS, CHALLENGE, DIGESTS)
    transcript.begin(RequestCode.GET_VERSION)
    assert transcript.m1(b"", b"") == b""
    assert not transcript.authenticated


def test_an_error_answer_or_a_signature_resets_l1() -> None:
    transcript = run(negotiated(), MEASURE)
    transcript.reset_l1()
    assert transcript.l1() == b"<vca>"
