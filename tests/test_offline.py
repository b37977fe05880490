"""Many files are judged alike in one process and in several, and none ends the run."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from cmakeys.errors import CmakeysError
from cmakeys.evidence import archive
from cmakeys.offline import Bench, judge_files
from cmakeys.verify.policy import Policy
from cmakeys.verify.verdict import Outcome
from tests.evidence.loopback import NOW, attest, credentials, device
from tests.verify.cases import roots


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    names = [tmp_path / name for name in ("good.json", "none.json", "bad.json", "broken.json")]
    archive.save(attest(), names[0])
    archive.save(attest(device(credentials(authority="Impostor"))), names[2])
    names[3].write_text("{}")
    return names


def outcomes(bench: Bench, files: list[Path], executor: ProcessPoolExecutor | None = None) -> list[object]:
    return [
        result.code if isinstance(result, CmakeysError) else result.outcome
        for _, result in judge_files(bench, files, executor)
    ]


EXPECTED = [Outcome.TRUSTED, "not-found", Outcome.REJECTED, "document"]


def test_each_file_has_its_result_in_order(files: list[Path]) -> None:
    bench = Bench(roots(), Policy(), NOW)
    assert outcomes(bench, files) == EXPECTED
    assert outcomes(bench, []) == []


def test_another_process_comes_to_the_same_results(files: list[Path]) -> None:
    bench = Bench(roots(), Policy(), NOW)
    outcomes(bench, files)  # so that the roots were used here before they travel
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert outcomes(bench, files, executor) == EXPECTED


def test_the_expected_nonce_holds_for_every_file(files: list[Path]) -> None:
    bench = Bench(roots(), Policy(), NOW, expected_nonce=bytes(32))
    assert outcomes(bench, files)[0] is Outcome.REJECTED
