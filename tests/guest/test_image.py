"""What `image bake` wrote, booted: the roots are in the kernel's `.cma` before the root file system is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.roots.record import render_pem
from cmakeys.x509.certificate import Certificate
from tests.guest import inside
from tests.guest.machine import Guest, started
from tests.guest.prepare import why_not
from tests.guest.trust import trust
from tests.workbench import vendor
from tests.x509.pki import issue

ACME = vendor().certificate
OTHER = issue("Other", kind="rsa2048").certificate
MODERN = issue("Modern", kind="ed25519").certificate


@contextmanager
def booted(
    folder: Path, roots: dict[str, Certificate], *options: str, command_line: str = "lsm=capability"
) -> Iterator[Guest]:
    """A machine whose initramfs has nothing but busybox, and behind it the archive that was baked."""
    if reason := why_not():
        pytest.skip(reason)
    (folder / "roots").mkdir()
    for name, certificate in roots.items():
        (folder / f"roots/{name}.pem").write_bytes(render_pem(certificate))
    words = ["image", "bake", "--roots", str(folder / "roots"), "--with-keyctl", "-o", str(folder / "cma.cpio")]
    assert main([*words, *options]) == 0
    with started(folder, [], command_line=command_line, segments=[folder / "cma.cpio"], modular=True) as guest:
        yield guest


def log(guest: Guest) -> list[str]:
    """What the loader said."""
    lines = guest.run("busybox", "dmesg").check().out.splitlines()
    return [line.partition("cmakeys: ")[2] for line in lines if "cmakeys: " in line]


def kernel_log(guest: Guest, *texts: str) -> list[int]:
    """In which lines of the kernel's log these texts are, each in one."""
    lines = guest.run("busybox", "dmesg").check().out.splitlines()
    found = {text: [number for number, line in enumerate(lines) if text in line] for text in texts}
    assert all(len(numbers) == 1 for numbers in found.values()), found
    return [numbers[0] for numbers in found.values()]


def before_the_first_driver(guest: Guest, roots: int) -> bool:
    """Whether the roots were loaded, and the device asked again, before the driver of its disk took it."""
    order = kernel_log(
        guest, f"cmakeys: {roots} roots are in .cma", "cmakeys: 1 devices authenticated", "nvme nvme0: pci function"
    )
    return order == sorted(order)


def in_cma(guest: Guest) -> Sequence[str]:
    shown = guest.run("keyctl", "show", "%:.cma").check().out.splitlines()
    return sorted(line.partition("asymmetric: ")[2] for line in shown if "asymmetric: " in line)


def test_the_roots_are_there_and_the_booted_system_has_nothing_to_change(tmp_path: Path) -> None:
    with booted(tmp_path, {"acme": ACME, "other": OTHER}) as guest:
        assert guest.call(inside.read_file, "/run/code/loaded") == "0\n"
        expected = [f"cmakeys:acme:{ACME.fingerprint}", f"cmakeys:other:{OTHER.fingerprint}"]
        assert in_cma(guest) == expected
        (ring,) = guest.call(inside.managed_rings)
        assert guest.call(inside.rechecks) == 1, "of the one device that has such a file"
        assert before_the_first_driver(guest, 2)
        trust(guest, "acme", ACME)
        trust(guest, "other", OTHER)
        diff = guest.cmakeys("keyring", "diff", "--json", "--detailed-exitcode")
        assert (diff.code, diff.json["changed"]) == (0, False), diff
        applied = guest.cmakeys("keyring", "apply", "--json", "--detailed-exitcode")
        assert (applied.code, applied.json["changed"]) == (0, False), applied
        assert guest.call(inside.managed_rings) == [ring]
        assert guest.cmakeys("keyring", "audit").code == 0


def test_a_root_that_the_kernel_does_not_take_is_named_and_the_rest_is_there(tmp_path: Path) -> None:
    options = ("--allow-unloadable", "--required")
    with booted(tmp_path, {"acme": ACME, "modern": MODERN}, *options) as guest:
        assert in_cma(guest) == [f"cmakeys:acme:{ACME.fingerprint}"]
        assert any(line.startswith(f"not loaded: cmakeys:modern:{MODERN.fingerprint}") for line in log(guest))
        assert before_the_first_driver(guest, 1)
        assert guest.call(inside.rechecks) == 1
        assert guest.call(inside.read_file, "/run/code/loaded") == "1\n", "whoever called it may stop the boot"
        trust(guest, "acme", ACME)
        assert guest.cmakeys("keyring", "diff", "--detailed-exitcode").code == 0


def test_it_is_switched_off_on_the_kernels_command_line(tmp_path: Path) -> None:
    with booted(tmp_path, {"acme": ACME}, "--required", command_line="lsm=capability cmakeys=off") as guest:
        assert guest.call(inside.read_file, "/run/code/loaded") == "0\n"
        assert guest.call(inside.managed_rings) == []
        assert guest.call(inside.rechecks) == 0
        assert log(guest) == ["switched off on the kernel's command line"]
