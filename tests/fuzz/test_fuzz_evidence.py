"""A short run of the fuzz target for evidence finds nothing."""

from __future__ import annotations

from tests.fuzz import fuzz_evidence


def test_a_short_run_on_evidence_files_finds_nothing() -> None:
    assert fuzz_evidence.fuzz(1.0, seed=4) > 0
