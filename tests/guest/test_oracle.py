"""The kernel asked about chains: by its lookup in `.cma` while our ring is swapped, and for the verdict on a device."""

from __future__ import annotations

import pytest

from tests.guest import inside, swapping
from tests.guest.conftest import Room
from tests.guest.machine import Guest
from tests.guest.trust import trust
from tests.workbench import vendor
from tests.x509.pki import Issued, device_chain, issue, leaf_of

SWAPS = 200
FIRST = "0000:00:04.0"


def der(issued: Issued) -> str:
    return issued.certificate.der.hex()


def test_the_kernel_finds_a_kept_root_at_every_moment_of_two_hundred_swaps(guest: Guest) -> None:
    root, intermediate, leaf = device_chain("p384")
    before = {"kept": der(root), "old": der(issue("Old", kind="p256"))}
    after = {"kept": der(root), "new": der(issue("New", kind="p256"))}
    chain = [der(intermediate), der(leaf)]
    found = guest.call(swapping.swap_under_lookups, before, after, chain, SWAPS, timeout=300)
    assert found["swaps"] == SWAPS
    assert found["failures"] == 0
    assert found["lookups"] > SWAPS, "the reader was too slow to see every swap"


def test_the_lookup_fails_where_the_root_is_not_there(guest: Guest) -> None:
    """What the test above counts as a failure is one."""
    root, intermediate, leaf = device_chain("p384")
    assert guest.call(swapping.look, [der(intermediate), der(leaf)]) == [False, 0, "ENOKEY"]
    guest.call(inside.add_directly, "root", der(root))
    assert guest.call(swapping.look, [der(intermediate), der(leaf)]) == [True, None, ""]
    forged = leaf_of(intermediate, kind="p384", signing_key=issue("Forger", kind="p384", number=7).key)
    assert guest.call(swapping.look, [der(intermediate), der(forged)]) == [False, 1, "EKEYREJECTED"]


@pytest.mark.parametrize(("authenticated", "step"), [(1, "passed"), (0, "warned")])
def test_step_14_holds_the_kernels_own_verdict_against_ours(authenticated: int, step: str, room: Room) -> None:
    guest = room.guest
    trust(guest, "acme", vendor().certificate)
    guest.call(inside.set_verdict, authenticated, authenticated)
    done = guest.cmakeys("check", f"pci:{FIRST}", "--kernel", "--json").check()
    (device,) = done.json["data"]["devices"]
    (last,) = [one for one in device["verdict"]["steps"] if one["number"] == 14]
    assert last["outcome"] == step, last
    assert ("this kernel accepts it" in last["reason"]) is bool(authenticated)
