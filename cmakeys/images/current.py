"""Where the initrds lie that a kernel may be started with, by the ways in which distributions lay them.

    /boot/initrd.img-RELEASE                  Debian, Ubuntu
    /boot/initramfs-RELEASE.img               Fedora, RHEL and others with dracut
    /boot/initrd-RELEASE                      openSUSE
    /boot/initramfs-PKGBASE.img               Arch, which names a kernel by its package
    /usr/lib/modules/RELEASE/initrd           and initramfs.img there: OSTree, mkosi
    BOOT/TOKEN/RELEASE/initrd                 the Boot Loader Specification, type 1
    BOOT/EFI/Linux/*RELEASE*.efi              unified kernel images, type 2

BOOT is /efi, /boot or /boot/efi, and an image that two of them show is one. Where the configuration names places, they
are the only ones. Nothing is read here but names.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmakeys.errors import EnvironmentProblem, NotPermitted, from_oserror

MAX_INITRDS = 8
MAX_RELEASES = 8
MAX_NAMES = 256
MAX_PKGBASE = 64
RELEASE = "{release}"

_BOOTS = ("efi", "boot", "boot/efi")
_MODULES = ("usr/lib/modules", "lib/modules")
_WORD = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+~-]{0,127}")


@dataclass(frozen=True, slots=True)
class InitrdSettings:
    """What the configuration says: where the initrds are, and the command that makes them; empty to find it out."""

    places: tuple[str, ...] = ()
    rebuild: tuple[str, ...] = ()


def releases(sysroot: Path) -> tuple[str, ...]:
    """The kernels in question: the one that runs, and in a tree all that are installed there."""
    if sysroot == Path("/"):
        return (os.uname().release,)
    return tuple(sorted(name for place in _MODULES for name in _names(sysroot / place, []))[:MAX_RELEASES])


def initrds(sysroot: Path, kernels: Sequence[str], configured: Sequence[str] = ()) -> tuple[Path, ...]:
    """The initrds of these kernels; of those that are `configured` also what is not there.

    Raises `NotPermitted` where nothing is found, and a place that may hold one is closed to this user.
    """
    closed: list[OSError] = []
    found: dict[tuple[int, int], Path] = {}
    kernels = [release for release in kernels if _WORD.fullmatch(release)]
    if configured:
        named = (place.replace(RELEASE, release) for place in configured for release in kernels)
        return tuple(dict.fromkeys(sysroot / place.lstrip("/") for place in named))[:MAX_INITRDS]
    for release in kernels:
        for path in _candidates(sysroot, release, closed):
            try:
                status = path.stat()
            except PermissionError as error:
                closed.append(error)
                continue
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                found.setdefault((status.st_dev, status.st_ino), path)
    if not found and closed:
        problem: EnvironmentProblem = from_oserror(closed[0], str(closed[0].filename or sysroot))
        raise NotPermitted(problem.message, object=problem.object, hint=problem.hint)
    return tuple(found.values())[:MAX_INITRDS]


def _candidates(sysroot: Path, release: str, closed: list[OSError]) -> Iterator[Path]:
    boot = sysroot / "boot"
    yield boot / f"initrd.img-{release}"
    yield boot / f"initramfs-{release}.img"
    yield boot / f"initrd-{release}"
    package = _package(sysroot, release)
    if package:
        yield boot / f"initramfs-{package}.img"
    for modules in _MODULES:
        yield sysroot / modules / release / "initrd"
        yield sysroot / modules / release / "initramfs.img"
    unified = re.compile(rf"(.*-)?({re.escape(release)}{f'|{re.escape(package)}' if package else ''})(\+[0-9-]+)?\.efi")
    for place in _BOOTS:
        for token in _names(sysroot / place, closed):
            yield sysroot / place / token / release / "initrd"
        linux = sysroot / place / "EFI/Linux"
        yield from (linux / name for name in _names(linux, closed) if unified.fullmatch(name))


def _package(sysroot: Path, release: str) -> str:
    """What Arch calls the kernel, empty elsewhere."""
    for modules in _MODULES:
        try:
            with (sysroot / modules / release / "pkgbase").open("rb") as file:
                name = file.read(MAX_PKGBASE + 1).decode("ascii", "replace").strip()
        except OSError:
            continue
        return name if _WORD.fullmatch(name) else ""
    return ""


def _names(folder: Path, closed: list[OSError]) -> list[str]:
    """The names in a folder, sorted, and none where there is no such folder."""
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                names.append(entry.name)
                if len(names) == MAX_NAMES:
                    break
    except PermissionError as error:
        closed.append(error)
    except OSError:
        return []
    return sorted(names)
