"""PCI functions are listed in order, whatever stands in their attributes, and named when a database is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmakeys.devices.configuration import ConfigurationSpace
from cmakeys.devices.functions import list_functions, select_functions
from cmakeys.devices.names import DeviceNames, device_names, parse_names
from cmakeys.devices.sysfs import Sysfs, read_attribute, write_attribute
from cmakeys.errors import NotFound, NotPermitted, UsageProblem
from cmakeys.x509.identity import PciIdentity
from tests.devices.sysfs import FUNCTION, Tree, configuration
from tests.evidence.loopback import IDENTITY

DATABASE = b"""# a comment
1b36  Red Hat, Inc.
\t0010  QEMU NVM Express Controller
\t\t1af4 1100  QEMU Virtual Machine
\t0011  Another
10de  NVIDIA Corporation
\t2336  GH100 [H200 NVL]
C 01  Mass storage controller
\t06  SATA controller
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_functions_are_listed_in_order_with_what_sysfs_says(tree: Tree) -> None:
    tree.add("0001:00:00.0", features=None, driver="")
    tree.add()
    tree.folder("0000:01:00.8").mkdir()
    tree.folder("0000:0A:00.0").mkdir()
    tree.folder("rubbish\n").mkdir()
    first, second = list_functions(tree.sysfs)
    assert (first.url, second.url) == (f"pci:{FUNCTION}", "pci:0001:00:00.0")
    assert (first.vendor, first.device, first.class_code) == (0x1B36, 0x0010, 0x010802)
    assert first.features == frozenset({"0001:00", "0001:01"})
    assert first.driver == "nvme"
    assert (second.features, second.driver) == (None, None)


def test_without_a_bus_there_are_no_functions(tmp_path: Path) -> None:
    assert list_functions(Sysfs(tmp_path)) == ()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=40), attribute=st.sampled_from(["vendor", "device", "class"]))
def test_an_attribute_of_any_content_leaves_at_most_a_gap(tree: Tree, data: bytes, attribute: str) -> None:
    if not tree.folder().exists():
        tree.add()
    path = tree.folder() / attribute
    before = path.read_bytes()
    path.write_bytes(data)
    (entry,) = list_functions(tree.sysfs)
    value = {"vendor": entry.vendor, "device": entry.device, "class": entry.class_code}[attribute]
    assert value is None or data.startswith(b"0x")
    path.write_bytes(before)


def test_hostile_features_and_drivers_are_left_out(tree: Tree) -> None:
    tree.add(features=("doe_discovery", "0001:01x", "..1:01", "\x1b[2J", "1E98:02"), driver="a\x1b")
    (entry,) = list_functions(tree.sysfs)
    assert entry.features == frozenset({"0001:00"})


@pytest.mark.parametrize(
    "identity",
    [
        IDENTITY,
        PciIdentity(0x10DE, 0x2336, 0x030200, 0xA1, 0x10DE, 0x16C1, None),
        PciIdentity(0x8086, 0x1234, 0x060400, 0x01, None, None, 0x1122334455667788),
    ],
    ids=["endpoint", "without serial number", "bridge"],
)
def test_the_identity_is_the_one_that_a_leaf_must_name(tree: Tree, identity: PciIdentity) -> None:
    tree.add(identity=identity)
    assert ConfigurationSpace.read(tree.sysfs, tree.folder()).identity() == identity


def test_without_root_the_serial_number_and_so_the_identity_is_unknown(tree: Tree) -> None:
    folder = tree.add()

    def first_64_bytes(path: Path, limit: int) -> bytes:
        return read_attribute(path, limit)[: 64 if path.name == "config" else limit]

    sysfs = Sysfs(tree.root, first_64_bytes)
    space = ConfigurationSpace.read(sysfs, folder)
    assert space.has_mailbox is None
    assert "64 of 4096" in space.problem
    assert space.identity() is None
    with pytest.raises(NotPermitted):
        space.read32(0x100)


def test_a_conventional_function_has_no_mailbox_and_everybody_can_see_that(tree: Tree) -> None:
    folder = tree.add(config=configuration(size=256))
    assert ConfigurationSpace.read(tree.sysfs, folder).has_mailbox is False


@given(st.binary(max_size=64).map(lambda tail: bytes(256) + tail * 60))
def test_of_any_bytes_something_clean_is_said(data: bytes) -> None:
    space = ConfigurationSpace(FUNCTION, data[:4096], 4096)
    assert space.has_mailbox in (None, False, True)
    assert space.extended_known or space.identity() is None


def test_a_function_that_does_not_answer_is_unknown(tree: Tree) -> None:
    folder = tree.add(config=b"\xff" * 4096)
    space = ConfigurationSpace.read(tree.sysfs, folder)
    assert (space.has_mailbox, space.identity()) == (None, None)


def test_a_copy_cannot_be_written() -> None:
    space = ConfigurationSpace(FUNCTION, bytes(256), 256)
    with pytest.raises(NotPermitted):
        space.write32(4, 6)
    space.close()


def test_functions_are_chosen_by_name_each_once(tree: Tree) -> None:
    tree.add()
    entries = list_functions(tree.sysfs)
    assert select_functions(entries, ["01:00.0", f"pci:{FUNCTION}"]) == entries
    with pytest.raises(NotFound):
        select_functions(entries, ["02:00.0"])
    with pytest.raises(UsageProblem):
        select_functions(entries, ["../.."])


def test_names_come_from_the_database(tmp_path: Path) -> None:
    path = tmp_path / "pci.ids"
    path.write_bytes(DATABASE)
    names = device_names([(0x1B36, 0x0010), (0x10DE, 0x9999), (0xFFFF, 0)], [tmp_path / "missing", path])
    assert names.name(0x1B36, 0x0010) == "Red Hat, Inc. QEMU NVM Express Controller"
    assert names.name(0x10DE, 0x9999) == "NVIDIA Corporation 9999"
    assert names.name(0xFFFF, 0) == "ffff:0000"
    assert names.name(None, 0) == "unknown"


def test_without_a_database_devices_have_numbers(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert device_names([(1, 2)], [tmp_path / "fifo", tmp_path]) == DeviceNames()
    assert DeviceNames().name(1, 2) == "0001:0002"


@given(st.lists(st.sampled_from(DATABASE.split(b"\n")) | st.binary(max_size=30)).map(b"\n".join))
def test_a_database_of_any_content_gives_names_of_what_was_asked(data: bytes) -> None:
    names = parse_names(data, frozenset({(0x1B36, 0x0010)}))
    assert set(names.vendors) <= {0x1B36}
    assert set(names.devices) <= {(0x1B36, 0x0010)}


def test_a_fifo_in_sysfs_is_neither_read_nor_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        read_attribute(tmp_path / "fifo", 10)
    with pytest.raises(OSError, match="No such device or address"):
        write_attribute(tmp_path / "fifo", b"re", 1.0)
