"""The folder that keeps what devices said, one file for each conversation, within a limit of bytes for all of them.

    DEVICE/20270131T030000Z-3f9a0c12d4e5.json

What was said is kept when it is news, so that it can be judged again when somebody asks why. A limit is a limit: the
oldest files go first, whatever they hold, with one exception. The newest file of each device stays as long as files
that are not anyone's newest are left, so that a device that talks much does not push out what others said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from enum import Enum
from pathlib import Path

from cmakeys.errors import Temporary, from_oserror
from cmakeys.evidence.archive import encode
from cmakeys.evidence.model import Evidence
from cmakeys.files import make_folder, write_whole

FOLDER = "evidence"
DEFAULT_LIMIT = 256 << 20
MAX_FILES = 1_000_000

_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{12}\.json", re.ASCII)


class Keep(Enum):
    """What is kept of a check: nothing, what was said by devices that are news, or all."""

    NONE = "none"
    NEWS = "news"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class KeptFile:
    """One file; `path.name` begins with its time, so that names sort as times do."""

    path: Path
    size: int

    @property
    def device(self) -> str:
        """The device that said it."""
        return self.path.parent.name


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive in `folder`, of at most `limit` bytes."""

    folder: Path
    limit: int = DEFAULT_LIMIT

    def keep(self, device: str, evidence: Evidence) -> Path:
        """Write down what a device said. Raises `Temporary` for more than the whole archive may hold."""
        data = encode(evidence)
        moment = evidence.collected_at.astimezone(UTC)
        path = self.folder / device / f"{moment:%Y%m%dT%H%M%SZ}-{evidence.digest[:12]}.json"
        if len(data) > self.limit:
            raise Temporary(
                f"{len(data)} bytes of evidence, more than the archive may hold",
                object=device,
                hint="raise history.evidence-size in cmakeys.yaml",
            )
        try:
            make_folder(path.parent)
            write_whole(path, data)
        except OSError as error:
            raise from_oserror(error, str(path)) from error
        return path

    def files(self) -> tuple[KeptFile, ...]:
        """All files that are ours, oldest first; what else lies there is nobody's business here."""
        try:
            return tuple(sorted(self._files(), key=lambda one: (one.path.name, one.device)))
        except OSError as error:
            raise from_oserror(error, str(self.folder)) from error

    def _files(self) -> Iterator[KeptFile]:
        if not self.folder.is_dir():
            return
        left = MAX_FILES
        for place in self.folder.iterdir():
            if place.is_symlink() or not place.is_dir():
                continue
            for path in place.iterdir():
                left -= 1
                if left < 0:
                    return
                if _NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                    yield KeptFile(path, path.stat().st_size)

    def excess(self) -> tuple[KeptFile, ...]:
        """The files that must go for the rest to be within the limit, in the order in which they go."""
        files = self.files()
        newest = {one.device: one for one in files}
        ordered = [one for one in files if newest[one.device] is not one] + [
            one for one in files if newest[one.device] is one
        ]
        over = sum(one.size for one in files) - self.limit
        gone = []
        for one in ordered:
            if over <= 0:
                break
            gone.append(one)
            over -= one.size
        return tuple(gone)

    def trim(self) -> tuple[KeptFile, ...]:
        """Take out what is beyond the limit; what that was."""
        gone = self.excess()
        for one in gone:
            try:
                one.path.unlink(missing_ok=True)
            except OSError as error:
                raise from_oserror(error, str(one.path)) from error
        return gone
