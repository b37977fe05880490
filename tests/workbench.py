"""A vendor, its emulated devices on real sockets, and a machine that trusts the vendor: for tests of whole checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

from cmakeys.check import Conditions, Target
from cmakeys.devices.enrolled import EnrolledDevice
from cmakeys.emulator.device import Device
from cmakeys.emulator.factory import Blueprint, build_device, line_fault
from cmakeys.emulator.faults import Fault
from cmakeys.emulator.line import Seat
from cmakeys.emulator.pki import VendorAuthority
from cmakeys.emulator.server import Server
from cmakeys.enrolling import Wish, candidate
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.transports.backoff import Backoff
from cmakeys.verify.policy import Policy

NOW = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)


@cache
def vendor() -> VendorAuthority:
    return VendorAuthority.create("Acme")


@cache
def honest(serial: str) -> Device:
    return build_device(vendor(), Blueprint(serial=serial))


def faulty(*faults: Fault, serial: str = "0001") -> Device:
    """The honest device with faults in it: what can stay the same does."""
    blueprint = Blueprint(serial=serial, credentials=honest(serial).hardware.slots)
    return build_device(vendor(), blueprint, faults)


def seat(*faults: Fault, serial: str = "0001") -> Seat:
    return Seat(faulty(*faults, serial=serial), fault=line_fault(faults))


def conditions(timeout: float = 10.0, *, rootset: RootSet | None = None, policy: Policy | None = None) -> Conditions:
    """Conditions that trust the vendor, and try again without long waits."""
    trusted = RootSet((Root("acme", vendor().certificate),)) if rootset is None else rootset
    return Conditions(trusted, policy or Policy(), NOW, timeout, Backoff(attempts=2, first=0.01))


@contextmanager
def serving(*seats: Seat) -> Iterator[list[str]]:
    with Server(seats) as server:
        yield [place.url for place in server.places]


def enrolled(url: str, name: str = "gpu0", **changes: object) -> EnrolledDevice:
    """The enrolment of whatever honest device is at `url`."""
    device = candidate(Wish(url, name), conditions()).device
    return replace(device, **changes)  # type: ignore[arg-type]  # the caller names fields of EnrolledDevice


def targets_of(devices: Sequence[EnrolledDevice]) -> list[Target]:
    return [Target(device.name, device.address, device) for device in devices]
