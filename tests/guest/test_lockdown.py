"""A kernel in lockdown: the keyring works as ever, the mailbox cannot be reached, and both are said."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cmakeys.emulator.line import Seat
from cmakeys.emulator.server import Server
from tests.guest import inside
from tests.guest.machine import Guest, started
from tests.guest.prepare import why_not
from tests.guest.trust import trust
from tests.workbench import honest, vendor


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A guest that was locked down after our module was loaded, which it would refuse otherwise."""
    if reason := why_not():
        pytest.skip(reason)
    with Server([Seat(honest("0001"))]) as server:
        folder = tmp_path_factory.mktemp("locked")
        with started(folder, [server.places[0].port], command_line="lsm=lockdown,capability") as guest:
            guest.call(inside.renew, [])
            guest.call(inside.write_file, "/sys/kernel/security/lockdown", "integrity")
            trust(guest, "acme", vendor().certificate)
            yield guest


def test_the_keyring_is_filled_all_the_same(locked: Guest) -> None:
    locked.cmakeys("keyring", "apply").check()
    assert locked.cmakeys("keyring", "diff", "--detailed-exitcode").code == 0


def test_the_mailbox_is_refused_with_the_reason(locked: Guest) -> None:
    done = locked.cmakeys("check", f"pci:{locked.functions[0]}", "--json")
    assert done.code == 6
    (device,) = done.json["data"]["devices"]
    assert device["verdict"]["outcome"] == "unreachable"
    assert "locked down" in device["verdict"]["summary"]


def test_the_kernel_itself_refuses_what_we_did_not_try(locked: Guest) -> None:
    """The refusal is not our invention: writing to configuration space is forbidden."""
    config = f"/sys/bus/pci/devices/{locked.functions[0]}/config"
    done = locked.run("busybox", "dd", "if=/dev/zero", f"of={config}", "bs=4", "count=1", "seek=65")
    assert done.code != 0
    assert "not permitted" in done.err


def test_a_scan_says_what_it_could_not_find_out(locked: Guest) -> None:
    done = locked.cmakeys("devices", "scan", "--all", "--json")
    functions = json.loads(done.out)["data"]["functions"]
    (ours,) = [one for one in functions if one["function"] == locked.functions[0]]
    assert ours["speaks_cma"] == "unknown"
    assert "locked down" in ours["reason"]
