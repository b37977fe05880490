"""Writing files that others rely on: whole or not at all, and on the disk before anybody is told.

A temporary file in the same folder, fsync, rename, fsync of the folder; killed at any instruction, what is found next
is the old file or the new one. Every module that writes such a file does it through `write_whole`. In a tree that is
not the machine's own, `check_inside` comes first: a symbolic link there may lead anywhere.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cmakeys.errors import Refused

TEMPORARY_PREFIX = ".cmakeys-"


def temporary_beside(path: Path) -> Path:
    """The name under which a file is made before it is renamed to `path`; another one in every process."""
    return path.with_name(f"{TEMPORARY_PREFIX}{path.name}.{os.getpid()}")


def write_whole(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put a file in place with these contents and permissions.

    Raises `OSError` that names the file; then the old one, if there was one, is untouched and nothing else is left.
    """
    try:
        _write_whole(path, data, mode)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # nobody knows the temporary file
        raise


def _write_whole(path: Path, data: bytes, mode: int) -> None:
    temporary = temporary_beside(path)
    with suppress(FileNotFoundError):
        os.unlink(temporary)  # noqa: PTH108 of a killed process whose number we got
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)  # noqa: PTH105 os calls throughout: the crash tests count them
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, for its owner alone to change, whatever the umask says."""
    if folder.is_dir():
        return
    if folder != folder.parent:
        make_folder(folder.parent)
    with suppress(FileExistsError):
        os.mkdir(folder, 0o755)  # noqa: PTH102
    sync_folder(folder.parent)


def check_inside(path: Path, tree: Path) -> None:
    """Raise `Refused` where a symbolic link on the way to `path`, which need not be there, leads out of `tree`.

    An image builder's tree is somebody else's: what is read through such a link is the machine's own, and what is
    written there lands on the machine.
    """
    try:
        top, real = tree.resolve(), path.resolve()
    except RuntimeError:
        raise Refused("its symbolic links lead in a circle", object=str(path), hint="repair the tree") from None
    if not real.is_relative_to(top):
        raise Refused(
            f"leads out of {top} to {real}",
            object=str(path),
            hint="make the symbolic link relative, so that it stays inside the tree",
        )


def sync_folder(folder: Path) -> None:
    """Make renames in a folder permanent."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
