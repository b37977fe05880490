"""What lies in an initrd: every part and every archive in it walked through as the kernel does, our files kept.

The kernel (init/initramfs.c) takes parts laid end to end, each an archive or a packed run of archives, with zeros
between them; a later file takes the place of an earlier one of the same name. Nothing is written anywhere, so a path
that leads out of the root harms nobody here; it is refused because no honest builder makes one. Everything has a limit:
the bytes that come out, the archives, the files of ours and their sizes.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cmakeys.errors import Unsupported, UsageProblem, from_oserror
from cmakeys.images.compression import Span, Unpacked, recognise, unpack
from cmakeys.images.cpio import ArchiveProblem, Header, Reader
from cmakeys.images.tree import PLACE

MAX_FILE_SIZE = 4 << 30
MAX_UNPACKED = 4 << 30
"""Bytes of all parts together; the largest initrds in the field have a quarter of that."""

MAX_PARTS = 64
MAX_ARCHIVES = 256
MAX_OURS = 8192
MAX_OUR_SIZE = 1 << 20
_CHUNK = 1 << 20
_PE_HEAD = 1 << 16
_CPIO = b"0707"

Progress = Callable[[int, int], None]
"""Told how far it is, and how far it will be, in bytes of the file."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: where it begins in the file, its bytes there and unpacked, how it is packed, and its entries."""

    offset: int
    size: int
    unpacked: int
    packing: str
    entries: int
    section: str = ""


@dataclass(slots=True)
class Contents:
    """What was found. `files` are ours by path below `usr/lib/cmakeys`, `paths` others that call the loader."""

    parts: list[Part] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)


def read_image(path: Path, *, progress: Progress | None = None) -> Contents:
    """Read an initrd, or the initrds in a unified kernel image.

    Raises `ArchiveProblem` for what is neither, for one that is cut or damaged and for one beyond the limits,
    `Unsupported` where a package is missing.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UsageProblem("not a regular file", object=str(path))
            return read_stream(file, status.st_size, str(path), progress=progress)
    except OSError as error:
        raise from_oserror(error, str(path)) from error


def read_stream(
    file: io.BufferedReader | io.BytesIO, size: int, name: str, *, progress: Progress | None = None
) -> Contents:
    """The same for a file that is open. Raises as `read_image` does."""
    if size > MAX_FILE_SIZE:
        raise ArchiveProblem(f"a file of {size} bytes; at most {MAX_FILE_SIZE} are read", object=name)
    if size == 0:
        raise ArchiveProblem("it is empty", object=name)
    walker = _Walker(progress)
    for span, section in _spans(file, size, name):
        walker.walk(span, section)
    return walker.found


def _spans(file: io.BufferedReader | io.BytesIO, size: int, name: str) -> Iterator[tuple[Span, str]]:
    """The whole file, or those sections of a unified kernel image that the kernel gets as its initrd."""
    whole = Span(file, name, 0, size)
    if whole.at(0, 2) != b"MZ":
        yield whole, ""
        return
    try:
        import pefile
    except ImportError:
        raise Unsupported(
            "reading a unified kernel image needs the Python package pefile",
            object=name,
            hint="pip install 'cmakeys[image]'",
        ) from None
    try:
        sections = [
            (
                bytes(one.Name).rstrip(b"\0"),
                int(one.PointerToRawData),
                int(one.Misc_VirtualSize),
                int(one.SizeOfRawData),
            )
            for one in pefile.PE(data=whole.at(0, _PE_HEAD), fast_load=True).sections
        ]
    except (pefile.PEFormatError, ValueError, LookupError, TypeError, AttributeError, OverflowError):
        raise whole.problem("it begins like a unified kernel image and is none", 0) from None
    found = [(start, min(virtual, raw)) for section, start, virtual, raw in sections if section == b".initrd"]
    if not found:
        raise ArchiveProblem("a program for EFI without an initrd in it", object=name, hint="name the initrd itself")
    for start, length in found:
        if start + length > size:
            raise whole.problem("its section .initrd is cut", start)
        yield Span(file, f"{name}, section .initrd", start, start + length), ".initrd"


class _Plain:
    """A part that is not packed."""

    def __init__(self, span: Span, position: int) -> None:
        self._span = span
        self.end = position

    def read(self, size: int, /) -> bytes:
        data = self._span.at(self.end, size)
        self.end += len(data)
        return data


class _Stream:
    """What comes out of a part, in pieces of any size; counts, and lets zeros be passed over."""

    def __init__(self, source: Unpacked, budget: int, progress: Callable[[], None]) -> None:
        self._source = source
        self._budget = budget
        self._progress = progress
        self._buffer = b""
        self._given = 0
        self.taken = 0

    def read(self, size: int, /) -> bytes:
        if self._given == len(self._buffer):
            self._fill()
        data = self._buffer[self._given : self._given + size]
        self._given += len(data)
        return data

    def skip(self, size: int, /) -> int:
        passed = 0
        while passed < size:
            if self._given == len(self._buffer):
                self._fill()
                if not self._buffer:
                    break
            step = min(size - passed, len(self._buffer) - self._given)
            self._given += step
            passed += step
        return passed

    @property
    def left(self) -> int:
        """Bytes that came out and nobody has read."""
        return len(self._buffer) - self._given

    def padding(self) -> bool:
        """Pass over zeros; whether anything is behind them."""
        while True:
            if self._given == len(self._buffer):
                self._fill()
                if not self._buffer:
                    return False
            rest = self._buffer[self._given :].lstrip(b"\0")
            self._given = len(self._buffer) - len(rest)
            if rest:
                return True

    def peek(self, size: int) -> bytes:
        """What comes next, without reading it; maybe less."""
        return self._buffer[self._given : self._given + size]

    def _fill(self) -> None:
        self._buffer, self._given = self._source.read(_CHUNK), 0
        self.taken += len(self._buffer)
        if self.taken > self._budget:
            raise ArchiveProblem(
                f"unpacks to more than {MAX_UNPACKED} bytes", object="image", hint="no initrd is as large as that"
            )
        self._progress()


class _Walker:
    def __init__(self, progress: Progress | None) -> None:
        self.found = Contents()
        self._progress = progress
        self._unpacked = 0
        self._archives = 0

    def walk(self, span: Span, section: str) -> None:
        """Every part of a span."""
        position = span.start
        while (position := self._after_zeros(span, position)) < span.end:
            if len(self.found.parts) == MAX_PARTS:
                raise span.problem(f"more than {MAX_PARTS} parts", position)
            position = self._part(span, position, section)

    def _after_zeros(self, span: Span, position: int) -> int:
        while chunk := span.at(position, _CHUNK):
            rest = chunk.lstrip(b"\0")
            position += len(chunk) - len(rest)
            if rest:
                break
        return position

    def _part(self, span: Span, position: int, section: str) -> int:
        magic = span.at(position, 6)
        packing = recognise(magic)
        if packing is None and not magic.startswith(_CPIO):
            raise span.problem(f"it begins with {magic!r}, which is neither an archive nor packed", position)
        source = unpack(span, position, packing) if packing else _Plain(span, position)

        def progress() -> None:
            if self._progress is not None:
                self._progress(source.end, span.end)

        stream = _Stream(source, MAX_UNPACKED - self._unpacked, progress)
        entries = 0
        while stream.padding():
            if packing is None and not stream.peek(4).startswith(_CPIO[: len(stream.peek(4))]):
                break
            self._archives += 1
            if self._archives > MAX_ARCHIVES:
                raise span.problem(f"more than {MAX_ARCHIVES} archives", position)
            reader = Reader(stream, span.name)
            for header in reader.headers():
                entries += 1
                self._entry(header, reader, span.name)
        end = source.end - (stream.left if packing is None else 0)
        taken = stream.taken - (stream.left if packing is None else 0)
        self._unpacked += taken
        self.found.parts.append(Part(position, end - position, taken, packing or "", entries, section))
        return end

    def _entry(self, header: Header, reader: Reader, name: str) -> None:
        path = header.path
        if ".." in path:
            parts = path.split("/")
            if ".." in parts:
                raise ArchiveProblem(f"an entry that leads out of the root, {path[:200]!r}", object=name)
        if "cmakeys" not in path:
            return
        path = "/".join(part for part in path.split("/") if part not in ("", "."))
        if not path.startswith(f"{PLACE}/"):
            if not stat.S_ISDIR(header.mode):
                self.found.others.add(path)
        elif header.is_file:
            self._ours(path.removeprefix(f"{PLACE}/"), header, reader, name)
        else:
            self.found.files.pop(path.removeprefix(f"{PLACE}/"), None)
        if len(self.found.others) + len(self.found.sizes) > MAX_OURS:
            raise ArchiveProblem(f"more than {MAX_OURS} files of cmakeys", object=name)

    def _ours(self, path: str, header: Header, reader: Reader, name: str) -> None:
        self.found.sizes[path] = header.size
        if path in ("keyctl", "ld.so") or path.startswith("lib/"):
            return
        if header.size > MAX_OUR_SIZE:
            raise ArchiveProblem(f"{path} has {header.size} bytes where {MAX_OUR_SIZE} are enough", object=name)
        self.found.files[path] = reader.data(MAX_OUR_SIZE)
