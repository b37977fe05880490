"""Debian's packages, from wherever this machine's own apt gets them, without changing how it is set up.

QEMU 10 and a 6.12 kernel are in bookworm's backports suite, which a machine need not have configured: apt is run with
a copy of the machine's sources and one more entry, in folders of our own.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BACKPORTS = {"bookworm": "bookworm-backports"}
"""Suites to add, by release; later releases have all of it in their main suite."""

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PATIENCE = 600


class Unavailable(Exception):
    """Something cannot be had; the message says why. `ours` is false where no set-up of this machine could help."""

    def __init__(self, reason: str, *, ours: bool = True) -> None:
        super().__init__(reason)
        self.ours = ours


def run(command: Sequence[str | Path], *, cwd: Path | None = None) -> str:
    """What a command prints. Raises `Unavailable` with the end of its complaint when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=_PATIENCE,
        env=os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode:
        words = " ".join(str(word) for word in command if not str(word).startswith("-"))
        raise Unavailable(f"{words[:120]}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Apt:
    """apt with folders of its own below `folder`, and with `suite` among its sources where that is not empty."""

    folder: Path
    suite: str

    @classmethod
    def prepared(cls, folder: Path) -> Apt:
        """Set the folders up and fetch the lists.

        Raises `Unavailable` where this is no Debian on amd64.
        """
        if not shutil.which("apt-get") or platform.machine() != "x86_64":
            raise Unavailable("a guest is put together from Debian's amd64 packages", ours=False)
        release = platform.freedesktop_os_release()
        suite = BACKPORTS.get(release.get("VERSION_CODENAME", ""), "")
        apt = cls(folder, suite)
        parts = folder / "sources.list.d"
        shutil.rmtree(folder, ignore_errors=True)
        for place in (parts, folder / "lists/partial", folder / "cache/archives/partial"):
            place.mkdir(parents=True)
        for source in sorted(Path("/etc/apt/sources.list.d").glob("*")):
            if source.suffix in (".list", ".sources"):
                shutil.copy(source, parts)
        targets = run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
        )
        main = {name: where for where, name, part in map(str.split, targets.splitlines()) if part == "main"}
        if suite and suite not in main:
            archive = main.get(release["VERSION_CODENAME"])
            if archive is None:
                raise Unavailable(f"apt has no source for {release['VERSION_CODENAME']} main")
            signed = f"Signed-By: {_KEYRING}\n" if _KEYRING.exists() else ""
            (parts / "cmakeys-backports.sources").write_text(
                f"Types: deb\nURIs: {archive}\nSuites: {suite}\nComponents: main\n{signed}"
            )
        run(apt.command("apt-get", "update", "-qq"))
        return apt

    def command(self, program: str, *words: str) -> list[str]:
        """The command line of one of apt's programs with these folders."""
        folders = {
            "Dir::Etc::SourceParts": self.folder / "sources.list.d",
            "Dir::State::Lists": self.folder / "lists",
            "Dir::Cache": self.folder / "cache",
            "APT::Sandbox::User": "root",
            "DPkg::Lock::Timeout": 300,
        }
        return [program, *(word for key, value in folders.items() for word in ("-o", f"{key}={value}")), *words]

    def install(self, names: Sequence[str], *, newest: bool = False) -> None:
        """Install packages; `newest` takes them from the added suite. Raises `Unavailable` without a way to be root."""
        become: list[str] = [] if os.geteuid() == 0 else ["sudo", "-n"]
        if become and not shutil.which("sudo"):
            raise Unavailable(f"please install {' '.join(names)} as root")
        target = ["-t", self.suite] if newest and self.suite else []
        words = ["install", "-qq", "-y", "--no-install-recommends", *target, *names]
        run([*become, *self.command("apt-get", *words)])

    def versions(self, name: str) -> list[str]:
        """The versions of a package that can be had, as the sources list them, newest first."""
        lines = run(self.command("apt-cache", "madison", name)).splitlines()
        return [line.split("|")[1].strip() for line in lines if line.count("|") >= 2]

    def depends(self, name: str, version: str, pattern: str) -> str:
        """The first package fitting `pattern` that this version of a package depends on."""
        text = run(self.command("apt-cache", "show", f"{name}={version}"))
        found = re.search(rf"^Depends:.*?\b({pattern})", text, re.MULTILINE)
        if not found:
            raise Unavailable(f"{name} {version} depends on no {pattern}")
        return found.group(1)

    def unpack(self, names: Sequence[str], folder: Path, *, only: str = ".") -> None:
        """Download packages and unpack them below `folder`, or only the folder `only` of them. Installs nothing."""
        debs = self.folder / "debs"
        debs.mkdir(exist_ok=True)
        run(self.command("apt-get", "download", "-qq", *names), cwd=debs)
        for name in names:
            (package,) = debs.glob(f"{name}_*.deb")
            _unpack(package, folder, only)

    def unpack_system(self, names: Sequence[str], folder: Path) -> None:
        """Unpack below `folder` what a system with nothing but these packages consists of. Nothing is set up in it."""
        archives, status = self.folder / "system", self.folder / "status"
        (archives / "partial").mkdir(parents=True)
        status.touch()
        options = {"Dir::State::status": status, "Dir::Cache::archives": archives, "Debug::NoLocking": "true"}
        words = ["install", "-qq", "-y", "--no-install-recommends", "--download-only"]
        given = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        run(self.command("apt-get", *words, *given, "?essential", *names))
        for package in sorted(archives.glob("*.deb")):
            _unpack(package, folder)


def _unpack(package: Path, folder: Path, only: str = ".") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # A folder of the package is not put into the place of a link to one: /lib is such a link.
    tar = ["--extract", "--no-same-owner", "--keep-directory-symlink", "--directory", str(folder)]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as unpacking:
        subprocess.run(["tar", *tar, only], stdin=unpacking.stdout, check=True, timeout=_PATIENCE)
