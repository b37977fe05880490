"""What the real generators of initrds make is read, in every packing that they know."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.images.generators import Generator
from cmakeys.images.hooks import install
from cmakeys.roots.root import Root
from cmakeys.roots.store import RootStore
from tests.guest.prepare import kit, why_not
from tests.guest.system import System, copied
from tests.guest.test_image import ACME, OTHER

PACKERS = ("gzip", "bzip2", "xz", "lz4", "zstd")


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """A system that trusts two roots, with our hooks and with every program that packs."""
    if reason := why_not():
        pytest.skip(reason)
    with copied(kit().system) as found:
        store = RootStore(found.tree)
        store.add(Root("acme", ACME))
        store.add(Root("other", OTHER))
        for generator in (Generator.INITRAMFS_TOOLS, Generator.DRACUT):
            install(found.tree, generator, (), force=False, dry_run=False)
        for packer in PACKERS:
            bring(found.tree, packer)
        yield found


def bring(tree: Path, program: str) -> None:
    """Put a program of this machine into the tree, and those of its libraries that it lacks."""
    source = shutil.which(program)
    if source is None:
        pytest.skip(f"{program} is not installed")
    if not (tree / "usr/bin" / program).exists():
        shutil.copy(source, tree / "usr/bin" / program)
    listed = subprocess.run(["ldd", source], capture_output=True, text=True, check=False, timeout=20).stdout
    for line in listed.splitlines():
        words = line.split()
        if len(words) > 2 and words[1] == "=>" and not (place := tree / words[2].lstrip("/")).exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(words[2], place)


def seen(system: System, capsys: pytest.CaptureFixture[str]) -> tuple[list[str | None], list[str]]:
    """How the parts of the initrd that was made are packed, and the roots in it, which must be those of the system."""
    capsys.readouterr()
    code = main(
        ["image", "inspect", str(system.tree / "boot/initrd"), "--against", "--json", "--sysroot", str(system.tree)]
    )
    data = json.loads(capsys.readouterr().out)["data"]
    assert (code, data["faults"], data["against"]) == (0, [], [])
    assert sum(part["entries"] for part in data["parts"]) > 100
    return [part["packing"] for part in data["parts"]], [root["name"] for root in data["roots"]]


@pytest.mark.parametrize("packer", ["gzip", "xz", "lz4", "zstd"])
def test_an_initrd_of_initramfs_tools_is_read(packer: str, system: System, capsys: pytest.CaptureFixture[str]) -> None:
    made = system.attempt("mkinitramfs", "-c", packer, "-o", "/boot/initrd", system.release)
    assert made.returncode == 0, made.stdout
    packings, roots = seen(system, capsys)
    assert packings[-1] == packer
    assert roots == ["acme", "other"]


@pytest.mark.parametrize("packer", ["gzip", "bzip2", "lz4", "zstd"])
def test_an_initrd_of_dracut_is_read(packer: str, system: System, capsys: pytest.CaptureFixture[str]) -> None:
    modules = ("--no-kernel", "--modules", "base cmakeys")
    made = system.attempt(
        "dracut", "--force", "--no-hostonly", *modules, f"--{packer}", "/boot/initrd", "--kver", system.release
    )
    assert made.returncode == 0, made.stdout
    packings, roots = seen(system, capsys)
    assert packings[-1] == packer
    assert roots == ["acme", "other"]


def test_the_initrd_of_a_tree_is_found_and_its_age_is_told(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    """With the places and the commands of the real packages."""
    release = system.release
    made = system.attempt("mkinitramfs", "-o", f"/boot/initrd.img-{release}", release)
    assert made.returncode == 0, made.stdout

    def image() -> dict[str, object]:
        capsys.readouterr()
        main(["status", "--json", "--sysroot", str(system.tree)])
        found = json.loads(capsys.readouterr().out)["data"]["image"]
        assert isinstance(found, dict)
        return found

    found = image()
    assert found["freshness"] == "current"
    assert found["rebuild"] == ["update-initramfs", "-u", "-k", "all"]
    RootStore(system.tree).remove("other")
    try:
        listed = image()["initrds"]
        assert isinstance(listed, list)
        (one,) = listed
        assert one["path"] == str(system.tree / f"boot/initrd.img-{release}")
        assert one["differences"] == [{"kind": "extra", "name": "other"}]
    finally:
        RootStore(system.tree).add(Root("other", OTHER))
