"""`cmakeys` alone on a machine with the kernel's own `.cma`: before, after, with a stranger in it, and for anybody."""

from __future__ import annotations

from cmakeys.emulator.faults import FAULTS
from cmakeys.roots.record import render_pem
from tests.guest import inside
from tests.guest.conftest import Room
from tests.guest.machine import Guest
from tests.guest.trust import trust
from tests.keyring.kernel import NOBODY
from tests.workbench import faulty, vendor
from tests.x509.pki import issue


def lines(guest: Guest, code: int = 0) -> list[str]:
    """What the command alone says, which is one screen and leaves with `code`."""
    done = guest.cmakeys()
    assert done.code == code, done
    found = done.out.splitlines()
    assert len(found) < 24
    return found


def test_from_a_fresh_machine_each_step_leads_to_the_next(room: Room) -> None:
    guest = room.guest
    assert "next: cmakeys roots add FILE" in lines(guest)
    trust(guest, "acme", vendor().certificate)
    assert "kernel    .cma not in step: 1 to add, 0 there" in lines(guest)
    assert "next: cmakeys keyring apply" in lines(guest)
    guest.cmakeys("keyring", "apply").check()
    assert "kernel    .cma in step with the roots: 1 there" in lines(guest)
    assert "next: cmakeys devices scan" in lines(guest)
    guest.cmakeys("devices", "enroll", f"pci:{guest.functions[0]}", "--name", "nvme0").check()
    assert "nothing to do" in lines(guest)
    room.seats[0].device = faulty(FAULTS["firmware-changed"])
    assert guest.cmakeys("check", "--all").code == 1
    assert "next: cmakeys devices show nvme0" in lines(guest, 1)


def test_a_stranger_in_cma_stays_until_a_reboot_and_makes_the_machine_unhealthy(guest: Guest) -> None:
    trust(guest, "acme", vendor().certificate)
    guest.cmakeys("keyring", "apply").check()
    stranger = issue("Somebody", kind="rsa2048", number=7).certificate
    guest.call(inside.add_directly, "somebody's", stranger.der.hex())
    shown = lines(guest, 1)
    assert "          1 key in it that cmakeys did not put there" in shown
    assert "          1 key lies in it and not in our ring: only a reboot takes that out" in shown
    assert "next: cmakeys keyring audit" in shown
    assert guest.cmakeys("status", "--json").json["data"]["kernel"]["reboot_needed"] is True


def test_a_machine_without_cma_is_no_worse_for_it(guest: Guest) -> None:
    guest.call(inside.remove_cma)
    assert "kernel    authenticates no device; cmakeys check does without it" in lines(guest)


def test_a_plain_user_learns_what_is_not_hers_to_see(guest: Guest) -> None:
    trust(guest, "acme", vendor().certificate)
    guest.cmakeys("keyring", "apply").check()
    done = guest.cmakeys("status", "--json", user=NOBODY)
    assert done.code == 0, done
    assert [gap["code"] for gap in done.json["data"]["unknown"] if gap["part"] == "kernel"] == ["not-permitted"]
    assert done.json["data"]["roots"]["anchors"] == 1


def test_a_declared_set_is_in_the_kernel_as_soon_as_it_is_applied(guest: Guest) -> None:
    root = vendor().certificate
    pem = "".join(f"    {line}\n" for line in render_pem(root).decode().splitlines())
    text = f"schema: 1\nprune: true\nroots:\n- name: acme\n  fingerprint: {root.fingerprint}\n  certificate: |\n{pem}"
    done = guest.cmakeys("roots", "apply", "-f", "-", "--json", data=text.encode()).check().json
    assert done["changed"] is True
    assert done["data"]["effect"]["added"] == ["acme"]
    assert "kernel    .cma in step with the roots: 1 there" in lines(guest)
    assert guest.cmakeys("roots", "apply", "-f", "-", "--json", data=text.encode()).check().json["changed"] is False
