"""What the machine stands on is found through every layer below a mount, and named where it is not found."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.devices.address import PciFunction
from cmakeys.devices.binding import above, autoprobe, essential, is_removable, path_functions, probe, set_autoprobe
from cmakeys.devices.sysfs import Sysfs

PORT, DISK, SECOND = "0000:00:1c.0", "0000:01:00.0", "0000:02:00.0"
PCI = f"devices/pci0000:00/{PORT}"
MOUNT = "26 1 {number} / {point} rw,relatime shared:1 - {kind} {source} rw\n"
SWAPS = b"Filename\tType\tSize\tUsed\tPriority\n"


class Blocks:
    """A /sys with block devices."""

    def __init__(self, root: Path) -> None:
        self.sysfs = Sysfs(root)

    def add(self, number: str, place: str, *, on: tuple[str, ...] = (), partition: bool = False) -> Path:
        folder = self.sysfs.root / place
        folder.mkdir(parents=True, exist_ok=True)
        link = self.sysfs.root / "dev/block" / number
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder)
        if partition:
            (folder / "partition").write_text("1\n")
        for target in on:
            slaves = folder / "slaves"
            slaves.mkdir(exist_ok=True)
            (slaves / target.rpartition("/")[2]).symlink_to(self.sysfs.root / target)
        return folder

    def under(
        self,
        number: str,
        *,
        point: str = "/",
        kind: str = "ext4",
        source: str = "/dev/x",
        swaps: bytes = SWAPS,
        devices: Mapping[str, int] | None = None,
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        text = MOUNT.format(number=number, point=point, kind=kind, source=source).encode()
        found = essential(self.sysfs, text, swaps, (devices or {}).get)
        return {str(function): what for function, what in found.functions.items()}, found.unresolved


@pytest.fixture
def blocks(tmp_path: Path) -> Blocks:
    return Blocks(tmp_path)


def test_a_partition_leads_to_the_controller_and_the_bridge_above(blocks: Blocks) -> None:
    blocks.add("259:1", f"{PCI}/{DISK}/nvme/nvme0/nvme0n1/nvme0n1p1", partition=True)
    assert blocks.under("259:1") == ({PORT: "/", DISK: "/"}, ())


def test_layers_of_device_mapper_and_md_are_followed_to_every_disk(blocks: Blocks) -> None:
    one, two = f"{PCI}/{DISK}/nvme/nvme0/nvme0n1/nvme0n1p1", f"{PCI}/{SECOND}/virtio0/block/vda"
    blocks.add("259:1", one, partition=True)
    blocks.add("254:0", two)
    blocks.add("9:0", "devices/virtual/block/md0", on=(one, two))
    blocks.add("253:0", "devices/virtual/block/dm-0", on=("devices/virtual/block/md0",))
    assert blocks.under("253:0") == ({PORT: "/", DISK: "/", SECOND: "/"}, ())


def test_the_controllers_of_a_multipath_name_space_are_found(blocks: Blocks) -> None:
    subsystem = "devices/virtual/nvme-subsystem/nvme-subsys0"
    controller = blocks.sysfs.root / PCI / DISK / "nvme/nvme0"
    controller.mkdir(parents=True)
    blocks.add("259:1", f"{subsystem}/nvme0n1/nvme0n1p1", partition=True)
    (blocks.sysfs.root / subsystem / "nvme0").symlink_to(controller)
    assert blocks.under("259:1") == ({PORT: "/", DISK: "/"}, ())


def test_a_file_system_without_a_number_of_its_own_is_found_by_its_source(blocks: Blocks) -> None:
    blocks.add("259:1", f"{PCI}/{DISK}/nvme/nvme0/nvme0n1/nvme0n1p1", partition=True)
    devices = {"/dev/nvme0n1p1": os.makedev(259, 1)}
    found = blocks.under("0:25", kind="btrfs", source="/dev/nvme0n1p1", devices=devices)
    assert found == ({PORT: "/", DISK: "/"}, ())


def test_swap_counts_and_swap_in_memory_does_not(blocks: Blocks) -> None:
    blocks.add("254:0", f"{PCI}/{SECOND}/virtio0/block/vda")
    swaps = SWAPS + b"/dev/vda partition 1 0 -2\n/dev/zram0 partition 1 0 100\n"
    found = blocks.under("0:1", kind="tmpfs", swaps=swaps, devices={"/dev/vda": os.makedev(254, 0)})
    assert found == ({PORT: "swap /dev/vda", SECOND: "swap /dev/vda"}, ())


@pytest.mark.parametrize(
    ("number", "kind", "source"),
    [("0:40", "nfs4", "server:/root"), ("0:41", "zfs", "tank/root"), ("7:0", "ext4", "/dev/loop0"), ("x", "ext4", "y")],
)
def test_a_root_that_leads_nowhere_is_named(blocks: Blocks, number: str, kind: str, source: str) -> None:
    assert blocks.under(number, kind=kind, source=source) == ({}, ("/",))


def test_layers_that_go_round_in_a_circle_end(blocks: Blocks) -> None:
    one, two = "devices/virtual/block/dm-0", "devices/virtual/block/dm-1"
    blocks.add("253:0", one, on=(two,))
    blocks.add("253:1", two, on=(one,))
    assert blocks.under("253:0") == ({}, ("/",))


@given(st.binary(max_size=400), st.binary(max_size=200))
def test_nonsense_in_proc_leaves_the_root_unknown(mounts: bytes, swaps: bytes) -> None:
    found = essential(Sysfs(Path("/nonexistent")), mounts, swaps, lambda _path: None)
    assert found.functions == {}
    assert "/" in found.unresolved


def test_a_function_has_its_place_and_its_port(blocks: Blocks) -> None:
    root = blocks.sysfs.root
    (root / PCI / DISK).mkdir(parents=True)
    (root / PCI / DISK / "removable").write_text("removable\n")
    blocks.sysfs.functions.mkdir(parents=True)
    (blocks.sysfs.functions / DISK).symlink_to(root / PCI / DISK)
    assert above(blocks.sysfs, PciFunction.parse(DISK)) == (PciFunction.parse(PORT),)
    assert is_removable(blocks.sysfs, PciFunction.parse(DISK))
    assert not is_removable(blocks.sysfs, PciFunction.parse(PORT))
    assert path_functions("/sys/devices/pci0000:00/0000:00:1C.0/1:2") == ()


def test_the_switch_is_read_and_written(blocks: Blocks) -> None:
    assert autoprobe(blocks.sysfs) is None
    bus = blocks.sysfs.root / "bus/pci"
    bus.mkdir(parents=True)
    (bus / "drivers_autoprobe").write_text("1\n")
    (bus / "drivers_probe").write_text("")
    assert autoprobe(blocks.sysfs) is True
    set_autoprobe(blocks.sysfs, on=False)
    assert (bus / "drivers_autoprobe").read_text()[0] == "0"
    probe(blocks.sysfs, PciFunction.parse(DISK))
    assert (bus / "drivers_probe").read_text() == DISK
