"""The Debian package is built, found without fault, and installed in a clean Debian, where the README leads to a check.

Building takes wheels from wherever pip is set up to look, and the clean Debian packages from wherever apt is. Both are
kept in the user's cache, the package by a digest of what it is made of.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cmakeys import __version__
from tests.rings import cannot

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("debian")]

ROOT = Path(__file__).parents[2]
PARTS = ("LICENSE", "README.md", "cmakeys", "man", "packaging", "pyproject.toml", "roots")
INCLUDED = ("python3", "python3-yaml", "libkeyutils1")
TOOLS = ("dpkg-buildpackage", "dh", "dh_python3", "mmdebstrap", "lintian", "busybox", "unshare")
_ENTER = """
busybox ip link set lo up
for one in proc dev; do mount --rbind "/$one" "$0/$one" || exit 1; done
exec chroot "$0" "$@"
"""


def cache(name: str) -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cmakeys-debian" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def made_once(path: Path) -> Iterator[bool]:
    """Whether `path` must be made by whoever asks; others wait until it is."""
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not path.exists()


def run(command: Sequence[str | Path], *, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def sources() -> str:
    """A digest of everything that the package is made of."""
    digest = hashlib.sha256()
    for part in PARTS:
        top = ROOT / part
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@pytest.fixture(scope="module")
def package() -> Path:
    """The package of this checkout."""
    if not Path("/etc/debian_version").exists():
        cannot("a Debian package is built on Debian")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"building and trying a package needs {', '.join(missing)}")
    folder = cache(sources())
    with made_once(folder) as must:
        if must:
            for old in folder.parent.glob("????????????????"):
                shutil.rmtree(old, ignore_errors=True)
            making = folder.with_name("making")
            shutil.rmtree(making, ignore_errors=True)
            run([ROOT / "packaging/build-deb", making])
            making.rename(folder)
    (deb,) = folder.glob("cmakeys_*.deb")
    return deb


@pytest.fixture(scope="module")
def debian() -> Path:
    """A clean Debian of this machine's release, as an archive."""
    if os.geteuid() != 0:
        cannot("only root installs a package in a clean Debian")
    apart = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True, check=False)
    if apart.returncode:
        cannot(f"nothing can be mounted for a clean Debian alone: {apart.stderr.decode(errors='replace').strip()}")
    release = run(["sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME"]).strip()
    archive = cache(f"{release}-{hashlib.sha256(' '.join(INCLUDED).encode()).hexdigest()[:8]}.tar")
    with made_once(archive) as must:
        if must:
            making = archive.with_name(f"making-{archive.name}")
            options = ["--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(INCLUDED)}"]
            options += [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "locale", "info")]
            options += [f"--aptopt={line}" for line in run(["apt-config", "dump"]).splitlines() if "Proxy" in line]
            run(["mmdebstrap", *options, release, making, *apt_sources()])
            making.rename(archive)
    return archive


def apt_sources() -> list[Path]:
    """Where this machine's own apt looks, but for what is added to the distribution."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))]
    return [place for place in places if place.is_file() and "debian" in place.read_text() + place.name]


@pytest.fixture(scope="module")
def tree(package: Path, debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clean Debian, with the package in the folder of root, and not installed."""
    folder = tmp_path_factory.mktemp("debian")
    run(["tar", "--extract", "--file", debian, "--directory", folder, "--exclude=./dev/*"])
    shutil.copy(package, folder / "root")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def inside(tree: Path, script: str) -> str:
    """What a shell says to root in the tree, who has a terminal, a network without a way out, and answers yes."""
    answers, terminal = pty.openpty()
    os.write(answers, b"y\n" * 10)
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, str(tree)]
    try:
        done = subprocess.run(
            [*command, "/bin/sh", "-exc", f"cd /root\n{script}"],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"},
        )
    finally:
        os.close(answers)
        os.close(terminal)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def quick_start() -> list[str]:
    """The commands of the README by which somebody who has the package gets to a first check."""
    section = (ROOT / "README.md").read_text().partition("## Install it")[2].partition("\n## ")[0]
    return [line.strip() for line in section.splitlines() if line.startswith("    ")]


# -- the package -------------------------------------------------------------------------------------------------------


def test_the_version_is_that_of_the_program() -> None:
    assert (ROOT / "packaging/debian/changelog").read_text().startswith(f"cmakeys ({__version__}) ")


def test_lintian_finds_no_fault(package: Path) -> None:
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", str(package)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_in_it_says_nothing_of_where_it_was_built(package: Path, tmp_path: Path) -> None:
    run(["dpkg-deb", "--extract", package, tmp_path])
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    private = re.compile(rb"debian/\.environment|/tmp/tmp\.")
    assert [path for path in found if "dist-info" in str(path) and private.search(path.read_bytes())] == []
    assert not list(tmp_path.rglob("direct_url.json"))
    assert not list(tmp_path.rglob("__pycache__"))


def test_what_is_in_it_is_what_setup_writes(package: Path) -> None:
    names = {line.split()[-1] for line in run(["dpkg-deb", "--contents", package]).splitlines()}
    for place in (
        "./lib/systemd/system/cmakeys-check.timer",
        "./usr/share/man/man8/cmakeys-check.8.gz",
        "./usr/share/bash-completion/completions/cmakeys",
        "./usr/share/zsh/vendor-completions/_cmakeys",
        "./usr/share/fish/vendor_completions.d/cmakeys.fish",
        "./usr/share/cmakeys/schemas/check.json",
        "./usr/share/cmakeys/ansible/rollout.yml",
        "./etc/cmakeys/hooks/on-failure.d/README",
        "./usr/lib/cmakeys/cmakeys/roots/vendors/nvidia.yaml",
    ):
        assert place in names


# -- in a clean Debian -------------------------------------------------------------------------------------------------


def test_the_quick_start_leads_a_newcomer_to_a_check_and_removing_leaves_what_is_theirs(tree: Path) -> None:
    lines = quick_start()
    assert [line.split()[0] for line in lines] == ["apt", *["cmakeys"] * 5]
    script = "\n".join(lines)
    # A person types the next line when the emulator has said that it listens.
    script = script.replace(" &\n", " &\nuntil test -e acme/root.pem; do sleep 0.1; done; sleep 1\n")
    script = script.replace("apt install", "apt-get install --yes </dev/null")
    said = inside(tree, script)
    assert re.search(r"^\W*try\b.*\btrusted\b", said, re.MULTILINE), said[-6000:]
    assert (tree / "etc/systemd/system/timers.target.wants/cmakeys-check.timer").is_symlink()
    assert "ExecStart=/usr/bin/cmakeys " in (tree / "etc/systemd/system/cmakeys-check.service").read_text()
    assert list(tree.glob("usr/lib/cmakeys/cmakeys/__pycache__/check.*.pyc")), "modules are compiled when installed"

    said = inside(
        tree, "dpkg --verify cmakeys\ncmakeys doctor --json >/dev/null || test $? = 1\ncmakeys setup status\n"
    )
    missing = [line for line in said.splitlines() if line.startswith("missing") and "/usr/share/doc/" not in line]
    assert missing == []
    refused = inside(tree, "cmakeys setup install --prefix /usr || echo left with $?")
    assert "left with 8" in refused

    inside(tree, "dpkg --remove cmakeys")
    assert not (tree / "usr/lib/cmakeys").exists()
    assert not (tree / "usr/bin/cmakeys").exists()
    assert (tree / "etc/cmakeys/roots/acme.pem").exists()
    assert (tree / "var/lib/cmakeys/devices.db").exists()
