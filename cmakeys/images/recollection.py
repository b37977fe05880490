"""What was found in initrds, remembered, so that a nightly check does not unpack a hundred megabytes each time.

A file that is the same by device, inode, size and both of its times was not written to since, and holds what it held.
The memory is a file of root's in the state directory; one that is not understood is as good as none. Beside it stands
what a check last told of the initrds, so that one that shall be quiet tells it once.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from cmakeys import __version__
from cmakeys.errors import CmakeysError, from_oserror
from cmakeys.files import write_whole
from cmakeys.images.freshness import Baked
from cmakeys.images.initrd import Progress, read_image
from cmakeys.images.inspect import inspect

NAME = "initrds.json"
SCHEMA = 1
MAX_SIZE = 4 << 20
MAX_KEPT = 32
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Recollection:
    """What is remembered in `state_dir`. Looking is free for any user; `keep` writes what was learnt."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / NAME
        self._known, self.told = _read(self._path)
        self._looked: dict[str, tuple[list[int], Baked]] = {}

    def look(self, path: Path, *, progress: Progress | None = None) -> Baked:
        """What was baked into the initrd at `path`, from memory where it is the same file.

        Raises as `read_image` and `inspect` do.
        """
        try:
            identity = _identity(path.stat())
        except OSError as error:
            raise from_oserror(error, str(path)) from error
        known = self._known.get(str(path))
        if known is None or known[0] != identity:
            known = identity, Baked.of(inspect(read_image(path, progress=progress), str(path)))
        self._looked[str(path)] = known
        return known[1]

    def keep(self, told: str) -> CmakeysError | None:
        """Remember what was looked at and told, and forget the rest; what went wrong, if anything did."""
        if self._looked == self._known and told == self.told:
            return None
        document = {
            "schema": SCHEMA,
            "version": __version__,
            "told": told,
            "initrds": {
                path: {
                    "file": identity,
                    "digest": baked.digest,
                    "version": baked.version,
                    "roots": baked.roots,
                    "faults": baked.faults,
                }
                for path, (identity, baked) in list(self._looked.items())[:MAX_KEPT]
            },
        }
        try:
            write_whole(self._path, json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n")
        except OSError as error:
            return from_oserror(error, str(self._path))
        return None


def _identity(status: os.stat_result) -> list[int]:
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _read(path: Path) -> tuple[dict[str, tuple[list[int], Baked]], str]:
    """What the file says; nothing where it is not there, not ours to read, damaged or another version's."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
        document = json.loads(data) if len(data) <= MAX_SIZE else None
    except (OSError, ValueError, RecursionError):
        return {}, ""
    if not isinstance(document, dict) or (document.get("schema"), document.get("version")) != (SCHEMA, __version__):
        return {}, ""
    told, listed = document.get("told"), document.get("initrds")
    if not isinstance(told, str) or not isinstance(listed, dict) or len(listed) > MAX_KEPT:
        return {}, ""
    known = {name: entry for name, item in listed.items() if (entry := _entry(item)) is not None}
    return known, told


def _entry(item: object) -> tuple[list[int], Baked] | None:
    if not isinstance(item, Mapping):
        return None
    file, roots, faults = item.get("file"), item.get("roots"), item.get("faults")
    digest, version = item.get("digest"), item.get("version")
    if not (isinstance(file, list) and len(file) == 5 and all(type(number) is int for number in file)):
        return None
    if not (isinstance(digest, str) and isinstance(version, str) and isinstance(faults, list)):
        return None
    if not isinstance(roots, list) or not all(_is_root(one) for one in roots):
        return None
    if not all(isinstance(one, str) for one in faults):
        return None
    return file, Baked(digest, version, tuple((name, sha256) for name, sha256 in roots), tuple(faults))


def _is_root(item: object) -> bool:
    return (
        isinstance(item, list)
        and len(item) == 2
        and all(isinstance(text, str) for text in item)
        and bool(_SHA256.fullmatch(item[1]))
    )
