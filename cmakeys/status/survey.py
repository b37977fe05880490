"""Look at everything that `status` shows, each part on its own: what cannot be looked at is said, and the rest goes on.

Nothing is written and no device is asked, so this is quick and works for any user, also where cmakeys never ran.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from cmakeys.clock import newest_record
from cmakeys.config import Config, load_config
from cmakeys.devices.register import Register
from cmakeys.errors import CmakeysError, from_oserror
from cmakeys.images.freshness import Initrds
from cmakeys.images.recollection import Recollection
from cmakeys.images.staleness import look_at_initrds
from cmakeys.roots.directory import StoreReport
from cmakeys.roots.journal import Journal, JournalReading
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.store import PENDING, RootStore
from cmakeys.status.model import Devices, Gap, JournalState, Kernel, RootEnd, Roots, Status
from cmakeys.verify.clock import ClockState, read_clock
from cmakeys.verify.policy import Policy
from cmakeys.verify.verdict import Outcome
from cmakeys.x509.horizon import Expiry, Nearness

_Part = TypeVar("_Part")

DIRECT = frozenset({"foreign-anchor", "direct-root"})
"""Findings of an audit about keys that lie in the keyring itself, which nothing but a reboot takes out for certain."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look; `keyring` is a selector as `keyring status` takes it, None for a tree, which has no kernel."""

    sysroot: Path
    state_dir: Path
    keyring: str | None


def survey(places: Places, now: datetime) -> Status:
    """Everything on one screen; never raises for what is found."""
    config = _looked(lambda: load_config(places.sysroot))
    store = _looked(RootStore(places.sysroot).inspect)
    journal = _looked(Journal(places.state_dir).read)
    register = Register(places.state_dir)
    record = newest_record(places.state_dir, journal if isinstance(journal, JournalReading) else JournalReading())
    reading = read_clock(now, record)
    fault = reading.text if reading.state is ClockState.BEHIND else ""
    expiry = (Policy() if isinstance(config, Gap) else config.policy).root_expiry
    return Status(
        now=now,
        machine=f"Linux {os.uname().release}" if places.sysroot == Path("/") else str(places.sysroot),
        roots=store if isinstance(store, Gap) else _roots(places, store, expiry, None if fault else now),
        kernel=_kernel(places.keyring, store),
        devices=_looked(lambda: devices_of(register)),
        journal=journal if isinstance(journal, Gap) else journal_of(journal),
        newest=record,
        clock_fault=fault,
        clock_doubt=reading.text if reading.state is ClockState.AHEAD else "",
        config=config if isinstance(config, Gap) else None,
        image=_image(places, store, Config() if isinstance(config, Gap) else config),
    )


def _looked(look: Callable[[], _Part]) -> _Part | Gap:
    """What a look finds, or why it found nothing."""
    try:
        return look()
    except CmakeysError as error:
        return Gap.of(error)
    except OSError as error:
        return Gap.of(from_oserror(error, str(error.filename or "")))


def _roots(places: Places, report: StoreReport, expiry: Expiry, now: datetime | None) -> Roots:
    unfinished = os.path.lexists(RootStore(places.sysroot).directories[0] / PENDING)
    return replace(roots_of(report, expiry, now), unfinished=unfinished)


def roots_of(report: StoreReport, expiry: Expiry, now: datetime | None) -> Roots:
    """The roots of a store; without a time that can be believed no end is near."""
    root_set = report.root_set
    states = Counter(root.state for root in root_set.roots)
    anchors = root_set.anchors()
    ends = [
        RootEnd(root.name, root.certificate.not_after, Nearness.FAR if now is None else nearness)
        for root in anchors
        if (nearness := expiry.nearness(root.certificate, now or root.certificate.not_before)) is not Nearness.ENDLESS
    ]
    return Roots(
        states=tuple((state, states[state]) for state in LifeCycle if states[state]),
        anchors=len(anchors),
        deny_entries=len(root_set.deny),
        denied=tuple(root.name for root in root_set.roots if root.state.anchors and root not in anchors),
        ends=tuple(sorted(ends, key=lambda end: (end.not_after, end.name))),
        staged=tuple(root.name for root in root_set.roots if root.state is LifeCycle.STAGED),
        retiring=tuple(
            (root.name, root.rotation.overlap_until if root.rotation else None)
            for root in root_set.roots
            if root.state is LifeCycle.RETIRING
        ),
        findings=len(report.findings),
    )


def _kernel(selector: str | None, store: StoreReport | Gap) -> Kernel | Gap | None:
    if selector is None:
        return None
    if isinstance(store, Gap):
        return Gap(store.code, "not compared, because the roots cannot be read")
    return _looked(lambda: kernel_of(selector, store.root_set))


def _image(places: Places, store: StoreReport | Gap, config: Config) -> Initrds | Gap:
    """The initrds against the anchors, out of what the last check remembers where they are the same."""
    if isinstance(store, Gap):
        return Gap(store.code, "not compared, because the roots cannot be read")
    memory = Recollection(places.state_dir)
    return _looked(lambda: look_at_initrds(places.sysroot, store.root_set, config.initrd, memory))


def kernel_of(selector: str, root_set: RootSet) -> Kernel:
    """A keyring against the anchors. Raises an `EnvironmentProblem` where it cannot be looked at."""
    from cmakeys.keyring.audit import audit
    from cmakeys.keyring.cma import open_keyring
    from cmakeys.keyring.managed import plan
    from cmakeys.x509.lint import Severity

    ring = open_keyring(selector)
    anchors = root_set.anchors()
    difference = plan(anchors, ring)
    findings = [finding for finding in audit(anchors, ring) if finding.code != "not-in-store"]
    return Kernel(
        ring.info.description if selector.startswith(".") else selector,
        add=len(difference.add),
        remove=len(difference.remove),
        keep=len(difference.keep),
        rebuild=bool(difference.rebuild or difference.foreign or difference.dead),
        foreign=sum(finding.severity is Severity.ERROR for finding in findings),
        fixed=sum(finding.code in DIRECT for finding in findings),
    )


def devices_of(register: Register) -> Devices:
    """The register's devices by their newest verdict."""
    names = [device.name for device in register.devices()]
    verdicts, latest = register.latest_verdicts(), register.latest()
    outcomes = Counter(verdicts[name].outcome for name in names if name in verdicts)
    return Devices(
        total=len(names),
        verdicts=tuple((outcome, outcomes[outcome.value]) for outcome in Outcome if outcomes[outcome.value]),
        rejected=tuple(name for name in names if name in verdicts and verdicts[name].outcome == Outcome.REJECTED.value),
        unreachable=tuple(name for name in names if name in latest and not latest[name].is_verdict),
        never=sum(name not in verdicts for name in names),
        oldest=min((verdicts[name].checked_at for name in names if name in verdicts), default=None),
    )


def journal_of(reading: JournalReading) -> JournalState:
    """Whether the journal holds."""
    faults = [fault for fault in reading.faults if not fault.torn]
    return JournalState(
        len(reading.entries),
        (f"line {faults[0].line}: " if faults[0].line else "") + faults[0].message if faults else "",
        len(reading.faults) - len(faults),
    )
