"""The command that makes the initrds of this machine anew: which one it is here, and running it when asked to.

Which one it is, what is installed says. kernel-install is there wherever systemd is, so it is the one only for a
unified kernel image, or where nothing else is; before systemd 255 it makes no initrds of all kernels, and is not the
one at all. Nothing here runs by itself.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO

from cmakeys.errors import FollowUpFailed, NotFound

SECONDS = 1800.0
"""That a rebuild may take: every initrd of a machine with several kernels, on a slow disk."""

OSTREE = "run/ostree-booted"
_FOLDERS = ("usr/sbin", "usr/bin", "sbin", "bin")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TERM_SECONDS = 5.0

KERNEL_INSTALL = ("kernel-install", "add-all")
MAX_PROGRAM_SIZE = 8 << 20

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("update-initramfs", "-u", "-k", "all"),
    ("mkinitcpio", "-P"),
    ("dracut", "--force", "--regenerate-all"),
    KERNEL_INSTALL,
)
"""The one that is installed makes the initrds; the first, where there are several."""

IMAGE_BASED = ("rpm-ostree", "initramfs", "--enable")
UNIFIED = ("mkinitcpio", "kernel-install", "update-initramfs", "dracut")
"""Who makes unified kernel images, the likelier first."""


class InitrdNotRebuilt(FollowUpFailed):
    """The roots were changed, and the initrd still holds the old ones."""

    code = "initrd-not-rebuilt"


def rebuild_command(sysroot: Path, initrds: Sequence[Path] = ()) -> tuple[str, ...]:
    """What makes the initrds anew in the system at `sysroot`; empty where nothing that we know is installed."""
    if (sysroot / OSTREE).exists() and _program(sysroot, IMAGE_BASED[0]) is not None:
        return IMAGE_BASED
    known = {command[0]: command for command in COMMANDS if _knows(sysroot, command)}
    order = UNIFIED if any(path.suffix == ".efi" for path in initrds) else tuple(known)
    return next((known[name] for name in order if _program(sysroot, name) is not None), ())


def _knows(sysroot: Path, command: tuple[str, ...]) -> bool:
    """Whether kernel-install, a script or a program, has the verb in it; the others have had theirs for ever."""
    if command != KERNEL_INSTALL:
        return True
    path = _program(sysroot, command[0])
    try:
        with path.open("rb") if path is not None else nullcontext() as file:
            return file is not None and command[1].encode() in file.read(MAX_PROGRAM_SIZE)
    except OSError:
        return False


def _program(sysroot: Path, name: str) -> Path | None:
    for folder in _FOLDERS:
        path = sysroot / folder / name
        try:
            status = path.stat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o111:
            return path
    return None


def run_rebuild(command: Sequence[str], *, seconds: float = SECONDS, output: IO[str] | None = None) -> None:
    """Run it and wait, everything it says going to `output`, stderr without one.

    Raises `InitrdNotRebuilt` when it cannot be run, fails, or is not done in time; then it is ended with all that it
    started.
    """
    words = " ".join(command)
    hint = f"the roots are changed all the same; when it is mended: {words}"
    environment = {"LANG": "C.UTF-8", "HOME": "/root", **os.environ, "PATH": _PATH}
    sys.stderr.flush()
    descriptor = 2 if output is None else output.fileno()
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except FileNotFoundError:
        raise InitrdNotRebuilt("there is no such program", object=command[0], hint=hint) from None
    except OSError as error:
        raise InitrdNotRebuilt(f"cannot be run: {error.strerror}", object=command[0], hint=hint) from error
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        raise InitrdNotRebuilt(f"ended after {seconds:g} s", object=words, hint=hint) from None
    except BaseException:
        _end(process)
        raise
    if code:
        said = f"killed by signal {-code}" if code < 0 else f"left with {code}"
        raise InitrdNotRebuilt(said, object=words, hint=hint)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and whatever it started that stayed with it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_TERM_SECONDS)


def command_for(configured: Sequence[str], sysroot: Path, initrds: Sequence[Path] = ()) -> tuple[str, ...]:
    """The command that the configuration names, or else the one of this system.

    Raises `NotFound` where there is none.
    """
    command = tuple(configured) or rebuild_command(sysroot, initrds)
    if not command:
        known = ", ".join(each[0] for each in COMMANDS)
        raise NotFound(
            "nothing that makes initrds is known here",
            object="--update-initrd",
            hint=f"known: {known}; another one is named in the configuration, initrd.rebuild",
        )
    return command
