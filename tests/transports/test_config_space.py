"""Registers come whole, a broken capability list costs little, and a function that is gone is no device's fault."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import EnvironmentProblem, NotFound, NotPermitted, Temporary
from cmakeys.transports.base import TransportClosed
from cmakeys.transports.config_space import (
    CountedConfig,
    ExtendedCapability,
    SysfsConfig,
    extended_capabilities,
    require_presence,
)
from tests.transports.mailbox import SimulatedFunction, SimulatedMailbox


def test_the_list_is_followed_in_its_order() -> None:
    function = SimulatedFunction({0x150: SimulatedMailbox(version=2), 0x200: SimulatedMailbox()})
    assert list(extended_capabilities(function)) == [
        ExtendedCapability(1, 2, 0x100),
        ExtendedCapability(0x2E, 2, 0x150),
        ExtendedCapability(0x2E, 1, 0x200),
    ]


@pytest.mark.parametrize("back_to", [0x100, 0x150])
def test_a_list_that_loops_ends(back_to: int) -> None:
    function = SimulatedFunction()
    function.dwords[0x150] = back_to << 20 | 1 << 16 | 0x2E
    assert [capability.offset for capability in extended_capabilities(function)] == [0x100, 0x150]


@pytest.mark.parametrize("header", [0x0FC << 20 | 0x2E, 0x004 << 20 | 0x2E, 0xFFC << 20 | 0x2E, 0x2E])
def test_a_list_that_leaves_extended_space_ends(header: int) -> None:
    function = SimulatedFunction({})
    function.dwords[0x100] = header
    assert [capability.id for capability in extended_capabilities(function)] == [0x2E]


def test_a_function_without_extended_space_is_not_read_there() -> None:
    counted = CountedConfig(SimulatedFunction({}, size=0x100))
    assert list(extended_capabilities(counted)) == []
    assert counted.accesses == 0


def test_a_header_of_ones_ends_the_list_of_a_function_that_is_there() -> None:
    function = SimulatedFunction({})
    function.dwords[0x100] = 0xFFFFFFFF
    assert list(extended_capabilities(function)) == []


def test_a_function_that_answers_with_ones_only_is_gone() -> None:
    function = SimulatedFunction()
    function.unplugged_after = 0
    with pytest.raises(TransportClosed, match="does not answer"):
        list(extended_capabilities(function))
    with pytest.raises(TransportClosed, match="does not answer"):
        require_presence(function)


@given(st.dictionaries(st.integers(0x40, 0x3FF).map(lambda n: 4 * n), st.integers(0, 0xFFFFFFFF)))
def test_any_list_ends_within_its_space(dwords: dict[int, int]) -> None:
    function = SimulatedFunction({})
    function.dwords.update(dwords)
    counted = CountedConfig(function)
    found = list(extended_capabilities(counted))
    assert len(found) == len({capability.offset for capability in found})
    assert counted.reads <= 962
    assert counted.writes == 0


def test_the_kernels_file_is_read_and_written_by_dwords(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(bytes(range(16)))
    config = SysfsConfig.open(path, "0000:01:00.0")
    assert config.read32(4) == 0x07060504
    config.write32(8, 0x80000001)
    assert path.read_bytes()[8:12] == b"\x01\0\0\x80"
    assert (config.size, config.name) == (16, "0000:01:00.0")
    config.close()
    config.close()


def test_what_the_kernel_hides_is_a_matter_of_permission(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(bytes(64))
    config = SysfsConfig.open(path, "0000:01:00.0")
    with pytest.raises(NotPermitted, match="ends at offset 0x100") as caught:
        config.read32(0x100)
    config.close()
    assert "root" in caught.value.hint


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises((NotFound, Temporary)) as caught:
        SysfsConfig.open(tmp_path / "config", "0000:01:00.0")
    assert caught.value.object == "0000:01:00.0"


def test_trouble_with_the_file_is_a_problem_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(bytes(64))
    descriptor = os.open(tmp_path / "config", os.O_RDONLY)
    config = SysfsConfig(descriptor, "0000:01:00.0")
    with pytest.raises(EnvironmentProblem, match="EBADF"):
        config.write32(0, 0)
    config.close()
