"""Files of ours among those of a system: each bears the version that wrote it and a digest of the rest.

So one that somebody has edited is known, and is neither replaced nor removed without a word. The stamp is the first
line, or the second of a script, whose first line says what runs it. What is installed consists of such files and of
symbolic links that switch them on; links are made last and taken away first.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cmakeys import __version__
from cmakeys.errors import Refused, from_oserror
from cmakeys.files import check_inside, make_folder, sync_folder, write_whole

MAX_FILE = 1 << 18

_STAMP = re.compile(
    rb"(#![^\n]*\n)?# Written by cmakeys ([0-9a-z.+-]{1,32}); the rest has the SHA-256 ([0-9a-f]{64})\n"
)
_OUR_NAME = "cmakeys"


class FileState(Enum):
    """How a file on the disk compares with what would be written."""

    ABSENT = "absent"
    CURRENT = "current"
    OUTDATED = "outdated"
    EDITED = "edited"


@dataclass(frozen=True, slots=True)
class OurFile:
    """A file under the root of a tree, without its stamp. `body` is None where what it should be cannot be told."""

    place: str
    body: bytes | None
    executable: bool = False


@dataclass(frozen=True, slots=True)
class OurLink:
    """A symbolic link under the root of a tree, as an enabled unit has one."""

    place: str
    target: str


@dataclass(frozen=True, slots=True)
class FileStatus:
    """One of these on the disk. `version` is the one that wrote a file, empty where no stamp of ours says it."""

    path: Path
    state: FileState
    version: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A file of ours, as it is."""

    version: str
    body: bytes


def stamp(body: bytes) -> bytes:
    """The file with its stamp."""
    line = f"# Written by cmakeys {__version__}; the rest has the SHA-256 {hashlib.sha256(body).hexdigest()}\n".encode()
    first, end, rest = body.partition(b"\n")
    return first + end + line + rest if body.startswith(b"#!") and end else line + body


def unstamp(data: bytes) -> Found | None:
    """The file without its stamp; None for one that has none or was changed since."""
    match = _STAMP.match(data)
    if match is None:
        return None
    body = (match[1] or b"") + data[match.end() :]
    if hashlib.sha256(body).hexdigest().encode() != match[3]:
        return None
    return Found(match[2].decode(), body)


def read_ours(sysroot: Path, place: str) -> Found | None:
    """A file that we wrote and nobody has edited. Raises as `inspect` does."""
    data = read_bounded(inside(sysroot, place))
    return unstamp(data) if data is not None else None


def inspect(sysroot: Path, files: Sequence[OurFile], links: Sequence[OurLink] = ()) -> tuple[FileStatus, ...]:
    """How each of them stands, files first.

    Raises `Refused` where one leads out of the tree or is no regular file.
    """
    return (*(_inspect_file(sysroot, one) for one in files), *(_inspect_link(sysroot, one) for one in links))


def install(
    sysroot: Path, files: Sequence[OurFile], links: Sequence[OurLink] = (), *, force: bool, dry_run: bool
) -> tuple[Path, ...]:
    """Write what is missing or out of date; the paths that were, or would be, written.

    Raises `Refused` for one that somebody edited, unless `force`; then nothing was written.
    """
    found = _checked(inspect(sysroot, files, links), force=force)
    stale = tuple(one.path for one in found if one.state is not FileState.CURRENT)
    if dry_run:
        return stale
    try:
        for file in files:
            path = sysroot / file.place
            if path in stale and file.body is not None:
                make_folder(path.parent)
                write_whole(path, stamp(file.body), mode=0o755 if file.executable else 0o644)
        for link in links:
            path = sysroot / link.place
            if path in stale:
                make_folder(path.parent)
                path.unlink(missing_ok=True)
                path.symlink_to(link.target)
                sync_folder(path.parent)
    except OSError as error:
        raise from_oserror(error, str(error.filename or sysroot)) from error
    return stale


def remove(
    sysroot: Path, files: Sequence[OurFile], links: Sequence[OurLink] = (), *, force: bool, dry_run: bool
) -> tuple[Path, ...]:
    """Take all of it away; the paths that were, or would be. Raises as `install` does.

    A folder that bears our name goes with its last file.
    """
    found = _checked(inspect(sysroot, files, links), force=force)
    present = tuple(one.path for one in reversed(found) if one.state is not FileState.ABSENT)
    if dry_run:
        return present
    try:
        for path in present:
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
            if _OUR_NAME in path.parent.name:
                with suppress(OSError):  # something else is in it
                    path.parent.rmdir()
    except OSError as error:
        raise from_oserror(error, str(error.filename or sysroot)) from error
    return present


def inside(sysroot: Path, place: str) -> Path:
    """A file's path. Raises `Refused` where it, or its folder, leads out of the tree."""
    path = sysroot / place
    check_inside(path.parent, sysroot)
    check_inside(path, sysroot)
    return path


def read_bounded(path: Path) -> bytes | None:
    """What a regular file has, up to a little more than any of ours; None where there is none.

    Raises `Refused` for what is no regular file, without waiting for it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Refused("not a regular file", object=str(path), hint="move it away")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(MAX_FILE + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_oserror(error, str(path)) from error


def _checked(found: tuple[FileStatus, ...], *, force: bool) -> tuple[FileStatus, ...]:
    for one in found:
        if one.state is FileState.EDITED and not force:
            raise Refused(
                "this file was edited by hand, or is not ours; nothing was changed",
                object=str(one.path),
                hint="keep what you need of it and give --force",
            )
    return found


def _inspect_file(sysroot: Path, file: OurFile) -> FileStatus:
    path = inside(sysroot, file.place)
    data = read_bounded(path)
    if data is None:
        return FileStatus(path, FileState.ABSENT)
    found = unstamp(data)
    if found is None:
        return FileStatus(path, FileState.EDITED)
    if file.executable and not path.stat().st_mode & stat.S_IXUSR:
        # That is how a hook is switched off by hand.
        return FileStatus(path, FileState.EDITED, found.version)
    current = file.body is not None and data == stamp(file.body)
    return FileStatus(path, FileState.CURRENT if current else FileState.OUTDATED, found.version)


def _inspect_link(sysroot: Path, link: OurLink) -> FileStatus:
    path = sysroot / link.place
    check_inside(path.parent, sysroot)
    try:
        target = str(path.readlink())
    except FileNotFoundError:
        return FileStatus(path, FileState.ABSENT)
    except OSError:  # it is no link
        return FileStatus(path, FileState.EDITED)
    return FileStatus(path, FileState.CURRENT if target == link.target else FileState.EDITED)
