"""What `cmakeys status` shows, as one value: a part for each place that was looked at.

A part that could not be looked at is a `Gap` with the reason, never an empty part: a register that a plain user may not
read is not a machine without devices. `Status.bad` says what makes a machine unhealthy, and with it the exit code; what
is only due (a root to renew, a keyring to fill) does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cmakeys.errors import CmakeysError, Locked, NotPermitted, Temporary, Unsupported
from cmakeys.images.freshness import Initrds
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.verify.clock import RELEASE, Recorded
from cmakeys.verify.verdict import Outcome
from cmakeys.x509.horizon import Nearness

ENDING = (Nearness.FAIL, Nearness.OVER)
"""Where an anchor is of no more use: over, or as good as over by the policy."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A part about which nothing is known; `code`, `message` and `hint` are those of the error that was met."""

    code: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: CmakeysError) -> Gap:
        """What an error leaves unknown."""
        return cls(error.code, str(error), error.hint)

    @property
    def forbidden(self) -> bool:
        """Whether another user might see more."""
        return self.code == NotPermitted.code

    @property
    def unsupported(self) -> bool:
        """Whether there is nothing to see on this machine."""
        return self.code == Unsupported.code

    @property
    def harmless(self) -> bool:
        """Whether it says nothing against the machine: not ours to see, nothing there, or busy just now."""
        return self.code in {kind.code for kind in (NotPermitted, Unsupported, Temporary, Locked)}


@dataclass(frozen=True, slots=True)
class RootEnd:
    """When an anchor ends; `nearness` is the policy's word for it, FAR where the clock cannot be believed."""

    name: str
    not_after: datetime
    nearness: Nearness


@dataclass(frozen=True, slots=True)
class Roots:
    """The roots of the store. `anchors` counts those in which a chain may end; `ends` are their ends, the next first.

    `denied` are roots that would anchor but for a deny entry. `until` gives the end of a retiring root's overlap.
    `unfinished` says that a run was killed in the middle of a change, which the next change finishes or drops.
    """

    states: tuple[tuple[LifeCycle, int], ...] = ()
    anchors: int = 0
    deny_entries: int = 0
    denied: tuple[str, ...] = ()
    ends: tuple[RootEnd, ...] = ()
    staged: tuple[str, ...] = ()
    retiring: tuple[tuple[str, datetime | None], ...] = ()
    findings: int = 0
    unfinished: bool = False

    @property
    def total(self) -> int:
        """How many roots there are, in whatever state."""
        return sum(count for _, count in self.states)

    def ending(self, *kinds: Nearness) -> tuple[RootEnd, ...]:
        """The anchors whose end is one of these kinds."""
        return tuple(end for end in self.ends if end.nearness in kinds)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel keyring against the anchors: what `keyring apply` would add, remove and leave.

    `rebuild` says that our ring itself has to be made anew. `foreign` counts what changes which devices the kernel
    believes and is not ours; `fixed` of them lie directly in the keyring, where they stay until reboot.
    """

    name: str
    add: int = 0
    remove: int = 0
    keep: int = 0
    rebuild: bool = False
    foreign: int = 0
    fixed: int = 0

    @property
    def in_step(self) -> bool:
        """Whether the kernel has from us exactly what is trusted."""
        return not (self.add or self.remove or self.rebuild)


@dataclass(frozen=True, slots=True)
class Devices:
    """The register: `verdicts` are the newest verdicts by outcome, `rejected` and `unreachable` names.

    `unreachable` are devices whose newest check found nothing out, whatever was found before. `never` counts devices
    without any verdict; `oldest` is the time of the verdict that is longest ago.
    """

    total: int = 0
    verdicts: tuple[tuple[Outcome, int], ...] = ()
    rejected: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    never: int = 0
    oldest: datetime | None = None


@dataclass(frozen=True, slots=True)
class JournalState:
    """The record of changes: how many entries, the first fault in words, and whether a crash tore lines."""

    entries: int = 0
    fault: str = ""
    torn: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """Everything on one screen. `kernel` is None for a tree, which has none; `now` is the machine's time, aware.

    `newest` is the newest thing recorded here, `clock_fault` says that `now` is behind it and `clock_doubt` that it is
    far ahead. `config` is the gap left by a configuration that is not understood.
    """

    now: datetime
    machine: str
    roots: Roots | Gap
    kernel: Kernel | Gap | None
    devices: Devices | Gap
    journal: JournalState | Gap
    newest: Recorded = RELEASE
    clock_fault: str = ""
    config: Gap | None = None
    image: Initrds | Gap = Initrds((), "")
    clock_doubt: str = ""

    @property
    def gaps(self) -> tuple[tuple[str, Gap], ...]:
        """The parts that could not be looked at."""
        parts = (
            ("config", self.config),
            ("roots", self.roots),
            ("kernel", self.kernel),
            ("image", self.image),
            ("devices", self.devices),
            ("journal", self.journal),
        )
        return tuple((name, part) for name, part in parts if isinstance(part, Gap))

    @property
    def bad(self) -> tuple[str, ...]:
        """What is wrong with this machine, a sentence each; nothing where it is healthy."""
        return tuple(_bad(self))


def _bad(status: Status) -> Iterator[str]:
    for name, gap in status.gaps:
        if not gap.harmless:
            yield f"{name}: {gap.message}"
    if isinstance(status.journal, JournalState) and status.journal.fault:
        yield f"the journal was changed behind its own back: {status.journal.fault}"
    if isinstance(status.devices, Devices) and status.devices.rejected:
        yield f"devices that are rejected: {', '.join(status.devices.rejected)}"
    if isinstance(status.kernel, Kernel) and status.kernel.foreign:
        yield f"the kernel believes what cmakeys did not put there: {status.kernel.foreign} in {status.kernel.name}"
    if isinstance(status.roots, Roots) and (ending := status.roots.ending(*ENDING)):
        yield f"trusted roots that have expired, or as good as: {', '.join(end.name for end in ending)}"
