"""What a fleet sends in, made by emulated devices in this process: a few vendors, each with one intermediate."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.pki import VendorAuthority
from cmakeys.evidence.live import collect
from cmakeys.evidence.model import Evidence
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.transports.base import Deadline
from tests.evidence.loopback import NOW, Loopback

VENDORS = ("Acme", "Initech", "Umbrella")


@cache
def vendors(key_type: KeyType) -> tuple[VendorAuthority, ...]:
    return tuple(VendorAuthority.create(name, key_type) for name in VENDORS)


def trusting(key_type: KeyType = KeyType.ECDSA_P384) -> RootSet:
    return RootSet(tuple(Root(one.name.lower(), one.certificate) for one in vendors(key_type)))


def evidence(count: int, key_type: KeyType = KeyType.ECDSA_P384) -> Iterator[Evidence]:
    """So many devices, each with a key and a leaf of its own, and what each says."""
    makers = vendors(key_type)
    for number in range(count):
        blueprint = Blueprint(serial=f"{number:06}", key_types=(key_type,))
        device = build_device(makers[number % len(makers)], blueprint)
        yield collect(Loopback(device), Deadline.after(30), now=NOW)
