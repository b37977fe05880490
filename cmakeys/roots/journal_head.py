"""How far the journal reached when it was last written: a file of one line beside it, so that a cut end shows.

    {"schema":1,"lines":7,"sha256":"<SHA-256 of line 7 without its line end>"}

It is replaced after each entry is on the disk, and never before: a crash or a full disk in between leaves it behind the
journal by some lines, which is no fault, and nothing but a cut leaves it ahead. Once it does not fit the journal it is
not replaced any more, so that the next entry does not cover the cut up. Whoever can write both files can forge both;
against that one the last hash has to be noted elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cmakeys.files import write_whole

SCHEMA = 1
FILE_NAME: Final = "journal.head"
MAX_SIZE = 1024
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class JournalHead:
    """The number of lines that the journal had, and the SHA-256 of the last of them."""

    lines: int
    sha256: str

    def fault(self, hashes: Sequence[str]) -> tuple[int, str] | None:
        """Line and message where a journal, the hash of each ended line given, does not reach so far; else None."""
        if len(hashes) < self.lines:
            return len(hashes) + 1, f"cut off here: {FILE_NAME} has noted {self.lines} lines"
        if hashes[self.lines - 1] != self.sha256:
            return self.lines, f"not the line that {FILE_NAME} has noted"
        return None


def read_head(path: Path) -> JournalHead | None:
    """The head in a file; None where there is none. Raises `ValueError` for what is no head, and `OSError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        data = os.read(descriptor, MAX_SIZE + 1)
    finally:
        os.close(descriptor)
    return parse_head(data)


def parse_head(data: bytes) -> JournalHead:
    """The head in these bytes; `ValueError` says why they are none."""
    if len(data) > MAX_SIZE:
        raise ValueError(f"longer than {MAX_SIZE} bytes")
    try:
        content = json.loads(data.decode("ascii"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(content, dict) or content.keys() != {"schema", "lines", "sha256"}:
        raise ValueError("not with the keys of a head")
    lines, sha256 = content["lines"], content["sha256"]
    sound = content["schema"] == SCHEMA and type(lines) is int and lines > 0
    if not sound or not isinstance(sha256, str) or not _HASH.fullmatch(sha256):
        raise ValueError("not with the values of a head")
    return JournalHead(lines, sha256)


def render_head(head: JournalHead) -> bytes:
    """The head as its file has it."""
    content = {"schema": SCHEMA, "lines": head.lines, "sha256": head.sha256}
    return json.dumps(content, separators=(",", ":")).encode("ascii") + b"\n"


def write_head(path: Path, head: JournalHead) -> None:
    """Replace the head as a whole. Raises `OSError`."""
    write_whole(path, render_head(head))
