"""The fuzz target of revocation lists and OCSP responses runs, and a short run finds nothing."""

from __future__ import annotations

from cmakeys.x509.crl import RevocationProblem
from cmakeys.x509.revocation import read_revocation
from tests.fuzz import fuzz_revocation, mutation


def test_a_short_run_on_revocations_finds_nothing() -> None:
    tried, finding = mutation.fuzz(fuzz_revocation.corpus(), fuzz_revocation.try_one, 1.0, seed=7)
    assert finding is None
    assert tried > 0


def test_each_example_is_read_and_believed_by_nobody() -> None:
    *readable, silent = fuzz_revocation.corpus()
    for data in readable:
        assert read_revocation(data, "fuzz").der
        assert fuzz_revocation.try_one(data) is None
    assert fuzz_revocation.try_one(silent) is None
    try:
        read_revocation(silent, "fuzz")
    except RevocationProblem as problem:
        assert "try later" in problem.message  # noqa: PT017 the error is what is asked about
