"""What an emulated device plays of CXL's TSP, the security protocol of memory that is lent to trusted guests.

Like `interface` it is the device's alone, and its state is the session's: a target is configured, locked, and then
says who owns ranges of its memory. It has one session and no keys of its own.

| off | size | field of a TSP message, behind the protocol byte 0x01 |
| --- | --- | --- |
| 0 | 1 | version, 0x10 |
| 1 | 1 | opcode; a request has bit 7 |
| 2 | 2 | reserved, in most |
"""

from __future__ import annotations

import struct
from enum import IntEnum

from cmakeys.spdm.messages.vendor_defined import Registry, Vendor
from cmakeys.spdm.wire import Reader, WireError, le

CXL_CONSORTIUM = Vendor(Registry.PCI_SIG, b"\x98\x1e")
"""Who these messages belong to: the consortium's number in the PCI-SIG's registry."""

IDE_KM = 0
TSP = 1
TSP_VERSION = 0x10

_CAPABILITIES = struct.Struct("<HIHHHHIIHHIB19x")
"""Features, algorithms, range keys, reserved, TE features, reserved, granularities, configuration, reserved, CKIDs,
secondary sessions, reserved 19."""
_ENCRYPTION = 0x01
_AES_XTS_256 = 0x02
_TE_FEATURES = 0x02 | 0x04 | 0x10
"""Read access control, implicit change, and explicit change in band."""
_GRANULARITY_64 = 0x01
_LOCKED_UPDATE = 0x01

_SELECTION = struct.Struct("<HI4xH2xI4xH2xII")
"""What SET_TARGET_CONFIGURATION selects: features, algorithm, TE features, granularity, configuration, CKIDs."""
_SELECTION_LENGTH = 34
_CONFIGURATION_LENGTH = 350
"""Bytes of SET_TARGET_CONFIGURATION behind the opcode; the granularities in band are 128 of them, from 46 on."""
_IN_BAND = slice(46, 46 + 128)
_UNLOCKED, _LOCKED = 0, 1
_REPORT = bytes(4)
"""No structure is valid in the report."""


class Opcode(IntEnum):
    """Requests of TSP; the answer has bit 7 clear."""

    GET_TARGET_TSP_VERSION = 0x81
    GET_TARGET_CAPABILITIES = 0x82
    SET_TARGET_CONFIGURATION = 0x83
    GET_TARGET_CONFIGURATION = 0x84
    GET_TARGET_CONFIGURATION_REPORT = 0x85
    LOCK_TARGET_CONFIGURATION = 0x86
    SET_TARGET_TE_STATE = 0x8D


class TspErrorCode(IntEnum):
    """ErrorCode of an error response, those that are given here."""

    INVALID_REQUEST = 0x01
    UNSUPPORTED_REQUEST = 0x04
    VERSION_MISMATCH = 0x05
    INVALID_SECURITY_CONFIGURATION = 0x0A
    INVALID_SECURITY_STATE = 0x0B
    ALREADY_LOCKED = 0x0D


_ERROR_RESPONSE = 0x7F


class _Refused(Exception):
    def __init__(self, code: TspErrorCode, data: int = 0) -> None:
        super().__init__(code.name)
        self.code = code
        self.data = data


class Target:
    """One target: unlocked at first, and locked for good once it is."""

    def __init__(self) -> None:
        self.locked = False
        self._configuration = b""

    def answer(self, payload: bytes) -> bytes:
        """The message that answers one. Raises `WireError` for what has no header of TSP."""
        reader = Reader(payload, "TSP request")
        protocol = reader.u8("protocol")
        if protocol != TSP:
            raise reader.fail(f"protocol {protocol} of CXL where TSP (1) is expected")
        version, code = reader.u8("version"), reader.u8("opcode")
        try:
            if version != TSP_VERSION:
                raise _Refused(TspErrorCode.VERSION_MISMATCH)
            if code not in set(Opcode):
                raise _Refused(TspErrorCode.UNSUPPORTED_REQUEST, code)
            body = self._answer(Opcode(code), reader)
        except WireError:
            code, body = _ERROR_RESPONSE, _error(TspErrorCode.INVALID_REQUEST)
        except _Refused as refused:
            code, body = _ERROR_RESPONSE, _error(refused.code, refused.data)
        return bytes((TSP, TSP_VERSION, code & 0x7F)) + body

    def _answer(self, code: Opcode, reader: Reader) -> bytes:
        match code:
            case Opcode.GET_TARGET_TSP_VERSION:
                return bytes((0, 0, 1, TSP_VERSION))
            case Opcode.GET_TARGET_CAPABILITIES:
                return _capabilities()
            case Opcode.SET_TARGET_CONFIGURATION:
                return self._configure(reader)
            case Opcode.GET_TARGET_CONFIGURATION:
                return self._tell()
            case Opcode.GET_TARGET_CONFIGURATION_REPORT:
                return _report(reader)
            case Opcode.LOCK_TARGET_CONFIGURATION:
                return self._lock()
            case Opcode.SET_TARGET_TE_STATE:
                return self._change_owner(reader)

    def _configure(self, reader: Reader) -> bytes:
        if self.locked:
            raise _Refused(TspErrorCode.ALREADY_LOCKED)
        configuration = reader.take(_CONFIGURATION_LENGTH, "configuration")
        features, algorithm, te_features, granularity, update, _, keys = _SELECTION.unpack_from(configuration)
        unknown = features & ~_ENCRYPTION or te_features & ~_TE_FEATURES or update & ~_LOCKED_UPDATE
        if unknown or granularity or keys or algorithm != (_AES_XTS_256 if features else 0):
            raise _Refused(TspErrorCode.INVALID_SECURITY_CONFIGURATION)
        self._configuration = configuration
        return bytes(2)

    def _tell(self) -> bytes:
        kept = self._configuration or bytes(_CONFIGURATION_LENGTH)
        state = _LOCKED if self.locked else _UNLOCKED
        return kept[:_SELECTION_LENGTH] + bytes((state,)) + bytes(11) + kept[_IN_BAND] + bytes(16)

    def _lock(self) -> bytes:
        if self.locked:
            raise _Refused(TspErrorCode.ALREADY_LOCKED)
        if not self._configuration:
            raise _Refused(TspErrorCode.INVALID_SECURITY_CONFIGURATION)
        self.locked = True
        return bytes(2)

    def _change_owner(self, reader: Reader) -> bytes:
        """Whose a range of memory is: 1 a trusted guest's, 0 nobody's. Nothing stands behind it here."""
        if not self.locked:
            raise _Refused(TspErrorCode.INVALID_SECURITY_STATE)
        owner, count = reader.u8("TE state"), reader.u8("number of ranges")
        reader.take(12, "reserved")
        reader.take(16 * count, "ranges")
        if owner not in (0, 1) or not count:
            raise _Refused(TspErrorCode.INVALID_REQUEST)
        return bytes(2)


def _capabilities() -> bytes:
    return _CAPABILITIES.pack(
        _ENCRYPTION, _AES_XTS_256, 0, 0, _TE_FEATURES, 0, 0, _GRANULARITY_64, _LOCKED_UPDATE, 0, 0, 0
    )


def _report(reader: Reader) -> bytes:
    reader.take(2, "reserved")
    offset, length = reader.u16("offset"), reader.u16("length")
    if offset >= len(_REPORT) or not length:
        raise _Refused(TspErrorCode.INVALID_REQUEST)
    portion = _REPORT[offset : offset + length]
    return bytes(2) + le(len(portion), 2) + le(len(_REPORT) - offset - len(portion), 2) + portion


def _error(code: TspErrorCode, data: int = 0) -> bytes:
    return bytes(2) + le(code, 4) + le(data, 4)
