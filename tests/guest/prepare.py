"""Puts together what a guest needs, once, in a cache folder: a kernel, our module for it, and a disk with Python.

For guests that boot from an initrd as distributions make them there is a small system that makes it, with a kernel of
its own.

    python -m tests.guest.prepare        does what is not done yet, and says why where it cannot

Nothing of it is installed in the system but programs (QEMU, a compiler, busybox, keyutils), by apt. The kernel and its
headers are unpacked in the cache folder, and nothing is put into the system's boot folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.guest.disk import build_disk, disk_inputs
from tests.guest.kernel import build_kernel
from tests.guest.packages import Apt, Unavailable
from tests.guest.system import build_system, gather_modules, system_inputs
from tests.transports.qtest import why_not as why_no_qemu

HERE = Path(__file__).resolve().parent
PROGRAMS = {
    "busybox": "busybox-static",
    "keyctl": "keyutils",
    "gcc-12": "gcc-12",
    "make": "make",
    "zstd": "zstd",
    "mke2fs": "e2fsprogs",
}
"""What is needed, and the package it is in."""


SEARCH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Kit:
    """The files that a guest is started from. `initramfs` lacks the code to be tested, which is added at each start."""

    folder: Path

    @property
    def kernel(self) -> Path:
        """The kernel as an ELF file, which starts faster than the compressed one."""
        return self.folder / "vmlinux"

    @property
    def module(self) -> Path:
        """Our stand-in for the kernel's own support of CMA."""
        return self.folder / "cma_standin.ko"

    @property
    def initramfs(self) -> Path:
        """busybox, our init and our module."""
        return self.folder / "initramfs"

    @property
    def disk(self) -> Path:
        """The read-only root file system."""
        return self.folder / "disk"

    @property
    def system(self) -> Path:
        """A system that makes initrds, as a tree."""
        return self.folder / "system"

    @property
    def system_kernel(self) -> Path:
        """The kernel of that system, as an ELF file."""
        return self.folder / "system.vmlinux"

    @property
    def system_module(self) -> Path:
        """Our stand-in for that kernel."""
        return self.folder / "system.ko"

    @property
    def system_modules(self) -> Path:
        """What an initramfs for that kernel needs behind the prepared one: modules, and that stand-in."""
        return self.folder / "system.modules"

    @property
    def manifest(self) -> Path:
        """Written last: what the others were made from."""
        return self.folder / "manifest.json"


def kit() -> Kit:
    """Where this user's guest is, made or not."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Kit(Path(base) / "cmakeys-guest")


def why_not() -> str:
    """Why no guest can be started here; empty where one can."""
    reason = why_no_qemu()
    if reason:
        return reason
    if not kit().manifest.exists():
        return "no guest is prepared: python -m tests.guest.prepare says why"
    return ""


def recipe() -> dict[str, str]:
    """What decides how the parts are made, by part: a change of it makes the part anew."""

    def digest(*data: bytes) -> str:
        return hashlib.sha256(b"\0".join(data)).hexdigest()[:16]

    def source(*names: str) -> bytes:
        return b"\0".join((HERE / name).read_bytes() for name in names)

    kernel = digest(source("kernel.py", "packages.py", "standin/Kbuild", "standin/cma_standin.c"))
    return {
        "kernel": kernel,
        "initramfs": digest(kernel.encode(), source("init.sh")),
        "disk": digest(source("disk.py", "booted.sh"), disk_inputs().encode()),
        "system": digest(kernel.encode(), source("system.py", "disk.py"), system_inputs().encode()),
    }


def prepare(say: Callable[[str], None]) -> None:
    """Make what is missing or out of date.

    Raises `Unavailable` when something cannot be had.
    """
    parts = kit()
    parts.folder.mkdir(parents=True, exist_ok=True)
    with (parts.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = recipe()
        have = _manifest(parts)
        todo = [part for part in wanted if have.get(part) != wanted[part]]
        missing = [package for program, package in PROGRAMS.items() if not shutil.which(program, path=SEARCH)]
        if not (todo or missing or why_no_qemu()):
            return
        apt = None
        if missing or why_no_qemu() or {"kernel", "system"} & set(todo):
            say("reading the package lists")
            apt = Apt.prepared(parts.folder / "apt")
            _programs(apt, missing, say)
        parts.manifest.unlink(missing_ok=True)
        if apt and "kernel" in todo:
            build_kernel(apt, parts.folder / "kernel", parts.kernel, parts.module, say)
        if apt and "system" in todo:
            folder = parts.folder / "kernel"
            build_system(apt, parts.system, folder, parts.system_kernel, parts.system_module, say)
            modules = parts.folder / "modules.tree"
            shutil.rmtree(modules, ignore_errors=True)
            gather_modules(parts.system, parts.system_module, modules)
            pack(modules, parts.system_modules)
            shutil.rmtree(modules)
        if apt:
            shutil.rmtree(apt.folder)
        if "initramfs" in todo:
            _initramfs(parts)
        if "disk" in todo:
            say("making the guest's disk")
            build_disk(parts.disk, parts.folder / "disk.tree")
        parts.manifest.write_text(json.dumps(wanted))


def _manifest(parts: Kit) -> dict[str, str]:
    try:
        found = json.loads(parts.manifest.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _programs(apt: Apt, missing: list[str], say: Callable[[str], None]) -> None:
    if missing:
        say(f"installing {' '.join(missing)}")
        apt.install(missing)
    if why_no_qemu():
        say(f"installing qemu-system-x86{' from ' + apt.suite if apt.suite else ''}")
        apt.install(["qemu-system-x86"], newest=True)
        why_no_qemu.cache_clear()
    if why_no_qemu():
        raise Unavailable(why_no_qemu())


def _initramfs(parts: Kit) -> None:
    tree = parts.folder / "initramfs.tree"
    shutil.rmtree(tree, ignore_errors=True)
    for folder in ("bin", "code", "proc", "sys", "root"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "", tree / "bin/busybox")
    shutil.copy(HERE / "init.sh", tree / "init")
    (tree / "init").chmod(0o755)
    shutil.copy(parts.module, tree / "code")
    pack(tree, parts.initramfs)
    shutil.rmtree(tree)


def pack(tree: Path, archive: Path) -> None:
    """Pack a folder as the kernel unpacks it: cpio in the new ASCII format, not compressed."""
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    with archive.open("wb") as out:
        subprocess.run(
            ["busybox", "cpio", "-o", "-H", "newc"],
            input="".join(f"{name}\n" for name in names).encode(),
            stdout=out,
            stderr=subprocess.DEVNULL,
            cwd=tree,
            check=True,
            timeout=120,
        )


def main() -> int:
    """Prepare a guest; where that cannot be done, say so and leave with 0: the tests will say it again."""
    start = time.monotonic()
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        print(f"guest: {text}", flush=True)

    try:
        prepare(say)
    except (Unavailable, OSError, subprocess.SubprocessError) as error:
        print(f"guest: not prepared, so its tests will not run: {error}", file=sys.stderr)
        return 0
    if said:
        print(f"guest: ready after {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
