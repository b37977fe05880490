"""Machines in every state that `cmakeys status` tells apart, as values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cmakeys.images.freshness import Baked, Freshness, Initrd, Initrds
from cmakeys.images.inspect import Difference
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.status.model import Devices, Gap, JournalState, Kernel, RootEnd, Roots, Status
from cmakeys.verify.clock import Recorded
from cmakeys.verify.verdict import Outcome
from cmakeys.x509.horizon import Nearness

NOW = datetime(2040, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NO_CMA = Gap("unsupported", ".cma: this kernel (6.12.1) has no .cma keyring (CONFIG_PCI_CMA, not in mainline yet)", "x")
ONLY_ROOT = Gap("not-permitted", ".cma: only root can see whether this kernel has a .cma keyring", "run as root")


def end(name: str, days: int, nearness: Nearness = Nearness.FAR) -> RootEnd:
    return RootEnd(name, NOW + days * DAY, nearness)


ROOTS = Roots(((LifeCycle.TRUSTED, 3),), anchors=3, deny_entries=2, ends=(end("acme", 400), end("beta", 4000)))
DEVICES = Devices(6, ((Outcome.TRUSTED, 6),), oldest=NOW - DAY)
INITRD = "/boot/initrd.img-6.12.1"
BAKED = Baked("ab" * 32, "0.1.0", (("acme", "cd" * 32),))
REBUILD = ("update-initramfs", "-u", "-k", "all")
CURRENT = Initrds((Initrd(INITRD, Freshness.CURRENT, BAKED),), "ab" * 32, REBUILD, "ab" * 32)
HEALTHY = Status(NOW, "Linux 6.12.1", ROOTS, Kernel(".cma", keep=3), DEVICES, JournalState(12), image=CURRENT)
FRESH = Status(NOW, "Linux 6.12.1", Roots(), NO_CMA, Devices(), JournalState())
DRIFT = replace(HEALTHY, kernel=Kernel(".cma", add=2, remove=1, keep=1))
FOREIGN = replace(HEALTHY, kernel=Kernel(".cma", keep=3, foreign=2, fixed=1))
ENDS_SOON = replace(HEALTHY, roots=replace(ROOTS, ends=(end("acme", 40, Nearness.WARN), end("beta", 4000))))
ENDED = replace(HEALTHY, roots=replace(ROOTS, ends=(end("acme", -3, Nearness.OVER), end("beta", 4000))))
REJECTED = replace(
    HEALTHY,
    devices=Devices(
        9,
        ((Outcome.TRUSTED, 5), (Outcome.DEGRADED, 1), (Outcome.REJECTED, 2)),
        ("gpu0", "nvme3"),
        ("nic1", "nic2", "nic3", "nic4"),
        1,
        NOW - DAY,
    ),
)
WRONG_CLOCK = replace(
    HEALTHY,
    now=datetime(1970, 1, 1, 0, 5, tzinfo=UTC),
    newest=Recorded(NOW - DAY / 24, "entry 12 of the journal"),
    clock_fault="the machine's clock says 1970-01-01 00:05Z, but entry 12 of the journal is of 2040-01-01 11:00Z",
)
PLAIN_USER = replace(
    HEALTHY,
    kernel=ONLY_ROOT,
    devices=Gap("not-permitted", "/var/lib/cmakeys/devices.db: Permission denied (EACCES)", "run as root"),
    journal=Gap("not-permitted", "/var/lib/cmakeys/journal.jsonl: Permission denied (EACCES)", "run as root"),
)
ROTATING = replace(
    HEALTHY,
    roots=replace(
        ROOTS,
        states=((LifeCycle.STAGED, 1), (LifeCycle.TRUSTED, 2), (LifeCycle.RETIRING, 1), (LifeCycle.DISTRUSTED, 1)),
        staged=("acme-2041",),
        retiring=(("acme", NOW + 30 * DAY),),
        denied=("gamma",),
        unfinished=True,
    ),
)
OVERLAP_OVER = replace(
    HEALTHY,
    roots=replace(
        ROOTS,
        states=((LifeCycle.TRUSTED, 2), (LifeCycle.RETIRING, 1)),
        retiring=(("acme", NOW - 2 * DAY),),
    ),
)
TAMPERED = replace(HEALTHY, journal=JournalState(12, "line 4: it does not carry the hash of the line before it", 1))
MISCONFIGURED = replace(
    HEALTHY, config=Gap("document", "/etc/cmakeys/cmakeys.yaml line 2: unknown key 'clok'", "known here: clock")
)
CONFIG_OF_ANOTHER = replace(
    HEALTHY, config=Gap("not-permitted", "/etc/cmakeys/cmakeys.yaml: Permission denied (EACCES)", "run as root")
)
BROKEN_STORE = replace(
    HEALTHY,
    roots=Gap("store", "/etc/cmakeys/roots/acme.yaml: there is no acme.pem beside it"),
    kernel=Gap("store", "not compared, because the roots cannot be read"),
)
BROKEN_REGISTER = replace(HEALTHY, devices=Gap("register-damaged", "/var/lib/cmakeys/devices.db: not a database"))
NEVER_CHECKED = replace(HEALTHY, devices=Devices(2, never=2))
LONG_AGO = replace(HEALTHY, devices=replace(DEVICES, oldest=NOW - 8 * DAY))
UNREACHABLE = replace(HEALTHY, devices=replace(DEVICES, unreachable=("nic1",)))
NO_DEVICES = replace(HEALTHY, devices=Devices())
ALL_RETIRED = replace(HEALTHY, roots=Roots(((LifeCycle.RETIRED, 3),)), kernel=Kernel(".cma", remove=3))
STALE = replace(
    HEALTHY,
    image=replace(
        CURRENT,
        found=(
            Initrd("/boot/efi/EFI/Linux/arch-linux.efi", Freshness.CURRENT, BAKED),
            Initrd(
                INITRD, Freshness.STALE, BAKED, ((Difference.DISTRUSTED, "acme"), (Difference.MISSING, "acme-2041"))
            ),
        ),
    ),
)
NO_INITRD_IN_SIGHT = replace(HEALTHY, image=Gap("not-permitted", "/boot: Permission denied (EACCES)", "run as root"))
TREE = replace(HEALTHY, machine="/srv/image", kernel=None)
BUSY = replace(HEALTHY, devices=Gap("locked", "it is being written all the time"))

MACHINES = {name.lower().replace("_", "-"): value for name, value in vars().items() if isinstance(value, Status)}
"""All of them by name."""
