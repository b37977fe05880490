"""The linter of shell scripts has nothing to say about any script of ours, with a first line or sourced by another."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCED = ("images/data/dracut-hook", "images/data/initramfs-conf", "images/data/hooks/mkinitcpio-conf")
"""Those that another script sources; which shell that is, the first line cannot say."""

BASH = ("mkinitcpio-conf",)
"""Those of them that bash sources."""


def scripts() -> list[Path]:
    places = (path for part in ("cmakeys", "packaging", "tests", ".ci") for path in sorted((ROOT / part).rglob("*")))
    files = (path for path in places if path.is_file() and path.suffix not in (".py", ".pyc"))
    return [path for path in files if path.read_bytes()[:40].split(b"\n")[0].endswith((b"/sh", b"bash", b" sh"))]


def test_the_loader_and_the_hooks_are_among_them() -> None:
    assert {"load", "init.sh", "run", "dracut-module-setup.sh", "initramfs-hook", "kernel-install"} <= {
        path.name for path in scripts()
    }


@pytest.mark.parametrize(
    "path", [*scripts(), *(ROOT / "cmakeys" / name for name in SOURCED)], ids=lambda path: path.name
)
def test_the_linter_has_nothing_to_say(path: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("the linter of shell scripts, shellcheck, is not installed")
    named = path.read_bytes().startswith(b"#!") and b"busybox" not in path.read_bytes()[:20]
    shell = [] if named else ["--shell", "bash" if path.name in BASH else "sh"]
    run = subprocess.run(["shellcheck", *shell, str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert run.stdout + run.stderr == ""
