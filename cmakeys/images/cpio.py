"""The archive format of an initrd: cpio in its "new ASCII" form, written reproducibly and read with bounds.

Written: names sorted, every folder in front of what is in it, owner 0:0, inodes numbered from 1, one time for all
entries, each header and each file padded to four bytes. So the bytes depend on the entries and nothing else, and such
an archive may stand before or behind any other part of an initrd (Documentation/driver-api/early-userspace/
buffer-format.rst).

Read: both kinds that the kernel unpacks, newc (070701) and crc (070702). A header says how long name and file are, so
nothing is read or kept beyond the limits, however much the header promises.
"""

from __future__ import annotations

import binascii
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from struct import Struct
from typing import Protocol, runtime_checkable

from cmakeys.errors import EvidenceProblem, UsageProblem

NEWC, CRC = b"070701", b"070702"
HEADER_SIZE = 110
TRAILER = "TRAILER!!!"
MAX_NAME = 4096
"""Bytes of a name with its NUL: the kernel's PATH_MAX, beyond which it stops unpacking."""

MAX_ENTRIES = 1 << 20
MAX_FILE = 0xFFFFFFFF
_CHUNK = 1 << 20
_FIELDS = Struct(">13I")


class ArchiveProblem(EvidenceProblem):
    """The bytes are no such archive, or more than an initrd has any use for."""

    code = "archive"


class Readable(Protocol):
    """What an archive is read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; fewer only where there are no more yet, none at the end."""


@runtime_checkable
class Skippable(Readable, Protocol):
    """One that can pass over what nobody wants to see, faster than by reading it."""

    def skip(self, size: int, /) -> int:
        """Pass over at most `size` bytes and say how many; fewer only at the end."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder or symbolic link. `mode` is st_mode with its type; `data` a file's bytes or a link's target."""

    path: str
    mode: int
    data: bytes = b""

    @classmethod
    def file(cls, path: str, data: bytes, *, executable: bool = False) -> Entry:
        """A regular file."""
        return cls(path, stat.S_IFREG | (0o755 if executable else 0o644), data)

    @classmethod
    def folder(cls, path: str) -> Entry:
        """A folder."""
        return cls(path, stat.S_IFDIR | 0o755)

    @classmethod
    def link(cls, path: str, target: str) -> Entry:
        """A symbolic link."""
        return cls(path, stat.S_IFLNK | 0o777, target.encode())


# -- writing -----------------------------------------------------------------------------------------------------------


def complete(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries with the folders above them, sorted by path.

    Raises `UsageProblem` for a path that leaves the archive, or that two different entries have.
    """
    found: dict[str, Entry] = {}
    for entry in entries:
        parts = PurePosixPath(entry.path).parts
        if not parts or entry.path != "/".join(parts) or ".." in parts or parts[0] == "/":
            raise UsageProblem("this is no path inside an archive", object=entry.path)
        if found.setdefault(entry.path, entry) != entry:
            raise UsageProblem("two different files would lie here", object=entry.path)
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if not stat.S_ISDIR(found.setdefault(above, Entry.folder(above)).mode):
                raise UsageProblem(f"{above} is not a folder", object=entry.path)
    return tuple(found[path] for path in sorted(found))


def render(entries: Iterable[Entry], *, mtime: int = 0) -> bytes:
    """The archive of these entries, each with `mtime` (seconds since 1970, 32 bits) as its time."""
    out = bytearray()
    inode = 0
    for inode, entry in enumerate(complete(entries), 1):
        links = 2 if stat.S_ISDIR(entry.mode) else 1
        out += _record(entry.path, entry.data, inode=inode, mode=entry.mode, links=links, mtime=mtime)
    out += _record(TRAILER, b"", inode=0, mode=0, links=1, mtime=0)
    return bytes(out)


def _record(path: str, data: bytes, *, inode: int, mode: int, links: int, mtime: int) -> bytes:
    name = path.encode() + b"\0"
    fields = (inode, mode, 0, 0, links, mtime, len(data), 0, 0, 0, 0, len(name), 0)
    header = NEWC + b"".join(b"%08X" % field for field in fields) + name
    return _padded(header) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


# -- reading -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Header:
    """What an archive says of one entry. `path` is as it stands there: it may be absolute or lead elsewhere."""

    path: str
    mode: int
    size: int
    mtime: int

    @property
    def is_file(self) -> bool:
        """Whether this is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether this is a symbolic link."""
        return stat.S_ISLNK(self.mode)


class Reader:
    """Walks through one archive, header by header, up to its trailer. `source` names it in problems.

        for header in reader.headers():
            if header.path == wanted:
                data = reader.data(limit)

    A file's data is skipped unless asked for, and asked for at most once, before the next header.
    """

    def __init__(self, stream: Readable, source: str) -> None:
        self._stream = stream
        self._pass = stream.skip if isinstance(stream, Skippable) else None
        self._source = source
        self._left = 0
        self._padding = 0
        self.position = 0
        """Bytes of the archive read so far."""

    def headers(self) -> Iterator[Header]:
        """The entries in order; ends behind the trailer, or where the stream ends between two entries.

        Raises `ArchiveProblem` for bytes that are no header, for an archive that is cut, and for one without end.
        """
        for _ in range(MAX_ENTRIES):
            self._skip(self._left + self._padding)
            self._left = self._padding = 0
            raw = self._read(HEADER_SIZE, at_end=True)
            if not raw:
                return
            header, name_size = self._header(raw)
            name = self._read(name_size)
            self._skip(-(HEADER_SIZE + name_size) % 4)
            if name[-1:] != b"\0":
                raise self._problem("the name of an entry has no end")
            path = name[:-1].decode("utf-8", "surrogateescape")
            if path == TRAILER and not header.size:
                return
            self._left, self._padding = header.size, -header.size % 4
            yield Header(path, header.mode, header.size, header.mtime)
        raise self._problem(f"more than {MAX_ENTRIES} entries")

    def data(self, limit: int) -> bytes:
        """The data of the entry whose header came last. Raises `ArchiveProblem` for more than `limit` bytes."""
        if self._left > limit:
            raise self._problem(f"a file of {self._left} bytes where {limit} are enough")
        data = self._read(self._left)
        self._left = 0
        return data

    def _header(self, raw: bytes) -> tuple[Header, int]:
        if raw[:6] not in (NEWC, CRC):
            raise self._problem(f"an entry that begins with {raw[:6]!r}, not {NEWC.decode()} or {CRC.decode()}")
        try:
            fields = binascii.unhexlify(raw[6:])
        except binascii.Error:
            raise self._problem("a header that is not made of hexadecimal digits") from None
        _, mode, _, _, _, mtime, size, _, _, _, _, name_size, _ = _FIELDS.unpack(fields)
        if not 1 <= name_size <= MAX_NAME:
            raise self._problem(f"a name of {name_size} bytes; the kernel reads at most {MAX_NAME}")
        return Header("", mode, size, mtime), name_size

    def _read(self, size: int, *, at_end: bool = False) -> bytes:
        """Exactly `size` bytes; with `at_end` none at all will do."""
        parts: list[bytes] = []
        left = size
        while left:
            part = self._stream.read(min(left, _CHUNK))
            if not part:
                if at_end and left == size:
                    return b""
                raise self._problem(f"it is cut: {left} bytes are missing")
            parts.append(part)
            left -= len(part)
            self.position += len(part)
        return b"".join(parts)

    def _skip(self, size: int) -> None:
        if not size:
            return
        if self._pass is not None:
            passed = self._pass(size)
            self.position += passed
            if passed < size:
                raise self._problem(f"it is cut: {size - passed} bytes are missing")
            return
        while size:
            size -= len(self._read(min(size, _CHUNK)))

    def _problem(self, message: str) -> ArchiveProblem:
        return ArchiveProblem(message, object=f"{self._source} at byte {self.position}", hint="is it an initrd?")
