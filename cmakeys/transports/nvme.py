"""An NVMe controller as a transport: SPDM by Security Send and Security Receive, through the kernel's admin ioctl.

The controller is asked for nothing but these two commands. One that has them without SPDM, or has neither, is
`Unsupported`; both need the right to send admin commands, which is root's.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from cmakeys.errors import CmakeysError, NotFound, NotPermitted, Unsupported, from_oserror
from cmakeys.transports.base import Deadline, TransportClosed, TransportFramingError, TransportTimeout
from cmakeys.transports.framing import Framing
from cmakeys.transports.storage import (
    DISCOVERY_LENGTH,
    PENDING_LENGTH,
    SECURITY_PROTOCOL,
    Discovery,
    Operation,
    PendingInfo,
    pack_secured,
    protocol_specific,
    unpack_secured,
)

NVME_IOCTL_ADMIN_CMD = 0xC0484E41
"""_IOWR('N', 0x41, struct nvme_passthru_cmd), from linux/nvme_ioctl.h."""

SECURITY_SEND = 0x81
SECURITY_RECEIVE = 0x82
ANSWER_MAXIMUM = 1 << 20
"""Bytes of one answer that are taken."""

_COMMAND = struct.Struct("<BBHIIIQQII6III")
_FIRST_WAIT, _LONGEST_WAIT = 0.001, 0.1
_INVALID_OPCODE, _INVALID_FIELD = 0x001, 0x002
_STATUS = 0x7FF
"""Status code and its type, in what the ioctl returns for a command that failed."""

Ioctl = Callable[[int, int, bytearray], int]


def _system_ioctl(descriptor: int, request: int, command: bytearray) -> int:
    status: int = fcntl.ioctl(descriptor, request, command, True)
    return status


@dataclass(slots=True)
class Controller:
    """An open controller. `ioctl` is the system's, unless a test has another."""

    descriptor: int
    address: str
    ioctl: Ioctl = _system_ioctl

    def command(self, opcode: int, operation: Operation, data: bytearray, deadline: Deadline) -> None:
        """One security command; `data` is sent or filled. Raises `Unsupported` and `TransportClosed`."""
        milliseconds = max(1, int(deadline.require("to ask the controller", self.address) * 1000))
        buffer = (ctypes.c_char * len(data)).from_buffer(data)
        specific = protocol_specific(operation)
        words = (SECURITY_PROTOCOL << 24 | specific << 8, len(data), 0, 0, 0, 0)
        head = (opcode, 0, 0, 0, 0, 0, 0, ctypes.addressof(buffer), 0, len(data))
        command = bytearray(_COMMAND.pack(*head, *words, min(milliseconds, 0xFFFFFFFF), 0))
        try:
            status = self.ioctl(self.descriptor, NVME_IOCTL_ADMIN_CMD, command)
        except OSError as error:
            raise _trouble(error, self.address) from error
        if status & _STATUS in (_INVALID_OPCODE, _INVALID_FIELD):
            raise Unsupported(
                "the controller has no security commands for SPDM",
                object=self.address,
                hint="ask its PCI function instead: pci:DDDD:BB:SS.F",
            )
        if status:
            raise TransportClosed(f"the controller refused the command with status {status:#x}", object=self.address)


class NvmeTransport:
    """A conversation with one controller; see `Transport`."""

    framing = Framing.STORAGE

    def __init__(self, controller: Controller, close: Callable[[], None]) -> None:
        self._controller = controller
        self._close = close
        self._usable = True

    @classmethod
    def open(cls, path: str, address: str, deadline: Deadline, *, ioctl: Ioctl = _system_ioctl) -> Self:
        """Open the character device of a controller, and ask whether it speaks SPDM."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise _cannot_open(error, path) from error
        try:
            if not stat.S_ISCHR(os.fstat(descriptor).st_mode):
                raise Unsupported("not an NVMe controller's character device", object=path, hint="such as /dev/nvme0")
            transport = cls(Controller(descriptor, address, ioctl), lambda: os.close(descriptor))
            transport.discover(deadline)
        except BaseException:
            os.close(descriptor)
            raise
        return transport

    @property
    def address(self) -> str:
        """The URL of the controller."""
        return self._controller.address

    def discover(self, deadline: Deadline) -> Discovery:
        """What the controller says of its SPDM. Raises `Unsupported` where messages are not among it."""
        data = bytearray(DISCOVERY_LENGTH)
        self._controller.command(SECURITY_RECEIVE, Operation.DISCOVERY, data, deadline)
        try:
            return Discovery.unpack(bytes(data), self.address)
        except TransportFramingError as error:
            raise Unsupported("the controller does not answer SPDM's discovery", object=self.address) from error

    def exchange(self, message: bytes, deadline: Deadline, *, secured: bool = False) -> bytes:
        """Send one message and fetch its answer; see `Transport`."""
        if not self._usable:
            raise TransportClosed("the controller was given up after an earlier failure", object=self.address)
        operation = Operation.SECURED_MESSAGE if secured else Operation.MESSAGE
        self._usable = False
        self._controller.command(
            SECURITY_SEND, operation, bytearray(pack_secured(message) if secured else message), deadline
        )
        answer = bytearray(self._await(deadline))
        self._controller.command(SECURITY_RECEIVE, operation, answer, deadline)
        payload = unpack_secured(bytes(answer), self.address) if secured else bytes(answer)
        self._usable = True
        return payload

    def close(self) -> None:
        """Close the controller's device."""
        self._usable = False
        close, self._close = self._close, lambda: None
        close()

    def _await(self, deadline: Deadline) -> int:
        """Bytes of the answer, once it is there."""
        wait = _FIRST_WAIT
        while True:
            data = bytearray(PENDING_LENGTH)
            self._controller.command(SECURITY_RECEIVE, Operation.PENDING_INFO, data, deadline)
            info = PendingInfo.unpack(bytes(data), self.address)
            if info.pending and not 0 < info.length <= ANSWER_MAXIMUM:
                raise TransportFramingError(f"an answer of {info.length} bytes is announced", object=self.address)
            if info.pending:
                return info.length
            time.sleep(min(wait, deadline.require("while waiting for the answer", self.address)))
            wait = min(wait * 2, _LONGEST_WAIT)


def _cannot_open(error: OSError, path: str) -> CmakeysError:
    if error.errno == errno.ENOENT:
        return NotFound("there is no such controller", object=path, hint="ls /dev/nvme*")
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotPermitted("only root may send commands to a controller", object=path)
    return from_oserror(error, path)


def _trouble(error: OSError, address: str) -> CmakeysError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotPermitted("only root may send commands to a controller", object=address)
    if error.errno in (errno.ENOTTY, errno.EINVAL):
        return Unsupported("the kernel does not take it for an NVMe controller", object=address)
    if error.errno in (errno.ETIME, errno.ETIMEDOUT, errno.EINTR):
        return TransportTimeout("the controller did not answer in time", object=address)
    return TransportClosed(f"{os.strerror(error.errno or 0)} while the controller was asked", object=address)
