"""From what stands on the command line to items: files, folders, JSON Lines and a stream.

Whatever is there is named: a file that cannot be read is an item with a problem, and the walk goes on. Everything is
hostile, so files are read up to a limit and only where they are regular files, folders are not left through symbolic
links, and nothing is held but what is being read. Which form a file has, its bytes say and never its name.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import BinaryIO

from cmakeys.errors import from_oserror
from cmakeys.evidence.archive import MAX_FILE_SIZE
from cmakeys.evidence.fields import FieldProblem
from cmakeys.fleet.item import Item, Problem

STDIN = "-"
"""The argument that stands for standard input."""

MAX_LINE_SIZE = MAX_FILE_SIZE
MAX_DEPTH = 32
"""Folders below the one that was named."""

MAX_ENTRIES = 1_000_000
"""Names in one folder."""

MAX_PASSED_OVER = 1 << 30
"""Bytes of one line that are read to find its end."""

_LINES_LOOKED_AT = 8
_PORTION = 1 << 20
_SCHEMA = re.compile(rb'"schema"\s*:\s*"cmakeys/evidence/')
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


def gather(arguments: Sequence[str], stdin: BinaryIO) -> Iterator[Item]:
    """Every piece of evidence behind the arguments, in their order and in a folder by name; it is read when its turn
    comes.

    Symbolic links are followed where they are named, and reported where a folder holds them. Names that begin with a
    dot are left out of folders.
    """
    for argument in arguments:
        if argument == STDIN:
            yield from _of_stream(stdin, STDIN, None)
        elif os.path.isdir(argument):  # noqa: PTH112 names stay as they were given
            yield from _of_folder(argument, 0)
        else:
            yield from _of_file(argument, 0)


def _of_folder(folder: str, depth: int) -> Iterator[Item]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(islice(found, MAX_ENTRIES + 1), key=lambda entry: entry.name)
    except OSError as error:
        yield Item(folder, problem=Problem.of(from_oserror(error, folder)))
        return
    for entry in entries[:MAX_ENTRIES]:
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            yield _refused(entry.path, "a symbolic link, which is not followed in a folder", "name what it leads to")
        elif not entry.is_dir(follow_symlinks=False):
            yield from _of_file(entry.path, os.O_NOFOLLOW)
        elif depth < MAX_DEPTH:
            yield from _of_folder(entry.path, depth + 1)
        else:
            yield _refused(entry.path, f"more than {MAX_DEPTH} folders deep", "name this folder itself")
    if len(entries) > MAX_ENTRIES:
        yield _refused(folder, f"more than {MAX_ENTRIES} names in it; the others were not looked at")


def _of_file(path: str, flags: int) -> Iterator[Item]:
    try:
        if not stat.S_ISREG(os.stat(path, follow_symlinks=not flags).st_mode):  # noqa: PTH116 opening a device can do something
            yield _not_regular(path)
            return
        with os.fdopen(os.open(path, _OPEN | flags), "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode):
                yield from _of_stream(file, path, status.st_mtime)
            else:
                yield _not_regular(path)
    except (OSError, ValueError) as error:
        problem = from_oserror(error if isinstance(error, OSError) else OSError(str(error)), path)
        yield Item(path, problem=Problem.of(problem))


def _of_stream(file: BinaryIO, name: str, modified: float | None) -> Iterator[Item]:
    """What is in an open file: one document, or many lines with one each."""
    head: list[bytes] = []
    while len(head) < _LINES_LOOKED_AT:
        line = file.readline(MAX_LINE_SIZE + 1)
        head.append(line)
        if not line or line == b"{\n" or len(line) > MAX_LINE_SIZE or _is_evidence(line):
            break
    if len(head[-1]) > MAX_LINE_SIZE:
        yield from _of_lines(file, name, modified, head)
        return
    if _is_evidence(head[-1]):
        following = file.readline(MAX_LINE_SIZE + 1)
        head.append(following)
        if following or len(head) > 2:
            yield from _of_lines(file, name, modified, head)
            return
    size = sum(map(len, head))
    data = b"".join((*head, file.read(max(MAX_FILE_SIZE + 1 - size, 0))))
    if len(data) > MAX_FILE_SIZE:
        yield _refused(name, f"more than {MAX_FILE_SIZE >> 20} MiB")
    else:
        yield Item(name, None, data, modified)


def _is_evidence(line: bytes) -> bool:
    """Whether a line by itself is saved evidence, and not the beginning of it or a line of a recording."""
    return line[:1] == b"{" and line.rstrip()[-1:] == b"}" and _SCHEMA.search(line) is not None


def _of_lines(file: BinaryIO, name: str, modified: float | None, head: Sequence[bytes]) -> Iterator[Item]:
    """An item for each line that is not blank: of those read already, then of the rest."""
    lines = chain(head, iter(lambda: file.readline(MAX_LINE_SIZE + 1), b""))
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE_SIZE:
            yield _refused(name, f"a line of more than {MAX_LINE_SIZE >> 20} MiB", line=number)
            if not _pass_over(file, line):
                yield _refused(name, "a line without an end; what follows was not looked at", line=number)
                return
        elif line.strip():
            yield Item(name, number, line, modified)


def _pass_over(file: BinaryIO, line: bytes) -> bool:
    """Read on to the end of a line that is too long; false where it has none within reason."""
    passed = len(line)
    while line and not line.endswith(b"\n"):
        line = file.readline(_PORTION)
        passed += len(line)
        if passed > MAX_PASSED_OVER:
            return False
    return True


def _not_regular(path: str) -> Item:
    return _refused(path, "not a regular file", f"give a stream to standard input, and name {STDIN}")


def _refused(name: str, message: str, hint: str = "", *, line: int | None = None) -> Item:
    place = name if line is None else f"{name}:{line}"
    return Item(name, line, problem=Problem.of(FieldProblem(message, object=place, hint=hint)))
