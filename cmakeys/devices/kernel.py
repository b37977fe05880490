"""What the kernel itself says about a function: its verdict in `authenticated`, and the certificate slots it has read.

A file of that name exists in two kernels with two meanings. In the SPDM series it is writable and says 0 or 1. In
mainline since 6.19 it is read-only and names the platform security manager that holds a session; that is no verdict on
any certificate, so only the mode tells the two apart, and whatever fits neither is shown as it is and not interpreted.
A file that answers ENOTTY means that the kernel could not find out whether the device can authenticate itself, which is
what somebody between device and kernel would like to be taken for "cannot" (kernel-abi 1.3, 4.2, 4.3, 4.6).
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cmakeys.devices.sysfs import Sysfs
from cmakeys.x509.bundle import split_der
from cmakeys.x509.certificate import Certificate

MAX_SLOT_SIZE = 0xFFFF
MAX_CONTENT = 4096
SERIES_MODE = 0o644
TSM_MODE = 0o444

_TSM = re.compile(rb"tsm[0-9]{1,10}")
_SLOT_FILE = re.compile(r"slot([0-7])", re.ASCII)


class Authenticated(Enum):
    """What mode and content of `authenticated` mean; one member for each row of the table in kernel-abi 1.3."""

    ABSENT = "absent"
    FAILED = "failed"
    SUCCEEDED = "authenticated"
    UNDETERMINED = "undetermined"
    NO_SESSION = "tsm-no-session"
    SESSION = "tsm-session"
    UNKNOWN = "unknown"


MEANINGS = {
    Authenticated.ABSENT: "not able to, or a kernel without support",
    Authenticated.FAILED: "the last attempt failed",
    Authenticated.SUCCEEDED: "authenticated against .cma",
    Authenticated.UNDETERMINED: "could not find out; possibly a downgrade",
    Authenticated.NO_SESSION: "no TSM session",
    Authenticated.SESSION: "a TSM session, which says nothing about .cma",
    Authenticated.UNKNOWN: "an unknown kind of kernel",
}


@dataclass(frozen=True, slots=True)
class KernelVerdict:
    """The kernel's verdict with what it was read from.

    `mode` is None when there is no file; `raw` is its content as far as it was read; `problem` says why it was not.
    """

    state: Authenticated
    mode: int | None = None
    raw: bytes = b""
    problem: str = ""

    @property
    def can_repeat(self) -> bool:
        """Whether writing `re` means something to this kernel."""
        return self.state in (Authenticated.FAILED, Authenticated.SUCCEEDED, Authenticated.UNDETERMINED)

    @property
    def words(self) -> str:
        """The verdict for a person; foreign content is quoted in it, unescaped."""
        meaning = MEANINGS[self.state]
        if self.state is Authenticated.SESSION:
            return f"{meaning} ({self.raw.decode('ascii', 'replace').strip()})"
        if self.state is not Authenticated.UNKNOWN:
            return meaning
        mode = "" if self.mode is None else f", mode {self.mode:04o}"
        content = self.problem or f"content {self.raw[:32]!r}"
        return f"{meaning}: {content}{mode}"


def read_verdict(sysfs: Sysfs, folder: Path) -> KernelVerdict:
    """Classify `authenticated` of the function at `folder`; never raises for what is there."""
    path = folder / "authenticated"
    try:
        mode = sysfs.mode(path)
    except OSError as error:
        return KernelVerdict(Authenticated.UNKNOWN, problem=error_words(error))
    if mode is None:
        return KernelVerdict(Authenticated.ABSENT)
    try:
        raw = sysfs.read(path, MAX_CONTENT)
    except OSError as error:
        if error.errno == errno.ENOTTY and mode == SERIES_MODE:
            return KernelVerdict(Authenticated.UNDETERMINED, mode, problem=error_words(error))
        return KernelVerdict(Authenticated.UNKNOWN, mode, problem=error_words(error))
    return KernelVerdict(_classify(mode, raw), mode, raw[:MAX_CONTENT])


def _classify(mode: int, raw: bytes) -> Authenticated:
    content = raw.removesuffix(b"\n")
    if mode == SERIES_MODE:
        return {b"0": Authenticated.FAILED, b"1": Authenticated.SUCCEEDED}.get(content, Authenticated.UNKNOWN)
    if mode == TSM_MODE and raw == b"\n":
        return Authenticated.NO_SESSION
    if mode == TSM_MODE and _TSM.fullmatch(content):
        return Authenticated.SESSION
    return Authenticated.UNKNOWN


class SlotState(Enum):
    """What a slot's file holds."""

    EMPTY = "empty"
    PROVISIONED = "provisioned"
    MALFORMED = "malformed"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class KernelSlot:
    """One certificate slot as the kernel has cached it: certificates of DER back to back, without SPDM's header."""

    number: int
    state: SlotState
    data: bytes = b""
    problem: str = ""

    def certificates(self) -> tuple[Certificate, ...]:
        """The chain, root first. Raises `CertificateProblem` for one that is no chain."""
        return split_der(self.data, f"slot {self.number}")


def read_slots(sysfs: Sysfs, folder: Path) -> tuple[KernelSlot, ...]:
    """The slots that the kernel shows for the function at `folder`, ascending.

    None before its first attempt, and on kernels without the attribute. Never raises for what is there.
    """
    certificates = folder / "certificates"
    try:
        names = sysfs.names(certificates)
    except OSError:
        return ()
    matches = (_SLOT_FILE.fullmatch(name) for name in names)
    return tuple(read_slot(sysfs, folder, int(match[1])) for match in matches if match is not None)


def read_slot(sysfs: Sysfs, folder: Path, number: int) -> KernelSlot:
    """One slot. `stat` would say 65535 bytes of any of them, so it is read to its end."""
    try:
        data = sysfs.read(folder / f"certificates/slot{number}", MAX_SLOT_SIZE)
    except OSError as error:
        return KernelSlot(number, SlotState.UNREADABLE, problem=error_words(error))
    if not data:
        return KernelSlot(number, SlotState.EMPTY)
    if len(data) > MAX_SLOT_SIZE:
        return KernelSlot(number, SlotState.MALFORMED, problem=f"more than {MAX_SLOT_SIZE} bytes")
    if data[0] != 0x30:
        problem = f"it begins with the byte {data[0]:#04x} and not with a certificate"
        return KernelSlot(number, SlotState.MALFORMED, data, problem)
    return KernelSlot(number, SlotState.PROVISIONED, data)


def error_words(error: OSError) -> str:
    """An errno in words and by name."""
    number = error.errno or 0
    name = errno.errorcode.get(number)
    return f"{os.strerror(number)} ({name})" if name else str(error)
