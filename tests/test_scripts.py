"""The linter of shell scripts has nothing to say about any script of ours, with a first line or sourced by another."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCED = ("images/data/dracut-hook", "images/data/initramfs-conf")
"""Those that another script sources; which shell that is, the first line cannot say."""


def scripts() -> list[Path]:
    places = (path for part in ("cmakeys", "tests", ".ci") for path in sorted((ROOT / part).rglob("*")))
    files = (path for path in places if path.is_file() and path.suffix not in (".py", ".pyc"))
    return [path for path in files if path.read_bytes()[:40].split(b"\n")[0].endswith((b"/sh", b"bash", b" sh"))]


def test_the_loader_is_among_them() -> None:
    assert {"load", "init.sh", "run"} <= {path.name for path in scripts()}


@pytest.mark.parametrize(
    "path", [*scripts(), *(ROOT / "cmakeys" / name for name in SOURCED)], ids=lambda path: path.name
)
def test_the_linter_has_nothing_to_say(path: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("the linter of shell scripts, shellcheck, is not installed")
    shell = ["--shell", "sh"] if not path.read_bytes().startswith(b"#!") or b"busybox" in path.read_bytes()[:20] else []
    run = subprocess.run(["shellcheck", *shell, str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert run.stdout + run.stderr == ""
