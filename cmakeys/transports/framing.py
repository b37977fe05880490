"""Pure packing and unpacking of the frames that carry one SPDM message: MCTP, PCI DOE, TCP, storage, or none at all.

No byte is read from anywhere here, so the socket transports, recordings and the emulated device all use the same code.
Unpacking is strict: a frame whose own length disagrees with its size is refused. What is left to the SPDM layer is DOE
padding: an object is a whole number of dwords, so a payload may end in up to three zero bytes more than was sent
(DSP0274 messages carry their own length).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from cmakeys.transports.base import TransportFramingError
from cmakeys.transports.storage import (
    SECURITY_PROTOCOL,
    Operation,
    pack_secured,
    protocol_specific,
    unpack_secured,
)

DOE_VENDOR_PCI_SIG = 0x0001
DOE_MAXIMUM = 1 << 20
TCP_BINDING_VERSION = 0x01
TCP_PAYLOAD_MAXIMUM = 0xFFFF - 2

_DOE_HEADER = struct.Struct("<HBBI")
_TCP_HEADER = struct.Struct("<HBB")
_STORAGE_HEADER = struct.Struct("<BH")


class Framing(IntEnum):
    """How a message is wrapped; the numbers are the emulator socket's transport types.

    STORAGE exists in recordings only: what a command says of its data stands for the frame that it does not have.
    """

    NONE = 0
    MCTP = 1
    PCI_DOE = 2
    TCP = 3
    STORAGE = 4


class DoeType(IntEnum):
    """Data object types of the PCI-SIG vendor (PCIe r6.1 §6.30.1.1, CMA-SPDM)."""

    DISCOVERY = 0
    SPDM = 1
    SECURED_SPDM = 2


class MctpType(IntEnum):
    """MCTP message types (DSP0275, DSP0276)."""

    SPDM = 0x05
    SECURED_SPDM = 0x06


class TcpType(IntEnum):
    """Message types of the TCP binding (DSP0287)."""

    SPDM = 0x05
    SECURED_SPDM = 0x06
    ROLE_INQUIRY = 0xBF
    TOO_LARGE = 0xC0
    NOT_SUPPORTED = 0xC1
    CANNOT_BE_REQUESTER = 0xC2
    CANNOT_BE_RESPONDER = 0xC3


_TCP_ERRORS: dict[int, str] = {
    TcpType.TOO_LARGE: "the peer says that the message is too large for it",
    TcpType.NOT_SUPPORTED: "the peer does not support this message type",
    TcpType.CANNOT_BE_REQUESTER: "the peer says that it cannot act as requester",
    TcpType.CANNOT_BE_RESPONDER: "the peer says that it cannot act as responder",
}


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """What a frame carried, and whether as a secured record."""

    payload: bytes
    secured: bool


@dataclass(frozen=True, slots=True)
class DoeObject:
    """One PCI DOE data object.

    ==== ==== ========= =======================================================
    off  size field     meaning
    ==== ==== ========= =======================================================
    0    2    vendor    u16le, 0x0001 PCI-SIG
    2    1    type      0 discovery, 1 SPDM, 2 secured SPDM
    3    1    reserved  0
    4    4    length    u32le, bits 17:0 in dwords, header included; 0 is 2^18
    8    …    payload   padded with zeros to a dword
    ==== ==== ========= =======================================================
    """

    vendor: int
    type: int
    payload: bytes

    def pack(self) -> bytes:
        """The object with its padding; `TransportFramingError` above 1 MiB."""
        dwords = (_DOE_HEADER.size + len(self.payload) + 3) // 4
        if dwords * 4 > DOE_MAXIMUM:
            raise TransportFramingError(f"{len(self.payload)} bytes do not fit a DOE object of at most 1 MiB")
        header = _DOE_HEADER.pack(self.vendor, self.type, 0, dwords & 0x3FFFF)
        return header + self.payload + bytes(-len(self.payload) % 4)

    @classmethod
    def unpack(cls, frame: bytes, source: str = "") -> DoeObject:
        """Read one object that fills `frame` exactly."""
        if len(frame) < _DOE_HEADER.size:
            raise TransportFramingError(f"{len(frame)} bytes are too few for a DOE object", object=source)
        vendor, kind, reserved, length = _DOE_HEADER.unpack_from(frame)
        size = (length or DOE_MAXIMUM // 4) * 4
        if reserved or length >> 18:
            raise TransportFramingError("reserved bits of a DOE header are set", object=source)
        if size != len(frame):
            raise TransportFramingError(
                f"a DOE object of {size} bytes by its header arrived as {len(frame)} bytes", object=source
            )
        return cls(vendor, kind, frame[_DOE_HEADER.size :])


def pack_mctp(payload: bytes, *, secured: bool = False) -> bytes:
    """Message type byte and message; the MCTP packets are made by a layer below."""
    return bytes([MctpType.SECURED_SPDM if secured else MctpType.SPDM]) + payload


def unpack_mctp(frame: bytes, source: str = "") -> Unwrapped:
    """Take the message type byte off; an integrity check (bit 7) is not part of the SPDM binding."""
    if not frame:
        raise TransportFramingError("an MCTP message without a type byte", object=source)
    if frame[0] not in (MctpType.SPDM, MctpType.SECURED_SPDM):
        raise TransportFramingError(f"MCTP message type {frame[0]:#04x} is not SPDM", object=source)
    return Unwrapped(frame[1:], frame[0] == MctpType.SECURED_SPDM)


def pack_doe(payload: bytes, *, secured: bool = False) -> bytes:
    """Wrap an SPDM message in a data object."""
    kind = DoeType.SECURED_SPDM if secured else DoeType.SPDM
    return DoeObject(DOE_VENDOR_PCI_SIG, kind, payload).pack()


def unpack_doe(frame: bytes, source: str = "") -> Unwrapped:
    """Take a data object of one of the two SPDM types apart; up to three bytes of padding stay with the payload."""
    data = DoeObject.unpack(frame, source)
    if data.vendor != DOE_VENDOR_PCI_SIG or data.type not in (DoeType.SPDM, DoeType.SECURED_SPDM):
        raise TransportFramingError(
            f"DOE object of vendor {data.vendor:#06x}, type {data.type} is not SPDM", object=source
        )
    return Unwrapped(data.payload, data.type == DoeType.SECURED_SPDM)


def pack_tcp(payload: bytes, *, secured: bool = False) -> bytes:
    """Length (payload and the two bytes after the length field), binding version, message type, payload."""
    if len(payload) > TCP_PAYLOAD_MAXIMUM:
        raise TransportFramingError(
            f"{len(payload)} bytes do not fit one message of the TCP binding (at most {TCP_PAYLOAD_MAXIMUM})"
        )
    kind = TcpType.SECURED_SPDM if secured else TcpType.SPDM
    return _TCP_HEADER.pack(len(payload) + 2, TCP_BINDING_VERSION, kind) + payload


def tcp_payload_size(header: bytes, source: str = "") -> int:
    """Bytes that follow a 4-byte TCP binding header; `TransportFramingError` for all that announces no SPDM message.

    Role inquiry and error frames say 0 in libspdm where the binding says 2; neither matters, since both end here.
    """
    length, version, kind = _TCP_HEADER.unpack(header)
    if version != TCP_BINDING_VERSION:
        raise TransportFramingError(f"version {version} of the TCP binding is not known", object=source)
    if kind == TcpType.ROLE_INQUIRY:
        raise TransportFramingError(
            "the peer asks which role we play instead of answering",
            object=source,
            hint="it waits to be a requester itself; start it as a responder that listens",
        )
    if kind >= TcpType.TOO_LARGE:
        raise TransportFramingError(_TCP_ERRORS.get(kind, f"the peer reports error {kind:#04x}"), object=source)
    if kind not in (TcpType.SPDM, TcpType.SECURED_SPDM):
        raise TransportFramingError(f"message type {kind:#04x} of the TCP binding is not known", object=source)
    if length < 2:
        raise TransportFramingError(f"a length of {length} leaves no room for the binding's header", object=source)
    return int(length) - 2


def is_role_inquiry(header: bytes) -> bool:
    """A 4-byte header of the TCP binding that asks which role we play; its length is 2, and 0 in libspdm."""
    length, version, kind = _TCP_HEADER.unpack(header)
    return (version, kind) == (TCP_BINDING_VERSION, TcpType.ROLE_INQUIRY) and length in (0, 2)


def unpack_tcp(frame: bytes, source: str = "") -> Unwrapped:
    """Take one whole frame of the TCP binding apart."""
    if len(frame) < _TCP_HEADER.size:
        raise TransportFramingError(f"{len(frame)} bytes are too few for a TCP binding header", object=source)
    size = tcp_payload_size(frame[: _TCP_HEADER.size], source)
    payload = frame[_TCP_HEADER.size :]
    if size != len(payload):
        raise TransportFramingError(
            f"a payload of {size} bytes by its header arrived as {len(payload)} bytes", object=source
        )
    return Unwrapped(payload, frame[3] == TcpType.SECURED_SPDM)


def pack_storage(payload: bytes, *, secured: bool = False) -> bytes:
    """Security protocol u8, its specific field u16 little-endian, and the data of the command."""
    operation = Operation.SECURED_MESSAGE if secured else Operation.MESSAGE
    data = pack_secured(payload) if secured else payload
    return _STORAGE_HEADER.pack(SECURITY_PROTOCOL, protocol_specific(operation)) + data


def unpack_storage(frame: bytes, source: str = "") -> Unwrapped:
    """Take the data of a command apart, whichever connection it belongs to."""
    if len(frame) < _STORAGE_HEADER.size:
        raise TransportFramingError(f"{len(frame)} bytes are too few for a storage command", object=source)
    protocol, specific = _STORAGE_HEADER.unpack_from(frame)
    data = frame[_STORAGE_HEADER.size :]
    if protocol != SECURITY_PROTOCOL or specific >> 2 not in (Operation.MESSAGE, Operation.SECURED_MESSAGE):
        raise TransportFramingError(
            f"security protocol {protocol:#04x}, specific {specific:#06x} is no SPDM message", object=source
        )
    secured = specific >> 2 == Operation.SECURED_MESSAGE
    return Unwrapped(unpack_secured(data, source) if secured else data, secured)


def wrap(framing: Framing, payload: bytes, *, secured: bool = False) -> bytes:
    """One frame of the given kind; without framing nothing tells a secured record, so none can be sent."""
    match framing:
        case Framing.MCTP:
            return pack_mctp(payload, secured=secured)
        case Framing.PCI_DOE:
            return pack_doe(payload, secured=secured)
        case Framing.TCP:
            return pack_tcp(payload, secured=secured)
        case Framing.STORAGE:
            return pack_storage(payload, secured=secured)
        case Framing.NONE:
            if secured:
                raise TransportFramingError("a secured record needs a transport that marks it")
            return payload


def unwrap(framing: Framing, frame: bytes, source: str = "") -> Unwrapped:
    """Take one frame of the given kind apart."""
    match framing:
        case Framing.MCTP:
            return unpack_mctp(frame, source)
        case Framing.PCI_DOE:
            return unpack_doe(frame, source)
        case Framing.TCP:
            return unpack_tcp(frame, source)
        case Framing.STORAGE:
            return unpack_storage(frame, source)
        case Framing.NONE:
            return Unwrapped(frame, secured=False)


def unwrap_answer(framing: Framing, frame: bytes, source: str, *, secured: bool) -> bytes:
    """The payload of an answer, which must be secured exactly when the request was."""
    answer = unwrap(framing, frame, source)
    if answer.secured != secured:
        kinds = ("in the clear", "as a secured record")
        raise TransportFramingError(
            f"a message sent {kinds[secured]} was answered {kinds[answer.secured]}", object=source
        )
    return answer.payload
