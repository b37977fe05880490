"""The guest's root file system: this Python, the packages that cmakeys needs, keyctl and busybox, on an ext4 image.

The interpreter lies at the same path as here, so that it and its libraries find each other; the packages lie in /site,
because the environment that they come from may be anywhere, also below a folder that the guest hides. What is left out
is what no test runs there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

PROGRAMS = ("busybox", "keyctl")
DISTRIBUTIONS = ("cryptography", "typer", "PyYAML", "pycryptodome", "pytest")
UUID = "c3a11ce5-0000-4000-8000-000000000001"
"""By which an initrd finds the disk: in which order a controller's namespaces are found is left to chance."""

INIT = Path(__file__).resolve().parent / "booted.sh"
"""The first process where an initrd that is not ours has mounted this disk."""

_LEFT_OUT = frozenset({"test", "tests", "idlelib", "tkinter", "lib2to3", "ensurepip", "turtledemo", "site-packages"})
_FOLDERS = ("dev", "etc", "proc", "run", "sys", "tmp", "var", "bin", "usr/bin")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def disk_inputs() -> str:
    """What the image is made of, as text that changes when it does."""
    names = sorted(f"{found.name} {found.version}" for found in _distributions(DISTRIBUTIONS))
    return "\n".join([sys.version, sys.base_prefix, *names])


def build_disk(image: Path, tree: Path) -> None:
    """Gather the files below `tree` and make the image of them."""
    shutil.rmtree(tree, ignore_errors=True)
    for folder in _FOLDERS:
        (tree / folder).mkdir(parents=True, exist_ok=True)
    binaries = [Path(found).resolve() for name in PROGRAMS if (found := shutil.which(name))]
    for binary in binaries:
        _copy(binary, tree)
    for name in PROGRAMS:
        link = tree / "bin" / name
        link.symlink_to(Path(shutil.which(name) or name).resolve())
    (tree / "bin/sh").symlink_to("busybox")
    shutil.copy(INIT, tree / "init")
    (tree / "init").chmod(0o755)
    gather_python(tree, DISTRIBUTIONS)
    (tree / "python").write_text(
        f"/bin/busybox env PYTHONHOME={sys.base_prefix} PYTHONPATH=/run/code:/site {interpreter()}\n"
    )
    for needed in sorted(_needed(binaries)):
        _copy(needed, tree)
    for keyutils in _keyutils():
        _copy(keyutils, tree)
    size = sum(path.lstat().st_size for path in tree.rglob("*")) * 13 // 10 + (32 << 20)
    image.unlink(missing_ok=True)
    with image.open("wb") as blank:
        blank.truncate(size)
    subprocess.run(
        [_program("mke2fs"), "-q", "-t", "ext4", "-O", "^has_journal", "-U", UUID, "-d", tree, image],
        check=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    shutil.rmtree(tree)


def interpreter() -> Path:
    """This Python, where it really is."""
    return Path(sys.executable).resolve()


def gather_python(tree: Path, distributions: Iterable[str]) -> None:
    """Put this Python and its libraries below `tree` at the same path as here, and the packages in /site.

    What is there already stays: a system of the same release brings the C library.
    """
    _copy(interpreter(), tree)
    library = Path(sysconfig.get_path("stdlib"))
    _copy_tree(library, tree, leave_out=_LEFT_OUT)
    site = Path(sysconfig.get_path("purelib"))
    for package in _distributions(distributions):
        for file in package.files or ():
            place = Path(str(file.locate()))
            if place.is_file() and place.resolve().is_relative_to(site.resolve()):
                target = tree / "site" / place.resolve().relative_to(site.resolve())
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(place, target)
    modules = [*(tree / "site").rglob("*.so"), *(tree / library.relative_to("/")).rglob("*.so")]
    for needed in sorted(_needed([interpreter(), *modules])):
        _copy(needed, tree)


def _program(name: str) -> str:
    return shutil.which(name) or f"/sbin/{name}"


def _distributions(names: Iterable[str]) -> list[Distribution]:
    """The distributions of these names and of what they require, as far as installed here."""
    found: dict[str, Distribution] = {}
    todo = list(names)
    while todo:
        name = todo.pop()
        if name.lower() in found:
            continue
        try:
            one = distribution(name)
        except PackageNotFoundError:
            continue
        found[name.lower()] = one
        for requirement in one.requires or ():
            match = _NAME.match(requirement)
            if match and "extra ==" not in requirement:
                todo.append(match.group())
    return list(found.values())


def _copy(path: Path, tree: Path) -> None:
    target = tree / path.relative_to("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def _copy_tree(folder: Path, tree: Path, *, leave_out: frozenset[str]) -> None:
    def ignore(_: str, names: list[str]) -> list[str]:
        return [name for name in names if name in leave_out or name.startswith("config-")]

    shutil.copytree(folder, tree / folder.relative_to("/"), ignore=ignore, dirs_exist_ok=True)


def _needed(binaries: Iterable[Path]) -> set[Path]:
    """The shared libraries that programs and extension modules are linked with, and the loader."""
    found = set()
    for binary in binaries:
        said = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False, timeout=60).stdout
        found |= {Path(word) for word in re.findall(r"(?:=> |^\s*)(/[^ ]+) \(0x", said, re.MULTILINE)}
    return found


def _keyutils() -> list[Path]:
    """The library that cmakeys opens at run time, which no program is linked with."""
    folder = next((path for path in _needed([Path(shutil.which("keyctl") or "/")]) if "keyutils" in path.name), None)
    return [folder] if folder else []
