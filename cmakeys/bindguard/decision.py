"""The rules of the bind guard: which function is held, which is bound, and why. Values in, a decision out.

A function that is not listed is bound at once. A listed one is bound when it is trusted, or when holding it would take
the machine down: what holds a mounted file system, every bridge above that, and the console. The order of the checks is
the order of the lines in `before_asking`; each is named in the decision, which goes to the log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from cmakeys.devices.address import PciFunction
from cmakeys.devices.binding import Essential
from cmakeys.devices.functions import FunctionEntry
from cmakeys.errors import UsageProblem

BRIDGE, STORAGE, NETWORK, DISPLAY = 0x0604, 0x01, 0x02, 0x03
MAX_LISTED = 256

_CLASS = re.compile(r"(?:[0-9a-f]{2}){1,3}", re.ASCII)
_ID = re.compile(r"([0-9a-f]{4}):([0-9a-f]{4}|\*)", re.ASCII)


class By(Enum):
    """Whose word binds a listed device."""

    CHECK = "check"
    KERNEL = "kernel"
    EITHER = "either"


class Unreachable(Enum):
    """What is done with a listed device that could not be asked."""

    HOLD = "hold"
    BIND = "bind"


class Standing(Enum):
    """What came of asking about a device; `cmakeys check` and the kernel are put into the same words."""

    TRUSTED = "trusted"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Guard:
    """What is guarded. `classes` are hexadecimal prefixes of the class code, `ids` VENDOR:DEVICE, `*` for any device.

    `behind` are bridges everything below which is guarded, `removable` stands for all that the firmware calls so.
    """

    classes: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    behind: tuple[PciFunction, ...] = ()
    removable: bool = False
    by: By = By.CHECK
    unreachable: Unreachable = Unreachable.HOLD

    @classmethod
    def of(  # the command line's and the file's way in
        cls,
        classes: tuple[str, ...],
        ids: tuple[str, ...],
        behind: tuple[str, ...],
        *,
        removable: bool,
        by: By,
        unreachable: Unreachable,
    ) -> Guard:
        """Check what is listed and put it in one spelling. Raises `UsageProblem`."""
        for text in classes:
            if not _CLASS.fullmatch(text.lower()):
                raise UsageProblem("a class is 2, 4 or 6 hexadecimal digits", object=text[:64], hint="such as 0108")
        for text in ids:
            if not _ID.fullmatch(text.lower()):
                raise UsageProblem("an id is written VENDOR:DEVICE", object=text[:64], hint="such as 1b36:0010, 10de:*")
        if len(classes) + len(ids) + len(behind) > MAX_LISTED:
            raise UsageProblem(f"more than {MAX_LISTED} entries", hint="list a class or a port instead")
        if not (classes or ids or behind or removable):
            raise UsageProblem("nothing to guard", hint="give --class, --id, --behind or --removable")
        return cls(
            tuple(sorted({text.lower() for text in classes})),
            tuple(sorted({text.lower() for text in ids})),
            tuple(sorted({PciFunction.parse(text) for text in behind})),
            removable,
            by,
            unreachable,
        )


@dataclass(frozen=True, slots=True)
class Subject:
    """A function and where it stands: bridges above it from the root down, whether it or one of them is removable."""

    entry: FunctionEntry
    above: tuple[PciFunction, ...] = ()
    removable: bool = False
    boot_display: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Bound or held, and why."""

    bind: bool
    reason: str
    listed: bool = True


def listed(guard: Guard, subject: Subject) -> str:
    """By which entry a function is guarded; empty when by none.

    A bridge to another bus is guarded only by its own id or class: without its driver nothing behind it could be
    announced. That is class 0604 alone, which the kernel lets stand only on a function with a bridge's header: a device
    chooses its class, and most drivers choose by ids, so that "some bridge" would be a way round the guard.
    """
    entry = subject.entry
    if name := _named(guard, entry):
        return name
    if entry.class_code is not None:
        code = f"{entry.class_code:06x}"
        for prefix in guard.classes:
            if code.startswith(prefix):
                return f"class {prefix}"
        if entry.class_code >> 8 == BRIDGE:
            return ""
    for bridge in guard.behind:
        if bridge in subject.above:
            return f"behind {bridge}"
    return "removable" if guard.removable and subject.removable else ""


def before_asking(guard: Guard, subject: Subject, essential: Essential, *, off: bool) -> Decision | None:
    """What can be decided without asking anybody; None when the device has to show that it is trusted."""
    entry = subject.entry
    why = listed(guard, subject)
    if off:
        return Decision(True, "the guard is switched off on the kernel's command line", bool(why))
    if not why:
        return Decision(True, "not listed", False)
    if entry.address in essential.functions:
        return Decision(True, f"holds {essential.functions[entry.address]}")
    base = None if entry.class_code is None else entry.class_code >> 16
    if essential.unresolved and base in (STORAGE, NETWORK, None):
        return Decision(True, f"may hold {essential.unresolved[0]}, of which it is not known what holds it")
    if subject.boot_display and not _named(guard, entry):
        return Decision(True, "is the console, and not listed by its id")
    return None


_HELD = {
    Standing.REJECTED: "it is rejected",
    Standing.UNSUPPORTED: "it cannot authenticate itself",
    Standing.UNREACHABLE: "it could not be asked",
}


def after_asking(guard: Guard, standings: Mapping[By, Standing]) -> Decision:
    """What the answers mean; `standings` has those of `CHECK` and `KERNEL` that count for this guard."""
    for source, standing in standings.items():
        if standing is Standing.TRUSTED:
            return Decision(True, f"trusted, says {_WHO[source]}")
    found = set(standings.values())
    if Standing.REJECTED in found:
        return Decision(False, _HELD[Standing.REJECTED])
    if Standing.UNREACHABLE in found or not found:
        bind = guard.unreachable is Unreachable.BIND
        return Decision(bind, _HELD[Standing.UNREACHABLE] + (", which is allowed" if bind else ""))
    return Decision(False, _HELD[Standing.UNSUPPORTED])


_WHO = {By.CHECK: "cmakeys check", By.KERNEL: "the kernel"}


def _named(guard: Guard, entry: FunctionEntry) -> str:
    for text in guard.ids:
        vendor, _, device = text.partition(":")
        if entry.vendor == int(vendor, 16) and (device == "*" or entry.device == int(device, 16)):
            return f"id {text}"
    return ""
