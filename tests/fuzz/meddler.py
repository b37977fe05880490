"""The malicious responder: an honest emulated device whose answers are damaged on their way out, at every layer.

Beside the changes of `damage` it plays ploys, which need to know the conversation: an answer of another moment, state
or version; an ERROR of any kind; silence; an answer put off, cut into chunks that do not fit together, or said for
ever.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from cmakeys.emulator.lies.lie import Lie, Message
from cmakeys.emulator.lies.records import resealed
from cmakeys.spdm.codes import ErrorCode, RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.chunking import ChunkGet, ChunkResponse
from cmakeys.spdm.messages.error import ErrorResponse, NotReady
from cmakeys.spdm.messages.key_exchange import KeyExchangeResponse
from cmakeys.spdm.messages.opaque import OpaqueElement, SecuredVersion, push_elements, version_selection
from cmakeys.spdm.states import State
from cmakeys.spdm.wire import Reader, WireError
from tests.fuzz.damage import CHANGES, ERRORS, HUGE, Argument, Damage, change, change_value, draw_change

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation

M = TypeVar("M", bound=Message)

PLOYS = ("error", "defer", "chunk", "replay", "foreign", "splice", "hold", "stuck", "silence")
_LONGEST_TEXT = 0xFFE0
"""Bytes of text that fit a record."""

_NAMES = {int(code): code.name for code in RequestCode}
_STEP_OF_STATE = {State.HANDSHAKE: "handshake ", State.SESSION: "session ", State.ENDED: "session "}


@dataclass
class _Chunks:
    """An answer that is handed out in pieces; `ploy` says what is wrong with piece number `where`."""

    octets: bytes
    size: int
    ploy: int
    where: int
    handle: int = 0x5A


@dataclass
class Meddler(Lie):
    """Does `damages` to one conversation. `stock` holds honest answers of other conversations.

    `requests` and `answers` is what passed in the clear text; `drawn` is every random value of the device that went
    into an answer. `reached` counts the steps that were asked for, `damaged` those whose answer was changed.
    """

    damages: Sequence[Damage] = ()
    stock: Sequence[bytes] = ()
    number: int = -1
    step: str = "nothing"
    reached: Counter[str] = field(default_factory=Counter)
    damaged: Counter[str] = field(default_factory=Counter)
    answers: list[bytes] = field(default_factory=list)
    drawn: list[bytes] = field(default_factory=list)
    applied: set[str] = field(default_factory=set)
    """Layers at which something was really changed; `keys` where it was inside a session."""
    _held: bytes | None = None
    _stuck: bytes | None = None
    _deferred: tuple[int, bytes] | None = None
    _chunks: _Chunks | None = None
    _amended: int = -1

    def due(self, layer: str) -> list[Damage]:
        """What is to be done now at one layer."""
        return [one for one in self.damages if one.at == self.number and one.layer == layer]

    def note(self, layer: str) -> None:
        """Something was changed."""
        self.applied.add(layer)
        self.damaged[self.step] += 1

    # -- the hooks of a lie -------------------------------------------------------------------------------------------

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        """Note the step; answer what asks for the rest of a ploy."""
        self.step = _STEP_OF_STATE.get(talk.state, "") + _NAMES.get(request[1], "unknown")
        self.reached[self.step] += 1
        if request[1] == RequestCode.CHUNK_GET and self._chunks is not None:
            return self._next_chunk(request, self._chunks)
        if request[1] == RequestCode.RESPOND_IF_READY and self._deferred is not None:
            token, answer = self._deferred
            if request[3] == token:
                self._deferred = None
                return answer
        return None

    def amend(self, message: M, talk: Conversation) -> M:
        """Change a field before it is signed."""
        if isinstance(message, KeyExchangeResponse):
            self.drawn.append(message.exchange)
        if self._amended == self.number:
            return message
        for damage in self.due("value"):
            self._amended = self.number
            first, second = (int(argument) for argument in damage.arguments)
            opaque = damage.kind == "opaque"
            changed = _with_opaque(message, first, second) if opaque else change_value(message, first, second)
            if isinstance(changed, type(message)) and changed != message and _can_be_sent(changed):
                self.note("value")
                message = changed
        return message

    def encode(self, octets: bytes, talk: Conversation) -> bytes:
        """Change octets before the transcript takes them."""
        return self._changed(octets, "octets")

    def transmit(self, octets: bytes, talk: Conversation) -> bytes:
        """Change octets as they leave."""
        honest = octets
        if self._stuck is not None:
            octets = self._stuck
        for damage in self.due("wire"):
            octets = change(octets, damage) if damage.kind in CHANGES else self._ploy(octets, damage)
        if self._held is not None and not self.due("wire"):
            octets, self._held = self._held, None
        if octets != honest:
            self.note("wire")
            if talk.session is not None:
                self.applied.add("keys")
        self.answers.append(honest)
        return octets

    def record(self, record: bytes, talk: Conversation) -> bytes:
        """Change a record, or reseal another text in it."""
        for damage in self.due("record"):
            if damage.kind != "reseal" or talk.session is None:
                record = self._changed(record, "record")
                break
            inner = Damage(damage.at, "wire", str(damage.arguments[0]), damage.arguments[1:])
            resealing = resealed(talk.session, record, partial(_changed_text, inner))
            if resealing != record:
                self.note("record")
                self.applied.add("keys")
            record = resealing
        return record

    def _changed(self, octets: bytes, layer: str) -> bytes:
        honest = octets
        for damage in self.due(layer):
            octets = change(octets, damage) if damage.kind in CHANGES else octets
        if octets != honest:
            self.note(layer)
        return octets

    # -- ploys --------------------------------------------------------------------------------------------------------

    def _ploy(self, octets: bytes, damage: Damage) -> bytes:
        numbers = [argument for argument in damage.arguments if isinstance(argument, int)]
        version = octets[0] if octets else 0x10
        match damage.kind:
            case "error":
                return bytes((version, ResponseCode.ERROR, numbers[0], numbers[1])) + bytes.fromhex(
                    str(damage.arguments[2])
                )
            case "defer":
                exponent, rdtm, offset = numbers
                self._deferred = 0x33, octets
                request = (octets[1] | 0x80) + offset if len(octets) > 1 else 0
                promise = NotReady(exponent, request & 0xFF, 0x33, rdtm)
                return bytes((version, ResponseCode.ERROR, ErrorCode.RESPONSE_NOT_READY, 0)) + promise.push()
            case "chunk":
                size, ploy, where = numbers
                self._chunks = _Chunks(octets, max(1, size), ploy, where)
                return bytes((version, ResponseCode.ERROR, ErrorCode.LARGE_RESPONSE, 0, self._chunks.handle))
            case "replay":
                return self.answers[-1 - numbers[0] % len(self.answers)] if self.answers else octets
            case "foreign":
                return self.stock[numbers[0] % len(self.stock)] if self.stock else octets
            case "splice":
                pool = [*self.answers, *self.stock]
                other = pool[numbers[0] % len(pool)] if pool else b""
                return octets[: numbers[1] % (len(octets) + 1)] + other[numbers[2] % (len(other) + 1) :]
            case "hold":
                self._held = octets
                return self.answers[-1] if self.answers else octets
            case "stuck":
                self._stuck = self._ploy(octets, Damage(damage.at, "wire", "error", damage.arguments[1:]))
                self._stuck = octets if numbers[0] == 0 else self._stuck
                return self._stuck
            case _:
                return b""

    def _next_chunk(self, request: bytes, chunks: _Chunks) -> bytes:
        """The piece that is asked for, with one thing wrong."""
        try:
            asked = ChunkGet.pull(Reader(request, "CHUNK_GET"))
        except WireError:
            return b""
        number, whole, ploy = asked.sequence, chunks.octets, chunks.ploy if asked.sequence >= chunks.where else -1
        first = number * chunks.size
        piece, last = whole[first : first + chunks.size], first + chunks.size >= len(whole)
        handle, size = chunks.handle, len(whole) if number == 0 else 0
        match ploy:
            case 0:
                handle ^= 1
            case 1:
                number += 1
            case 2:
                size = HUGE[chunks.where % len(HUGE)]
            case 3:
                last = not last
            case 4:
                piece = b""
            case 5:
                piece, last = whole[: chunks.size], False
            case 6:
                size = max(0, size - 1)
            case 7:
                piece += b"\0"
            case 8:
                return ErrorResponse(asked.version, ErrorCode.LARGE_RESPONSE, 0, bytes((handle,))).push()
            case 9:
                piece = ErrorResponse(asked.version, ErrorCode.LARGE_RESPONSE, 0, bytes((handle,))).push()
                last = True
        return ChunkResponse(asked.version, handle, number & 0xFFFF, piece, last, size & 0xFFFFFFFF).push()


def _with_opaque(message: object, kind: int, number: int) -> object:
    """A message whose opaque data says something else about secured messages; numbered as in `cmakeys.spdm.opaque`."""
    version = getattr(message, "version", None)
    if not isinstance(version, Version) or not hasattr(message, "opaque"):
        return message
    if not is_dataclass(message) or isinstance(message, type):
        return message
    chosen = version_selection(SecuredVersion.V11)
    limit = OpaqueElement(0, bytes((1, 2, number & 0xFF)))
    elements = {
        0: [chosen, limit],
        1: [chosen, OpaqueElement(number & 0x0F, bytes(number % 64), bytes(number % 5))],
        2: [chosen, chosen],
        3: [OpaqueElement(0, bytes((1, 0, 0, number & 0xFF)))],
        4: [limit],
        5: [chosen] * (number & 0xFF),
    }
    return replace(message, opaque=push_elements(elements[kind % 6], version))


def _changed_text(damage: Damage, text: bytes) -> bytes:
    return change(text, damage)[:_LONGEST_TEXT]


def _can_be_sent(message: object) -> bool:
    """A changed value that has an encoding at all; the emulated device encodes it later."""
    try:
        for name in ("push", "push_unsigned", "push_unverified"):
            push = getattr(message, name, None)
            if push is not None:
                push()
    except Exception:  # whatever a codec says to a value that it was never made for
        return False
    return True


def draw_ploy(rng: random.Random) -> tuple[str, tuple[Argument, ...]]:
    """A random ploy."""
    kind = rng.choice(("error",) * 4 + PLOYS)
    error: tuple[Argument, ...] = (rng.choice(ERRORS), rng.choice((0, 0, 1, 0xE0, 0xFF)))
    extended = rng.choice(("", "", "00", "5a", "0a833302", "ff83ff00", "ffffffff", "00" * 32, "00" * 33))
    match kind:
        case "error":
            return kind, (*error, extended)
        case "defer":
            return kind, (
                rng.choice((0, 4, 10, 20, 23, 31, 32, 255)),
                rng.choice((0, 1, 2, 255)),
                rng.choice((0, 0, 1)),
            )
        case "chunk":
            return kind, (rng.choice((1, 20, 32, 64, 100, 500)), rng.randrange(-1, 10), rng.choice((0, 0, 1, 2, 5)))
        case "replay":
            return kind, (rng.randrange(12),)
        case "foreign":
            return kind, (rng.randrange(1 << 16),)
        case "splice":
            return kind, (rng.randrange(1 << 16), rng.randrange(4096), rng.randrange(4096))
        case "stuck":
            return kind, (rng.randrange(2), *error, extended)
        case _:
            return kind, ()


_LAYERS = ("wire",) * 8 + ("value",) * 5 + ("octets",) * 3 + ("record",) * 2 + ("request", "frame")


def draw(rng: random.Random, length: int, size: int = 200) -> Damage:
    """Random damage to one of `length` messages."""
    at, layer = rng.randrange(length), rng.choice(_LAYERS)
    if layer == "value" and rng.random() < 0.1:
        return Damage(at, layer, "opaque", (rng.choice((0, 0, 1, 2, 3, 4, 5)), rng.choice((0, 1, 2, 3, 64, 65, 255))))
    if layer == "value":
        return Damage(at, layer, "field", (rng.randrange(1 << 12), rng.randrange(1 << 10)))
    if layer == "record" and rng.random() < 0.5:
        kind, arguments = draw_change(rng, size)
        return Damage(at, layer, "reseal", (kind, *arguments))
    if layer == "wire" and rng.random() < 0.45:
        return Damage(at, layer, *draw_ploy(rng))
    return Damage(at, layer, *draw_change(rng, size))
