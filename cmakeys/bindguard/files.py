"""What the bind guard is made of on a disk: its list, a udev rule and two units; written whole, removed whole.

The rule binds what is not listed by itself, with nothing but a shell: a broken cmakeys holds back what is listed and
nothing else. It comes after udev's own rule that loads modules, because what is offered to `drivers_probe` finds only
drivers that are loaded.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from cmakeys import stamped
from cmakeys.bindguard.decision import By, Guard, Unreachable
from cmakeys.errors import NotFound
from cmakeys.roots.document import DocumentProblem, read_document, render_document
from cmakeys.stamped import MAX_FILE, FileStatus, OurFile, OurLink, inside, read_bounded

LIST = "etc/cmakeys/bind-guard.yaml"
RULES = "etc/udev/rules.d/81-cmakeys-bind-guard.rules"
UNITS = "etc/systemd/system"
SERVICE, INSTANCE = "cmakeys-bind-guard.service", "cmakeys-bind-guard@.service"
WANTS = f"{UNITS}/sysinit.target.wants/{SERVICE}"

_SWITCH = OurLink(WANTS, f"../{SERVICE}")
_KEYS = frozenset({"classes", "ids", "behind", "removable", "by", "unreachable"})


def read_guard(sysroot: Path) -> Guard:
    """The list of the tree at `sysroot`. Raises `NotFound` without one, `DocumentProblem` for one that is wrong."""
    path = inside(sysroot, LIST)
    data = read_bounded(path)
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


def contents(guard: Guard) -> tuple[OurFile, ...]:
    """Every file, the list first."""
    return (
        OurFile(LIST, render_guard(guard)),
        OurFile(RULES, render_rules(guard)),
        OurFile(f"{UNITS}/{INSTANCE}", _template(INSTANCE)),
        OurFile(f"{UNITS}/{SERVICE}", _template(SERVICE)),
    )


def inspect(sysroot: Path, guard: Guard | None) -> tuple[FileStatus, ...]:
    """How every file stands, and the link that switches them on; without a list no file can be current."""
    return stamped.inspect(sysroot, _wanted(guard), (_SWITCH,))


def install(sysroot: Path, guard: Guard, *, force: bool, dry_run: bool) -> tuple[Path, ...]:
    """Write what is missing or out of date, the switch last; the paths that were, or would be, written.

    Raises `Refused` for a file that somebody edited, unless `force`; then nothing was written.
    """
    return stamped.install(sysroot, contents(guard), (_SWITCH,), force=force, dry_run=dry_run)


def remove(sysroot: Path, *, force: bool, dry_run: bool) -> tuple[Path, ...]:
    """Take all of it away, the switch first; the paths that were, or would be. Raises as `install` does."""
    return stamped.remove(sysroot, _wanted(None), (_SWITCH,), force=force, dry_run=dry_run)


def _wanted(guard: Guard | None) -> tuple[OurFile, ...]:
    if guard is not None:
        return contents(guard)
    return tuple(OurFile(place, None) for place in (LIST, RULES, f"{UNITS}/{INSTANCE}", f"{UNITS}/{SERVICE}"))


def _template(name: str) -> bytes:
    return (resources.files("cmakeys.bindguard") / "data" / name).read_bytes()
