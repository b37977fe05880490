"""The files of an image as a folder, for builders that copy a tree: mkosi's ExtraTrees, osbuild, OSTree.

Permissions and times are set and not left to whoever runs this, as in the archive. The folder is made beside its place
and renamed, so it is there as a whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cmakeys.errors import Refused, from_oserror
from cmakeys.files import sync_folder, temporary_beside
from cmakeys.images.cpio import Entry, complete


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Gives a folder to fill, which takes the place of `folder` when all went well and is gone when not.

    Raises `Refused` where `folder` holds something already: a root of an earlier set would stay in it.
    """
    temporary = temporary_beside(folder)
    try:
        if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
            raise Refused(
                "it is there already and not empty, and what else is in it would be baked, too",
                object=str(folder),
                hint="give an empty or new folder",
            )
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        temporary.chmod(0o755)
        temporary.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise from_oserror(error, str(folder)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_folder(folder: Path, entries: Sequence[Entry], *, mtime: int) -> None:
    """Write the entries below `folder`, each with `mtime` as its time. Raises as `whole_folder` does."""
    ordered = complete(entries)
    with whole_folder(folder) as place:
        for entry in ordered:
            _write(place / entry.path, entry)
        for path in (*(place / entry.path for entry in reversed(ordered)), place):
            os.utime(path, (mtime, mtime), follow_symlinks=False)


def _write(path: Path, entry: Entry) -> None:
    if stat.S_ISDIR(entry.mode):
        path.mkdir()
    elif stat.S_ISLNK(entry.mode):
        path.symlink_to(entry.data.decode())
        return
    else:
        path.write_bytes(entry.data)
    path.chmod(stat.S_IMODE(entry.mode))
