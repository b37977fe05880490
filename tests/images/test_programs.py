"""keyctl out of a tree: with what loads it and all its libraries, and nothing of the machine that this runs on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import CmakeysError, EnvironmentProblem, NotFound, Unsupported
from cmakeys.images.programs import keyctl_of, read_binary
from tests.rings import cannot

PROGRAM = Path(shutil.which("keyctl") or "/usr/bin/keyctl")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A system with keyctl and its libraries, its folders symbolic links as in Debian's."""
    if not PROGRAM.exists():
        pytest.skip("keyctl is not installed")
    binary = read_binary(PROGRAM.read_bytes(), str(PROGRAM))
    assert binary.interpreter is not None
    found = subprocess.run(["ldd", str(PROGRAM)], capture_output=True, text=True, check=True).stdout.split()
    root = tmp_path / "root"
    for folder in ("bin", "lib", "lib64"):
        (root / "usr" / folder).mkdir(parents=True)
        (root / folder).symlink_to(f"usr/{folder}")
    shutil.copy(PROGRAM, root / "usr/bin/keyctl")
    for place in (word for word in found if word.startswith("/")):
        target = root / "usr/lib" / Path(place).name
        shutil.copy(place, target)
    loader = root / "usr/lib" / Path(binary.interpreter).name
    if not (root / binary.interpreter.lstrip("/")).exists():
        (root / binary.interpreter.lstrip("/")).symlink_to(f"/usr/lib/{loader.name}")
    return root


def test_it_runs_from_a_folder_of_its_own(tree: Path, tmp_path: Path) -> None:
    keyctl = keyctl_of(tree)
    assert keyctl.loader is not None
    assert sorted(keyctl.libraries) == ["libc.so.6", "libkeyutils.so.1"]
    place = tmp_path / "place"
    (place / "lib").mkdir(parents=True)
    for name, data in {"keyctl": keyctl.program, "ld.so": keyctl.loader}.items():
        (place / name).write_bytes(data)
        (place / name).chmod(0o755)
    for name, data in keyctl.libraries.items():
        (place / "lib" / name).write_bytes(data)
    command = [str(place / "ld.so"), "--library-path", str(place / "lib"), str(place / "keyctl"), "--version"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20, env={})
    assert "keyctl from keyutils" in run.stderr + run.stdout


def test_a_library_that_is_missing_is_named_and_not_taken_from_this_machine(tree: Path) -> None:
    (tree / "usr/lib/libkeyutils.so.1").unlink()
    with pytest.raises(NotFound, match=r"libkeyutils\.so\.1"):
        keyctl_of(tree)


def test_a_library_for_another_processor_is_passed_over(tree: Path) -> None:
    library = tree / "usr/lib/libkeyutils.so.1"
    (tree / "usr/lib/some-linux-gnu").mkdir()
    shutil.copy(library, tree / "usr/lib/some-linux-gnu")
    data = bytearray(library.read_bytes())
    data[18:20] = b"\xb7\x00"  # e_machine: AArch64
    library.write_bytes(data)
    assert keyctl_of(tree).libraries["libkeyutils.so.1"] != bytes(data)


def test_a_link_is_followed_inside_the_tree_only(tree: Path) -> None:
    (tree / "usr/bin/keyctl").unlink()
    (tree / "usr/bin/keyctl").symlink_to(PROGRAM)
    with pytest.raises(NotFound, match="no keyctl"):
        keyctl_of(tree)
    (tree / "usr/bin/keyctl").unlink()
    (tree / "usr/bin/keyctl").symlink_to("../../../../../../usr/lib/moved")
    shutil.copy(PROGRAM, tree / "usr/lib/moved")
    assert keyctl_of(tree).program == PROGRAM.read_bytes()


def test_a_tree_without_it_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        keyctl_of(tmp_path)
    assert "keyutils" in caught.value.hint


def test_a_program_without_libraries_needs_no_loader(tmp_path: Path) -> None:
    busybox = shutil.which("busybox")
    if busybox is None or read_binary(Path(busybox).read_bytes(), busybox).interpreter:
        cannot("no statically linked program is installed")
    (tmp_path / "bin").mkdir()
    shutil.copy(busybox, tmp_path / "bin/keyctl")
    found = keyctl_of(tmp_path)
    assert (found.loader, dict(found.libraries)) == (None, {})


def test_without_pyelftools_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "elftools.elf.elffile", None)
    with pytest.raises(Unsupported, match="pyelftools"):
        read_binary(b"", "keyctl")


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda data: b"\x7fELF\x02\x01\x01" + bytes(9) + data))
def test_any_bytes_give_the_clean_error(data: bytes) -> None:
    with suppress(EnvironmentProblem):
        read_binary(data, "keyctl")


@given(st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_program_gives_a_value_or_the_clean_error(changes: list[tuple[int, int]]) -> None:
    if not PROGRAM.exists():
        pytest.skip("keyctl is not installed")
    data = bytearray(PROGRAM.read_bytes())
    for at, value in changes:
        data[at] = value
    with suppress(CmakeysError):
        read_binary(bytes(data), "keyctl")
