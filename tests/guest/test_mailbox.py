"""The whole story on a real kernel and through a real mailbox: a vendor's root, the keyring, the devices, verdicts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cmakeys.emulator.factory import DEFAULT_IDENTITY, Blueprint, build_device
from cmakeys.emulator.faults import FAULTS
from cmakeys.spdm.codes import Version
from tests.guest import inside
from tests.guest.conftest import Room
from tests.guest.machine import Done, Guest
from tests.guest.trust import trust
from tests.keyring.kernel import NOBODY
from tests.workbench import faulty, vendor
from tests.x509.pki import issue

FIRST, SECOND = "0000:00:04.0", "0000:00:05.0"


@pytest.fixture
def trusting(room: Room) -> Room:
    """A machine that trusts the vendor of its devices."""
    trust(room.guest, "acme", vendor().certificate)
    return room


def verdict(done: Done) -> Mapping[str, Any]:
    (device,) = done.json["data"]["devices"]
    found = device["verdict"]
    assert isinstance(found, dict)
    return found


def failed_steps(done: Done) -> list[int]:
    return [step["number"] for step in verdict(done)["steps"] if step["outcome"] == "failed"]


def test_from_a_root_to_a_verdict(trusting: Room) -> None:
    guest = trusting.guest
    assert guest.cmakeys("keyring", "apply", "--detailed-exitcode").code == 10
    scan = guest.cmakeys("devices", "scan", "--json").check().json["data"]["functions"]
    assert {FIRST, SECOND} <= {one["function"] for one in scan if one["speaks_cma"] == "yes"}
    for number, address in enumerate((FIRST, SECOND)):
        guest.cmakeys("devices", "enroll", f"pci:{address}", "--name", f"nvme{number}").check()
    done = guest.cmakeys("check", "--all", "--json").check()
    assert {device["name"]: device["verdict"]["outcome"] for device in done.json["data"]["devices"]} == {
        "nvme0": "trusted",
        "nvme1": "trusted",
    }
    steps = {step["number"]: step for step in done.json["data"]["devices"][0]["verdict"]["steps"]}
    assert "1b36" in steps[9]["reason"]
    assert steps[9]["outcome"] == "passed"
    assert guest.cmakeys("keyring", "diff", "--detailed-exitcode").code == 0


@pytest.mark.parametrize("version", [Version.V10, Version.V11, Version.V12, Version.V13, Version.V14])
def test_every_version_passes(version: Version, trusting: Room) -> None:
    settings = f"policy:\n  versions: ['{version}']\n"
    trusting.guest.call(inside.write_file, "/etc/cmakeys/cmakeys.yaml", settings)
    done = trusting.guest.cmakeys("check", f"pci:{FIRST}", "--json").check()
    assert (verdict(done)["outcome"], verdict(done)["version"]) == ("trusted", str(version))


def test_an_impostor_with_a_certificate_of_another_function_is_rejected_at_step_9(trusting: Room) -> None:
    other = replace(DEFAULT_IDENTITY, device=0x0011)
    trusting.seats[0].device = build_device(vendor(), Blueprint(serial="0009", identity=other))
    done = trusting.guest.cmakeys("check", f"pci:{FIRST}", "--json")
    assert (done.code, failed_steps(done)) == (1, [9])


@pytest.mark.parametrize(
    ("fault", "step"),
    [("bad-signature", 11), ("impostor", 4), ("chain-broken-signature", 3), ("replayed-measurements", 12)],
)
def test_a_lying_device_is_rejected(fault: str, step: int, trusting: Room) -> None:
    trusting.seats[1].device = faulty(FAULTS[fault])
    done = trusting.guest.cmakeys("check", f"pci:{SECOND}", "--json")
    assert (done.code, failed_steps(done)[0]) == (1, step)


def test_another_device_in_the_place_of_the_enrolled_one_is_noticed(trusting: Room) -> None:
    trusting.guest.cmakeys("devices", "enroll", f"pci:{FIRST}", "--name", "nvme0").check()
    trusting.seats[0].device = build_device(vendor(), Blueprint(serial="0777"))
    done = trusting.guest.cmakeys("check", "nvme0", "--json")
    assert (done.code, failed_steps(done)) == (1, [10])


def test_a_device_of_a_vendor_nobody_trusts_is_rejected(room: Room) -> None:
    trust(room.guest, "other", issue("Other", kind="rsa2048").certificate)
    done = room.guest.cmakeys("check", f"pci:{FIRST}", "--json")
    assert (done.code, failed_steps(done)) == (1, [4])


def test_a_dead_responder_is_unreachable_within_its_time(trusting: Room) -> None:
    start = time.monotonic()
    done = trusting.guest.cmakeys("check", f"pci:{trusting.dead}", "--timeout", "5", "--json")
    assert time.monotonic() - start < 10
    assert done.code == 6
    assert verdict(done)["outcome"] == "unreachable"
    assert all(step["outcome"] == "not-checked" for step in verdict(done)["steps"])


def test_two_checks_of_one_device_wait_for_each_other(trusting: Room) -> None:
    codes = trusting.guest.call(inside.at_once, 3, ["check", f"pci:{FIRST}"], timeout=120)
    assert codes == [0, 0, 0]


def test_a_mailbox_that_another_run_holds_is_unreachable_and_accuses_nobody(trusting: Room) -> None:
    code, said = trusting.guest.call(inside.while_locked, FIRST, ["check", f"pci:{FIRST}", "--timeout", "3"])
    assert code == 6
    assert "unreachable" in said


def test_nobody_else_may_use_a_mailbox(trusting: Room) -> None:
    done = trusting.guest.cmakeys("check", f"pci:{FIRST}", "--json", user=NOBODY)
    assert done.code == 6
    assert "ermi" in verdict(done)["summary"]


def test_a_function_without_a_driver_is_checked_all_the_same(trusting: Room) -> None:
    trusting.guest.call(inside.unbind, FIRST)
    try:
        trusting.guest.cmakeys("check", f"pci:{FIRST}").check()
    finally:
        trusting.guest.call(inside.probe, FIRST)


def test_the_kernels_findings_are_read_and_asked_for_again(guest: Guest) -> None:
    def says() -> object:
        functions = guest.cmakeys("devices", "scan", "--json").check().json["data"]["functions"]
        return next(one for one in functions if one["function"] == FIRST)["kernel"]

    before = says()
    guest.cmakeys("devices", "recheck", FIRST).check()
    assert guest.call(inside.rechecks) == 1
    assert before != says()


@pytest.mark.parametrize(("verdict_", "after", "code"), [(0, 0, 1), (1, 1, 0), (0, -129, 1), (-25, -25, 6)])
def test_what_the_kernel_says_decides_the_exit_code_of_a_recheck(
    verdict_: int, after: int, code: int, guest: Guest
) -> None:
    guest.call(inside.set_verdict, verdict_, after)
    assert guest.cmakeys("devices", "recheck", FIRST).code == code
