"""The bind guard on a real bus: with `drivers_autoprobe` at 0 a controller has no driver until it is trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from cmakeys.emulator.factory import DEFAULT_IDENTITY, Blueprint, build_device
from tests.guest import inside
from tests.guest.conftest import Room
from tests.guest.trust import trust
from tests.workbench import vendor

FIRST = "0000:00:04.0"
AUTOPROBE = "/sys/bus/pci/drivers_autoprobe"
RUN = ("policy", "bind-guard", "run", "--device", FIRST)


@pytest.fixture
def guarded(room: Room) -> Iterator[Room]:
    """A machine that guards NVMe controllers and trusts their vendor; the first one has just come without a driver."""
    guest = room.guest
    trust(guest, "acme", vendor().certificate)
    guest.cmakeys("policy", "bind-guard", "install", "--class", "0108").check()
    guest.call(inside.remove_cma)  # its stand-in must not hold on to a function that goes
    guest.call(inside.write_file, AUTOPROBE, "0")
    try:
        guest.call(inside.unbind, FIRST)
        yield room
    finally:
        guest.call(inside.write_file, AUTOPROBE, "1")
        guest.call(inside.probe, FIRST)
        guest.cmakeys("policy", "bind-guard", "remove", "--force").check()


def driver(room: Room) -> object:
    status = room.guest.cmakeys("policy", "bind-guard", "status", "--json").check().json["data"]
    assert status["autoprobe"] is False
    return next(one["driver"] for one in status["functions"] if one["function"] == FIRST)


def test_a_trusted_controller_is_bound_only_by_the_guard(guarded: Room) -> None:
    assert driver(guarded) is None
    done = guarded.guest.cmakeys(*RUN).check()
    assert f"{FIRST}: bind: trusted, says cmakeys check; driver nvme" in done.err
    assert driver(guarded) == "nvme"


def test_a_kernel_that_binds_what_is_plugged_in_all_the_same_is_not_concealed(guarded: Room) -> None:
    guarded.guest.call(inside.replug, FIRST)
    assert driver(guarded) == "nvme"  # in spite of the switch: the PCI core of 6.12 does not look at it
    done = guarded.guest.cmakeys(*RUN)
    assert (done.code, "bound it to nvme before it could be held back" in done.err) == (1, True)


def test_an_impostor_stays_without_a_driver(guarded: Room) -> None:
    other = replace(DEFAULT_IDENTITY, device=0x0011)
    guarded.seats[0].device = build_device(vendor(), Blueprint(serial="0009", identity=other))
    done = guarded.guest.cmakeys(*RUN)
    assert done.code == 1
    assert f"{FIRST}: hold: it is rejected" in done.err
    assert driver(guarded) is None
