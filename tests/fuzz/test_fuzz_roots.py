"""The fuzz target of the store, the catalogue and the journal runs, and a short run finds nothing."""

from __future__ import annotations

import io

from cmakeys.roots.journal import read_journal
from tests.fuzz import fuzz_roots, mutation


def test_a_short_run_on_the_files_of_trust_finds_nothing() -> None:
    tried, finding = mutation.fuzz(fuzz_roots.corpus(), fuzz_roots.try_one, 1.0, seed=4)
    assert finding is None
    assert tried > 0


def test_each_example_is_what_one_target_reads() -> None:
    *files, journal, torn = fuzz_roots.corpus()
    for data, target in zip(files, fuzz_roots.TARGETS, strict=False):
        target(data)
    assert len(read_journal(io.BytesIO(journal)).entries) == 3
    assert len(read_journal(io.BytesIO(torn)).entries) == 2
