"""A small Debian with what makes initrds, unpacked and not installed, in which real initrds are made with our hooks.

It has a kernel whose drivers are modules: only there can it be seen that the roots are loaded before a driver is. The
tree in the cache stays as it is. Whoever makes an initrd does it in a copy, whose files are links to those of the tree,
so everything that changes one must put another in its place.
"""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.guest.disk import disk_inputs, gather_python, interpreter
from tests.guest.kernel import GENERIC, build_kernel
from tests.guest.packages import Apt, run

SOURCES = Path(__file__).resolve().parent / "initrd"
CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = (
    *("initramfs-tools", "dracut-core", "systemd", "udev", "kmod", "busybox", "zstd", "cpio"),
    *("keyutils", "base-files", "base-passwd"),
)
DISTRIBUTIONS = ("cryptography", "typer", "PyYAML", "pyelftools")
MODULES = ("nvme", "ext4")
"""What is needed to mount the guest's disk; an initrd with every module takes ten times as long to make and to boot."""

_DRACUT = "usr/lib/dracut/modules.d/69cma-standin"
_FILES = {
    "initramfs-hook": "etc/initramfs-tools/hooks/cma-standin",
    "initramfs-script": "etc/initramfs-tools/scripts/init-top/00-cma-standin",
    "dracut-module.sh": f"{_DRACUT}/module-setup.sh",
    "dracut-hook.sh": f"{_DRACUT}/cma-standin.sh",
    "cma-standin.service": f"{_DRACUT}/cma-standin.service",
    "cmakeys": "usr/bin/cmakeys",
}
_ENTER = 'for one in proc dev sys; do mount --rbind "/$one" "$0/$one" || exit 1; done; exec chroot "$0" "$@"'
_PATIENCE = 300


def system_inputs() -> str:
    """What the tree is made of, apart from packages, as text that changes when it does."""
    return "\n".join([disk_inputs(), *(path.read_text() for path in sorted(SOURCES.iterdir()))])


def build_system(apt: Apt, tree: Path, folder: Path, kernel: Path, module: Path, say: Callable[[str], None]) -> None:
    """Make the tree, and its kernel and our module for that in `kernel` and `module`; `folder` is for what they need.

    Raises `Unavailable` when something cannot be had.
    """
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    say("downloading what makes initrds")
    apt.unpack_system(PACKAGES, tree)
    build_kernel(apt, folder, kernel, module, say, package=GENERIC, system=tree)
    # What the packages' own scripts would do.
    for name in ("passwd", "group"):
        shutil.copy(tree / f"usr/share/base-passwd/{name}.master", tree / "etc" / name)
    if not (tree / "usr/bin/awk").exists():
        (tree / "usr/bin/awk").symlink_to("mawk")
    gather_python(tree, DISTRIBUTIONS)
    for source, place in _FILES.items():
        text = (SOURCES / source).read_text()
        text = text.replace("@HOME@", sys.base_prefix).replace("@PYTHON@", str(interpreter()))
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        (tree / place).write_text(text)
        (tree / place).chmod(0o644 if place.endswith(".service") else 0o755)
    (tree / "standin").mkdir()
    shutil.copy(module, tree / "standin/cma_standin.ko")
    (tree / "etc/initramfs-tools/modules").write_text("".join(f"{name}\n" for name in MODULES))
    (tree / "etc/initramfs-tools/conf.d/modules").write_text("MODULES=list\n")
    System(tree).run("depmod", System(tree).release)


def gather_modules(tree: Path, standin: Path, folder: Path) -> None:
    """Put the modules that mount the guest's disk below `folder`, unpacked and in the order of loading; and ours."""
    system = System(tree)
    shown = [system.run("modprobe", "--set-version", system.release, "--show-depends", name) for name in MODULES]
    paths = dict.fromkeys(line.split()[1] for line in "".join(shown).splitlines() if line.startswith("insmod "))
    (folder / "modules").mkdir(parents=True)
    for number, path in enumerate(paths):
        packed = (tree / path.lstrip("/")).read_bytes()
        name = Path(path).name.removesuffix(".xz")
        (folder / "modules" / f"{number:02}-{name}").write_bytes(lzma.decompress(packed) if ".xz" in path else packed)
    (folder / "code").mkdir()
    shutil.copy(standin, folder / "code/cma_standin.ko")


@dataclass(frozen=True, slots=True)
class System:
    """A tree to run programs in as if it were the machine's own, without touching the machine."""

    tree: Path

    @property
    def release(self) -> str:
        """Of its kernel."""
        (folder,) = (self.tree / "usr/lib/modules").iterdir()
        return folder.name

    def run(self, *words: str) -> str:
        """What a program says on stdout and stderr. Raises `Unavailable` when it fails."""
        return run([*self._enter(), *words])

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The same for a program that may fail."""
        return subprocess.run(
            [*self._enter(), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE,
        )

    def _enter(self) -> list[str]:
        """Mounts of its own, which end with the program; for others than root it is root only in there."""
        mine = [] if os.geteuid() == 0 else ["--map-root-user"]
        environment = ["env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        return ["unshare", "--mount", *mine, *environment, "sh", "-c", _ENTER, str(self.tree)]


@contextmanager
def copied(tree: Path) -> Iterator[System]:
    """A copy of the tree with the code of this checkout in it, beside the tree; it goes away afterwards."""
    place = Path(tempfile.mkdtemp(prefix=f"{tree.name}-", dir=tree.parent))
    try:
        copy = place / "tree"
        shutil.copytree(tree, copy, symlinks=True, copy_function=os.link)
        for part in ("cmakeys", "roots"):
            shutil.copytree(CHECKOUT / part, copy / "code" / part, ignore=shutil.ignore_patterns("__pycache__"))
        yield System(copy)
    finally:
        shutil.rmtree(place)
