"""Each device has one spelling, whatever a person typed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.devices.address import AddressKind, DeviceAddress, PciFunction
from cmakeys.errors import UsageProblem
from cmakeys.transports.connect import EXAMPLES, parse_url

FUNCTIONS = st.builds(
    PciFunction, st.integers(0, 0xFFFFFFFF), st.integers(0, 255), st.integers(0, 31), st.integers(0, 7)
)


@given(FUNCTIONS)
def test_a_function_survives_its_text(function: PciFunction) -> None:
    assert PciFunction.parse(str(function)) == function
    assert DeviceAddress.parse(str(function)) == DeviceAddress(AddressKind.PCI, f"pci:{function}", function)
    assert function.routing_id < 1 << 16


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("01:00.0", "pci:0000:01:00.0"),
        ("PCI:0000:0A:1F.7", "pci:0000:0a:1f.7"),
        ("pci:01:00.0", "pci:0000:01:00.0"),
        ("01:00.0?force=1", "pci:0000:01:00.0?force=1"),
        ("pci:01:00.0?", "pci:0000:01:00.0"),
        ("EMU://127.0.0.1:2323?transport=doe", "emu://127.0.0.1:2323?transport=doe"),
        ("replay:A/b.jsonl", "replay:A/b.jsonl"),
        ("tcp://host:4194", "tcp://host:4194"),
        ("MCTP:1,9", "mctp:1,9"),
        ("nvme:/dev/nvme0", "nvme:/dev/nvme0"),
    ],
)
def test_a_device_has_one_spelling(typed: str, text: str) -> None:
    address = DeviceAddress.parse(typed)
    assert str(address) == address.text == text
    assert DeviceAddress.parse(text) == address


def test_options_of_a_function_are_no_part_of_where_it_is() -> None:
    assert DeviceAddress.parse("pci:01:00.0?force=1").place == "pci:0000:01:00.0"
    assert DeviceAddress.parse("emu://h?transport=doe").place == "emu://h?transport=doe"


def test_bus_slot_and_function_make_the_routing_id() -> None:
    assert PciFunction.parse("0000:ff:1f.7").routing_id == 0xFFFF
    assert PciFunction.parse("0000:01:00.1").routing_id == 0x0101


def test_every_device_that_a_transport_reaches_can_be_named() -> None:
    said = re.findall(r"[a-z]+(?=:)", EXAMPLES)
    assert {kind.value for kind in AddressKind} == set(said)
    for example in ("pci:0000:01:00.0", "mctp:9", "nvme:/dev/nvme0", "tcp://h:4194", "emu://h:2323", "replay:f"):
        parse_url(DeviceAddress.parse(example).text)


@pytest.mark.parametrize(
    "typed", ["", "emu", "emu:", "pci:", "pci:x", "http://h", "01:20.0", "1:0.0", "emu://\x1b", ":x"]
)
def test_what_is_no_address_is_a_usage_problem(typed: str) -> None:
    with pytest.raises(UsageProblem):
        DeviceAddress.parse(typed)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_usage_problem(typed: str) -> None:
    try:
        address = DeviceAddress.parse(typed)
    except UsageProblem:
        return
    assert address.text.isprintable()
