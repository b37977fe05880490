"""The transports: what comes out of a socket, a mailbox or a controller may be anything.

Every one gives back the payload of an answer, or one of the temporary problems that accuse nobody; it never waits
longer than its deadline, and takes no more memory than what arrives. Time here is a number that sleeping moves on.
"""

from __future__ import annotations

import ctypes
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from unittest import mock

from cmakeys.errors import Temporary, Unsupported
from cmakeys.transports import base, nvme
from cmakeys.transports.base import Deadline, Transport, TransportFramingError
from cmakeys.transports.config_space import ExtendedCapability
from cmakeys.transports.doe import SPDM, Mailbox
from cmakeys.transports.emulator_socket import Command, EmulatorSocket, SocketFrame
from cmakeys.transports.framing import DoeObject, Framing, unwrap, wrap
from cmakeys.transports.mctp import Datagram, Endpoint, MctpTransport
from cmakeys.transports.nvme import SECURITY_SEND, Controller, NvmeTransport
from cmakeys.transports.storage import Discovery, Operation, PendingInfo, pack_secured
from cmakeys.transports.stream import Stream
from cmakeys.transports.tcp import TcpTransport
from tests.fuzz.damage import Damage, change, draw_change
from tests.fuzz.target import Played, described, several, template
from tests.transports.mailbox import MAILBOX, MailboxFaults, SimulatedFunction, SimulatedMailbox

REQUEST = bytes.fromhex("10840000")
ANSWER = bytes.fromhex("10040000000500100011001200130014")
ADDRESS = "fuzz"
DEADLINE = 30.0
CLEAN = (Temporary, Unsupported)


class Time:
    """A clock that goes on a little whenever it is looked at, and by as much as is slept."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        self.now += 0.001
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        self.now += seconds


@dataclass
class Wire:
    """A connected socket whose peer says what it was given to say, in pieces, and then closes or keeps silent."""

    octets: bytes
    pieces: int
    silent: bool
    due: bool = False

    def setsockopt(self, *_: object) -> None:
        """Nothing to set."""

    def settimeout(self, _: float) -> None:
        """Time is not this one's business."""

    def sendall(self, _: bytes) -> None:
        """The peer speaks once it was asked."""
        self.due = True

    def recv(self, size: int, flags: int = 0) -> bytes:
        """The next piece."""
        if not self.due:
            raise BlockingIOError
        piece = self.octets[: min(size, self.pieces)]
        if flags & socket.MSG_PEEK:
            return piece
        self.octets = self.octets[len(piece) :]
        if not piece and self.silent:
            raise TimeoutError
        return piece

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class Bus:
    """An MCTP socket whose endpoint answers with what it was given."""

    datagram: Datagram | None

    def send(self, message: bytes, target: Endpoint, kind: int) -> None:
        """Taken."""

    def receive(self, seconds: float) -> Datagram | None:
        """The answer."""
        return self.datagram

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class Disk:
    """A controller's ioctl: an answer of each operation."""

    answers: dict[int, bytes]
    status: int = 0
    calls: Counter[int] = field(default_factory=Counter)

    def ioctl(self, _descriptor: int, _request: int, command: bytearray) -> int:
        """One security command, of which only what comes back is of interest."""
        opcode, address, size = command[0], *struct.unpack_from("<Q4xI", command, 24)
        if opcode != SECURITY_SEND:
            operation = struct.unpack_from("<I", command, 40)[0] >> 10 & 0x3F
            data = self.answers.get(operation, b"")[:size]
            ctypes.memmove(address, data, len(data))
        return self.status


def _damaged(octets: bytes, damages: tuple[Damage, ...], at: int) -> bytes:
    for damage in damages:
        if damage.at == at:
            octets = change(octets, damage)
    return octets


Exchange = Callable[[tuple[Damage, ...], Time, bool], bytes]


def _numbers(damages: tuple[Damage, ...]) -> int:
    """A number that belongs to this input, for what is no octet: how a stream is cut, whether the peer is silent."""
    return sum(one.at * 7 + sum(len(str(argument)) for argument in one.arguments) for one in damages)


def _once(transport: Transport, secured: bool) -> bytes:
    try:
        return transport.exchange(REQUEST, Deadline.after(DEADLINE), secured=secured)
    finally:
        transport.close()


def _tcp(damages: tuple[Damage, ...], _: Time, secured: bool) -> bytes:
    octets = _damaged(wrap(Framing.TCP, ANSWER, secured=secured), damages, 0)
    return _once(TcpTransport(_stream(octets, damages)), secured)


def _stream(octets: bytes, damages: tuple[Damage, ...]) -> Stream:
    number = _numbers(damages)
    wire = Wire(octets, (1, 3, 1 << 16)[number % 3], silent=number % 2 == 1)
    return Stream(wire, ADDRESS)  # type: ignore[arg-type]  # as much of a socket as a stream uses


def _emulator(framing: Framing) -> Exchange:
    def exchange(damages: tuple[Damage, ...], _: Time, secured: bool) -> bytes:
        secured = secured and framing is not Framing.NONE
        frame = _damaged(wrap(framing, ANSWER, secured=secured), damages, 1)
        octets = _damaged(SocketFrame(Command.NORMAL, framing, frame).pack(), damages, 0)
        return _once(EmulatorSocket(_stream(octets, damages), framing), secured)

    return exchange


def _mctp(damages: tuple[Damage, ...], _: Time, secured: bool) -> bytes:
    frame = _damaged(wrap(Framing.MCTP, ANSWER, secured=secured), damages, 0)
    source = Endpoint(9 + _numbers(damages) % 40 // 39)
    datagram = Datagram(source, frame[0], frame[1:]) if frame else None
    return _once(MctpTransport(Bus(datagram), Endpoint(9), ADDRESS), secured)


def _nvme(damages: tuple[Damage, ...], _: Time, secured: bool) -> bytes:
    answer = _damaged(pack_secured(ANSWER) if secured else ANSWER, damages, 0)
    pending = _damaged(PendingInfo(pending=True, length=len(answer)).pack(), damages, 1)
    discovery = _damaged(Discovery(0x1000, 0, 0x66).pack(), damages, 2)
    status = 0x4002 if _numbers(damages) % 50 == 49 else 0
    operation = Operation.SECURED_MESSAGE if secured else Operation.MESSAGE
    answers: dict[int, bytes] = {operation: answer, Operation.PENDING_INFO: pending, Operation.DISCOVERY: discovery}
    transport = NvmeTransport(Controller(-1, ADDRESS, Disk(answers, status).ioctl), lambda: None)
    transport.discover(Deadline.after(DEADLINE))
    return _once(transport, secured)


def _doe(damages: tuple[Damage, ...], time: Time, secured: bool) -> bytes:
    frame = _damaged(wrap(Framing.PCI_DOE, ANSWER, secured=secured), damages, 0)[:4096]
    frame += bytes(-len(frame) % 4)
    number = _numbers(damages)
    faults = MailboxFaults(
        verbatim=frame or None,
        silent=number % 31 == 1,
        busy=(0, 0, 0, 5, 1 << 40)[number % 5],
        error_before=number % 37 == 1,
        error_after=number % 41 == 1,
        stale=frame if number % 43 == 1 else b"",
        drops_ready_after=number % 9 if number % 11 == 1 else None,
        ignores_abort=number % 13 == 1,
    )
    # Nothing is waiting where nothing was said: the mailbox of the tests cannot offer an object of no dwords.
    simulated = SimulatedMailbox(respond=lambda _kind, _message: frame, faults=faults)
    capability = ExtendedCapability(0x2E, 1, MAILBOX)
    mailbox = Mailbox(SimulatedFunction({MAILBOX: simulated}), capability, sleep=time.sleep)
    deadline = Deadline.after(DEADLINE)
    mailbox.prepare(deadline)
    kind = SPDM[1] + secured
    return mailbox.exchange(DoeObject(SPDM[0], kind, REQUEST), deadline).payload


def _plain(framing: Framing) -> Exchange:
    def exchange(damages: tuple[Damage, ...], _: Time, secured: bool) -> bytes:
        frame = wrap(framing, ANSWER, secured=secured and framing is not Framing.NONE)
        return unwrap(framing, _damaged(frame, damages, 0)).payload

    return exchange


@dataclass(frozen=True, slots=True)
class ChannelTarget:
    """One transport and one answer over it."""

    name: str
    exchange: Exchange
    weight: int = 1
    frames: int = 1

    def draw(self, rng: random.Random) -> tuple[Damage, ...]:
        """Damage to what the transport hands over."""
        return several(rng, lambda: Damage(rng.randrange(2 * self.frames), "frame", *draw_change(rng, 24)))

    def play(self, damages: tuple[Damage, ...]) -> Played:
        """One exchange. An odd number names the same frame of an answer that is a record."""
        secured = bool(damages) and damages[0].at >= self.frames
        inner = tuple(Damage(one.at % self.frames, one.layer, one.kind, one.arguments) for one in damages)
        time, finding = Time(), ""
        begun = time.now
        try:
            with ExitStack() as stack:
                for module in (base, nvme):
                    stack.enter_context(mock.patch.object(module, "time", time))
                payload = self.exchange(inner, time, secured)
            ended = "payload" if payload.startswith(ANSWER) else "another payload"
            if not damages and ended != "payload":
                finding = f"an honest answer came out as {payload.hex()}"
        except CLEAN as error:
            ended = template(error)
            finding = "" if error.object else "a problem without a name"
            if isinstance(error, TransportFramingError) and self.name.startswith("framing/"):
                finding = ""
        except Exception as error:
            return Played((self.name, template(error)), type(error).__name__, finding=described(error))
        if time.now - begun > DEADLINE + 10:
            finding = f"{time.now - begun:.0f} s for a deadline of {DEADLINE} s"
        steps = Counter((self.name,))
        kind = f"transport: {ended.split(':')[0]}"
        return Played((self.name, ended), kind, steps, steps, len(ANSWER), finding)


def targets() -> Iterator[ChannelTarget]:
    """Every transport, and each framing by itself."""
    yield ChannelTarget("channel/tcp", _tcp)
    yield ChannelTarget("channel/mctp", _mctp)
    yield ChannelTarget("channel/nvme", _nvme, frames=3)
    yield ChannelTarget("channel/doe", _doe)
    for framing in Framing:
        yield ChannelTarget(f"framing/{framing.name.lower()}", _plain(framing))
        yield ChannelTarget(f"channel/emulator-{framing.name.lower()}", _emulator(framing), frames=2)
