"""One conversation with the malicious responder: our requester, in one process, without a clock and without a socket.

Everything is counted that must be bounded: requests, and the time that would have passed. Whatever the requester knew
about sessions can be asked for afterwards, by whoever judges how it ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from unittest import mock

from cmakeys.emulator.device import Device
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.lies.lie import Lies
from cmakeys.errors import Temporary
from cmakeys.spdm import agreement, handshake
from cmakeys.spdm.agreement import Agreement
from cmakeys.spdm.algorithms import Dhe, Kem
from cmakeys.spdm.effects import Flow, Send
from cmakeys.spdm.secured import Binding, Channel
from cmakeys.spdm.session import Session
from cmakeys.spdm.states import State
from cmakeys.transports.base import TransportFramingError
from cmakeys.transports.framing import Framing, unwrap_answer, wrap
from tests.fuzz.damage import CHANGES, Damage, change
from tests.fuzz.meddler import Meddler

T = TypeVar("T")

MAX_REQUESTS = 20_000
"""More messages than this in one conversation are a finding; the limits of `Limits` add up to less."""

MAX_SECONDS = 3600.0
"""More seconds than this, if nobody set a deadline, are a finding. No one question may take a quarter of them."""

SHORTEST_RANDOM = 8
"""Bytes of the shortest random value that is told from other octets by its look."""

FRAMINGS = {
    Binding.MCTP: Framing.MCTP,
    Binding.PCI_DOE: Framing.PCI_DOE,
    Binding.TCP: Framing.TCP,
    Binding.STORAGE: Framing.STORAGE,
}


class NoAnswer(Temporary):
    """The device kept silent until the time was over."""

    code = "no-answer"


class Unbounded(Exception):
    """A device made us do more than any device may."""


class ResponderFault(Exception):
    """The emulated device could not bear what we, or somebody in the middle, sent to it."""


class Entropy:
    """Random octets that are the same in every run and never the same twice in one. `drawn` keeps them."""

    def __init__(self, name: bytes) -> None:
        self._name = name
        self._count = 0
        self.drawn: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        self._count += 1
        octets = hashlib.shake_128(self._name + self._count.to_bytes(4, "little")).digest(size)
        if size >= SHORTEST_RANDOM:
            self.drawn.append(octets)
        return octets


class WatchedSession(Session):
    """A session that can be found again, whoever holds it."""

    made: list[WatchedSession] = []  # noqa: RUF012 (one list for all: whoever makes one knows nothing of the stage)

    def __init__(self, *arguments: object, **options: object) -> None:
        self.made.append(self)
        super().__init__(*arguments, **options)  # type: ignore[arg-type]  # passed on as they came

    @property
    def keeps_secrets(self) -> bool:
        """Some key or secret is still there."""
        ciphers = self._sealer._cipher, self._opener._cipher
        ivs = self._sealer._iv or self._opener._iv
        awaited = self._awaited is not None or self._secrets is not None
        return awaited or bool(ivs) or any(cipher is not None for cipher in ciphers)

    @property
    def dead(self) -> bool:
        """It can be used no more, and has forgotten everything."""
        return self.state is State.ENDED and not self.keeps_secrets


@contextmanager
def watched() -> Iterator[None]:
    """Every session that is made is a `WatchedSession`."""
    with mock.patch.object(handshake, "Session", WatchedSession):
        yield


@dataclass
class Stage:
    """The line between a requester and one device. Nothing is damaged unless `damages` say so."""

    hardware: Hardware
    binding: Binding
    damages: Sequence[Damage] = ()
    stock: Sequence[bytes] = ()
    listener: Callable[[bytes, bytes, bool], object] | None = None
    """Hears every message and its answer as they passed, and whether they were records."""
    requests: int = 0
    received: int = 0
    seconds: float = 0.0
    entropy: Entropy = field(default_factory=lambda: Entropy(b"requester"))
    shares: list[bytes] = field(default_factory=list)
    secrets: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.meddler = Meddler(tuple(self.damages), self.stock)
        self.random = Entropy(b"device")
        self.hardware.lies = Lies([self.meddler])
        self.hardware.random = self.random
        self.device = Device(self.hardware)
        self._layers = {one.layer for one in self.damages}

    def begin(self, algorithm: Dhe | Kem) -> Agreement:
        """The fresh key of an exchange; its public half can be told from other octets afterwards."""
        return _Noted(agreement.begin(algorithm), self)

    def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its end, as `cmakeys.transports.drive` does over a transport."""
        answer: bytes | None = None
        try:
            while True:
                try:
                    effect = next(flow) if answer is None else flow.send(answer)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
                if isinstance(effect, Send):
                    answer = self.carry(effect.message, effect.timeout, secured=effect.secured)
                else:
                    answer = b""
                    self._pass(effect.seconds)
        finally:
            flow.close()

    def _pass(self, seconds: float) -> None:
        if not 0 <= seconds <= MAX_SECONDS / 4:
            raise Unbounded(f"a wait of {seconds} s")
        self.seconds += seconds
        if self.seconds > MAX_SECONDS:
            raise Unbounded(f"{self.seconds} s of waiting")

    def carry(self, message: bytes, timeout: float, *, secured: bool) -> bytes:
        """One message to the device, and the answer."""
        self.requests += 1
        if self.requests > MAX_REQUESTS:
            raise Unbounded(f"{self.requests} messages")
        meddler = self.meddler
        meddler.number += 1
        sent = message
        if "request" in self._layers:
            message = meddler._changed(message, "request")
        if self.binding is Binding.PCI_DOE:
            message += bytes(-len(message) % 4)
        response = self._respond(message, secured)
        if response is None:
            self._pass(timeout)
            raise NoAnswer("no answer in time", object="malicious responder")
        if secured and "record" in self._layers:
            meddler.damaged[meddler.step] += 0
        if "frame" in self._layers:
            response = self._through_frame(response, secured=secured)
        if self.binding is Binding.PCI_DOE:
            response += bytes(-len(response) % 4)
        self.received += len(response)
        if self.listener is not None:
            self.listener(sent, response, secured)
        return response

    def _respond(self, message: bytes, secured: bool) -> bytes | None:
        try:
            return self.device.respond(message, secured=secured, binding=self.binding)
        except Exception as error:
            if self.meddler.applied & {"value", "octets", "keys"}:
                return None  # it tripped over its own lie
            raise ResponderFault(repr(error)) from error

    def _through_frame(self, response: bytes, *, secured: bool) -> bytes:
        """Into a frame of the transport and out of it again; what is not one of ours ends the conversation."""
        due = self.meddler.due("frame")
        if not due:
            return response
        framing = FRAMINGS[self.binding]
        honest = frame = wrap(framing, response, secured=secured)
        for damage in due:
            frame = change(frame, damage) if damage.kind in CHANGES else frame
        if frame != honest:
            self.meddler.note("frame")
        try:
            return unwrap_answer(framing, frame, "malicious responder", secured=secured)
        except TransportFramingError as error:
            raise NoAnswer(error.message, object="malicious responder") from error

    # -- what was not random ------------------------------------------------------------------------------------------

    def settled(self, octets: bytes) -> bytes:
        """The octets without what both sides drew at random: the same in each conversation about the same."""
        for drawn in (*self.entropy.drawn, *self.random.drawn, *self.shares, *self.meddler.drawn):
            octets = octets.replace(drawn, b"")
        return octets

    def forget(self) -> None:
        """The device's part is over."""
        self.device._forget()


class _Noted:
    """A key of ours whose public half and secret are kept for the fuzzer."""

    def __init__(self, inner: Agreement, stage: Stage) -> None:
        self._inner = inner
        self._stage = stage
        self.public = inner.public
        stage.shares.append(inner.public)

    def agree(self, answer: bytes) -> bytes:
        secret = self._inner.agree(answer)
        self._stage.secrets.append(secret)
        return secret


def channel_name(channel: Channel) -> str:
    """What two sides agreed on about records, in words."""
    return f"{channel.binding.value} {channel.aead.name} {channel.kind.value} {channel.limit_exponent}"
