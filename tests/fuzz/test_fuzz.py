"""The fuzz targets run, and a short run of each finds nothing."""

from __future__ import annotations

from tests.fuzz import fuzz_bundle, fuzz_requester, mutation


def test_a_short_run_on_certificates_finds_nothing() -> None:
    tried, finding = mutation.fuzz(fuzz_bundle.corpus(), fuzz_bundle.try_one, 1.0, seed=2)
    assert finding is None
    assert tried > 0


def test_the_target_can_find_something() -> None:
    def broken(data: bytes) -> None:
        raise IndexError(len(data))

    finding = fuzz_bundle.try_one(b"x", (broken,))
    assert finding is not None
    assert isinstance(finding.error, IndexError)


def test_a_short_run_on_conversations_finds_nothing() -> None:
    assert fuzz_requester.fuzz(1.0, seed=3) > 0
