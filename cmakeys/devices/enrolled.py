"""What the register holds, as values: an enrolled device and what was found out about it since."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from cmakeys.errors import UsageProblem
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.identity import PciIdentity
from cmakeys.x509.pin import Pin, PinKind

MAX_NAME_LENGTH = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

UNREACHABLE = "unreachable"
"""The one outcome that is no verdict on a device: nothing was found out."""


def check_device_name(name: str) -> str:
    """Return `name` if it can name a device: letters, digits, `.`, `_` and `-`, so that it is never taken for a URL.

    Raises `UsageProblem` otherwise.
    """
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise UsageProblem(
            f"{name[: MAX_NAME_LENGTH + 1]!r} cannot name a device",
            hint=f"use letters, digits, '.', '_' and '-', at most {MAX_NAME_LENGTH}, beginning with a letter or digit",
        )
    return name


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What a connection was negotiated to, in SPDM's names: `1.2`, `ECDSA-P384`, `SHA-384`; empty is not known."""

    version: str = ""
    asymmetric: str = ""
    hash: str = ""


@dataclass(frozen=True, slots=True)
class EnrolledDevice:
    """A device that this machine knows and wants checked.

    `chain` is that of the enrolment, root first. `slot` is the slot that proved possession, and None lets the device's
    lowest provisioned one do so. `at_enrolment` and `last` are what was negotiated then and at the last check that the
    device passed, `measurements` what it measured then, one block for each index. Raises `UsageProblem` for a name
    that cannot be one or a time without a zone. `key` is the public key of a device that has no certificates, with an
    empty `chain`.
    """

    name: str
    address: str
    pin: Pin
    chain: tuple[Certificate, ...]
    enrolled_at: datetime
    identity: PciIdentity | None = None
    slot: int | None = None
    at_enrolment: Negotiated = Negotiated()
    last: Negotiated = Negotiated()
    measurements: tuple[MeasurementBlock, ...] = ()
    root_name: str = ""
    root_fingerprint: str = ""
    note: str = ""
    key: ProvisionedKey | None = None

    def __post_init__(self) -> None:
        """Check what the register's readers rely on."""
        check_device_name(self.name)
        if self.enrolled_at.tzinfo is None:
            raise UsageProblem("the time of an enrolment needs a zone", object=self.name)
        pins_a_key = self.pin.kind is PinKind.PUBLIC_KEY
        if pins_a_key != (self.key is not None) or (self.key is not None and self.pin.value != self.key.fingerprint):
            raise UsageProblem("the public key and the pin do not belong together", object=self.name)
        if self.key is not None and self.chain:
            raise UsageProblem("a device has either certificates or a provisioned public key", object=self.name)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the next check of a device needs to know of all those before it.

    `state` is what the device counts as, outcome first, in a form that only `cmakeys.standing` reads, and `began` when
    that began. `silent` counts the checks in a row that did not reach it. `passed_at` is when it passed last, and
    `observed` what was seen of it then, as JSON text. `changes` is what was another than before when it changed last
    and still passed, and `changed_at` when that was. `silent_since` is when the first of the silent checks was.
    """

    state: str
    began: datetime
    silent: int = 0
    passed_at: datetime | None = None
    observed: str = ""
    changed_at: datetime | None = None
    changes: tuple[str, ...] = ()
    silent_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """One check of one device, for its history.

    `outcome` is the verdict's word, `reason` one line for a person, `detail` the whole verdict as JSON text where it
    was news, which `news` says. `negotiated` is given when the device passed: it becomes what the next check compares
    with, and a device that failed must not be able to change that. `memory` takes the place of the device's memory; it
    is not part of the history, and the entries that the register gives back have none.
    """

    device: str
    checked_at: datetime
    outcome: str
    reason: str = ""
    detail: str = ""
    negotiated: Negotiated | None = None
    memory: Memory | None = None
    news: bool = False

    @property
    def is_verdict(self) -> bool:
        """Whether this says anything about the device."""
        return self.outcome != UNREACHABLE
