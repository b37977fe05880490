"""The initrd of a kernel is found where each distribution puts it, and nothing else is taken for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cmakeys.errors import NotPermitted
from cmakeys.images.current import MAX_INITRDS, initrds, releases

RELEASE = "6.12.1-1-amd64"


def put(tree: Path, *places: str) -> None:
    for place in places:
        path = tree / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(place.encode())


def found(tree: Path, *configured: str) -> list[str]:
    return [str(path.relative_to(tree)) for path in initrds(tree, [RELEASE], configured)]


@pytest.mark.parametrize(
    "place",
    [
        f"boot/initrd.img-{RELEASE}",
        f"boot/initramfs-{RELEASE}.img",
        f"boot/initrd-{RELEASE}",
        f"usr/lib/modules/{RELEASE}/initrd",
        f"usr/lib/modules/{RELEASE}/initramfs.img",
        f"efi/0123456789abcdef0123456789abcdef/{RELEASE}/initrd",
        f"boot/fedora/{RELEASE}/initrd",
        f"boot/efi/EFI/Linux/0123456789abcdef-{RELEASE}.efi",
        f"efi/EFI/Linux/{RELEASE}+3-1.efi",
    ],
)
def test_each_distribution_s_place_is_known(place: str, tmp_path: Path) -> None:
    put(tmp_path, place)
    assert found(tmp_path) == [place]


def test_the_kernel_of_a_package_has_its_initrd_by_the_package_s_name(tmp_path: Path) -> None:
    put(tmp_path, "boot/initramfs-linux-lts.img", "efi/EFI/Linux/arch-linux-lts.efi", "boot/initramfs-linux.img")
    assert found(tmp_path) == []
    (tmp_path / f"usr/lib/modules/{RELEASE}").mkdir(parents=True)
    (tmp_path / f"usr/lib/modules/{RELEASE}/pkgbase").write_text("linux-lts\n")
    assert found(tmp_path) == ["boot/initramfs-linux-lts.img", "efi/EFI/Linux/arch-linux-lts.efi"]
    (tmp_path / f"usr/lib/modules/{RELEASE}/pkgbase").write_text("../../etc/shadow\n")
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    "place",
    [
        f"boot/initrd.img-{RELEASE}.old",
        f"boot/initrd.img-{RELEASE}-rt",
        f"efi/EFI/Linux/debian-{RELEASE}-rt.efi",
        "efi/EFI/Linux/debian-6.12.1-1-amd640.efi",
        f"efi/EFI/Linux/debian-{RELEASE.replace('.', 'x')}.efi",
        "boot/initrd.img-6.12.1",
    ],
)
def test_another_kernel_s_is_none(place: str, tmp_path: Path) -> None:
    put(tmp_path, place)
    assert found(tmp_path) == []


def test_what_two_places_show_is_one(tmp_path: Path) -> None:
    put(tmp_path, f"boot/efi/EFI/Linux/{RELEASE}.efi")
    (tmp_path / "efi").symlink_to("boot/efi")
    assert len(found(tmp_path)) == 1


def test_the_configuration_s_places_are_the_only_ones_and_are_there_or_not(tmp_path: Path) -> None:
    put(tmp_path, f"boot/initrd.img-{RELEASE}")
    assert found(tmp_path, "/srv/{release}/x", "/srv/y") == [f"srv/{RELEASE}/x", "srv/y"]


def test_a_folder_of_that_name_is_no_initrd_and_there_are_never_too_many(tmp_path: Path) -> None:
    (tmp_path / f"boot/initrd.img-{RELEASE}").mkdir(parents=True)
    assert found(tmp_path) == []
    put(tmp_path, *(f"efi/token{number}/{RELEASE}/initrd" for number in range(20)))
    assert len(found(tmp_path)) == MAX_INITRDS


def test_a_release_that_is_no_name_is_never_a_path(tmp_path: Path) -> None:
    put(tmp_path, "boot/x", "secret")
    assert initrds(tmp_path, ["../../secret", "", "/x", "a\nb"], ["/{release}"]) == ()


def test_in_a_tree_all_its_kernels_count_and_on_a_machine_the_one_that_runs(tmp_path: Path) -> None:
    put(tmp_path, "usr/lib/modules/6.1/initrd", "usr/lib/modules/6.2/initrd")
    assert releases(tmp_path) == ("6.1", "6.2")
    assert releases(Path("/")) == (os.uname().release,)
    assert len(initrds(tmp_path, releases(tmp_path))) == 2


@pytest.mark.system
def test_a_closed_door_is_told_from_an_empty_room(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "boot").mkdir()
    user = os.geteuid()
    for path in tmp_path.parents:
        if path.stat().st_uid == user and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o055)
    (tmp_path / "boot").chmod(0)
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(NotPermitted, match="Permission denied"):
            initrds(tmp_path, [RELEASE])
        assert initrds(tmp_path / "none", [RELEASE]) == ()
    finally:
        os.seteuid(user)
        (tmp_path / "boot").chmod(0o755)
