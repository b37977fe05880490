"""keyctl out of a system that is not running: the program, what loads it, and every library it asks for.

The ELF files themselves say it (PT_INTERP, DT_NEEDED), so nothing of the system is executed, no privilege is needed,
and the system may be one for another processor. Symbolic links are followed as that system would, inside its tree.
"""

from __future__ import annotations

import io
import os
import stat
from collections import deque
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cmakeys.errors import EnvironmentProblem, NotFound, Refused, Unsupported, UsageProblem, from_oserror
from cmakeys.images.tree import Keyctl

PROGRAMS = ("usr/bin/keyctl", "bin/keyctl", "usr/sbin/keyctl", "sbin/keyctl")
MAX_FILE = 64 << 20
MAX_LIBRARIES = 32
MAX_LINKS = 40
_FOLDERS = ("lib64", "usr/lib64", "lib", "usr/lib")


@dataclass(frozen=True, slots=True)
class Binary:
    """What an ELF file says: for which kind of processor it is, what loads it, which libraries it needs."""

    kind: tuple[str, int]
    interpreter: str | None
    needed: tuple[str, ...]


def keyctl_of(sysroot: Path) -> Keyctl:
    """keyctl of the system in the tree at `sysroot`, with all that it needs.

    Raises `NotFound` for a tree without it, or where a library is missing, and `Unsupported` without pyelftools.
    """
    for place in PROGRAMS:
        path = _inside(sysroot, place)
        if path is not None:
            break
    else:
        raise NotFound(
            "there is no keyctl in it",
            object=str(sysroot),
            hint="install keyutils there, or name another tree with --keyctl-sysroot",
        )
    program = _bytes(path)
    binary = read_binary(program, str(path))
    if binary.interpreter is None:
        if binary.needed:
            raise UsageProblem("needs libraries and names nothing that loads them", object=str(path))
        return Keyctl(program, None, {})
    loader = _inside(sysroot, binary.interpreter)
    if loader is None:
        raise NotFound(f"needs {binary.interpreter}, which is not in {sysroot}", object=str(path))
    libraries: dict[str, bytes] = {}
    waiting = deque((name, str(path)) for name in binary.needed)
    while waiting:
        name, wanted_by = waiting.popleft()
        if name in libraries or name == PurePosixPath(binary.interpreter).name:
            continue
        if len(libraries) == MAX_LIBRARIES:
            raise Refused(f"needs more than {MAX_LIBRARIES} libraries", object=str(path))
        libraries[name], library = _library(sysroot, name, binary.kind, wanted_by)
        waiting += ((each, name) for each in library.needed)
    return Keyctl(program, _bytes(loader), {name: libraries[name] for name in sorted(libraries)})


def read_binary(data: bytes, source: str) -> Binary:
    """What the ELF file says of itself.

    Raises `Unsupported` without pyelftools, `EnvironmentProblem` for bytes that are no such file.
    """
    try:
        from elftools.common.exceptions import ELFError
        from elftools.construct import ConstructError
        from elftools.elf.dynamic import DynamicSegment
        from elftools.elf.elffile import ELFFile
        from elftools.elf.segments import InterpSegment
    except ImportError:
        raise Unsupported(
            "reading a program's libraries needs the Python package pyelftools",
            object=source,
            hint="pip install 'cmakeys[image]', or bake without --with-keyctl where the initrd has keyctl",
        ) from None
    interpreter, needed = None, []
    try:
        elf = ELFFile(io.BytesIO(data))
        for segment in elf.iter_segments():
            if isinstance(segment, InterpSegment):
                interpreter = segment.get_interp_name()
            elif isinstance(segment, DynamicSegment):
                needed += [str(vars(tag)["needed"]) for tag in segment.iter_tags("DT_NEEDED")]
        kind = (str(elf["e_machine"]), int(elf.elfclass))
    except (
        ELFError,
        ConstructError,
        ValueError,
        LookupError,
        OverflowError,
        TypeError,
        AttributeError,
        AssertionError,
    ):
        raise EnvironmentProblem("not a program or library in the ELF format", object=source) from None
    for name in needed:
        if not name or "/" in name or name in (".", ".."):
            raise UsageProblem(f"needs a library that is named {name[:80]!r}", object=source)
    return Binary(kind, interpreter, tuple(needed))


def _library(sysroot: Path, name: str, kind: tuple[str, int], wanted_by: str) -> tuple[bytes, Binary]:
    """The first library of that name for the same kind of processor."""
    for folder in _folders(sysroot):
        path = _inside(sysroot, f"{folder}/{name}")
        if path is None:
            continue
        data = _bytes(path)
        binary = read_binary(data, str(path))
        if binary.kind == kind:
            return data, binary
    raise NotFound(f"needs the library {name}, which is not in {sysroot}", object=wanted_by)


def _folders(sysroot: Path) -> list[str]:
    """Where libraries are: the folders of all systems, and those that Debian has for each kind of processor."""
    found = list(_FOLDERS)
    for folder in ("lib", "usr/lib"):
        real = _inside(sysroot, folder, folder=True)
        if real is not None:
            found += sorted(f"{folder}/{each.name}" for each in real.iterdir() if "-linux-" in each.name)
    return found


def _inside(sysroot: Path, place: str, *, folder: bool = False) -> Path | None:
    """Where `place` is in the tree, its symbolic links followed as if the tree were the root; None where it is not."""
    rest = deque(part for part in PurePosixPath(place).parts if part != "/")
    found: list[str] = []
    links = 0
    while rest:
        part = rest.popleft()
        if part == "..":
            found = found[:-1]
            continue
        path = sysroot.joinpath(*found, part)
        try:
            mode = path.lstat().st_mode
        except OSError:
            return None
        if stat.S_ISLNK(mode):
            links += 1
            if links > MAX_LINKS:
                return None
            target = PurePosixPath(os.readlink(path))  # noqa: PTH115 the text itself, not a path of this machine
            if target.is_absolute():
                found = []
            rest.extendleft(reversed([each for each in target.parts if each != "/"]))
        else:
            found.append(part)
    path = sysroot.joinpath(*found)
    return path if (path.is_dir() if folder else path.is_file()) else None


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise from_oserror(error, str(path)) from error
    if len(data) > MAX_FILE:
        raise Refused(f"more than {MAX_FILE} bytes", object=str(path))
    return data
