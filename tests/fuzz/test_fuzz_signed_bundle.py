"""The fuzz target of signed bundles runs, and a short run finds nothing."""

from __future__ import annotations

from tests.fuzz import fuzz_signed_bundle, mutation


def test_a_short_run_on_bundles_finds_nothing() -> None:
    tried, finding = mutation.fuzz(fuzz_signed_bundle.corpus(), fuzz_signed_bundle.try_one, 1.0, seed=4)
    assert finding is None
    assert tried > 0


def test_each_example_is_what_one_target_reads() -> None:
    for data, target in zip(fuzz_signed_bundle.corpus(), fuzz_signed_bundle.TARGETS, strict=True):
        target(data)
