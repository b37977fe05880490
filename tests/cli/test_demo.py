"""The demo tells a true story: every command of it does what the text says."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.system
def test_the_demo_runs_to_its_end_and_finds_what_went_wrong() -> None:
    result = subprocess.run(
        (sys.executable, "-m", "cmakeys.cli.demo"), check=False, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert "3 devices: 3 trusted" in result.stdout
    assert "3 devices: 3 rejected" in result.stdout
    wrong = result.stdout.split("3 devices: 3 rejected")[1]
    gpu, rest = wrong.split("nvme0 is rejected:")
    firmware, impostor = rest.split("nvme1 is rejected:")
    assert "which the one trusted root neither is" in " ".join(gpu.split())
    assert "index 2 (mutable firmware)" in firmware
    assert "under the name of a root you trust" in " ".join(impostor.split())
    assert "device-cert pin" in impostor
