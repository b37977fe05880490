"""Initrds as the real programs make them are read, part by part; what is cut, damaged or beyond all bounds is named."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cmakeys.errors import CmakeysError, Unsupported, UsageProblem
from cmakeys.images import compression, cpio, initrd
from cmakeys.images.cpio import ArchiveProblem, Entry, render
from cmakeys.images.initrd import Contents, read_image, read_stream
from tests.images.initrds import PACKERS, A, aligned, baked, packed, system, unified

each_packing = pytest.mark.parametrize("packing", PACKERS)
SMALL = render([Entry.file("usr/lib/cmakeys/digest", b"digest\n"), Entry.file("big", bytes(5000))])


def read(data: bytes) -> Contents:
    return read_stream(io.BytesIO(data), len(data), "test")


def packings(found: Contents) -> list[str]:
    return [part.packing for part in found.parts]


@each_packing
def test_ours_is_found_before_behind_and_inside_what_is_packed(packing: str, tmp_path: Path) -> None:
    rest = system(tmp_path)
    forms = {
        "before": (baked() + packed(rest, packing), ["", packing]),
        "behind": (aligned(packed(rest, packing) + bytes(4)) + baked(), [packing, ""]),
        "inside": (packed(rest + baked(), packing), [packing]),
        "both packed": (aligned(packed(rest, packing) + bytes(4)) + packed(baked(), packing), [packing, packing]),
    }
    for where, (data, expected) in forms.items():
        found = read(data)
        assert packings(found) == expected, where
        assert found.files["roots/a.der"] == A.certificate.der, where
        assert sum(part.size for part in found.parts) <= len(data)
    found = read(forms["before"][0])
    assert found.parts[1].offset == len(baked())
    assert found.parts[1].unpacked == len(rest)
    assert found.parts[1].entries == 5


@pytest.mark.parametrize("form", ["newc", "crc"])
def test_both_forms_of_the_archive_are_read(form: str, tmp_path: Path) -> None:
    found = read(system(tmp_path, form) + bytes(500) + baked())
    assert [part.entries for part in found.parts] == [5 + read(baked()).parts[0].entries]
    assert "manifest.json" in found.files


def test_a_later_file_takes_the_place_of_an_earlier_one() -> None:
    later = render([Entry.file("usr/lib/cmakeys/digest", b"later\n")])
    assert read(SMALL + later).files["digest"] == b"later\n"
    gone = render([Entry.link("usr/lib/cmakeys/digest", "/etc/passwd")])
    assert "digest" not in read(SMALL + gone).files


def test_paths_are_those_that_the_kernel_would_make() -> None:
    record = cpio._record("./usr//lib/cmakeys/digest", b"x", inode=1, mode=0o100644, links=1, mtime=0)
    assert read(record).files == {"digest": b"x"}


def test_the_initrds_of_a_unified_kernel_image_are_read() -> None:
    found = read(unified(SMALL, gzip.compress(baked())))
    assert [(part.section, part.packing) for part in found.parts] == [(".initrd", ""), (".initrd", "gzip")]
    assert found.files["roots/a.der"] == A.certificate.der


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello, world", "neither an archive nor packed"),
        (unified(), "without an initrd"),
        (b"MZ" + bytes(200), "is none"),
        (unified(baked())[:-1500], "cut"),
        (SMALL[:-200], "cut"),
        (SMALL + b"tail", "neither an archive nor packed"),
    ],
)
def test_what_is_no_initrd_is_named(data: bytes, words: str) -> None:
    with pytest.raises(ArchiveProblem, match=words):
        read(data)


@each_packing
def test_what_is_cut_is_named(packing: str) -> None:
    data = packed(SMALL, packing)
    for size in (len(data) - 1, len(data) // 2, 8):
        with pytest.raises(ArchiveProblem):
            read(data[:size])


def test_a_path_that_leads_out_of_the_root_is_refused() -> None:
    for path in ("../etc/passwd", "usr/lib/cmakeys/../../../x", ".."):
        record = cpio._record(path, b"", inode=1, mode=0o100644, links=1, mtime=0)
        with pytest.raises(ArchiveProblem, match="leads out of the root"):
            read(record)
    assert read(cpio._record("usr/a..b", b"", inode=1, mode=0o100644, links=1, mtime=0)).parts[0].entries == 1


BOMB = render([Entry.file("zeros", bytes(30 << 20))])


@each_packing
def test_a_bomb_is_given_up_at_the_limit(packing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initrd, "MAX_UNPACKED", 20 << 20)
    data = packed(BOMB, packing)
    assert len(data) < 1 << 20
    with pytest.raises(ArchiveProblem, match="unpacks to more than"):
        read(data)


def test_several_parts_share_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initrd, "MAX_UNPACKED", 40 << 20)
    data = gzip.compress(BOMB)
    read(data)
    with pytest.raises(ArchiveProblem, match="unpacks to more than"):
        read(data + data)


def test_a_file_of_ours_of_absurd_size_is_refused() -> None:
    big = render([Entry.file("usr/lib/cmakeys/manifest.json", bytes(initrd.MAX_OUR_SIZE + 1))])
    with pytest.raises(ArchiveProblem, match="are enough"):
        read(big)
    keyctl = render([Entry.file("usr/lib/cmakeys/keyctl", bytes(initrd.MAX_OUR_SIZE + 1))])
    assert read(keyctl).sizes == {"keyctl": initrd.MAX_OUR_SIZE + 1}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("MAX_PARTS", gzip.compress(SMALL) * 4),
        ("MAX_ARCHIVES", SMALL * 4),
        ("MAX_OURS", render([Entry.file(f"usr/lib/cmakeys/{number}", b"") for number in range(4)])),
        ("MAX_FILE_SIZE", SMALL),
    ],
)
def test_more_than_anybody_needs_is_refused(name: str, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    read(data)
    monkeypatch.setattr(initrd, name, 3)
    with pytest.raises(ArchiveProblem):
        read(data)


def test_a_window_larger_than_any_initrd_asks_for_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, compression_level=1, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(ArchiveProblem, match="zstd is damaged"):
        read(packer.compress(SMALL) + packer.flush())
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]
    with pytest.raises(ArchiveProblem, match="xz is damaged"):
        read(lzma.compress(SMALL, filters=filters))


def test_a_run_of_blocks_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MAX_BLOCKS", 10)
    with pytest.raises(ArchiveProblem, match="more than 10 blocks"):
        read(b"\x28\xb5\x2f\xfd\x00\x00" + b"\0\0\0" * 50)


@pytest.mark.parametrize(
    ("module", "make"),
    [
        ("zstandard", lambda: packed(SMALL, "zstd")),
        ("lz4.block", lambda: packed(SMALL, "lz4")),
        ("lz4.frame", lambda: packed(SMALL, "lz4-frame")),
        ("pefile", lambda: unified(SMALL)),
    ],
)
def test_a_package_that_is_missing_is_named(
    module: str, make: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make()
    read(data)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unsupported) as caught:
        read(data)
    assert module.split(".", maxsplit=1)[0] in caught.value.message
    assert "cmakeys[image]" in caught.value.hint


def test_a_file_is_read_without_waiting_and_progress_is_told(tmp_path: Path) -> None:
    (tmp_path / "initrd").write_bytes(baked() + gzip.compress(SMALL))
    told: list[tuple[int, int]] = []
    read_image(tmp_path / "initrd", progress=lambda at, end: told.append((at, end)))
    assert told[-1] == ((tmp_path / "initrd").stat().st_size,) * 2
    assert told == sorted(told)
    with pytest.raises(CmakeysError):
        read_image(tmp_path / "absent")
    with pytest.raises(UsageProblem):
        read_image(Path("/dev/null"))


COMPRESSED = st.sampled_from(
    [SMALL, gzip.compress(SMALL), bz2.compress(SMALL), lzma.compress(SMALL), zstandard.compress(SMALL), unified(SMALL)]
    + ([packed(SMALL, "lz4"), packed(SMALL, "lz4-frame")] if shutil.which("lz4") else [])
)


@settings(deadline=None)
@given(COMPRESSED, st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_changed_byte_gives_contents_or_the_clean_error(data: bytes, changes: list[tuple[float, int]]) -> None:
    damaged = bytearray(data)
    for where, value in changes:
        damaged[int(where * (len(data) - 1))] = value
    with suppress(CmakeysError):
        read(bytes(damaged))


@given(st.sampled_from([*(magic for magic, _ in compression.MAGIC), b"", b"070701", b"MZ"]), st.binary(max_size=300))
def test_any_bytes_give_contents_or_the_clean_error(magic: bytes, data: bytes) -> None:
    with suppress(CmakeysError):
        read(magic + data)
