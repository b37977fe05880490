"""What the bind guard is made of on a disk: its list, a udev rule and two units; written whole, removed whole.

The rule binds what is not listed by itself, with nothing but a shell: a broken cmakeys holds back what is listed and
nothing else. It comes after udev's own rule that loads modules, because what is offered to `drivers_probe` finds only
drivers that are loaded. Each file begins with a digest of the rest, so that one that somebody has edited is known and
neither replaced nor removed without a word.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from pathlib import Path

from cmakeys import __version__
from cmakeys.bindguard.decision import By, Guard, Unreachable
from cmakeys.errors import NotFound, Refused, from_oserror
from cmakeys.files import check_inside, make_folder, sync_folder, write_whole
from cmakeys.roots.document import DocumentProblem, read_document, render_document

LIST = "etc/cmakeys/bind-guard.yaml"
RULES = "etc/udev/rules.d/81-cmakeys-bind-guard.rules"
UNITS = "etc/systemd/system"
SERVICE, INSTANCE = "cmakeys-bind-guard.service", "cmakeys-bind-guard@.service"
WANTS = f"{UNITS}/sysinit.target.wants/{SERVICE}"
MAX_FILE = 1 << 18

_HEADER = re.compile(rb"# Written by cmakeys [0-9a-z.+-]{1,32}; the rest has the SHA-256 ([0-9a-f]{64})\n")
_KEYS = frozenset({"classes", "ids", "behind", "removable", "by", "unreachable"})


class FileState(Enum):
    """How a file on the disk compares with what would be written."""

    ABSENT = "absent"
    CURRENT = "current"
    OUTDATED = "outdated"
    EDITED = "edited"


@dataclass(frozen=True, slots=True)
class FileStatus:
    """One file of the guard."""

    path: Path
    state: FileState


def read_guard(sysroot: Path) -> Guard:
    """The list of the tree at `sysroot`. Raises `NotFound` without one, `DocumentProblem` for one that is wrong."""
    path = _inside(sysroot, LIST)
    data = _read(path)
    if data is None:
        raise NotFound("the bind guard is not installed", object=str(path), hint="cmakeys policy bind-guard install")
    return parse_guard(data, str(path))


def parse_guard(data: bytes, source: str) -> Guard:
    """The list in a file. Raises `DocumentProblem` or `UsageProblem`."""
    document = read_document(data, source, max_size=MAX_FILE)
    nodes = document.mapping(_KEYS)
    removable = nodes["removable"].text()
    if removable not in ("true", "false"):
        raise DocumentProblem("removable is true or false", object=source)
    return Guard.of(
        nodes["classes"].texts(),
        nodes["ids"].texts(),
        nodes["behind"].texts(),
        removable=removable == "true",
        by=nodes["by"].member(By),
        unreachable=nodes["unreachable"].member(Unreachable),
    )


def render_guard(guard: Guard) -> bytes:
    """The list as a file, which `parse_guard` reads back as the same."""
    return render_document(
        {
            "classes": list(guard.classes),
            "ids": list(guard.ids),
            "behind": [str(bridge) for bridge in guard.behind],
            "removable": "true" if guard.removable else "false",
            "by": guard.by.value,
            "unreachable": guard.unreachable.value,
        }
    )


def render_rules(guard: Guard) -> bytes:
    """The udev rule: what is listed wants the service, everything else is bound at once."""
    hold = 'GOTO="cmakeys_hold"'
    lines = [
        'SUBSYSTEM!="pci", GOTO="cmakeys_end"',
        'ACTION!="add", GOTO="cmakeys_end"',
        'IMPORT{cmdline}="cmakeys.bindguard"',
        'ENV{cmakeys.bindguard}=="off", GOTO="cmakeys_bind"',
    ]
    for text in guard.ids:
        vendor, _, device = text.partition(":")
        also = "" if device == "*" else f', ATTR{{device}}=="0x{device}"'
        lines.append(f'ATTR{{vendor}}=="0x{vendor}"{also}, {hold}')
    lines += [f'ATTR{{class}}=="0x{prefix}*", {hold}' for prefix in guard.classes]
    lines.append('ATTR{class}=="0x0604*", GOTO="cmakeys_bind"')
    lines += [f'KERNEL!="{bridge}", KERNELS=="{bridge}", {hold}' for bridge in guard.behind]
    if guard.removable:
        lines.append(f'ATTRS{{removable}}=="removable", {hold}')
    lines += [
        'LABEL="cmakeys_bind"',
        'DRIVER=="?*", GOTO="cmakeys_end"',
        "RUN+=\"/bin/sh -c 'echo %k >/sys/bus/pci/drivers_probe'\"",
        'GOTO="cmakeys_end"',
        'LABEL="cmakeys_hold"',
        'TAG+="systemd", ENV{SYSTEMD_WANTS}+="cmakeys-bind-guard@%k.service"',
        'LABEL="cmakeys_end"',
    ]
    return ("\n".join(lines) + "\n").encode()


def contents(guard: Guard) -> Mapping[str, bytes]:
    """Every file by its place under the root of the tree, with its header."""
    bodies = {
        LIST: render_guard(guard),
        RULES: render_rules(guard),
        f"{UNITS}/{INSTANCE}": _template(INSTANCE),
        f"{UNITS}/{SERVICE}": _template(SERVICE),
    }
    return {place: _signed(body) for place, body in bodies.items()}


def inspect(sysroot: Path, guard: Guard | None) -> tuple[FileStatus, ...]:
    """How every file stands; without a list none can be current."""
    wanted: Mapping[str, bytes | None] = (
        contents(guard) if guard else dict.fromkeys((LIST, RULES, f"{UNITS}/{INSTANCE}", f"{UNITS}/{SERVICE}"))
    )
    paths = {_inside(sysroot, place): data for place, data in wanted.items()}
    return tuple(FileStatus(path, _state(path, data)) for path, data in paths.items())


def _inside(sysroot: Path, place: str) -> Path:
    """A file's path; its folder must not lead out of the tree, nor the file that is read first."""
    path = sysroot / place
    check_inside(path.parent, sysroot)
    if place != WANTS:
        check_inside(path, sysroot)
    return path


def install(sysroot: Path, guard: Guard, *, force: bool, dry_run: bool) -> tuple[Path, ...]:
    """Write what is missing or out of date, the switch last; the paths that were, or would be, written.

    Raises `Refused` for a file that somebody edited, unless `force`; then nothing was written.
    """
    stale = [one.path for one in _checked(inspect(sysroot, guard), force=force) if one.state is not FileState.CURRENT]
    link = _inside(sysroot, WANTS)
    changes = (*stale, *(() if link.is_symlink() else (link,)))
    if not dry_run:
        try:
            for place, data in contents(guard).items():
                if sysroot / place in stale:
                    make_folder((sysroot / place).parent)
                    write_whole(sysroot / place, data)
            if link in changes:
                make_folder(link.parent)
                link.symlink_to(f"../{SERVICE}")
                sync_folder(link.parent)
        except OSError as error:
            raise from_oserror(error, str(error.filename or sysroot)) from error
    return changes


def remove(sysroot: Path, *, force: bool, dry_run: bool) -> tuple[Path, ...]:
    """Take all of it away, the switch first; the paths that were, or would be. Raises as `install` does."""
    present = [one.path for one in _checked(inspect(sysroot, None), force=force) if one.state is not FileState.ABSENT]
    link = _inside(sysroot, WANTS)
    changes = (*((link,) if link.is_symlink() else ()), *reversed(present))
    if not dry_run:
        try:
            for path in changes:
                path.unlink(missing_ok=True)
                sync_folder(path.parent)
        except OSError as error:
            raise from_oserror(error, str(error.filename or sysroot)) from error
    return changes


def _checked(found: tuple[FileStatus, ...], *, force: bool) -> tuple[FileStatus, ...]:
    for one in found:
        if one.state is FileState.EDITED and not force:
            raise Refused(
                "this file was edited by hand, or is not ours; nothing was changed",
                object=str(one.path),
                hint="keep what you need of it and give --force",
            )
    return found


def _state(path: Path, wanted: bytes | None) -> FileState:
    data = _read(path)
    if data is None:
        return FileState.ABSENT
    if data == wanted:
        return FileState.CURRENT
    match = _HEADER.match(data)
    if match is None or hashlib.sha256(data[match.end() :]).hexdigest().encode() != match[1]:
        return FileState.EDITED
    return FileState.OUTDATED


def _signed(body: bytes) -> bytes:
    digest = hashlib.sha256(body).hexdigest()
    return f"# Written by cmakeys {__version__}; the rest has the SHA-256 {digest}\n".encode() + body


def _template(name: str) -> bytes:
    return (resources.files("cmakeys.bindguard") / "data" / name).read_bytes()


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Refused("not a regular file", object=str(path), hint="move it away")
            return file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_oserror(error, str(path)) from error
