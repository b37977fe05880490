"""Payloads of the PCI-SIG's vendor-defined messages: what may be asked about IDE and TDISP (reference §10.3).

Only questions are here. Programming keys or locking an interface changes a device and belongs to whoever manages IDE
and TDISP; their messages are named when a recording holds them, and never made. All of it travels inside a session.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from cmakeys.spdm.messages.vendor_defined import Registry, Vendor
from cmakeys.spdm.wire import Reader, le

PCI_SIG = Vendor(Registry.PCI_SIG, b"\x01\x00")
"""Who these messages belong to: the registry of the PCI-SIG, and its own number there."""

TDISP_VERSION = 0x10
MAX_VERSIONS = 32


class Protocol(IntEnum):
    """The first byte of a payload."""

    IDE_KM = 0
    TDISP = 1


class IdeKmObject(IntEnum):
    """Object ids of IDE key management."""

    QUERY = 0
    QUERY_RESP = 1
    KEY_PROG = 2
    KP_ACK = 3
    K_SET_GO = 4
    K_SET_STOP = 5
    K_GOSTOP_ACK = 6


class TdispMessage(IntEnum):
    """Message types of TDISP; a request has bit 7."""

    TDISP_VERSION = 0x01
    TDISP_CAPABILITIES = 0x02
    LOCK_INTERFACE_RESPONSE = 0x03
    DEVICE_INTERFACE_REPORT = 0x04
    DEVICE_INTERFACE_STATE = 0x05
    START_INTERFACE_RESPONSE = 0x06
    STOP_INTERFACE_RESPONSE = 0x07
    TDISP_ERROR = 0x7F
    GET_TDISP_VERSION = 0x81
    GET_TDISP_CAPABILITIES = 0x82
    LOCK_INTERFACE_REQUEST = 0x83
    GET_DEVICE_INTERFACE_REPORT = 0x84
    GET_DEVICE_INTERFACE_STATE = 0x85
    START_INTERFACE_REQUEST = 0x86
    STOP_INTERFACE_REQUEST = 0x87


class InterfaceState(IntEnum):
    """State of a TEE device interface."""

    CONFIG_UNLOCKED = 0
    CONFIG_LOCKED = 1
    RUN = 2
    ERROR = 3


# -- IDE_KM ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IdeQuery:
    """QUERY of one port: protocol, object, reserved, PortIndex."""

    port: int = 0

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        _expect(reader, Protocol.IDE_KM, IdeKmObject.QUERY)
        reader.take(1, "reserved")
        return cls(reader.u8("PortIndex"))

    def push(self) -> bytes:
        """Encode."""
        return bytes((Protocol.IDE_KM, IdeKmObject.QUERY, 0, self.port))


@dataclass(frozen=True, slots=True)
class IdeQueryResponse:
    """QUERY_RESP: reserved, PortIndex, DevFunc, Bus, Segment, MaxPortIndex, then the registers of the IDE capability.

    `registers` are the 32-bit registers as they stand in configuration space.
    """

    port: int
    devfn: int
    bus: int
    segment: int
    last_port: int
    registers: tuple[int, ...]

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode; padding of a transport must have been removed."""
        _expect(reader, Protocol.IDE_KM, IdeKmObject.QUERY_RESP)
        reader.take(1, "reserved")
        port, devfn, bus = reader.u8("PortIndex"), reader.u8("DevFunc"), reader.u8("Bus")
        segment, last = reader.u8("Segment"), reader.u8("MaxPortIndex")
        if reader.remaining % 4:
            raise reader.fail(f"{reader.remaining} bytes are no whole number of registers")
        return cls(port, devfn, bus, segment, last, tuple(reader.u32("register") for _ in range(reader.remaining // 4)))

    def push(self) -> bytes:
        """Encode."""
        head = (Protocol.IDE_KM, IdeKmObject.QUERY_RESP, 0, self.port, self.devfn, self.bus, self.segment)
        return bytes((*head, self.last_port)) + b"".join(le(register, 4) for register in self.registers)


# -- TDISP -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TdispHeader:
    """Protocol, then version, type, reserved 2, and the interface: function id u32, reserved u64."""

    type: int
    function_id: int = 0
    version: int = TDISP_VERSION

    @classmethod
    def pull(cls, reader: Reader, expected: TdispMessage | None = None) -> Self:
        """Decode. Raises `WireError` for another type than `expected`, an ERROR of TDISP included."""
        protocol = reader.u8("ProtocolID")
        if protocol != Protocol.TDISP:
            raise reader.fail(f"protocol {protocol} where TDISP (1) is expected")
        version, kind = reader.u8("TDISPVersion"), reader.u8("MessageType")
        reader.take(2, "reserved")
        function_id = reader.u32("FUNCTION_ID")
        reader.take(8, "reserved")
        if expected is not None and kind == TdispMessage.TDISP_ERROR:
            raise reader.fail(f"TDISP error {reader.u32('ERROR_CODE'):#x}")
        if expected is not None and kind != expected:
            raise reader.fail(f"TDISP message {kind:#04x} where {expected.name} is expected")
        return cls(kind, function_id, version)

    def push(self) -> bytes:
        """Encode."""
        return bytes((Protocol.TDISP, self.version, self.type, 0, 0)) + le(self.function_id, 4) + bytes(8)


def get_tdisp_version(function_id: int = 0) -> bytes:
    """GET_TDISP_VERSION."""
    return TdispHeader(TdispMessage.GET_TDISP_VERSION, function_id).push()


def pull_tdisp_versions(payload: bytes) -> tuple[int, ...]:
    """TDISP_VERSION: a count, then version bytes. Raises `WireError`."""
    reader = Reader(payload, "TDISP_VERSION")
    TdispHeader.pull(reader, TdispMessage.TDISP_VERSION)
    count = reader.u8("VERSION_NUM_COUNT")
    if count > MAX_VERSIONS:
        raise reader.fail(f"{count} versions, at most {MAX_VERSIONS} are accepted")
    return tuple(reader.take(count, "VERSION_NUM_ENTRY"))


def get_tdisp_capabilities(function_id: int = 0, tsm_capabilities: int = 0) -> bytes:
    """GET_TDISP_CAPABILITIES."""
    return TdispHeader(TdispMessage.GET_TDISP_CAPABILITIES, function_id).push() + le(tsm_capabilities, 4)


@dataclass(frozen=True, slots=True)
class TdispCapabilities:
    """TDISP_CAPABILITIES.

    | off | size | field |
    | --- | --- | --- |
    | 17 | 4 | DSM_CAPS |
    | 21 | 16 | REQ_MSGS_SUPPORTED, a mask of request types |
    | 37 | 2 | LOCK_INTERFACE_FLAGS_SUPPORTED |
    | 39 | 3 | reserved |
    | 42 | 1 | DEV_ADDR_WIDTH |
    | 43 | 1, 1 | NUM_REQ_THIS, NUM_REQ_ALL |
    """

    dsm: int
    requests: int
    lock_flags: int
    address_width: int
    requests_this: int
    requests_all: int

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        TdispHeader.pull(reader, TdispMessage.TDISP_CAPABILITIES)
        dsm, requests = reader.u32("DSM_CAPS"), reader.uint(16, "REQ_MSGS_SUPPORTED")
        flags = reader.u16("LOCK_INTERFACE_FLAGS_SUPPORTED")
        reader.take(3, "reserved")
        tail = reader.u8("DEV_ADDR_WIDTH"), reader.u8("NUM_REQ_THIS"), reader.u8("NUM_REQ_ALL")
        return cls(dsm, requests, flags, *tail)

    def push(self, function_id: int = 0) -> bytes:
        """Encode."""
        return (
            TdispHeader(TdispMessage.TDISP_CAPABILITIES, function_id).push()
            + le(self.dsm, 4)
            + le(self.requests, 16)
            + le(self.lock_flags, 2)
            + bytes((0, 0, 0, self.address_width, self.requests_this, self.requests_all))
        )


def get_interface_state(function_id: int = 0) -> bytes:
    """GET_DEVICE_INTERFACE_STATE."""
    return TdispHeader(TdispMessage.GET_DEVICE_INTERFACE_STATE, function_id).push()


def pull_interface_state(payload: bytes) -> InterfaceState:
    """DEVICE_INTERFACE_STATE. Raises `WireError`, also for a state that TDISP does not have."""
    reader = Reader(payload, "DEVICE_INTERFACE_STATE")
    TdispHeader.pull(reader, TdispMessage.DEVICE_INTERFACE_STATE)
    state = reader.u8("TDI_STATE")
    if state not in set(InterfaceState):
        raise reader.fail(f"unknown state {state} of an interface")
    return InterfaceState(state)


def _expect(reader: Reader, protocol: Protocol, kind: IdeKmObject) -> None:
    head = reader.u8("ProtocolID"), reader.u8("ObjectID")
    if head != (protocol, kind):
        raise reader.fail(f"protocol {head[0]}, object {head[1]} where {kind.name} of {protocol.name} is expected")


def name_of(payload: bytes) -> str:
    """What a payload of the PCI-SIG is, for people; a protocol or type without a name is given as its number."""
    if len(payload) < 2:
        return f"PCI-SIG payload of {len(payload)} bytes"
    if payload[0] == Protocol.IDE_KM:
        known: type[IntEnum] = IdeKmObject
        protocol, number = "IDE_KM", payload[1]
    elif payload[0] == Protocol.TDISP and len(payload) > 2:
        known = TdispMessage
        protocol, number = "TDISP", payload[2]
    else:
        return f"PCI-SIG protocol {payload[0]:#04x}"
    return f"{protocol} {known(number).name if number in set(known) else f'{number:#04x}'}"
