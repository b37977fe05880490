"""The interface to a trusted guest that an emulated device plays: TDISP of PCIe, reference §10.3.

Only the device has this: our requester asks about interfaces and never locks one. What TDISP's state machine allows is
the table of `_ALLOWED`; everything else is answered in TDISP's own way with an ERROR. An interface begins, and ends up
after STOP, unlocked; the whole state belongs to the session that made it and is gone with it, as with a device that
loses the session to the guest's security manager.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from cmakeys.spdm.pci_sig import TDISP_VERSION, InterfaceState, TdispCapabilities, TdispHeader, TdispMessage
from cmakeys.spdm.wire import Reader, WireError, le

ADDRESS_WIDTH = 52
NONCE_LENGTH = 32
MAX_INTERFACES = 8
"""Interfaces that may be locked at one time."""

_BAR = 0xFEBF0000
_PAGES = 4
_PAGE_BITS = 12
_ADDRESS_MASK = (1 << 64) - 1

_ALLOWED: dict[TdispMessage, frozenset[InterfaceState]] = {
    TdispMessage.LOCK_INTERFACE_REQUEST: frozenset({InterfaceState.CONFIG_UNLOCKED}),
    TdispMessage.GET_DEVICE_INTERFACE_REPORT: frozenset({InterfaceState.CONFIG_LOCKED, InterfaceState.RUN}),
    TdispMessage.GET_DEVICE_INTERFACE_STATE: frozenset(InterfaceState),
    TdispMessage.START_INTERFACE_REQUEST: frozenset({InterfaceState.CONFIG_LOCKED}),
    TdispMessage.STOP_INTERFACE_REQUEST: frozenset(InterfaceState),
}
"""In which states an interface takes a request."""


class TdispErrorCode(IntEnum):
    """ERROR_CODE of TDISP_ERROR, those that are given here."""

    INVALID_REQUEST = 0x01
    INVALID_INTERFACE_STATE = 0x04
    UNSUPPORTED_REQUEST = 0x07
    VERSION_MISMATCH = 0x41
    INVALID_INTERFACE = 0x101
    INVALID_NONCE = 0x102


class _Refused(Exception):
    def __init__(self, code: TdispErrorCode, data: int = 0) -> None:
        super().__init__(code.name)
        self.code = code
        self.data = data


@dataclass(frozen=True, slots=True)
class _Locked:
    """An interface that is not unlocked; `offset` moves the addresses that its report gives."""

    nonce: bytes
    offset: int
    running: bool = False

    @property
    def state(self) -> InterfaceState:
        return InterfaceState.RUN if self.running else InterfaceState.CONFIG_LOCKED


class Interfaces:
    """The interfaces of one device by their function ids; `random(n)` gives n bytes."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._locked: dict[int, _Locked] = {}

    def state(self, function: int) -> InterfaceState:
        """What state an interface is in."""
        locked = self._locked.get(function)
        return locked.state if locked else InterfaceState.CONFIG_UNLOCKED

    def answer(self, payload: bytes) -> bytes:
        """The TDISP message that answers one. Raises `WireError` for what has no header of TDISP."""
        reader = Reader(payload, "TDISP request")
        header = TdispHeader.pull(reader)
        try:
            answer, body = self._answer(header, reader)
        except WireError:
            return _error(header, TdispErrorCode.INVALID_REQUEST, 0)
        except _Refused as refused:
            return _error(header, refused.code, refused.data)
        return TdispHeader(answer, header.function_id).push() + body

    def _answer(self, header: TdispHeader, reader: Reader) -> tuple[TdispMessage, bytes]:
        function = header.function_id
        if header.type == TdispMessage.GET_TDISP_VERSION:
            return TdispMessage.TDISP_VERSION, bytes((1, TDISP_VERSION))
        if header.version != TDISP_VERSION:
            raise _Refused(TdispErrorCode.VERSION_MISMATCH)
        if header.type == TdispMessage.GET_TDISP_CAPABILITIES:
            reader.u32("TSM_CAPS")
            return TdispMessage.TDISP_CAPABILITIES, _capabilities()
        if header.type not in _ALLOWED:
            raise _Refused(TdispErrorCode.UNSUPPORTED_REQUEST, header.type)
        request = TdispMessage(header.type)
        if self.state(function) not in _ALLOWED[request]:
            raise _Refused(TdispErrorCode.INVALID_INTERFACE_STATE)
        match request:
            case TdispMessage.LOCK_INTERFACE_REQUEST:
                return TdispMessage.LOCK_INTERFACE_RESPONSE, self._lock(function, reader)
            case TdispMessage.GET_DEVICE_INTERFACE_REPORT:
                return TdispMessage.DEVICE_INTERFACE_REPORT, self._report(function, reader)
            case TdispMessage.START_INTERFACE_REQUEST:
                self._start(function, reader)
                return TdispMessage.START_INTERFACE_RESPONSE, b""
            case TdispMessage.STOP_INTERFACE_REQUEST:
                self._locked.pop(function, None)
                return TdispMessage.STOP_INTERFACE_RESPONSE, b""
            case _:
                return TdispMessage.DEVICE_INTERFACE_STATE, bytes((self.state(function),))

    def _lock(self, function: int, reader: Reader) -> bytes:
        """The nonce that START has to repeat."""
        flags = reader.u16("flags")
        reader.take(2, "default stream and reserved")
        offset, _ = reader.uint(8, "MMIO_REPORTING_OFFSET"), reader.uint(8, "BIND_P2P_ADDRESS_MASK")
        if flags:
            raise _Refused(TdispErrorCode.INVALID_REQUEST)
        if len(self._locked) >= MAX_INTERFACES:
            raise _Refused(TdispErrorCode.INVALID_INTERFACE)
        nonce = self._random(NONCE_LENGTH)
        self._locked[function] = _Locked(nonce, offset)
        return nonce

    def _report(self, function: int, reader: Reader) -> bytes:
        offset, length = reader.u16("OFFSET"), reader.u16("LENGTH")
        report = _report(self._locked[function].offset)
        if offset >= len(report) or not length:
            raise _Refused(TdispErrorCode.INVALID_REQUEST)
        portion = report[offset : offset + length]
        return le(len(portion), 2) + le(len(report) - offset - len(portion), 2) + portion

    def _start(self, function: int, reader: Reader) -> None:
        locked = self._locked[function]
        if not hmac.compare_digest(reader.take(NONCE_LENGTH, "nonce"), locked.nonce):
            raise _Refused(TdispErrorCode.INVALID_NONCE)
        self._locked[function] = _Locked(b"", locked.offset, running=True)


def _capabilities() -> bytes:
    """No flag of LOCK is supported, and the requests are those that are answered."""
    asked = {TdispMessage.GET_TDISP_VERSION, TdispMessage.GET_TDISP_CAPABILITIES, *_ALLOWED}
    mask = sum(1 << (kind & 0x7F) for kind in asked)
    whole = TdispCapabilities(0, mask, 0, ADDRESS_WIDTH, 1, 1).push()
    return whole[len(TdispHeader(TdispMessage.TDISP_CAPABILITIES).push()) :]


def _report(offset: int) -> bytes:
    """INTERFACE_INFO, reserved, MSI-X, LNR and TPH control, one range of pages, and nothing of the device's own."""
    first_page = (_BAR + offset & _ADDRESS_MASK) >> _PAGE_BITS
    return bytes(12) + le(1, 4) + le(first_page, 8) + le(_PAGES, 4) + bytes(4) + le(0, 4)


def _error(header: TdispHeader, code: TdispErrorCode, data: int) -> bytes:
    return TdispHeader(TdispMessage.TDISP_ERROR, header.function_id).push() + le(code, 4) + le(data, 4)
