"""A bench judges bytes of any form, and travels to other processes as a value."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from cmakeys.errors import CmakeysError
from cmakeys.evidence import archive
from cmakeys.evidence.formats import UnknownForm
from cmakeys.offline import Bench, Proven
from cmakeys.verify.policy import KernelViewRule, Policy
from cmakeys.verify.verdict import Outcome
from tests.evidence.loopback import NOW, attest, credentials, device
from tests.verify.cases import roots


def proven(bench: Bench, data: bytes, source: str) -> Proven:
    return bench.prove(bench.read(data, source))


def test_bytes_are_judged_and_what_is_no_evidence_is_named() -> None:
    bench = Bench(roots(), Policy(), NOW)
    assert bench.judge(proven(bench, archive.encode(attest()), "good.json")).outcome is Outcome.TRUSTED
    impostor = archive.encode(attest(device(credentials(authority="Impostor"))))
    assert bench.judge(proven(bench, impostor, "bad.json")).outcome is Outcome.REJECTED
    with pytest.raises(CmakeysError, match=r"broken\.json"):
        bench.read(b"{}", "broken.json")
    with pytest.raises(UnknownForm, match=r"empty\.json"):
        bench.read(b"", "empty.json")


def test_a_bench_that_was_used_still_travels() -> None:
    bench = Bench(roots(), Policy(kernel_view=KernelViewRule.OFF), NOW)
    evidence = archive.encode(attest())
    verdict = bench.judge(proven(bench, evidence, "a"))
    there: Bench = pickle.loads(pickle.dumps(bench))  # noqa: S301 our own
    assert there == bench
    assert there.judge(proven(there, evidence, "a")) == verdict


def test_the_expected_nonce_holds_for_all_evidence(tmp_path: Path) -> None:
    bench = Bench(roots(), Policy(), NOW, expected_nonce=bytes(32))
    assert bench.judge(proven(bench, archive.encode(attest()), str(tmp_path))).outcome is Outcome.REJECTED
