"""Security commands at a real controller, through the kernel's own driver: QEMU's has none, and this is said."""

from __future__ import annotations

import pytest

from tests.guest.machine import Guest

CONTROLLER = "/dev/nvme0"


@pytest.mark.parametrize("words", [("spdm", "probe"), ("check",)], ids=" ".join)
def test_a_controller_without_security_commands_is_unsupported_and_has_another_way(
    words: tuple[str, ...], guest: Guest
) -> None:
    done = guest.cmakeys(*words, f"nvme:{CONTROLLER}")
    said = done.out + done.err
    assert done.code == 5, said
    assert "the controller has no security commands for SPDM" in said
    assert "pci:DDDD:BB:SS.F" in said


def test_a_controller_that_is_not_there_and_a_file_that_is_none_are_told_apart(guest: Guest) -> None:
    missing = guest.cmakeys("spdm", "probe", "nvme:/dev/nvme99")
    assert (missing.code, "there is no such controller" in missing.err) == (3, True), missing.err
    null = guest.cmakeys("spdm", "probe", "nvme:/dev/null")
    assert (null.code, "does not take it for an NVMe controller" in null.err) == (5, True), null.err
