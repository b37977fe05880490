"""IDE key management as an emulated port plays it: which keys were programmed, and which are in use (reference §10.3).

PCIe and CXL have the same objects with small differences, the `Dialect`. No key is kept, since nothing is encrypted:
what counts is that a key was there before it is told to go.

| off | size | field of KEY_PROG, K_SET_GO and K_SET_STOP |
| --- | --- | --- |
| 0 | 1 | protocol, 0 |
| 1 | 1 | object |
| 2 | 2 | reserved |
| 4 | 1 | StreamID |
| 5 | 1 | reserved; Status in KP_ACK |
| 6 | 1 | KeySubStream: bit 0 key set, bit 1 direction, bits 7:4 sub-stream |
| 7 | 1 | PortIndex |
| 8 | 32 | key, and after it what begins the IV; in KEY_PROG only |
"""

from __future__ import annotations

from dataclasses import dataclass

from cmakeys.spdm.pci_sig import IdeKmObject, IdeQuery, IdeQueryResponse, Protocol
from cmakeys.spdm.wire import Reader, WireError

LAST_PORT = 1
_KEY_LENGTH = 32
_HEAD_LENGTH = 8
_SUCCESS, _BAD_LENGTH, _BAD_PORT, _BAD_VALUE = range(4)


@dataclass(frozen=True, slots=True)
class Dialect:
    """`flags` are the bits of KeySubStream that say how a key is used and not which one; `iv_length` is bytes.

    `announced` stands before the registers in QUERY_RESP, and `failure` is the only status there is but success, or 0
    where there are more.
    """

    sub_streams: frozenset[int]
    iv_length: int
    flags: int = 0
    announced: bytes = b""
    failure: int = 0


PCIE = Dialect(frozenset({0, 1, 2}), 8)
CXL = Dialect(frozenset({8}), 12, flags=0x08, announced=b"\x41", failure=1)
"""Announced: version 1, and K_SET_STOP is understood; keys are made by the other side."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What one key belongs to."""

    number: int
    selector: int
    port: int


class IdePort:
    """The ports of a device, behind each of which the same registers stand."""

    def __init__(self, dialect: Dialect, registers: tuple[int, ...]) -> None:
        self.dialect = dialect
        self.registers = registers
        self.programmed: set[Stream] = set()
        self.going: set[Stream] = set()

    def answer(self, payload: bytes) -> bytes:
        """The object that answers one. Raises `WireError` for one that is malformed, or that makes no sense now."""
        if len(payload) < 2 or payload[1] == IdeKmObject.QUERY:
            return self._tell(IdeQuery.pull(Reader(payload, "IDE_KM QUERY")))
        reader = Reader(payload, "IDE_KM object")
        reader.take(2, "protocol and object")
        reader.take(2, "reserved")
        number = reader.u8("StreamID")
        reader.take(1, "reserved")
        selector, port = reader.u8("KeySubStream"), reader.u8("PortIndex")
        stream = Stream(number, selector & ~self.dialect.flags, port)
        if payload[1] == IdeKmObject.KEY_PROG:
            status = self._program(stream, len(payload) - _HEAD_LENGTH)
            return bytes((Protocol.IDE_KM, IdeKmObject.KP_ACK, 0, 0, number, status, selector, port))
        if payload[1] == IdeKmObject.K_SET_GO:
            if stream not in self.programmed:
                raise WireError("no key was programmed that could go", object="IDE_KM")
            self.going.add(stream)
        elif payload[1] == IdeKmObject.K_SET_STOP:
            self.going.discard(stream)
            self.programmed.discard(stream)
        else:
            raise WireError(f"object {payload[1]:#04x} is no request", object="IDE_KM")
        return bytes((Protocol.IDE_KM, IdeKmObject.K_GOSTOP_ACK, 0, 0, number, 0, selector, port))

    def _tell(self, query: IdeQuery) -> bytes:
        if query.port > LAST_PORT:
            raise WireError(f"there is no port {query.port}", object="IDE_KM")
        bare = IdeQueryResponse(query.port, 0, 0, 0, LAST_PORT, ()).push()
        full = IdeQueryResponse(query.port, 0, 0, 0, LAST_PORT, self.registers).push()
        return bare + self.dialect.announced + full[len(bare) :]

    def _program(self, stream: Stream, length: int) -> int:
        """The Status of KP_ACK."""
        status = _SUCCESS
        if length != _KEY_LENGTH + self.dialect.iv_length:
            status = _BAD_LENGTH
        elif stream.port > LAST_PORT:
            status = _BAD_PORT
        elif stream.selector >> 4 not in self.dialect.sub_streams or stream.selector & 0x0C:
            status = _BAD_VALUE
        else:
            self.programmed.add(stream)
        return (self.dialect.failure or status) if status else _SUCCESS
