"""The programs that make initrds, and of what files the hook for each of them consists.

Where a program has a folder for what the administrator adds, beside that for what packages bring, ours go there; dracut
has only one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cmakeys.stamped import OurLink

_UNIT = "cmakeys-load.service"


class Generator(Enum):
    """What makes initrds."""

    DRACUT = "dracut"
    INITRAMFS_TOOLS = "initramfs-tools"
    MKINITCPIO = "mkinitcpio"
    MKOSI = "mkosi"
    KERNEL_INSTALL = "kernel-install"
    SYSTEMD = "systemd"


@dataclass(frozen=True, slots=True)
class Template:
    """One file of a hook: where it goes, and which of our own files it is made from."""

    place: str
    source: str
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Hook:
    """The hook for one generator.

    `signs` are places one of which is there where the generator is; `rebuild` is how an initrd is made anew.
    """

    templates: tuple[Template, ...]
    signs: tuple[str, ...]
    rebuild: str
    links: tuple[OurLink, ...] = ()


_DRACUT = "usr/lib/dracut/modules.d/70cmakeys"
HOOKS = {
    Generator.DRACUT: Hook(
        (
            Template(f"{_DRACUT}/module-setup.sh", "hooks/dracut-module-setup.sh", executable=True),
            Template(f"{_DRACUT}/cmakeys.sh", "dracut-hook"),
        ),
        ("usr/bin/dracut", "usr/lib/dracut/dracut-init.sh"),
        "dracut --force",
    ),
    Generator.INITRAMFS_TOOLS: Hook(
        (
            Template("etc/initramfs-tools/hooks/cmakeys", "hooks/initramfs-hook", executable=True),
            Template("etc/initramfs-tools/scripts/init-top/cmakeys", "hooks/initramfs-init-top", executable=True),
        ),
        ("usr/sbin/mkinitramfs", "usr/share/initramfs-tools"),
        "update-initramfs -u",
    ),
    Generator.MKINITCPIO: Hook(
        (
            Template("etc/initcpio/install/cmakeys", "hooks/mkinitcpio-install", executable=True),
            Template("etc/initcpio/hooks/cmakeys", "hooks/mkinitcpio-hook", executable=True),
            Template("etc/mkinitcpio.conf.d/zz-cmakeys.conf", "hooks/mkinitcpio-conf"),
        ),
        ("usr/bin/mkinitcpio", "usr/lib/initcpio"),
        "mkinitcpio -P",
    ),
    Generator.MKOSI: Hook(
        (
            Template("etc/mkosi-initrd/mkosi.conf.d/cmakeys.conf", "hooks/mkosi-conf"),
            Template("etc/mkosi-initrd/cmakeys.finalize", "hooks/mkosi-finalize", executable=True),
        ),
        ("usr/bin/mkosi", "usr/bin/mkosi-initrd"),
        "mkosi-initrd",
    ),
    Generator.KERNEL_INSTALL: Hook(
        tuple(
            Template(f"etc/kernel/install.d/{number}-cmakeys.install", "hooks/kernel-install", executable=True)
            for number in (55, 86)
        ),
        ("usr/bin/kernel-install",),
        "kernel-install add $(uname -r) /boot/vmlinuz-$(uname -r)",
    ),
    Generator.SYSTEMD: Hook(
        (Template(f"etc/systemd/system/{_UNIT}", _UNIT),),
        ("usr/lib/systemd/systemd",),
        "cmakeys image bake --format dir, into the tree of the initrd",
        (OurLink(f"etc/systemd/system/sysinit.target.wants/{_UNIT}", f"../{_UNIT}"),),
    ),
}
