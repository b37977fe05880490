"""Who can change a file that will be run: it must be nobody but root, or else whoever runs it already.

What counts is the file and every folder above it, for whoever can rename a folder can put another file in the place.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cmakeys.errors import from_oserror


def changeable_by_others(path: Path) -> str:
    """Who else could change the file at `path`, or put another one there, as a reason; empty when nobody can.

    Nobody means root and the user that asks. Symbolic links are followed, and both their ends looked at. Raises
    `EnvironmentProblem` where that cannot be found out.
    """
    try:
        real = path.resolve(strict=True)
        places = dict.fromkeys((*_upwards(real), *_upwards(path.parent.resolve(strict=True)), *_links(path)))
        return next(filter(None, map(_reason, places)), "")
    except (OSError, RuntimeError) as error:
        problem = error if isinstance(error, OSError) else OSError(str(error))
        raise from_oserror(problem, str(path)) from error


def _upwards(path: Path) -> tuple[Path, ...]:
    return (path, *path.parents)


def _links(path: Path) -> tuple[Path, ...]:
    return (path,) if path.is_symlink() else ()


def _reason(place: Path) -> str:
    status = place.lstat()
    if status.st_uid not in (0, os.geteuid()):
        return f"{place} belongs to user {status.st_uid}"
    writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not stat.S_ISLNK(status.st_mode)
    # In a sticky folder such as /tmp, others can neither rename nor remove what is not theirs.
    if writable and not (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
        return f"{place} can be written by others"
    return ""
