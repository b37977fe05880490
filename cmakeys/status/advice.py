"""The one thing to do next, chosen by a table: the first rule that has something to say wins.

The order is that of harm: what makes every other statement doubtful comes first (clock, settings, store, journal), then
what is wrong now (a rejected device, a foreign certificate), then what is not in effect, then what is due.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cmakeys.images.freshness import Initrds
from cmakeys.status.model import ENDING, Devices, Gap, Kernel, Roots, Status
from cmakeys.x509.horizon import Nearness

CMA = ".cma"

CHECK_DUE = timedelta(days=7)
"""A verdict that is older says little about a device today."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do, and why. `words` begin after `cmakeys`; with `ours` false they are another program's command."""

    words: tuple[str, ...]
    reason: str
    ours: bool = True
    as_root: bool = False

    def command(self, sysroot: Path = Path("/")) -> str:
        """The command line, for the same tree."""
        if not self.ours:
            return shlex.join(self.words)
        tree = () if sysroot == Path("/") else ("--sysroot", str(sysroot))
        return shlex.join((*(("sudo",) if self.as_root and not tree else ()), "cmakeys", *self.words, *tree))


Rule = Callable[[Status], Step | None]


def next_step(status: Status) -> Step | None:
    """The next thing to do; None when nothing is."""
    return next((step for rule in RULES if (step := rule(status)) is not None), None)


def _clock(status: Status) -> Step | None:
    if status.clock_fault:
        return Step(("timedatectl",), "the clock is wrong, so no date can be judged", ours=False)
    if status.clock_doubt:
        return Step(("history", "clock"), "the clock may be wrong: compare it, then set or accept it")
    return None


def _config(status: Status) -> Step | None:
    broken = status.config is not None and not status.config.harmless
    return Step(("config", "show"), "the configuration is not understood, so no check runs") if broken else None


def _store(status: Status) -> Step | None:
    broken = isinstance(status.roots, Gap) and not status.roots.harmless
    return Step(("roots", "list"), "the store of roots cannot be read") if broken else None


def _register(status: Status) -> Step | None:
    broken = isinstance(status.devices, Gap) and not status.devices.harmless
    return Step(("devices", "list"), "the register of devices cannot be read") if broken else None


def _rejected(status: Status) -> Step | None:
    if not isinstance(status.devices, Devices) or not status.devices.rejected:
        return None
    name, *others = status.devices.rejected
    more = f", and {len(others)} more" if others else ""
    return Step(("devices", "show", name), f"{name} is rejected{more}: do not use it before you know why")


def _foreign(status: Status) -> Step | None:
    kernel = status.kernel
    if isinstance(kernel, Kernel) and kernel.foreign:
        words = ("keyring", "audit", *(() if kernel.name == CMA else ("--keyring", kernel.name)))
        return Step(words, "the kernel believes certificates that cmakeys did not put there")
    return None


def _no_roots(status: Status) -> Step | None:
    if isinstance(status.roots, Roots) and not status.roots.total:
        return Step(("roots", "add", "FILE"), "no vendor's root is trusted yet, so no device can be")
    return None


def _expired(status: Status) -> Step | None:
    ended = status.roots.ending(*ENDING) if isinstance(status.roots, Roots) else ()
    return Step(("roots", "show", ended[0].name), f"{ended[0].name} vouches for nothing any more") if ended else None


def _drift(status: Status) -> Step | None:
    kernel, roots = status.kernel, status.roots
    if not isinstance(kernel, Kernel) or kernel.in_step or not isinstance(roots, Roots):
        return None
    words = ("keyring", "apply", *(() if kernel.name == CMA else ("--keyring", kernel.name)))
    if not roots.anchors:
        return Step((*words, "--allow-empty"), f"{kernel.name} holds roots, and none is trusted on disk any more")
    return Step(words, f"{kernel.name} does not hold what is trusted on disk")


def _stale_initrd(status: Status) -> Step | None:
    image = status.image
    if not isinstance(image, Initrds) or not image.stale:
        return None
    place = image.stale[0].path
    reason = f"{place} would load other roots than are trusted"
    if image.rebuild and status.kernel is not None:
        return Step(image.rebuild, reason, ours=False)
    return Step(("image", "inspect", place, "--against"), f"{reason}: make it anew")


def _overlap_over(status: Status) -> Step | None:
    for name, until in status.roots.retiring if isinstance(status.roots, Roots) else ():
        if until is not None and until <= status.now:
            return Step(("roots", "rotate", name, "--finish"), f"the overlap of {name} ended on {until:%Y-%m-%d}")
    return None


def _no_devices(status: Status) -> Step | None:
    if isinstance(status.devices, Devices) and not status.devices.total and status.kernel is not None:
        return Step(("devices", "scan"), "no device is enrolled, so no check runs")
    return None


def _check_due(status: Status) -> Step | None:
    devices = status.devices
    if not isinstance(devices, Devices) or not devices.total:
        return None
    if devices.never:
        return Step(("check", "--all"), f"no verdict yet on {devices.never} of {devices.total} devices")
    if devices.oldest is not None and status.now - devices.oldest > CHECK_DUE:
        return Step(("check", "--all"), f"the oldest verdict is {(status.now - devices.oldest).days} days old")
    return None


def _unreachable(status: Status) -> Step | None:
    if not isinstance(status.devices, Devices) or not status.devices.unreachable:
        return None
    name = status.devices.unreachable[0]
    return Step(("check", name), f"{name} could not be reached the last time")


def _ends_soon(status: Status) -> Step | None:
    soon = status.roots.ending(Nearness.WARN) if isinstance(status.roots, Roots) else ()
    return Step(("roots", "lint"), f"{soon[0].name} ends on {soon[0].not_after:%Y-%m-%d}") if soon else None


def _staged(status: Status) -> Step | None:
    staged = status.roots.staged if isinstance(status.roots, Roots) else ()
    return (
        Step(("roots", "trust", staged[0]), f"{staged[0]} is staged, so no chain may end in it yet") if staged else None
    )


def _wrong(status: Status) -> Step | None:
    return Step(("status", "--json"), status.bad[0]) if status.bad else None


def _forbidden(status: Status) -> Step | None:
    hidden = [name for name, gap in status.gaps if gap.forbidden]
    return Step(("status",), f"as root it shows more: {', '.join(hidden)}", as_root=True) if hidden else None


RULES: tuple[Rule, ...] = (
    _clock,
    _config,
    _store,
    _register,
    _rejected,
    _foreign,
    _no_roots,
    _expired,
    _drift,
    _stale_initrd,
    _no_devices,
    _check_due,
    _unreachable,
    _overlap_over,
    _ends_soon,
    _staged,
    _wrong,
    _forbidden,
)
