"""The DOE mailbox of a PCI function: a request object written dword by dword, an answer read the same way.

The discipline is that of Linux (drivers/pci/doe.c), because a device has met it before (PCIe r6.1 §6.30):

==== ============ ============================================================================
off  register     bits
==== ============ ============================================================================
0x08 control      0 abort, 31 go; a write is a command
0x0c status       0 busy, 2 error, 31 an object is ready
0x10 write        each write appends a dword to the request
0x14 read         a read shows the current dword of the answer, any write moves on to the next
==== ============ ============================================================================

The device has one second from *go* to *ready*, and one second for an abort. After any failure the request is aborted,
so that the next one, ours or the kernel's, finds a clean mailbox; one that cannot be aborted is given up. The length in
the answer's header decides what belongs to it: dwords beyond it are taken out of the mailbox and thrown away.

Every access to a register is a transaction on the bus, hundreds of times for one certificate. So an exchange makes two
for each dword received, one for each dword sent, and `OVERHEAD` more: status before, go, status when ready, status
before the last dword is let go, status after it. Only waiting costs more, one read each time it looks again, and an
object above 16 KiB one for each of those, so that a mailbox gone wrong is not read to the end of a claimed length.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from enum import IntEnum, IntFlag

from cmakeys.errors import Temporary, Unsupported
from cmakeys.transports.base import Deadline, TransportClosed, TransportFramingError, TransportTimeout
from cmakeys.transports.config_space import ALL_ONES, ConfigSpace, ExtendedCapability, extended_capabilities
from cmakeys.transports.framing import DOE_MAXIMUM, DOE_VENDOR_PCI_SIG, DoeObject, DoeType

DOE_CAPABILITY = 0x002E
OVERHEAD = 5
"""Accesses of one exchange besides those that carry dwords, for a device that answers at once."""

SECOND = 1.0
"""What the specification allows a device for an answer, and for an abort."""

MAXIMUM_FEATURES = 256
"""Steps of a discovery: an index has eight bits."""

MAXIMUM_EXCESS = 64
"""Dwords beyond an object's length that are thrown away before the mailbox is given up as faulty."""

_DWORD = struct.Struct("<I")
_BLOCK = 0x18
_HEADER_DWORDS = 2
_LENGTH_MASK = 0x3FFFF
_FIRST_PAUSE = 1 / 1024
_LONGEST_PAUSE = 1 / 128
_DWORDS_BETWEEN_LOOKS = 256
_DWORDS_BETWEEN_STATUS = 4096

Feature = tuple[int, int]
"""Vendor and object type of what a mailbox carries."""

SPDM: Feature = (DOE_VENDOR_PCI_SIG, DoeType.SPDM)


class Register(IntEnum):
    """Offsets from the capability."""

    CONTROL = 0x08
    STATUS = 0x0C
    WRITE = 0x10
    READ = 0x14


class Control(IntFlag):
    """Commands."""

    ABORT = 1 << 0
    GO = 1 << 31


class Status(IntFlag):
    """What the mailbox is at."""

    BUSY = 1 << 0
    ERROR = 1 << 2
    READY = 1 << 31


class Mailbox:
    """One mailbox; `features` is what it offers once `discover` has asked.

    Not for use by two at once: a lock is its owner's business (`cmakeys.transports.pci_claim`).
    """

    def __init__(
        self,
        config: ConfigSpace,
        capability: ExtendedCapability,
        *,
        limit: int = DOE_MAXIMUM,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._config = config
        self._capability = capability
        self._limit = limit
        self._sleep = sleep
        self._dead = False
        self.name = f"{config.name}, mailbox at {capability.offset:#x}"
        self.features: frozenset[Feature] = frozenset()

    def prepare(self, deadline: Deadline) -> None:
        """See that the mailbox is idle. What another one is at gets a second to end and is then aborted."""
        soon = deadline.within(SECOND)
        for pause in _pauses():
            status = self._status()
            if not status & (Status.BUSY | Status.ERROR | Status.READY):
                return
            if soon.expired:
                deadline.require("to wait for the mailbox", self.name)
            if status & Status.ERROR or soon.expired:
                self.abort()
                return
            self._sleep(min(pause, soon.remaining()))

    def discover(self, deadline: Deadline) -> frozenset[Feature]:
        """Ask which features the mailbox offers, and remember them."""
        version = 2 if self._capability.version >= 2 else 0
        found: set[Feature] = set()
        index = 0
        for _ in range(MAXIMUM_FEATURES):
            question = DoeObject(DOE_VENDOR_PCI_SIG, DoeType.DISCOVERY, bytes((index, version, 0, 0)))
            answer = self.exchange(question, deadline).payload
            if len(answer) != 4:
                raise TransportFramingError(f"a discovery answer of {len(answer)} bytes", object=self.name)
            vendor, kind, following = struct.unpack("<HBB", answer)
            found.add((vendor, kind))
            if following == 0:
                self.features = frozenset(found)
                return self.features
            index = following
        raise TransportFramingError(
            f"discovery does not end within {MAXIMUM_FEATURES} steps", object=self.name, hint="the device is faulty"
        )

    def exchange(self, request: DoeObject, deadline: Deadline) -> DoeObject:
        """Send one object and return the answer, whose payload may end in padding."""
        if self._dead:
            raise TransportClosed("the mailbox was given up, it did not obey an abort", object=self.name)
        frame = request.pack()
        self._await_idle(deadline)
        try:
            self._send(frame, deadline)
            self._await_ready(deadline)
            return self._receive(request, deadline)
        except BaseException as failure:
            self._clean_up(failure)
            raise

    def abort(self) -> None:
        """Throw away whatever is under way; within a second of its own, since cleaning up outlasts a deadline."""
        self._write(Register.CONTROL, Control.ABORT)
        soon = Deadline.after(SECOND)
        for pause in _pauses():
            if not self._status() & (Status.BUSY | Status.ERROR):
                return
            if soon.expired:
                break
            self._sleep(pause)
        self._dead = True
        raise TransportClosed(
            "the mailbox does not obey an abort within a second",
            object=self.name,
            hint="it works again after a reset of the device: echo 1 > /sys/bus/pci/devices/…/reset",
        )

    def _clean_up(self, failure: BaseException) -> None:
        """Abort what failed. The failure is what is reported; an abort that fails too marks the mailbox by itself."""
        try:
            self.abort()
        except Temporary as second:
            failure.add_note(second.message)

    def _await_idle(self, deadline: Deadline) -> None:
        soon = deadline.within(SECOND)
        for pause in _pauses():
            status = self._status()
            if status & Status.ERROR:
                self.abort()
                raise TransportClosed("the mailbox reports an error before the request", object=self.name, hint=_OTHERS)
            if status & Status.READY:
                raise TransportFramingError("the mailbox holds an object unasked", object=self.name, hint=_OTHERS)
            if not status & Status.BUSY:
                return
            if soon.expired:
                raise TransportTimeout("the mailbox stays busy", object=self.name, hint=_OTHERS)
            self._sleep(min(pause, soon.remaining()))

    def _send(self, frame: bytes, deadline: Deadline) -> None:
        for position, (dword,) in enumerate(_DWORD.iter_unpack(frame)):
            self._look(position, deadline, "to send the request")
            self._write(Register.WRITE, dword)
        self._write(Register.CONTROL, Control.GO)

    def _await_ready(self, deadline: Deadline) -> None:
        soon = deadline.within(SECOND)
        for pause in _pauses():
            status = self._status()
            if status & Status.ERROR:
                raise TransportClosed(
                    "the mailbox reports an error instead of an answer",
                    object=self.name,
                    hint="the device refused the object, or another requester disturbed it; try again",
                )
            if status & Status.READY:
                return
            if soon.expired:
                raise TransportTimeout(
                    "no answer in the mailbox in time",
                    object=self.name,
                    hint="the device may be busy, or its responder not running; try again",
                )
            self._sleep(min(pause, soon.remaining()))

    def _receive(self, request: DoeObject, deadline: Deadline) -> DoeObject:
        first = self._pop()
        vendor, kind = first & 0xFFFF, first >> 16 & 0xFF
        if (vendor, kind) != (request.vendor, request.type):
            raise TransportFramingError(
                f"asked with an object of vendor {request.vendor:#06x}, type {request.type}, "
                f"answered with vendor {vendor:#06x}, type {kind}",
                object=self.name,
                hint=_OTHERS,
            )
        second = self._read(Register.READ)
        dwords = (second & _LENGTH_MASK) or _LENGTH_MASK + 1
        if dwords < _HEADER_DWORDS:
            raise TransportFramingError("an object shorter than its own header", object=self.name)
        if dwords * 4 > self._limit:
            raise TransportFramingError(
                f"an object of {dwords * 4} bytes, at most {self._limit} are taken", object=self.name
            )
        payload = bytearray()
        for position in range(dwords - _HEADER_DWORDS):
            self._look(position, deadline, "to take the answer")
            if position and position % _DWORDS_BETWEEN_STATUS == 0:
                self._require_ready()
            self._advance()
            payload += _DWORD.pack(self._read(Register.READ))
        self._require_ready()
        self._advance()
        self._end(deadline)
        return DoeObject(vendor, kind, bytes(payload))

    def _require_ready(self) -> None:
        status = self._status()
        if status & Status.ERROR or not status & Status.READY:
            raise TransportClosed("the mailbox withdrew its answer while it was read", object=self.name, hint=_OTHERS)

    def _end(self, deadline: Deadline) -> None:
        """The status after the last dword; what is left beyond the object's length is thrown away."""
        for position in range(MAXIMUM_EXCESS + 1):
            status = self._status()
            if status & Status.ERROR:
                raise TransportClosed("the mailbox reports an error after its answer", object=self.name, hint=_OTHERS)
            if not status & Status.READY:
                return
            self._look(position, deadline, "to empty the mailbox")
            self._pop()
        raise TransportFramingError(
            f"the mailbox holds more than {MAXIMUM_EXCESS} dwords beyond the object's length", object=self.name
        )

    def _look(self, position: int, deadline: Deadline, what: str) -> None:
        if position % _DWORDS_BETWEEN_LOOKS == 0:
            deadline.require(what, self.name)

    def _pop(self) -> int:
        dword = self._read(Register.READ)
        self._advance()
        return dword

    def _advance(self) -> None:
        self._write(Register.READ, 0)

    def _status(self) -> int:
        status = self._read(Register.STATUS)
        if status == ALL_ONES:
            self._dead = True
            raise TransportClosed(
                "the function left the bus", object=self.name, hint="it was removed or reset; look at the kernel's log"
            )
        return status

    def _read(self, register: Register) -> int:
        return self._config.read32(self._capability.offset + register)

    def _write(self, register: Register, value: int) -> None:
        self._config.write32(self._capability.offset + register, value)


_OTHERS = "another requester may be using it (the kernel, a virtual machine, another tool); try again"


def mailboxes(config: ConfigSpace) -> Iterator[ExtendedCapability]:
    """The DOE capabilities of a function that lie whole in its configuration space."""
    for capability in extended_capabilities(config):
        if capability.id == DOE_CAPABILITY and capability.offset + _BLOCK <= config.size:
            yield capability


def open_spdm_mailbox(
    config: ConfigSpace, deadline: Deadline, *, sleep: Callable[[float], object] = time.sleep
) -> Mailbox:
    """The first mailbox of a function that offers SPDM, idle.

    Raises `Unsupported` when all of them answered and none does. When one did not answer, that is raised: it could
    have been the one.
    """
    trouble: Temporary | None = None
    offers: list[str] = []
    for capability in mailboxes(config):
        mailbox = Mailbox(config, capability, sleep=sleep)
        try:
            mailbox.prepare(deadline)
            if SPDM in mailbox.discover(deadline):
                return mailbox
        except Temporary as problem:
            trouble = trouble or problem
        offers += [f"{vendor:04x}:{kind:02x}" for vendor, kind in sorted(mailbox.features)]
    if trouble is not None:
        raise trouble
    raise Unsupported(
        f"its mailboxes offer {', '.join(offers)}, not CMA-SPDM (0001:01)" if offers else "it has no DOE mailbox",
        object=config.name,
        hint="the function speaks no CMA-SPDM over DOE; another function of the device may (usually function 0)",
    )


def _pauses() -> Iterator[float]:
    """Waits between looks at the status: short at first, then those of the kernel."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 2, _LONGEST_PAUSE)
