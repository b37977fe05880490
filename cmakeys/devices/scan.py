"""Which PCI functions speak CMA-SPDM, how that is known, and what the kernel says of each.

The sources, surest first: the mailbox's features as the kernel discovered them (6.15 and later), a verdict of the SPDM
series, DOE discovery by ourselves where the caller brings it, and the absence of any mailbox. What is left is unknown,
with the reason; a function of which nothing can be told is never called one that does not speak CMA.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from cmakeys.devices.configuration import ConfigurationSpace
from cmakeys.devices.functions import FEATURE_SPDM, FunctionEntry
from cmakeys.devices.kernel import Authenticated, KernelVerdict, read_verdict
from cmakeys.devices.sysfs import Sysfs
from cmakeys.errors import EnvironmentProblem
from cmakeys.x509.identity import PciIdentity

Discovery = Callable[[FunctionEntry], frozenset[str]]
"""Asks a function's mailboxes which protocols they carry, as `VVVV:TT`. Raises an `EnvironmentProblem`."""


class Speaks(Enum):
    """Whether a function speaks CMA-SPDM."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ScannedFunction:
    """One function: does it speak CMA-SPDM, why we think so, and the kernel's verdict.

    `identity` is what its leaf certificate must name, None when it could not be read.
    """

    function: FunctionEntry
    speaks: Speaks
    reason: str
    verdict: KernelVerdict
    identity: PciIdentity | None = None

    @property
    def noteworthy(self) -> bool:
        """Whether it belongs into a list of devices that matter: it speaks CMA, or the kernel says something of it."""
        return self.speaks is Speaks.YES or self.verdict.state is not Authenticated.ABSENT


def scan(
    sysfs: Sysfs, functions: Iterable[FunctionEntry], discover: Discovery | None = None
) -> tuple[ScannedFunction, ...]:
    """Look at functions; never raises for what one of them is or says.

    `discover` is used for functions with a mailbox whose features the kernel does not list; without it they stay
    unknown.
    """
    entries = tuple(functions)
    kernel_lists_features = any(entry.features is not None for entry in entries)
    return tuple(_scan_one(sysfs, entry, discover, kernel_lists_features) for entry in entries)


def _scan_one(
    sysfs: Sysfs, entry: FunctionEntry, discover: Discovery | None, kernel_lists_features: bool
) -> ScannedFunction:
    verdict = read_verdict(sysfs, entry.folder)
    space = ConfigurationSpace.read(sysfs, entry.folder)
    speaks, reason = _speaks(entry, verdict, space, discover, kernel_lists_features)
    return ScannedFunction(entry, speaks, reason, verdict, space.identity())


def _speaks(
    entry: FunctionEntry,
    verdict: KernelVerdict,
    space: ConfigurationSpace,
    discover: Discovery | None,
    kernel_lists_features: bool,
) -> tuple[Speaks, str]:
    if entry.features is not None:
        if FEATURE_SPDM in entry.features:
            return Speaks.YES, "the kernel found CMA-SPDM in its mailbox"
        return Speaks.NO, "its mailbox carries no CMA-SPDM"
    if verdict.state in (Authenticated.FAILED, Authenticated.SUCCEEDED):
        return Speaks.YES, "the kernel has tried to authenticate it"
    if verdict.state is Authenticated.UNDETERMINED:
        return Speaks.UNKNOWN, "the kernel could not find out; treat it as a possible downgrade"
    mailbox = space.has_mailbox
    if mailbox is False:
        return Speaks.NO, "it has no mailbox"
    if kernel_lists_features:
        return Speaks.NO, "the kernel lists no mailbox for it"
    if mailbox is None:
        return Speaks.UNKNOWN, space.problem or "the function does not answer"
    if discover is None:
        return Speaks.UNKNOWN, "it has a mailbox, and this kernel does not list what it carries"
    try:
        features = discover(entry)
    except EnvironmentProblem as problem:
        return Speaks.UNKNOWN, f"its mailbox could not be asked: {problem.message}"
    if FEATURE_SPDM in features:
        return Speaks.YES, "its mailbox carries CMA-SPDM"
    return Speaks.NO, "its mailbox carries no CMA-SPDM"
