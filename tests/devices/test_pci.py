"""The identity of a function comes from its registers, and is what the kernel would put together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.devices.pci import identity_behind, read_identity
from cmakeys.transports.base import TransportClosed
from cmakeys.x509.identity import PciIdentity
from tests.evidence.loopback import Loopback, device
from tests.transports.mailbox import SimulatedFunction, SimulatedMailbox

NVME = PciIdentity(0x1B36, 0x0010, 0x010802, 0x02, 0x1AF4, 0x1100, 0x0123456789ABCDEF)


@given(
    st.builds(
        PciIdentity,
        st.integers(0, 0xFFFE),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFFFF),
        st.integers(0, 0xFF),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFF),
        st.none() | st.integers(0, (1 << 64) - 1),
    )
)
def test_every_register_lands_in_its_place(identity: PciIdentity) -> None:
    assert read_identity(SimulatedFunction(identity=identity)) == identity


@pytest.mark.parametrize(("header_type", "has_subsystem"), [(0x00, True), (0x80, True), (0x01, False), (0x81, False)])
def test_only_an_endpoint_has_a_subsystem(header_type: int, has_subsystem: bool) -> None:  # a column
    identity = read_identity(SimulatedFunction(identity=NVME, header_type=header_type))
    assert (identity.subsystem_vendor is not None) is has_subsystem
    assert ("SSVID=" in identity.san_string()) is has_subsystem


def test_a_serial_number_of_zero_is_left_out() -> None:
    function = SimulatedFunction({0x150: SimulatedMailbox()}, identity=NVME)
    function.dwords[0x144] = function.dwords[0x148] = 0
    assert read_identity(function).serial is None


def test_a_function_that_is_gone_has_no_identity() -> None:
    function = SimulatedFunction()
    function.unplugged_after = 0
    with pytest.raises(TransportClosed):
        read_identity(function)


def test_a_socket_has_no_configuration_space() -> None:
    assert identity_behind(Loopback(device())) is None
