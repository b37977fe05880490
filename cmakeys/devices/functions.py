"""The PCI functions of this machine as the kernel lists them: ids, class, driver, features of the mailbox.

Listing them needs no privilege. An attribute that is missing or nonsense leaves a gap in that function's entry and
never ends the list: a machine with one odd device still has the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cmakeys.devices.address import PciFunction
from cmakeys.devices.sysfs import Sysfs
from cmakeys.errors import NotFound, UsageProblem, from_oserror

FEATURE_SPDM = "0001:01"
"""CMA-SPDM over DOE: vendor PCI-SIG, object type 1."""

MAX_FUNCTIONS = 1 << 14
MAX_FEATURES = 256

_FEATURE = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}", re.ASCII)
_NUMBER = re.compile(rb"0x[0-9a-f]{1,8}\n?")
_DRIVER = re.compile(r"[^/\x00]{1,64}")


@dataclass(frozen=True, slots=True)
class FunctionEntry:
    """One PCI function; None stands for what could not be read.

    `features` are the protocols of its mailboxes as `VVVV:TT`, None when the kernel lists none for this function (it
    has no mailbox, or the kernel is older than 6.15).
    """

    address: PciFunction
    folder: Path
    vendor: int | None = None
    device: int | None = None
    class_code: int | None = None
    driver: str | None = None
    features: frozenset[str] | None = None

    @property
    def url(self) -> str:
        """The address under which it is checked and enrolled."""
        return f"pci:{self.address}"


def list_functions(sysfs: Sysfs) -> tuple[FunctionEntry, ...]:
    """All PCI functions in the order of their addresses. Raises an `EnvironmentProblem` when there is no list."""
    try:
        names = sysfs.names(sysfs.functions)
    except OSError as error:
        raise from_oserror(error, str(sysfs.functions)) from error
    addresses = sorted(address for address in map(_address, names) if address is not None)
    return tuple(_entry(sysfs, address) for address in addresses[:MAX_FUNCTIONS])


def select_functions(entries: Iterable[FunctionEntry], wanted: Iterable[str]) -> tuple[FunctionEntry, ...]:
    """The functions named, as `0000:01:00.0` or `pci:0000:01:00.0`, each once.

    Raises `UsageProblem` for a name that is none, `NotFound` for a function that is not there.
    """
    present = {entry.address: entry for entry in entries}
    chosen: dict[PciFunction, FunctionEntry] = {}
    for text in wanted:
        address = PciFunction.parse(text.removeprefix("pci:"))
        if address not in present:
            raise NotFound("there is no such PCI function", object=text, hint="cmakeys devices scan --all lists them")
        chosen[address] = present[address]
    return tuple(chosen.values())


def _address(name: str) -> PciFunction | None:
    """The address that an entry's name spells, None for any other spelling of it."""
    try:
        address = PciFunction.parse(name)
    except UsageProblem:
        return None
    return address if str(address) == name else None


def _entry(sysfs: Sysfs, address: PciFunction) -> FunctionEntry:
    folder = sysfs.functions / str(address)
    return FunctionEntry(
        address,
        folder,
        _number(sysfs, folder / "vendor"),
        _number(sysfs, folder / "device"),
        _number(sysfs, folder / "class"),
        _driver(sysfs, folder / "driver"),
        _features(sysfs, folder / "doe_features"),
    )


def _number(sysfs: Sysfs, path: Path) -> int | None:
    try:
        text = sysfs.read(path, 16)
    except OSError:
        return None
    return int(text, 16) if _NUMBER.fullmatch(text) else None


def _driver(sysfs: Sysfs, path: Path) -> str | None:
    name = (sysfs.link(path) or "").rpartition("/")[2]
    return name if _DRIVER.fullmatch(name) else None


def _features(sysfs: Sysfs, folder: Path) -> frozenset[str] | None:
    """The mailboxes' protocols by the names of their files; the first one is called by its role instead."""
    try:
        names = sysfs.names(folder)
    except OSError:
        return None
    if not names:
        return None
    found = {"0001:00" if name == "doe_discovery" else name for name in names[:MAX_FEATURES]}
    return frozenset(name for name in found if _FEATURE.fullmatch(name))
