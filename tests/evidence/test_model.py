"""Evidence is a value that cannot contradict itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given

from cmakeys.evidence.fields import time_text
from cmakeys.evidence.model import Ending, EndingKind, Evidence, EvidenceKind
from cmakeys.spdm.connection import Exchange
from tests.evidence import strategies as s
from tests.evidence.loopback import NOW


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Evidence("d", EvidenceKind.CONVERSATION, datetime(2040, 1, 1))


@pytest.mark.parametrize(
    "parts",
    [{"report": b"x"}, {"certificates": (b"x",)}],
)
def test_a_conversation_has_no_report(parts: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="other kind"):
        replace(Evidence("d", EvidenceKind.CONVERSATION, NOW), **parts)  # type: ignore[arg-type]  # wrong on purpose


def test_a_report_has_no_exchanges() -> None:
    with pytest.raises(ValueError, match="other kind"):
        Evidence("d", EvidenceKind.SIGNED_REPORT, NOW, exchanges=(Exchange(b"a", b"b"),))


@pytest.mark.parametrize(
    ("kind", "step"), [(EndingKind.COMPLETE, 1), (EndingKind.REFUSED, None), (EndingKind.REFUSED, 15)]
)
def test_exactly_a_refusal_has_a_step(kind: EndingKind, step: int | None) -> None:
    with pytest.raises(ValueError, match="step"):
        Ending(kind, "", step)


@given(s.evidence)
def test_the_digest_changes_with_whatever_is_judged(one: Evidence) -> None:
    assert replace(one, device=one.device + "x").digest != one.digest
    assert replace(one, ending=replace(one.ending, message=one.ending.message + "x")).digest != one.digest
    if one.kind is EvidenceKind.CONVERSATION:
        assert replace(one, exchanges=(*one.exchanges, Exchange(b"", b""))).digest != one.digest
    else:
        assert replace(one, report=one.report + b"\0").digest != one.digest
    assert replace(one, tool=one.tool + "x").digest == one.digest


@given(s.evidence)
def test_the_digest_is_that_of_one_json_list(one: Evidence) -> None:
    parts = [
        1,
        one.device,
        one.kind.value,
        time_text(one.collected_at),
        [[exchange.request.hex(), exchange.response.hex()] for exchange in one.exchanges],
        [chain.hex() for chain in one.chains],
        one.report.hex(),
        [certificate.hex() for certificate in one.certificates],
        one.identity.san_string() if one.identity else None,
        one.expected_nonce.hex() if one.expected_nonce is not None else None,
        [one.ending.kind.value, one.ending.message, one.ending.step, one.ending.hint],
    ]
    assert one.digest == hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()
