"""Probes of the kernel: which of the lines of development it is of, its keyring, and the algorithms that it takes.

Nothing is concluded from a version or from the build's configuration: a series is known by what it shows, the keyring
by DESCRIBE, an algorithm by a certificate that was really added (kernel-abi 1.3).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

from cmakeys.devices.functions import list_functions
from cmakeys.devices.kernel import Authenticated, read_verdict
from cmakeys.devices.netlink import PCI_TSM, SPDM, find_family
from cmakeys.devices.sysfs import Sysfs
from cmakeys.doctor.model import Finding, Group, Severity
from cmakeys.errors import EnvironmentProblem, NotFound, Unsupported
from cmakeys.keyring.algorithms import try_algorithms
from cmakeys.keyring.cma import CMA, open_keyring
from cmakeys.keyring.keyctl import LIBRARY, Keyctl

SERIES = frozenset({Authenticated.FAILED, Authenticated.SUCCEEDED, Authenticated.UNDETERMINED})
TSM = frozenset({Authenticated.SESSION, Authenticated.NO_SESSION})

_VERSION = "keyutils_version_string"  # a C array of characters, so its address is the text
_USERSPACE = "cmakeys check authenticates devices without the kernel's help"


def release(sysfs: Sysfs) -> Iterator[Finding]:
    """The release, and what shows that this kernel authenticates devices, or does not."""
    series, tsm = _signs(sysfs)
    name = f"Linux {os.uname().release}"
    if series:
        yield _kernel("release", Severity.GOOD, f"{name} with the SPDM series: {', '.join(series)}")
    elif tsm:
        yield _kernel(
            "release",
            Severity.NOTE,
            f"{name} with mainline's TSM: {', '.join(tsm)}",
            f"the platform's security manager holds the sessions and .cma plays no part; {_USERSPACE}",
        )
    else:
        yield _kernel(
            "release",
            Severity.NOTE,
            f"{name}, no sign of the SPDM series or of a TSM",
            f"no mainline kernel authenticates by .cma; {_USERSPACE}",
        )


def _signs(sysfs: Sysfs) -> tuple[list[str], list[str]]:
    """What shows the SPDM series, and what shows mainline's TSM."""
    series: list[str] = []
    tsm = [f"/sys/class/tsm/{name}" for name in sysfs.names(sysfs.root / "class/tsm")[:4]]
    verdicts = [read_verdict(sysfs, entry.folder).state for entry in list_functions(sysfs)]
    for signs, states, words in ((series, SERIES, "a writable"), (tsm, TSM, "a read-only")):
        count = sum(state in states for state in verdicts)
        if count:
            signs.append(f"{words} authenticated on {count} function{'s' if count > 1 else ''}")
    return series, tsm


def netlink() -> Iterator[Finding]:
    """The generic netlink families of the SPDM series and of the TSM proposal."""
    spdm, pci_tsm = find_family(SPDM), find_family(PCI_TSM)
    if spdm is not None:
        meaning = "it announces signatures to who listens and keeps none, so cmakeys does not read it"
        yield _kernel("netlink", Severity.NOTE, f"netlink family {SPDM}, version {spdm.version}", meaning)
    if pci_tsm is not None:
        meaning = "a proposal; its format is not known to be stable, so cmakeys does not read it"
        yield _kernel("netlink", Severity.NOTE, f"netlink family {PCI_TSM}, version {pci_tsm.version}", meaning)
    if spdm is None and pci_tsm is None:
        yield _kernel("netlink", Severity.GOOD, f"netlink families {SPDM} and {PCI_TSM}: not there, none is needed")


def library() -> Iterator[Finding]:
    """Whether libkeyutils can be loaded, and which one it is."""
    try:
        Keyctl()
        version = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(LIBRARY), _VERSION)))
    except Unsupported as error:
        yield _kernel(
            "libkeyutils", Severity.BAD, str(error), "nothing can be put into the kernel's keyring", error.hint
        )
    except ValueError:
        yield _kernel("libkeyutils", Severity.GOOD, f"{LIBRARY}, which does not tell its version")
    else:
        yield _kernel("libkeyutils", Severity.GOOD, f"{LIBRARY}: {version[:64].decode('ascii', 'replace')}")


def keyring() -> Iterator[Finding]:
    """Whether there is a `.cma`, confirmed by its serial."""
    try:
        ring = open_keyring(CMA)
    except (Unsupported, NotFound) as error:
        yield _kernel("cma", Severity.NOTE, f"no {CMA} ({error.message})", f"the kernel judges no device; {_USERSPACE}")
    else:
        yield _kernel("cma", Severity.GOOD, f"{CMA} is there: {ring.label}, confirmed by DESCRIBE")


def algorithms() -> Iterator[Finding]:
    """Which algorithms this kernel takes in a certificate."""
    trials = try_algorithms()
    taken = [trial.name for trial in trials if trial.problem is None]
    lacking = [trial for trial in trials if isinstance(trial.problem, Unsupported)]
    if taken:
        yield Finding(Group.ALGORITHMS, "taken", Severity.GOOD, f"this kernel takes {', '.join(taken)}")
    by_message: dict[str, list[str]] = {}
    for trial in lacking:
        problem = trial.problem or EnvironmentProblem("")
        by_message.setdefault(_remedy(problem.hint), []).append(trial.name)
    for hint, names in by_message.items():
        yield Finding(
            Group.ALGORITHMS,
            "lacking",
            _lacking(),
            f"this kernel does not take {', '.join(names)}",
            "a root with such a key cannot go into a keyring; checks from userspace are not affected",
            hint,
        )
    for trial in trials:
        if trial.problem is not None and trial not in lacking:
            yield Finding(
                Group.ALGORITHMS,
                "tried",
                Severity.UNKNOWN,
                f"{trial.name}: {trial.problem.message}",
                "",
                trial.problem.hint,
            )


def _remedy(hint: str) -> str:
    """What a refused root's hint says of the kernel, without what it says of the root."""
    return "use " + hint.partition(";")[0].removeprefix("it needs ").removesuffix(" does")


def _lacking() -> Severity:
    """An algorithm that is missing hinders only where there is a keyring that roots could go into."""
    try:
        open_keyring(CMA)
    except EnvironmentProblem:
        return Severity.NOTE
    return Severity.WARNING


def lockdown(sysfs: Sysfs) -> Iterator[Finding]:
    """Kernel lockdown, and what follows for the mailbox."""
    try:
        text = sysfs.read(sysfs.root / "kernel/security/lockdown", 256).decode("ascii", "replace")
    except FileNotFoundError:
        if sysfs.names(sysfs.root / "kernel/security"):
            yield _kernel("lockdown", Severity.GOOD, "this kernel has no lockdown")
            return
        meaning = "either this kernel has no lockdown, or securityfs is not mounted"
        yield _kernel(
            "lockdown",
            Severity.UNKNOWN,
            "lockdown: no such file in securityfs",
            meaning,
            "mount -t securityfs securityfs /sys/kernel/security",
        )
        return
    mode = text.partition("[")[2].partition("]")[0]
    if mode == "none":
        yield _kernel("lockdown", Severity.GOOD, "lockdown: none")
    elif mode in ("integrity", "confidentiality"):
        yield _kernel(
            "lockdown",
            Severity.WARNING,
            f"lockdown: {mode}",
            "no program may write to configuration space, so no mailbox can be asked; keyrings are not affected",
            "look at what the kernel says itself: cmakeys devices scan",
        )
    else:
        yield _kernel("lockdown", Severity.UNKNOWN, f"lockdown: {text[:60]!r} is not understood")


def _kernel(code: str, severity: Severity, message: str, meaning: str = "", action: str = "") -> Finding:
    return Finding(Group.KERNEL, code, severity, message, meaning, action)
