"""The wheel runs on every Python that the machine has, and brings what the source tree has; so does the sdist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("wheel")]

ROOT = Path(__file__).parents[2]
TREES = ("cmakeys", "man", "roots", "packaging")
OLDEST = (3, 11)


def run(command: Sequence[str | Path], **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
    return done.stdout


def pythons() -> list[Path]:
    """Every CPython that cmakeys supports: on PATH, and where pyenv and uv keep theirs; one of each version."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(":") if folder]
    folders += [*Path.home().glob(".pyenv/versions/*/bin"), *Path.home().glob(".local/share/uv/python/*/bin")]
    found: dict[tuple[int, int], Path] = {sys.version_info[:2]: Path(sys.executable)}
    question = "import json,sys; print(json.dumps([sys.implementation.name, *sys.version_info[:2]]))"
    for folder in folders:
        for path in sorted(folder.glob("python3.*")):
            if not re.fullmatch(r"python3\.\d+", path.name):
                continue
            done = subprocess.run([path, "-c", question], capture_output=True, text=True, check=False, timeout=60)
            name, *version = json.loads(done.stdout) if done.returncode == 0 else ("", 0, 0)
            if name == "cpython" and tuple(version) >= OLDEST:
                found.setdefault((version[0], version[1]), path)
    return [path for _, path in sorted(found.items())]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the sdist, built from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    source.mkdir()
    for name in (*TREES, "LICENSE", "README.md", "pyproject.toml", ".gitignore"):
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    run([sys.executable, "-m", "venv", folder / "builder"])
    builder = folder / "builder/bin/python"
    pip: tuple[str | Path, ...] = (builder, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run([*pip, "hatchling>=1.24"])
    for target in ("wheel", "sdist"):
        run(["env", "-C", source, builder, "-m", "hatchling", "build", "-t", target, "-d", folder])
    return folder


def of_tree(name: str) -> set[str]:
    paths = (path for path in (ROOT / name).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(ROOT)) for path in paths}


def test_the_wheel_has_every_file_of_the_package_the_manual_and_the_catalogue(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert of_tree("cmakeys") <= names
    assert {f"cmakeys/{name}" for name in of_tree("man")} <= names
    assert {name.replace("roots/", "cmakeys/roots/vendors/", 1) for name in of_tree("roots")} <= names
    assert any(name.endswith("data/share/man/man8/cmakeys.8") for name in names)
    assert not any(name.startswith("tests/") for name in names)


def test_the_sdist_has_everything_that_it_takes_to_build_wheel_and_package(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    expected = {"LICENSE", "README.md", "pyproject.toml"}.union(*map(of_tree, TREES))
    assert expected <= names


@pytest.mark.parametrize("python", pythons(), ids=lambda path: path.parent.parent.name + "-" + path.name)
def test_it_runs_on_a_python_of_this_machine(built: Path, python: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    run([python, "-m", "venv", tmp_path / "venv"])
    place = tmp_path / "venv/bin"
    run([place / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", wheel])
    # Every verb is asked how it is used, so that every module of the command line is read by this Python.
    nouns = "import json; from cmakeys.cli.nouns import NOUNS; print(json.dumps([noun.name for noun in NOUNS]))"
    names = json.loads(run([place / "python", "-c", nouns]))
    helps = "import sys; from cmakeys.cli.app import main; [main([noun, '--help']) for noun in sys.argv[1:]]"
    said = run([place / "python", "-W", "error", "-c", helps, *names])
    assert said.count("Usage: ") >= len(names)
    tree = tmp_path / "tree"
    command = place / "cmakeys"
    run([command, "setup", "install", "--prefix", "/usr", "--sysroot", tree])
    assert (tree / "usr/share/man/man8/cmakeys-check.8").exists()
    assert (tree / "usr/share/cmakeys/vendors/nvidia.yaml").exists()
    acme = tmp_path / "acme"
    ready = tmp_path / "ready"
    # A device, its root and a check: every layer down to the cryptography.
    listen: list[str | Path] = [command, "emulate", "--listen", "127.0.0.1:0", "--pki-dir", acme, "--ready-file", ready]
    script = """
        "$@" >/dev/null & device=$!
        trap 'kill $device' EXIT
        until test -s "$READY"; do sleep 0.1; kill -0 $device || exit 9; done
        "$COMMAND" check "$(cat "$READY")" --sysroot "$TREE" --json || test $? = 1
    """
    said = run(["sh", "-c", script, "sh", *listen], READY=str(ready), COMMAND=str(command), TREE=str(tree))
    (device,) = json.loads(said)["data"]["devices"]
    outcomes = {step["number"]: step["outcome"] for step in device["verdict"]["steps"]}
    assert outcomes[11] == "passed", "the device proved that it has its key"
    assert outcomes[4] == "failed", "and nobody trusts its root"
