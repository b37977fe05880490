"""One trusted root: a certificate, its state, what it may vouch for, and where it came from.

The identity of a root is the SHA-256 of its certificate's DER. The name is for people and files; it is checked here
once, so that a name can always be a file name and part of a kernel key description, and never a path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from cmakeys.errors import UsageProblem
from cmakeys.roots.lifecycle import LifeCycle as LifeCycle
from cmakeys.x509.certificate import Certificate

MAX_NAME_LENGTH = 64
RESERVED_NAMES = frozenset({"deny"})
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_CLASS = re.compile(r"(?:[0-9a-f]{2}){1,3}")
_VERSION = re.compile(r"1\.[0-9]")
_ALGORITHM = re.compile(r"[A-Z][A-Z0-9-]{1,39}")


class LeafNameRule(Enum):
    """Which name in a leaf must fit the PCI function (verification step 9)."""

    PCIE = "pcie"
    DEVICE_INFO = "device-info"
    EITHER = "either"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ConstraintCheck:
    """What `Constraints.check` found.

    `faults` say in words what the root may not vouch for; `unchecked` names the kinds that are restricted but about
    which nothing is known: evidence from a file has no PCI function. Whether that is good enough is policy.
    """

    faults: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a root may vouch for. An empty set means "no restriction of this kind"; kinds combine by *and*.

    `pci_vendors` and `pci_devices` hold 16-bit ids; `classes` holds PCI class codes as 2, 4 or 6 lower-case hex digits,
    a shorter one covering all that begin with it; `slots` holds SPDM slot numbers 0 to 7; `algorithms` holds signature
    algorithms by their SPDM names (`ECDSA-P384`); `versions` holds SPDM versions (`1.1`).
    """

    pci_vendors: frozenset[int] = frozenset()
    pci_devices: frozenset[int] = frozenset()
    classes: frozenset[str] = frozenset()
    slots: frozenset[int] = frozenset()
    algorithms: frozenset[str] = frozenset()
    versions: frozenset[str] = frozenset()
    leaf_name: LeafNameRule = LeafNameRule.PCIE

    def __post_init__(self) -> None:
        """Refuse values that could never match anything: a constraint with a typo would silently refuse all devices."""
        for kind, ids in (("PCI vendor", self.pci_vendors), ("PCI device", self.pci_devices)):
            for number in sorted(ids):
                if not 0 <= number <= 0xFFFF:
                    raise UsageProblem(f"{kind} id {number:#x} is not 16 bits", hint="give four hex digits, as 10de")
        for number in sorted(self.slots):
            if not 0 <= number <= 7:
                raise UsageProblem(f"slot {number} does not exist", hint="SPDM slots are 0 to 7")
        for pattern, kind, values, hint in (
            (_CLASS, "PCI class", self.classes, "give 2, 4 or 6 lower-case hex digits, as 03 or 0302"),
            (_VERSION, "SPDM version", self.versions, "give it as 1.2"),
            (_ALGORITHM, "signature algorithm", self.algorithms, "use SPDM's name, as ECDSA-P384"),
        ):
            for value in sorted(values):
                if not pattern.fullmatch(value):
                    raise UsageProblem(f"{value!r} is not a {kind}", hint=hint)

    def check(
        self,
        *,
        vendor: int | None = None,
        device: int | None = None,
        class_code: int | None = None,
        slot: int | None = None,
        algorithm: str | None = None,
        version: str | None = None,
    ) -> ConstraintCheck:
        """Hold a device against these constraints. None means "not known", and `class_code` is the 24-bit code.

        The leaf name is not looked at here: it is verification step 9.
        """
        class_text = None if class_code is None else f"{class_code:06x}"
        questions = (
            ("PCI vendor", _hex_ids(self.pci_vendors), None if vendor is None else f"{vendor:04x}"),
            ("PCI device", _hex_ids(self.pci_devices), None if device is None else f"{device:04x}"),
            ("PCI class", self.classes, class_text),
            ("slot", frozenset(str(number) for number in self.slots), None if slot is None else str(slot)),
            ("algorithm", self.algorithms, algorithm),
            ("SPDM version", self.versions, version),
        )
        faults = []
        unchecked = []
        for kind, allowed, value in questions:
            if not allowed:
                continue
            if value is None:
                unchecked.append(kind)
            elif not (value in allowed or (kind == "PCI class" and value.startswith(tuple(allowed)))):
                faults.append(f"{kind} {value} is not among {', '.join(sorted(allowed))}")
        return ConstraintCheck(tuple(faults), tuple(unchecked))


def _hex_ids(ids: frozenset[int]) -> frozenset[str]:
    return frozenset(f"{number:04x}" for number in ids)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a root came from: shown to people, never used to decide.

    `source` names the file, stream or device it was read from; `added_by` the user; `catalogue` the catalogue entry
    whose fingerprint it matched, empty when none did.
    """

    source: str = ""
    added_at: datetime | None = None
    added_by: str = ""
    reason: str = ""
    catalogue: str = ""


@dataclass(frozen=True, slots=True)
class Rotation:
    """That a root is being replaced, or was: it stands in the old root's own record, so that it survives anything.

    `successor` is the SHA-256 of the new root's certificate and `successor_was` the state that one had before, None if
    it was not there. Until `overlap_until` the old root stays. Raises `UsageProblem` for a date without a time zone.
    """

    successor: str
    started: datetime
    overlap_until: datetime
    successor_was: LifeCycle | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be compared or written."""
        for when in (self.started, self.overlap_until):
            if when.tzinfo is None:
                raise UsageProblem("a date of a rotation needs a time zone", hint="end it with Z")


def check_name(name: str) -> str:
    """Return `name` if it can name a root.

    Raises `UsageProblem` otherwise: lower-case letters, digits, `-` and `_`, at most 64, starting with a letter or
    digit; `deny` is taken by the deny entries.
    """
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH or name in RESERVED_NAMES:
        raise UsageProblem(
            f"{name[: MAX_NAME_LENGTH + 1]!r} cannot name a root",
            hint=f"use lower-case letters, digits, - and _, at most {MAX_NAME_LENGTH}, and not 'deny'",
        )
    return name


@dataclass(frozen=True, slots=True)
class Root:
    """A vendor's certificate as this machine holds it.

    `distrust_after`, when set, bounds the notBefore of a *leaf*: devices issued later are not believed. `rotation` says
    what replaces the root; it is under way while the root is retiring.
    Raises `UsageProblem` for a name that cannot be a file name or a date without a time zone.
    """

    name: str
    certificate: Certificate
    state: LifeCycle = LifeCycle.TRUSTED
    constraints: Constraints = field(default_factory=Constraints)
    provenance: Provenance = field(default_factory=Provenance)
    distrust_after: datetime | None = None
    rotation: Rotation | None = None

    def __post_init__(self) -> None:
        """Check what every other module then relies on."""
        check_name(self.name)
        for when in (self.distrust_after, self.provenance.added_at):
            if when is not None and when.tzinfo is None:
                raise UsageProblem("a date of a root needs a time zone", object=self.name, hint="end it with Z")
        if self.rotation is not None and self.rotation.successor == self.fingerprint:
            raise UsageProblem("a root cannot replace itself", object=self.name)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate's DER, 64 lower-case hex digits: the identity of the root."""
        return self.certificate.fingerprint

    @property
    def description(self) -> str:
        """Description of the key in the kernel; explicit, so that two roots never displace each other."""
        return f"cmakeys:{self.name}:{self.fingerprint}"
