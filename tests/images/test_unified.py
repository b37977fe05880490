"""Unified kernel images with systemd's own stub, put together as its manual says, are read; damaged ones are named."""

from __future__ import annotations

import shutil
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmakeys.errors import CmakeysError
from cmakeys.images.cpio import ArchiveProblem
from cmakeys.images.initrd import Contents, read_image, read_stream
from tests.images.initrds import A, B, aligned, baked, packed, stream, system

STUBS = Path("/usr/lib/systemd/boot/efi")


def stub() -> Path:
    """systemd's stub for this processor."""
    found = next(iter(sorted(STUBS.glob("linux*.efi.stub"))), None)
    if found is None or shutil.which("objcopy") is None:
        pytest.skip("systemd's stub (systemd-boot-efi) or objcopy (binutils) is not installed")
    return found


def unified(folder: Path, **sections: bytes) -> Path:
    """An image made of the stub and these sections, each behind the one before it."""
    source = stub()
    dump = subprocess.run(["objdump", "-h", source], capture_output=True, text=True, check=True, timeout=30).stdout
    rows = [line.split() for line in dump.splitlines()]
    address = max(int(row[3], 16) + int(row[2], 16) for row in rows if len(row) == 7 and row[0].isdigit())
    words: list[str] = []
    for name, data in sections.items():
        address += -address % 4096
        path = folder / f"section-{name}"
        path.write_bytes(data)
        words += ["--add-section", f".{name}={path}", "--change-section-vma", f".{name}={address:#x}"]
        address += len(data)
    target = folder / "unified.efi"
    subprocess.run(["objcopy", *words, source, target], check=True, capture_output=True, timeout=30)
    return target


@pytest.mark.parametrize("packing", ["zstd", "gzip", "xz"])
def test_the_roots_behind_and_in_the_system_s_initrd_are_found(packing: str, tmp_path: Path) -> None:
    initrd = aligned(packed(system(tmp_path), packing)) + baked()
    found = read_image(unified(tmp_path, osrel=b"ID=test\n", cmdline=b"quiet", linux=b"kernel" * 999, initrd=initrd))
    assert [(part.section, part.packing) for part in found.parts] == [(".initrd", packing), (".initrd", "")]
    assert found.files["roots/a.der"] == A.certificate.der
    assert found.files["roots/b.der"] == B.certificate.der


def test_an_image_without_an_initrd_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveProblem, match="without an initrd"):
        read_image(unified(tmp_path, linux=b"kernel"))
    with pytest.raises(ArchiveProblem, match="without an initrd"):
        read_image(stub())


def test_one_that_is_cut_before_the_end_of_its_initrd_is_named(tmp_path: Path) -> None:
    data = unified(tmp_path, linux=b"kernel", initrd=baked()).read_bytes()
    whole = read(data)
    end = data.rindex(b"TRAILER!!!")
    for size in (70, 200, 1000, end // 2, end - len(baked()) // 2, end):
        with pytest.raises(ArchiveProblem):
            read(data[:size])
    assert whole.files["roots/a.der"] == A.certificate.der


def read(data: bytes) -> Contents:
    return read_stream(stream(data), len(data), "test")


@pytest.mark.parametrize(
    ("field", "value"),
    [("size", 0xFFFFFFFF), ("size", 0x7FFFFFFF), ("offset", 0xFFFFFFFF), ("offset", 0x7FFFFFFF), ("offset", 0)],
)
def test_a_section_that_lies_about_its_place_is_named(field: str, value: int, tmp_path: Path) -> None:
    data = bytearray(unified(tmp_path, linux=b"kernel", initrd=baked()).read_bytes())
    at = data.index(b".initrd\0", 0, 4096)
    for offset in (8, 16) if field == "size" else (20,):
        struct.pack_into("<I", data, at + offset, value)
    with pytest.raises(ArchiveProblem):
        read(bytes(data))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return unified(tmp_path_factory.mktemp("image"), linux=b"kernel", initrd=baked()).read_bytes()


@settings(deadline=None, max_examples=60)
@given(changes=st.lists(st.tuples(st.integers(0, 2047), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_head_gives_contents_or_the_clean_error(image: bytes, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(image)
    for at, value in changes:
        damaged[at] = value
    with suppress(CmakeysError):
        read(bytes(damaged))
