"""The guest's kernel, and our module for it: Debian's packages, unpacked in the cache folder and not installed."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.guest.packages import Apt, Unavailable, run

CLOUD, GENERIC = "linux-image-cloud-amd64", "linux-image-amd64"
"""The one with drivers for virtual machines built in, and the one for all machines, which has them as modules."""

SERIES = "6.12"
"""The kernel that the reference measured; where it is gone, the newest that can be had is taken."""

STANDIN = Path(__file__).resolve().parent / "standin"


def build_kernel(
    apt: Apt,
    folder: Path,
    elf: Path,
    module: Path,
    say: Callable[[str], None],
    *,
    package: str = CLOUD,
    system: Path | None = None,
) -> None:
    """Put the kernel as an ELF file in `elf` and the module in `module`; `folder` is for what they are made of.

    All that the kernel's package brings, its modules above all, is unpacked in the tree `system`, where there is one.
    """
    versions = apt.versions(package)
    if not versions:
        raise Unavailable(f"there is no package {package}")
    version = next((version for version in versions if version.startswith(SERIES)), versions[0])
    image = apt.depends(package, version, r"linux-image-[^ ,]*")
    release = image.removeprefix("linux-image-")
    base = release.removesuffix("-amd64").removesuffix("-cloud")
    say(f"downloading kernel {release}")
    shutil.rmtree(folder, ignore_errors=True)
    if system is None:
        apt.unpack([image], folder, only="./boot")
    else:
        apt.unpack([image], system)
    apt.unpack([f"linux-headers-{release}", f"linux-headers-{base}-common", f"linux-kbuild-{base}"], folder)
    say("building the module")
    shutil.copy(_module(folder / "usr/src", release, base), module)
    elf.write_bytes(_elf(((system or folder) / f"boot/vmlinuz-{release}").read_bytes()))
    shutil.rmtree(folder)


def _module(sources: Path, release: str, base: str) -> Path:
    """Build `cma_standin.ko` against headers that are not where their makefiles think they are."""
    headers, common = sources / f"linux-headers-{release}", sources / f"linux-headers-{base}-common"
    makefile = headers / "Makefile"
    text = re.sub(r"(?m)^include .*/Makefile$", f"include {common}/Makefile", makefile.read_text())
    makefile.write_text(re.sub(r"(?m)^KBUILD_OUTPUT=.*$", f"KBUILD_OUTPUT={headers}", text))
    (headers / "vmlinux").unlink(missing_ok=True)  # with it the build wants pahole, for debug information
    build = sources / "standin"
    shutil.copytree(STANDIN, build)
    run(["make", "-s", "CC=gcc-12", "-C", headers, f"M={build}", "modules"])
    run(["strip", "--strip-debug", build / "cma_standin.ko"])
    return build / "cma_standin.ko"


def _elf(image: bytes) -> bytes:
    """The ELF file in a bzImage (Linux's boot protocol 2.08: payload_offset and payload_length, zstd here)."""
    setup = ((image[0x1F1] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[setup + offset : setup + offset + length]
    if payload[:4] != b"\x28\xb5\x2f\xfd":
        raise Unavailable(f"the kernel's payload is not packed by zstd but begins with {payload[:4].hex()}")
    # The last four bytes are the unpacked length, for the boot loader, and no part of the zstd frame.
    return subprocess.run(["zstd", "-dc"], input=payload[:-4], capture_output=True, check=True, timeout=120).stdout
