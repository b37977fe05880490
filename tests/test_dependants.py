"""Enrolled devices that are asked what they rest on: a good answer counts, anything else is said and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmakeys.check import Conditions
from cmakeys.dependants import as_enrolled, ask_all
from cmakeys.devices.enrolled import EnrolledDevice
from cmakeys.emulator.device import Device
from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.line import Seat
from cmakeys.emulator.pki import VendorAuthority
from cmakeys.roots.dependants import anchors_of, ends_in
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.x509.pin import PinKind, compute_pin
from tests.workbench import conditions, enrolled, seat, serving, vendor

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def successor() -> VendorAuthority:
    return VendorAuthority.create("Acme Two")


@pytest.fixture(scope="module")
def reissued(successor: VendorAuthority) -> Device:
    """The device with a chain of its vendor's next root."""
    return build_device(successor, Blueprint(serial="0001"))


def both(successor: VendorAuthority) -> Conditions:
    return conditions(rootset=RootSet((Root("acme", vendor().certificate), Root("next", successor.certificate))))


def enrolled_elsewhere(url: str) -> EnrolledDevice:
    """A device that was enrolled with the old chain and answers at `url` now; known by its root alone."""
    with serving(seat()) as (first,):
        device = enrolled(first)
    return replace(device, address=url)


def test_a_device_says_what_it_rests_on_now() -> None:
    with serving(seat()) as (url,):
        device = enrolled(url)
        (asked,) = ask_all([device], conditions())
    assert asked == replace(as_enrolled(device), asked=True)
    assert asked.algorithm
    assert asked.version


def test_a_device_that_passes_with_its_new_chain_rests_on_the_new_root(
    successor: VendorAuthority, reissued: Device
) -> None:
    with serving(Seat(reissued)) as (url,):
        device = enrolled_elsewhere(url)
        root = successor.certificate
        moved = replace(device, pin=compute_pin(PinKind.ROOT, (root,), root), measurements=(), identity=None)
        (asked,) = ask_all([moved], both(successor))
    assert asked.asked, asked.remark
    assert ends_in(Root("next", root), asked)
    assert [each.name for each in anchors_of(asked, both(successor).rootset)] == ["next"]


def test_a_device_whose_new_chain_is_not_the_enrolled_device_stays_as_it_was(
    successor: VendorAuthority, reissued: Device
) -> None:
    """Its pin says that it is another one; which root that one rests on is not the question."""
    with serving(Seat(reissued)) as (url,):
        device = enrolled_elsewhere(url)
        (asked,) = ask_all([device], both(successor))
    assert not asked.asked
    assert asked.remark.startswith("rejected: step 10")
    assert asked.chain == device.chain


def test_silence_says_nothing_about_a_device() -> None:
    with serving(seat()) as (url,):
        device = enrolled(url)
    silent, strange = ask_all([device, replace(device, name="gpu1", address="mctp:99")], conditions(timeout=1))
    assert silent == replace(as_enrolled(device), remark=silent.remark)
    assert silent.remark.startswith("unreachable: ")
    assert strange.name == "gpu1"
    assert not strange.asked
    assert strange.remark


def test_nobody_is_asked_where_nobody_is_enrolled() -> None:
    assert ask_all([], conditions()) == ()
