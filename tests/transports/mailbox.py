"""A PCI function in software: configuration space with DOE mailboxes, as strict as a real one and able to misbehave.

Only what a requester can see through registers is modelled. A requester that breaks the discipline (reads past the end,
writes while an answer waits, says go to half an object) gets the error bit or silence, as from a device.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cmakeys.emulator.device import Device
from cmakeys.emulator.factory import DEFAULT_IDENTITY
from cmakeys.transports.config_space import ALL_ONES, ConfigSpace
from cmakeys.transports.doe import Control, Register, Status
from cmakeys.transports.doe_transport import PciHost
from cmakeys.x509.identity import PciIdentity

Respond = Callable[[int, bytes], bytes | None]
"""From an object's type and payload to the answer's payload; None is silence."""

FUNCTION = "0000:01:00.0"
MAILBOX = 0x150


def answering(device: Device) -> Respond:
    return lambda kind, message: device.respond(message) if kind == 1 else None


def echo(kind: int, message: bytes) -> bytes | None:
    return message


@dataclass
class MailboxFaults:
    """What one mailbox does wrong. Numbers are counts of dwords or of reads of the status register."""

    silent: bool = False
    busy: int = 0
    refuses: bool = False
    error_before: bool = False
    error_after: bool = False
    stale: bytes = b""
    drops_ready_after: int | None = None
    vendor: int = 1
    type_offset: int = 0
    excess: int = 0
    length: int | None = None
    verbatim: bytes | None = None
    ignores_abort: bool = False
    endless_discovery: bool = False
    long_discovery: bool = False


@dataclass
class SimulatedMailbox:
    """The registers of one mailbox."""

    respond: Respond = echo
    features: tuple[tuple[int, int], ...] = ((1, 0), (1, 1), (1, 2))
    version: int = 1
    faults: MailboxFaults = field(default_factory=MailboxFaults)
    delay: int = 0
    aborts: int = 0
    objects: list[tuple[int, bytes]] = field(default_factory=list)
    versions_asked: set[int] = field(default_factory=set)
    _written: bytearray = field(default_factory=bytearray)
    _waiting: deque[int] = field(default_factory=deque)
    _status: int = 0
    _ready_in: int | None = None
    _popped: int = 0

    def __post_init__(self) -> None:
        if self.faults.error_before:
            self._status |= Status.ERROR
        if self.faults.stale:
            self._offer(self.faults.stale)

    def read(self, register: int) -> int:
        if register == Register.STATUS:
            return self._look()
        if register == Register.READ:
            if self._status & Status.READY and self._waiting:
                return self._waiting[0]
            self._status |= Status.ERROR
        return 0

    def write(self, register: int, value: int) -> None:
        if register == Register.CONTROL and value & Control.ABORT:
            self._abort()
        elif register == Register.CONTROL and value & Control.GO:
            self._go()
        elif register == Register.WRITE:
            if self._status & (Status.BUSY | Status.READY):
                self._status |= Status.ERROR
            self._written += struct.pack("<I", value)
        elif register == Register.READ:
            self._pop()

    def _look(self) -> int:
        if self.faults.busy:
            self.faults.busy -= 1
            return self._status | Status.BUSY
        if self._ready_in is not None:
            self._ready_in -= 1
            if self._ready_in < 0:
                self._ready_in = None
                self._status |= Status.READY
        return self._status

    def _abort(self) -> None:
        self.aborts += 1
        if self.faults.ignores_abort:
            self._status |= Status.ERROR
            return
        self._status, self._ready_in, self._popped = 0, None, 0
        self._written.clear()
        self._waiting.clear()

    def _go(self) -> None:
        frame = bytes(self._written)
        self._written.clear()
        if len(frame) < 8:
            return
        vendor, kind, _, length = struct.unpack_from("<HBBI", frame)
        if vendor != 1 or ((length & 0x3FFFF) or 1 << 18) * 4 != len(frame):
            return
        self.objects.append((kind, frame[8:]))
        if self.faults.refuses:
            self._status |= Status.ERROR
            return
        answer = self._discover(frame[8:]) if kind == 0 else self.respond(kind, frame[8:])
        if answer is None or self.faults.silent:
            return
        if self.faults.verbatim is not None:
            self._offer(self.faults.verbatim)
            return
        answer += bytes(-len(answer) % 4)
        dwords = 2 + len(answer) // 4 if self.faults.length is None or kind == 0 else self.faults.length
        spoiled = 0 if kind == 0 else self.faults.type_offset
        vendor = 1 if kind == 0 else self.faults.vendor
        excess = 0 if kind == 0 else self.faults.excess
        self._offer(struct.pack("<HBBI", vendor, kind + spoiled, 0, dwords & 0x3FFFF) + answer + b"\xee" * 4 * excess)

    def _discover(self, question: bytes) -> bytes:
        index = question[0]
        self.versions_asked.add(question[1])
        if self.faults.endless_discovery:
            return struct.pack("<HBB", 1, 0, 1)
        if self.faults.long_discovery:
            return bytes(8)
        vendor, kind = self.features[index] if index < len(self.features) else (0xFFFF, 0xFF)
        return struct.pack("<HBB", vendor, kind, index + 1 if index + 1 < len(self.features) else 0)

    def _offer(self, frame: bytes) -> None:
        self._waiting = deque(dword for (dword,) in struct.iter_unpack("<I", frame))
        self._popped = 0
        self._ready_in = self.delay

    def _pop(self) -> None:
        if not self._status & Status.READY:
            self._status |= Status.ERROR
            return
        self._waiting.popleft()
        self._popped += 1
        if self.faults.error_after and not self._waiting:
            self._status |= Status.ERROR
        if not self._waiting or self._popped == self.faults.drops_ready_after:
            self._status &= ~Status.READY


class SimulatedFunction:
    """Configuration space of one function. `mailboxes` by their offset; `serial` puts a serial number at 0x140."""

    def __init__(
        self,
        mailboxes: Mapping[int, SimulatedMailbox] | None = None,
        *,
        identity: PciIdentity = DEFAULT_IDENTITY,
        header_type: int = 0,
        size: int = 0x1000,
    ) -> None:
        self.name = FUNCTION
        self.size = size
        self.mailboxes = dict({MAILBOX: SimulatedMailbox()} if mailboxes is None else mailboxes)
        self.dwords: dict[int, int] = {
            0x00: identity.device << 16 | identity.vendor,
            0x08: identity.class_code << 8 | identity.revision,
            0x0C: header_type << 16,
            0x2C: (identity.subsystem_device or 0) << 16 | (identity.subsystem_vendor or 0),
        }
        self.unplugged_after: int | None = None
        self.closed = False
        chain = [(offset, 0x2E, mailbox.version) for offset, mailbox in sorted(self.mailboxes.items())]
        if identity.serial is not None:
            self.dwords[0x144] = identity.serial & 0xFFFFFFFF
            self.dwords[0x148] = identity.serial >> 32
            chain.append((0x140, 3, 1))
        chain = [(0x100, 1, 2), *sorted(chain)]
        for index, (offset, kind, version) in enumerate(chain):
            following = chain[index + 1][0] if index + 1 < len(chain) else 0
            self.dwords[offset] = following << 20 | version << 16 | kind

    def read32(self, offset: int) -> int:
        assert not self.closed
        assert offset % 4 == 0
        assert offset < self.size
        if self._gone():
            return ALL_ONES
        mailbox, register = self._at(offset)
        return mailbox.read(register) if mailbox else self.dwords.get(offset, 0)

    def write32(self, offset: int, value: int) -> None:
        assert not self.closed
        assert 0 <= value <= 0xFFFFFFFF
        mailbox, register = self._at(offset)
        assert mailbox, "nothing outside a mailbox is ever written"
        if not self._gone():
            mailbox.write(register, value)

    def close(self) -> None:
        self.closed = True

    def _gone(self) -> bool:
        if self.unplugged_after is None:
            return False
        self.unplugged_after -= 1
        return self.unplugged_after < 0

    def _at(self, offset: int) -> tuple[SimulatedMailbox | None, int]:
        for place, mailbox in self.mailboxes.items():
            if place < offset < place + 0x18:
                return mailbox, offset - place
        return None, 0


def plant(sysfs: Path, function: str = FUNCTION, files: Mapping[str, str] | None = None, driver: str = "nvme") -> Path:
    """A function's folder in a tree of sysfs; `files` are attributes besides those that every function has."""
    folder = sysfs / "bus" / "pci" / "devices" / function
    standard = {"config": "", "power/control": "on", "power/runtime_status": "active", "power_state": "D0"}
    for name, content in {**standard, **(files or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    drivers = sysfs / "bus" / "pci" / "drivers" / driver
    drivers.mkdir(parents=True, exist_ok=True)
    (folder / "driver").symlink_to(drivers)
    return folder


def host(sysfs: Path, config: ConfigSpace) -> PciHost:
    """A machine whose one function has these registers."""

    def reopen(path: Path, name: str) -> ConfigSpace:
        if isinstance(config, SimulatedFunction):
            config.closed = False
        return config

    return PciHost(sysfs, reopen)
