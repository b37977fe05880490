"""All probes of the doctor in the order of the report. Nothing is changed and no device is asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cmakeys.devices.sysfs import Sysfs
from cmakeys.doctor import kernel, machine, own
from cmakeys.doctor.model import Finding, Group, Probe
from cmakeys.status.survey import Places, survey


def examine(places: Places, sysfs: Sysfs, now: datetime) -> tuple[Finding, ...]:
    """Every finding, by group; never raises for what is found."""
    findings = [finding for probe in _probes(places, sysfs) for finding in probe.run()]
    findings += Probe(Group.CMAKEYS, "state", lambda: _state(places, now)).run()
    order = list(Group)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.group)))


def _probes(places: Places, sysfs: Sysfs) -> tuple[Probe, ...]:
    return (
        Probe(Group.KERNEL, "release", lambda: kernel.release(sysfs)),
        Probe(Group.KERNEL, "cma", kernel.keyring),
        Probe(Group.KERNEL, "netlink", kernel.netlink),
        Probe(Group.KERNEL, "lockdown", lambda: kernel.lockdown(sysfs)),
        Probe(Group.KERNEL, "libkeyutils", kernel.library),
        Probe(Group.ALGORITHMS, "algorithms", kernel.algorithms),
        Probe(Group.RIGHTS, "user", machine.capabilities),
        Probe(Group.RIGHTS, "config-space", lambda: machine.configuration_space(sysfs)),
        Probe(Group.RIGHTS, "settings", machine.writable("settings", places.sysroot / "etc/cmakeys")),
        Probe(Group.RIGHTS, "state", machine.writable("state", places.state_dir)),
        Probe(Group.DEVICES, "devices", lambda: machine.devices(sysfs)),
        Probe(Group.CLOCK, "synchronised", machine.synchronised),
    )


def _state(places: Places, now: datetime) -> Iterator[Finding]:
    """The probes of what `status` looks at, too: it is looked at once for all of them."""
    status = survey(places, now)
    record = f"{status.newest.what} ({status.newest.at:%Y-%m-%d})"
    for probe in (
        Probe(Group.CLOCK, "clock", lambda: machine.clock(now, status.clock_fault, status.clock_doubt, record)),
        Probe(Group.CMAKEYS, "config", lambda: own.settings(status)),
        Probe(Group.CMAKEYS, "roots", lambda: own.roots(status, places.sysroot)),
        Probe(Group.CMAKEYS, "register", lambda: own.register(status)),
        Probe(Group.CMAKEYS, "journal", lambda: own.journal(status)),
        Probe(Group.CMAKEYS, "keyring", lambda: own.keyring(status)),
    ):
        yield from probe.run()
