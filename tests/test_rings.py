"""The rings are counted, and CI does not let a skip pass that a better set-up would have avoided."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest
from tests.rings import cannot

def test_runs(): assert True

@pytest.mark.system
def test_also_runs(): assert True

@pytest.mark.system
def test_lacks_a_library(): pytest.skip("no library")

@pytest.mark.guest
def test_lacks_hardware(): cannot("no virtualisation")

@pytest.mark.xfail
def test_fails_as_expected(): assert False
"""


def run_suite(folder: Path, ci: str, *arguments: str) -> tuple[int, list[str]]:
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    system: x\n    guest: x\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.rings", "-p", "no:cacheprovider", *arguments, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    return run.returncode, run.stdout.splitlines()


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_the_summary_counts_each_ring_and_gives_the_reasons(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, lines = run_suite(tmp_path, "", *arguments)
    start = next(number for number, line in enumerate(lines) if line.strip("= ") == "rings")
    assert code == 0
    assert [" ".join(line.split()) for line in lines[start + 1 : start + 6]] == [
        "pure 2 ran 0 skipped",
        "system 1 ran 1 skipped",
        "1 x no library",
        "guest 0 ran 1 skipped",
        "1 x this machine cannot: no virtualisation",
    ]


def test_in_ci_only_what_no_set_up_could_give_may_be_skipped(tmp_path: Path) -> None:
    code, lines = run_suite(tmp_path, "true")
    assert code == 1
    assert "1 failed, 2 passed, 1 skipped, 1 xfailed" in lines[-1]
    assert "skipped, which CI does not allow: no library" in "\n".join(lines)
