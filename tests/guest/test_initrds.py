"""Initrds as distributions make them, with our hook: the roots are in `.cma` before a driver takes the first device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.images.generators import Generator
from cmakeys.roots.record import render_pem
from cmakeys.x509.certificate import Certificate
from tests.guest import inside
from tests.guest.machine import started
from tests.guest.prepare import kit, why_not
from tests.guest.system import System, copied
from tests.guest.test_image import ACME, MODERN, OTHER, before_the_first_driver, in_cma, log
from tests.guest.trust import trust


@dataclass(frozen=True, slots=True)
class Maker:
    """A command that makes an initrd, to which the kernel's release is added."""

    generator: Generator
    command: tuple[str, ...]


_DRACUT = ("dracut", "--no-hostonly", "--drivers", "nvme ext4", "/boot/initrd")
INITRAMFS_TOOLS = Maker(Generator.INITRAMFS_TOOLS, ("mkinitramfs", "-o", "/boot/initrd"))
DRACUT = Maker(Generator.DRACUT, (*_DRACUT, "--kver"))
DRACUT_ALONE = Maker(Generator.DRACUT, (*_DRACUT, "--omit", "systemd systemd-initrd dracut-systemd", "--kver"))


@contextmanager
def hooked(roots: Mapping[str, Certificate], maker: Maker, *options: str) -> Iterator[System]:
    """A system that trusts these roots and has the hook for what makes the initrd."""
    if reason := why_not():
        pytest.skip(reason)
    with copied(kit().system) as system:
        sysroot = ("--sysroot", str(system.tree))
        for name, certificate in roots.items():
            pem = system.tree / "tmp" / f"{name}.pem"
            pem.write_bytes(render_pem(certificate))
            words = ("roots", "add", str(pem), "--name", name, "--fingerprint", certificate.fingerprint)
            assert main([*words, *sysroot]) == 0
        assert main(["image", "hooks", "install", "--for", maker.generator.value, *options, *sysroot]) == 0
        yield system


@pytest.mark.parametrize(
    "maker", [INITRAMFS_TOOLS, DRACUT, DRACUT_ALONE], ids=["initramfs-tools", "dracut", "dracut-without-systemd"]
)
def test_the_roots_are_there_before_the_first_driver(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hooked({"acme": ACME, "other": OTHER}, maker) as system:
        made = system.attempt(*maker.command, system.release)
        assert made.returncode == 0, made.stdout
        initrd = tmp_path / "initrd"
        initrd.write_bytes((system.tree / "boot/initrd").read_bytes())
        capsys.readouterr()
        assert main(["image", "inspect", str(initrd), "--against", "--sysroot", str(system.tree)]) == 0
    with started(tmp_path, [], initrd=initrd) as guest:
        assert in_cma(guest) == [f"cmakeys:acme:{ACME.fingerprint}", f"cmakeys:other:{OTHER.fingerprint}"]
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
        assert not [line for line in log(guest) if line.startswith("not loaded")]


@pytest.mark.parametrize("maker", [INITRAMFS_TOOLS, DRACUT], ids=["initramfs-tools", "dracut"])
def test_what_bake_refuses_is_said_and_the_initrd_is_made_without_roots(maker: Maker) -> None:
    with hooked({"acme": ACME, "modern": MODERN}, maker) as system:
        made = system.attempt(*maker.command, system.release)
        assert made.returncode == 0, made.stdout
        assert "modern: no kernel loads it" in made.stdout
        assert "this initrd has no roots for PCIe devices: baking them failed with exit status 8" in made.stdout
        assert main(["image", "inspect", str(system.tree / "boot/initrd")]) == 3, "nothing was baked"


@pytest.mark.parametrize("maker", [INITRAMFS_TOOLS, DRACUT], ids=["initramfs-tools", "dracut"])
def test_no_initrd_is_made_without_roots_that_are_required(maker: Maker) -> None:
    with hooked({"acme": ACME, "modern": MODERN}, maker, "--required") as system:
        made = system.attempt(*maker.command, system.release)
        assert made.returncode != 0, made.stdout
        assert "baking them failed with exit status 8, and the roots for PCIe devices are required" in made.stdout
