"""What an initrd may be packed with, unpacked piece by piece: as little at a time as is asked for, whatever follows.

An initrd is parts laid end to end, each packed in its own way, so what matters besides the contents is where a part
ends. gzip, xz, lzma and bzip2 are Python's own; zstd and lz4 are packages of the extra `image`, and where one is
missing, an initrd that needs it is named as such. The kernel's lz4 is the old form (`lz4 -l`), whose end is that of the
file or a block of no length; the newer one is read as well.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from cmakeys.errors import Unsupported
from cmakeys.images.cpio import ArchiveProblem

MAX_WINDOW = 1 << 27
"""Bytes that a packed part may ask to be remembered; `zstd --ultra -22` asks for as many."""

MAX_LZMA_MEMORY = 1 << 28
MAX_BLOCKS = 1 << 18
CHUNK = 1 << 18

_LZ4_BLOCK = 8 << 20
_LZ4_PACKED = _LZ4_BLOCK + _LZ4_BLOCK // 255 + 16
_ZSTD_BLOCK = 1 << 17

MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x5d\0\0", "lzma"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x04\x22\x4d\x18", "lz4-frame"),
)


class Span:
    """A part of a file, read by position; `name` is for messages."""

    def __init__(self, file: io.BufferedReader | io.BytesIO, name: str, start: int, end: int) -> None:
        self._file = file
        self.name = name
        self.start = start
        self.end = end

    def at(self, position: int, size: int) -> bytes:
        """At most `size` bytes from `position`; fewer at the end."""
        self._file.seek(position)
        return self._file.read(max(0, min(size, self.end - position)))

    def problem(self, message: str, position: int) -> ArchiveProblem:
        """What is wrong, and where."""
        return ArchiveProblem(message, object=f"{self.name} at byte {position}", hint="is it an initrd?")


class Unpacked(Protocol):
    """The contents of a part. `end` is where the part ends in the file, known once `read` gave nothing."""

    end: int

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end. Raises `ArchiveProblem`."""


def recognise(magic: bytes) -> str | None:
    """What a part that begins like this is packed with."""
    return next((name for known, name in MAGIC if magic.startswith(known)), None)


def unpack(span: Span, position: int, kind: str) -> Unpacked:
    """The contents of the part of that kind at `position`. Raises `Unsupported` where a package is missing."""
    if kind == "zstd":
        return _zstd(span, position)
    if kind == "lz4":
        return _Lz4(span, position)
    return _Stepwise(span, position, _INFLATERS[kind](), kind)


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """zlib's object with the manners of the others."""

    def __init__(self) -> None:
        self._object = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def needs_input(self) -> bool:
        return not self._object.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._object.decompress(self._object.unconsumed_tail + data, max_length)


def _lz4_frame() -> _Inflater:
    try:
        from lz4.frame import LZ4FrameDecompressor
    except ImportError:
        raise _missing("lz4") from None
    inflater: _Inflater = LZ4FrameDecompressor()
    return inflater


_INFLATERS: dict[str, Callable[[], _Inflater]] = {
    "gzip": _Gzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_LZMA_MEMORY),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MAX_LZMA_MEMORY),
    "lz4-frame": _lz4_frame,
}


class _Stepwise:
    """Feeds an unpacker from the file, bit by bit."""

    def __init__(self, span: Span, position: int, inflater: _Inflater, kind: str) -> None:
        self._span = span
        self._inflater = inflater
        self._kind = kind
        self._over = False
        self.end = position

    def read(self, size: int, /) -> bytes:
        inflater = self._inflater
        while not self._over:
            chunk = b""
            if inflater.needs_input:
                chunk = self._span.at(self.end, CHUNK)
                if not chunk:
                    raise self._span.problem(f"what is packed with {self._kind} is cut", self.end)
                self.end += len(chunk)
            try:
                data = inflater.decompress(chunk, size)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError, MemoryError):
                raise self._span.problem(f"what is packed with {self._kind} is damaged", self.end) from None
            if inflater.eof:
                self._over = True
                self.end -= len(inflater.unused_data or b"")  # lz4 has none for nothing
            if data:
                return data
        return b""


def _missing(package: str) -> Unsupported:
    return Unsupported(
        f"unpacking {package.removesuffix('andard')} needs the Python package {package}",
        object=package,
        hint="pip install 'cmakeys[image]'",
    )


# -- zstd --------------------------------------------------------------------------------------------------------------


class _Zstd:
    def __init__(self, span: Span, position: int) -> None:
        try:
            import zstandard
        except ImportError:
            raise _missing("zstandard") from None
        self.end = _zstd_end(span, position)
        self._span = span
        self._errors = (zstandard.ZstdError, MemoryError)
        packed = io.BufferedReader(_Packed(span, position, self.end), CHUNK)
        self._reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(packed, read_size=CHUNK)

    def read(self, size: int, /) -> bytes:
        try:
            return self._reader.read(size)
        except self._errors:
            raise self._span.problem("what is packed with zstd is damaged", self.end) from None


class _Packed(io.RawIOBase):
    """The bytes of a part, for who reads a file from its beginning."""

    def __init__(self, span: Span, position: int, end: int) -> None:
        self._span = span
        self._position = position
        self._stop = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # any writable buffer
        data = self._span.at(self._position, min(len(buffer), self._stop - self._position))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _zstd(span: Span, position: int) -> Unpacked:
    return _Zstd(span, position)


def _zstd_end(span: Span, position: int) -> int:
    """Where the frame at `position` ends: header, blocks with their lengths, checksum (RFC 8878 §3.1.1)."""
    head = span.at(position, 5)
    if len(head) < 5:
        raise span.problem("what is packed with zstd is cut", position)
    flags = head[4]
    single = flags >> 5 & 1
    content = (1 if single else 0, 2, 4, 8)[flags >> 6]
    at = position + 5 + (1 - single) + (0, 1, 2, 4)[flags & 3] + content
    for _ in range(MAX_BLOCKS):
        block = int.from_bytes(span.at(at, 3).ljust(3, b"\xff"), "little")
        last, kind, size = block & 1, block >> 1 & 3, block >> 3
        if kind == 3 or size > _ZSTD_BLOCK:
            raise span.problem("what is packed with zstd is cut or damaged", at)
        at += 3 + (1 if kind == 1 else size)
        if last:
            at += 4 * (flags >> 2 & 1)
            if at > span.end:
                raise span.problem("what is packed with zstd is cut", span.end)
            return at
    raise span.problem(f"more than {MAX_BLOCKS} blocks of zstd", at)


# -- lz4, the form of the kernel ---------------------------------------------------------------------------------------


class _Lz4:
    """Blocks of up to 8 MiB, each behind its length; the last one of the file, or before a length of nothing."""

    def __init__(self, span: Span, position: int) -> None:
        try:
            from lz4.block import LZ4BlockError, decompress
        except ImportError:
            raise _missing("lz4") from None
        self._span = span
        self._decompress: Callable[..., bytes] = decompress
        self._errors = (LZ4BlockError, ValueError, MemoryError)
        self._block = b""
        self._given = 0
        self.end = position + 4

    def read(self, size: int, /) -> bytes:
        if self._given == len(self._block):
            self._block, self._given = self._next(), 0
        data = self._block[self._given : self._given + size]
        self._given += len(data)
        return data

    def _next(self) -> bytes:
        head = self._span.at(self.end, 6)
        length = int.from_bytes(head[:4], "little")
        if length == 0:
            return b""
        if length > _LZ4_PACKED and (recognise(head) or head.startswith(b"0707")):
            return b""  # the next part, with no zeros before it
        packed = self._span.at(self.end + 4, length) if length <= _LZ4_PACKED else b""
        if len(packed) != length:
            raise self._span.problem("what is packed with lz4 is cut or damaged", self.end)
        try:
            data = self._decompress(packed, uncompressed_size=_LZ4_BLOCK)
        except self._errors:
            raise self._span.problem("what is packed with lz4 is damaged", self.end) from None
        self.end += 4 + length
        return data
