"""Probes of what cmakeys itself keeps: settings, roots, register, journal, and the keyring that follows the roots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cmakeys.config import load_config
from cmakeys.doctor.model import Finding, Group, Severity
from cmakeys.roots.catalogue import load_catalogue
from cmakeys.roots.store import RootStore
from cmakeys.status.model import Devices, Gap, JournalState, Kernel, Roots, Status
from cmakeys.wording import counted
from cmakeys.x509.lint import Severity as LintSeverity
from cmakeys.x509.lint import lint_anchor


def settings(status: Status) -> Iterator[Finding]:
    """Whether the configuration is understood."""
    if status.config is None:
        yield _own("config", Severity.GOOD, "the configuration is understood")
    else:
        yield _gap("config", status.config, "cmakeys config show")


def roots(status: Status, sysroot: Path) -> Iterator[Finding]:
    """Whether the roots can be read, and what speaks against those that anchor."""
    if isinstance(status.roots, Gap):
        yield _gap("roots", status.roots, "cmakeys roots list")
        return
    yield _counted(status.roots)
    anchors = RootStore(sysroot).inspect().root_set.anchors()
    expiry, test_roots = load_config(sysroot).policy.root_expiry, load_catalogue().test_roots
    found = Counter(
        finding.severity
        for root in anchors
        for finding in lint_anchor(
            root.certificate, now=status.now, expiry=expiry, clock_fault=status.clock_fault, test_roots=test_roots
        )
    )
    errors, warnings = found[LintSeverity.ERROR], found[LintSeverity.WARNING]
    if errors or warnings:
        yield _own(
            "lint",
            Severity.BAD if errors else Severity.WARNING,
            f"lint of the trusted roots: {errors} errors, {warnings} warnings",
            "something speaks against a root as an anchor",
            "cmakeys roots lint",
        )
    elif anchors:
        yield _own("lint", Severity.GOOD, "lint of the trusted roots: nothing against them")
    if status.roots.findings:
        yield _own(
            "store",
            Severity.WARNING,
            f"{status.roots.findings} oddities in the store's folders",
            "",
            "cmakeys roots list",
        )


def _counted(found: Roots) -> Finding:
    if found.anchors:
        return _own("roots", Severity.GOOD, f"{counted(found.total, 'root')}, {found.anchors} of them trusted")
    return _own(
        "roots",
        Severity.NOTE,
        f"{counted(found.total, 'root')}, none of them trusted",
        "no device can be trusted yet",
        "cmakeys roots add FILE",
    )


def register(status: Status) -> Iterator[Finding]:
    """Whether the register of devices can be read."""
    if isinstance(status.devices, Devices):
        yield _own("register", Severity.GOOD, f"the register can be read; devices enrolled: {status.devices.total}")
    else:
        yield _gap("register", status.devices, "cmakeys devices list")


def journal(status: Status) -> Iterator[Finding]:
    """Whether the record of changes is whole."""
    found = status.journal
    if not isinstance(found, JournalState):
        yield _gap("journal", found, "cmakeys status")
    elif found.fault:
        yield _own(
            "journal",
            Severity.BAD,
            f"the journal does not hold: {found.fault}",
            "it was changed behind its own back",
            "cmakeys status",
        )
    else:
        yield _own("journal", Severity.GOOD, f"the journal is intact, entries: {found.entries}")


def keyring(status: Status) -> Iterator[Finding]:
    """Whether the kernel holds exactly what is trusted; without a keyring there is nothing to say."""
    found = status.kernel
    if found is None:
        return
    if isinstance(found, Kernel):
        if found.foreign:
            yield _own(
                "foreign",
                Severity.BAD,
                f"{found.name} holds {found.foreign} keys that cmakeys did not put there",
                "the kernel believes devices by them",
                "cmakeys keyring audit",
            )
        if found.in_step:
            yield _own("keyring", Severity.GOOD, f"{found.name} is in step with the roots: {found.keep} there")
        else:
            yield _own(
                "keyring",
                Severity.WARNING,
                f"{found.name} is not in step: {found.add} to add, {found.remove} to remove",
                "the kernel does not believe what is trusted on disk",
                "cmakeys keyring apply",
            )
    elif not found.unsupported:
        yield _gap("keyring", found, "cmakeys keyring status")


def _gap(code: str, gap: Gap, action: str) -> Finding:
    """What could not be looked at: not ours to see, or not understood and so bad."""
    severity = Severity.UNKNOWN if gap.harmless else Severity.BAD
    return _own(code, severity, f"{code}: {gap.message}", "", gap.hint or action)


def _own(code: str, severity: Severity, message: str, meaning: str = "", action: str = "") -> Finding:
    return Finding(Group.CMAKEYS, code, severity, message, meaning, action)
