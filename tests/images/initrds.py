"""Initrds for the tests, made with the programs that distributions make theirs with."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from cmakeys.images.bake import Request, image
from cmakeys.roots.rootset import RootSet
from tests.roots import trust

A, B = trust.root("a"), trust.root("b")
PACKERS: dict[str, tuple[str, ...]] = {
    "gzip": ("gzip", "-n"),
    "bzip2": ("bzip2",),
    "xz": ("xz", "--check=crc32"),
    "lzma": ("lzma",),
    "zstd": ("zstd", "-q", "-19"),
    "lz4": ("lz4", "-q", "-l", "-9"),
    "lz4-frame": ("lz4", "-q"),
}
"""How each packing is made."""


def baked(*, required: bool = False) -> bytes:
    """An archive with two roots."""
    return image(RootSet((A, B)), Request(required=required)).cpio()


def system(folder: Path, form: str = "newc") -> bytes:
    """An archive of a small system, by the real cpio."""
    if shutil.which("cpio") is None:
        pytest.skip("cpio is not installed")
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/program").write_bytes(bytes(range(256)) * 4000)
    (tree / "bin").symlink_to("usr/bin")
    command = f"find . | cpio --quiet -o -H {form}"
    return subprocess.run(["sh", "-c", command], cwd=tree, capture_output=True, check=True, timeout=30).stdout


def packed(data: bytes, packing: str) -> bytes:
    """The data, packed by the real program."""
    command = PACKERS[packing]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run([*command, "-c"], input=data, capture_output=True, check=True, timeout=60).stdout


def stream(data: bytes) -> io.BytesIO:
    """The data as a file that is open."""
    return io.BytesIO(data)


def aligned(data: bytes) -> bytes:
    """Filled up with zeros, as boot loaders do between the parts."""
    return data + bytes(-len(data) % 4)


def unified(*initrds: bytes) -> bytes:
    """A unified kernel image (PE32+) with a section .linux and one for each of these."""
    sections = [(b".linux", b"kernel" * 100), *((b".initrd", data) for data in initrds)]
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    optional = struct.pack("<H", 0x20B).ljust(112, b"\0") + bytes(16 * 8)
    optional = optional[:108] + struct.pack("<I", 16) + optional[112:]
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, len(optional), 0x22)
    offset = 1024
    table, body = b"", b""
    for number, (name, data) in enumerate(sections):
        raw = len(data) + -len(data) % 512
        address = 0x1000 * (number + 1)
        table += struct.pack("<8sIIIIIIHHI", name, len(data), address, raw, offset + len(body), 0, 0, 0, 0, 0x40000040)
        body += data.ljust(raw, b"\0")
    return (head + coff + optional + table).ljust(offset, b"\0") + body
