"""One connection to an emulated device: frames in, frames out, and what can go wrong with them on purpose.

Speaks the socket of DMTF's emulator (12-byte header, transports none, MCTP, PCI DOE and TCP, with or without the hello,
so that QEMU can connect) and SPDM over bare TCP (DSP0287). How frames look is `cmakeys.transports`' business; this is
the other end of it. Every answer is written whole, in one piece.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum

from cmakeys.emulator.device import Device
from cmakeys.emulator.faults import LineFault
from cmakeys.spdm.messages.header import HEADER_LENGTH
from cmakeys.spdm.secured import Binding
from cmakeys.transports.base import TransportFramingError
from cmakeys.transports.emulator_socket import HEADER, SERVER_HELLO, Command, SocketFrame, payload_size
from cmakeys.transports.framing import (
    DOE_MAXIMUM,
    DOE_VENDOR_PCI_SIG,
    DoeObject,
    DoeType,
    Framing,
    tcp_payload_size,
    unwrap,
    wrap,
)

FRAME_LIMIT = DOE_MAXIMUM
"""Bytes of one request frame; a larger one ends the connection before anything is allocated for it."""

DRIBBLE_SECONDS = 1.0
_TCP_HEADER_SIZE = 4
_OTHER_TRANSPORT = 9
_HUGE = 0xFFFFFFFF
_NO_VENDOR = 0xFFFF

_DISCOVERY: tuple[tuple[int, int], ...] = (
    (DOE_VENDOR_PCI_SIG, DoeType.DISCOVERY),
    (DOE_VENDOR_PCI_SIG, DoeType.SPDM),
    (DOE_VENDOR_PCI_SIG, DoeType.SECURED_SPDM),
)
"""Vendor and type of each DOE protocol; the last one is there for a device with sessions only."""

_BINDINGS = {Framing.MCTP: Binding.MCTP, Framing.PCI_DOE: Binding.PCI_DOE, Framing.TCP: Binding.TCP}


class After(Enum):
    """What becomes of a connection after a frame."""

    GO_ON = "go on"
    CLOSE = "close"
    SHUTDOWN = "shutdown"


@dataclass(slots=True)
class Seat:
    """The place behind one port: the device in it can be exchanged while the server runs.

    `latency` is the seconds that pass before each answer; a real mailbox takes tens of milliseconds.
    """

    device: Device
    framing: Framing = Framing.PCI_DOE
    bare: bool = False
    fault: LineFault | None = None
    latency: float = 0.0

    def respond(self, message: bytes, *, secured: bool = False) -> bytes | None:
        """The device's answer, a record to a record; None when it gives none."""
        return self.device.respond(message, secured=secured, binding=_BINDINGS.get(self.framing))


class Line:
    """Serves one connection to a seat."""

    def __init__(self, seat: Seat, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._seat = seat
        self._reader = reader
        self._writer = writer

    async def serve(self) -> After:
        """Answer frames until the connection ends, and say how it ended."""
        turn = self._bare_turn if self._seat.bare else self._socket_turn
        while True:
            try:
                after = await turn()
            except (asyncio.IncompleteReadError, ConnectionError, TransportFramingError):
                return After.CLOSE
            if after is not After.GO_ON:
                return after

    async def _socket_turn(self) -> After:
        header = await self._reader.readexactly(HEADER.size)
        size = payload_size(header, FRAME_LIMIT, "emulator")
        command, transport, _ = HEADER.unpack(header)
        payload = await self._reader.readexactly(size)
        framing = self._seat.framing
        match command:
            case Command.NORMAL if transport == framing:
                return await self._message(payload)
            case Command.TEST:
                await self._write(SocketFrame(command, framing, SERVER_HELLO).pack())
                return After.GO_ON
            case Command.CONTINUE | Command.SHUTDOWN:
                await self._write(SocketFrame(command, framing, b"").pack())
                return After.SHUTDOWN if command == Command.SHUTDOWN else After.CLOSE
            case Command.OOB_ENCAP_KEY_UPDATE | Command.OOB_ENCAP_ENDPOINT_INFO:
                if command == Command.OOB_ENCAP_KEY_UPDATE:
                    self._seat.device.request_key_update()
                await self._write(SocketFrame(command, framing, b"").pack())
                return After.GO_ON
            case _:
                return After.CLOSE

    async def _message(self, payload: bytes) -> After:
        framing = self._seat.framing
        secured = self._seat.device.hardware.settings.sessions is not None
        discovered = _discover(payload, secured=secured) if framing == Framing.PCI_DOE else None
        if discovered is not None:
            await self._write(SocketFrame(Command.NORMAL, framing, discovered).pack())
            return After.GO_ON
        request = unwrap(framing, payload, "emulator")
        if len(request.payload) < HEADER_LENGTH:
            return After.CLOSE
        answer = self._seat.respond(request.payload, secured=request.secured)
        if answer is None:
            # A record of no session is dropped; whoever waits for its answer, as QEMU does, has to hear of it.
            return After.CLOSE if request.secured else After.GO_ON
        frame = SocketFrame(Command.NORMAL, framing, wrap(framing, answer, secured=request.secured))
        return await self._answer(frame.pack(), _spoiled_socket_frame(frame, self._seat.fault))

    async def _bare_turn(self) -> After:
        header = await self._reader.readexactly(_TCP_HEADER_SIZE)
        payload = await self._reader.readexactly(tcp_payload_size(header, "emulator"))
        request = unwrap(Framing.TCP, header + payload, "emulator")
        if len(request.payload) < HEADER_LENGTH:
            return After.CLOSE
        answer = self._seat.respond(request.payload, secured=request.secured)
        if answer is None:
            # A record of no session is dropped; whoever waits for its answer, as QEMU does, has to hear of it.
            return After.CLOSE if request.secured else After.GO_ON
        frame = wrap(Framing.TCP, answer, secured=request.secured)
        return await self._answer(frame, _spoiled_tcp_frame(frame, self._seat.fault))

    async def _answer(self, frame: bytes, spoiled: bytes | None) -> After:
        """Send an answer when its time has come, or what the fault of this line makes of it."""
        if self._seat.latency:
            await asyncio.sleep(self._seat.latency)
        match self._seat.fault:
            case None:
                await self._write(frame)
                return After.GO_ON
            case LineFault.DISCONNECT:
                return After.CLOSE
            case LineFault.CLOSE_MID_MESSAGE:
                await self._write(frame[: len(frame) // 2])
                return After.CLOSE
            case LineFault.DRIBBLE:
                for offset in range(len(frame)):
                    await self._write(frame[offset : offset + 1])
                    await asyncio.sleep(DRIBBLE_SECONDS)
                return After.GO_ON
            case _:
                await self._write(spoiled or frame)
                return After.GO_ON

    async def _write(self, frame: bytes) -> None:
        self._writer.write(frame)
        await self._writer.drain()


def _discover(payload: bytes, *, secured: bool) -> bytes | None:
    """The answer to a DOE discovery object; None for any other. An index past the end gets vendor 0xFFFF."""
    asked = DoeObject.unpack(payload, "emulator")
    if asked.vendor != DOE_VENDOR_PCI_SIG or asked.type != DoeType.DISCOVERY:
        return None
    protocols = _DISCOVERY if secured else _DISCOVERY[:-1]
    index = asked.payload[0] if asked.payload else 0
    vendor, kind = protocols[index] if index < len(protocols) else (_NO_VENDOR, 0xFF)
    following = index + 1 if index + 1 < len(protocols) else 0
    answer = vendor.to_bytes(2, "little") + bytes((kind, following))
    return DoeObject(DOE_VENDOR_PCI_SIG, DoeType.DISCOVERY, answer).pack()


def _spoiled_socket_frame(frame: SocketFrame, fault: LineFault | None) -> bytes | None:
    if fault == LineFault.BAD_FRAME:
        return SocketFrame(frame.command, _OTHER_TRANSPORT, frame.payload).pack()
    if fault == LineFault.HUGE_FRAME:
        return HEADER.pack(frame.command, frame.transport, _HUGE) + frame.payload
    return None


def _spoiled_tcp_frame(frame: bytes, fault: LineFault | None) -> bytes | None:
    if fault == LineFault.BAD_FRAME:
        return frame[:2] + bytes((_OTHER_TRANSPORT,)) + frame[3:]
    if fault == LineFault.HUGE_FRAME:
        return b"\xff\xff" + frame[2:]
    return None
