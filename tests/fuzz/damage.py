"""What a hostile device or somebody in the middle does to one message, as data: it can be drawn, kept and done again.

A `Damage` names the message by its number in the conversation, the layer at which it is changed, and the change. The
layers, in the order an answer passes them:

    request  what we sent, before the device sees it
    value    the answer as a value, before it is signed: one field has another content
    octets   the octets of the answer before the device's transcript takes them
    wire     the octets as they leave: in the clear somebody in the middle, in a session whoever holds its keys
    record   the secured record that they leave in
    frame    the frame of the transport around it
    order    a recording's frames among themselves; file, the file that they are kept in

Changes are numbers and octets only, and every place in a message is taken modulo its length: damage fits any message.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum

LAYERS = ("request", "value", "octets", "wire", "record", "frame", "order", "file")
EXTREMES = (0, 1, 2, 3, 4, 7, 8, 0x0F, 0x10, 0x7F, 0x80, 0xF0, 0xFE, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
HUGE = (0x10000, 0x3FFFF, 0x40000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
VERSIONS = (0x00, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0xFF)
ERRORS = (*range(0x12), *range(0x41, 0x49), 0xFF)
"""Every ERROR that the specification has, and a few that it has not."""

Argument = int | str
LARGEST = 1 << 18
"""Bytes that a damaged message may have: a device that sends more is the transport's business."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One change to one message; `kind` is a key of `CHANGES` or a ploy that `meddler` plays."""

    at: int
    layer: str
    kind: str
    arguments: tuple[Argument, ...] = ()

    def line(self) -> list[Argument]:
        """For a corpus."""
        return [self.at, self.layer, self.kind, *self.arguments]

    @classmethod
    def of(cls, line: Sequence[Argument]) -> Damage:
        """Read back what `line` gave."""
        at, layer, kind, *arguments = line
        if not isinstance(at, int) or layer not in LAYERS or not isinstance(kind, str):
            raise ValueError(f"no damage: {line}")
        return cls(at, str(layer), kind, tuple(arguments))


def _at(octets: bytes | bytearray, place: int) -> int:
    return place % len(octets) if octets else 0


def _flip(octets: bytes, place: int, bit: int) -> bytes:
    return _put(octets, place, bytes((octets[_at(octets, place)] ^ 1 << bit % 8,))) if octets else octets


def _set(octets: bytes, place: int, value: int) -> bytes:
    return _put(octets, place, bytes((value & 0xFF,)))


def _put(octets: bytes, place: int, piece: bytes) -> bytes:
    at = _at(octets, place)
    return octets[:at] + piece + octets[at + len(piece) :] if octets else octets


def _number(octets: bytes, place: int, size: int, value: int) -> bytes:
    at = _at(octets, place)
    room = min(size, len(octets) - at)
    return _put(octets, place, (value & (1 << 8 * room) - 1).to_bytes(room, "little"))


def _head(octets: bytes, index: int, value: int) -> bytes:
    return octets[:index] + bytes((value,)) + octets[index + 1 :] if len(octets) > index else octets


def _repeat(octets: bytes, place: int, size: int, times: int) -> bytes:
    at = _at(octets, place)
    return octets[:at] + octets[at : at + size] * times + octets[at + size :]


def _swap(octets: bytes, first: int, second: int, size: int) -> bytes:
    a, b = sorted((_at(octets, first), _at(octets, second)))
    size = min(size, b - a, len(octets) - b)
    if size <= 0:
        return octets
    return octets[:a] + octets[b : b + size] + octets[a + size : b] + octets[a : a + size] + octets[b + size :]


CHANGES: dict[str, Callable[..., bytes]] = {
    "flip": _flip,
    "set": _set,
    "number": _number,
    "cut": lambda octets, size: octets[: size % (len(octets) + 1)],
    "shorten": lambda octets, size: octets[: max(0, len(octets) - size)],
    "grow": lambda octets, size, value: octets + bytes((value,)) * size,
    "append": lambda octets, text: octets + bytes.fromhex(text),
    "insert": lambda octets, place, text: (
        octets[: _at(octets, place)] + bytes.fromhex(text) + octets[_at(octets, place) :]
    ),
    "delete": lambda octets, place, size: octets[: _at(octets, place)] + octets[_at(octets, place) + size :],
    "put": lambda octets, place, text: _put(octets, place, bytes.fromhex(text)),
    "swap": _swap,
    "repeat": _repeat,
    "version": lambda octets, value: _head(octets, 0, value),
    "code": lambda octets, value: _head(octets, 1, value),
    "param1": lambda octets, value: _head(octets, 2, value),
    "param2": lambda octets, value: _head(octets, 3, value),
    "be": lambda octets, text: bytes.fromhex(text),
    "empty": lambda octets: b"",
}
"""What can be done to octets without knowing anything else."""


def change(octets: bytes, damage: Damage) -> bytes:
    """The octets with one of `CHANGES` done to them."""
    return CHANGES[damage.kind](octets, *damage.arguments)[:LARGEST]


def draw_change(rng: random.Random, size: int) -> tuple[str, tuple[Argument, ...]]:
    """A random one of `CHANGES` for a message of about `size` bytes."""
    # Half of all changes are to the first bytes, where the fields are that say how long the others are.
    place = rng.randrange(min(size, 64) or 1) if rng.random() < 0.5 else rng.randrange(size or 1)
    kind = rng.choice(_DRAWN)
    match kind:
        case "flip":
            return kind, (place, rng.randrange(8))
        case "set":
            return kind, (place, rng.choice(EXTREMES) & 0xFF)
        case "number":
            return kind, (place, rng.choice((2, 2, 3, 4, 8)), rng.choice((*EXTREMES, *HUGE)))
        case "cut":
            return kind, (place,)
        case "shorten":
            return kind, (rng.choice((1, 1, 2, 3, 4, 8, 16, 32)),)
        case "grow":
            return kind, (rng.choice((1, 1, 2, 3, 4, 5, 16, 64, 1000)), rng.choice((0, 0, 0xFF)))
        case "append":
            return kind, (rng.randbytes(rng.choice((1, 2, 4, 32))).hex(),)
        case "insert" | "put":
            return kind, (place, rng.randbytes(rng.choice((1, 2, 4, 16))).hex())
        case "delete":
            return kind, (place, rng.choice((1, 1, 2, 4, 8, 32, 100)))
        case "swap":
            return kind, (place, rng.randrange(size or 1), rng.choice((1, 2, 4, 32, 64)))
        case "repeat":
            return kind, (place, rng.choice((1, 2, 4, 8, 16, 48)), rng.choice((2, 2, 3, 64)))
        case "version":
            return kind, (rng.choice(VERSIONS),)
        case "be":
            return kind, (rng.randbytes(rng.choice((0, 1, 2, 3, 4, 5, 8, 36, 100))).hex(),)
        case "empty":
            return kind, ()
        case _:  # code, param1, param2
            return kind, (rng.choice((*EXTREMES, rng.randrange(256))) & 0xFF,)


_DRAWN = (
    *("flip",) * 6,
    *("set", "number") * 4,
    *("cut", "shorten", "grow", "delete", "insert", "put") * 2,
    *("append", "swap", "repeat", "version", "code", "param1", "param2", "be", "empty"),
)


# -- values ------------------------------------------------------------------------------------------------------------


def change_value(value: object, index: int, how: int) -> object:
    """A message or a part of one with field number `index` changed in way `how`; the same value where that makes none.

    Nested values and tuples of them are gone into: `index` is divided by the number of fields on the way.
    """
    if not is_dataclass(value) or isinstance(value, type):
        return value
    names = [field.name for field in fields(value)]
    index, name = divmod(index, len(names))
    changed = _changed(getattr(value, names[name]), index, how)
    try:
        return replace(value, **{names[name]: changed})
    except (TypeError, ValueError):
        return value


def _changed(old: object, index: int, how: int) -> object:
    if isinstance(old, bool):
        return not old
    if isinstance(old, Enum) and isinstance(old.value, int):
        try:
            return type(old)(_changed_number(old.value, how))
        except ValueError:
            return old
    if isinstance(old, int):
        return _changed_number(old, how)
    if isinstance(old, bytes):
        return _changed_octets(old, how)
    if isinstance(old, tuple):
        return _changed_tuple(old, index, how)
    return change_value(old, index, how)


def _changed_number(old: int, how: int) -> int:
    if how % 4 == 0:
        return old ^ 1 << how // 4 % 16
    if how % 4 == 1:
        return max(0, old + (1, -1, 2, 8)[how // 4 % 4])
    number = (*EXTREMES, *HUGE)[how // 4 % (len(EXTREMES) + len(HUGE))]
    # A count beyond its field's size has no encoding, and making one would take the memory that it speaks of.
    return number if old > 0xFFFF else number & 0xFFFF


def _changed_octets(old: bytes, how: int) -> bytes:
    place = how // 8
    match how % 8:
        case 0:
            return b""
        case 1:
            return old[: place % (len(old) + 1)]
        case 2:
            return old + bytes(1 + place % 40)
        case 3:
            return bytes(len(old))
        case 4:
            return b"\xff" * len(old)
        case 5:
            return old * 2
        case _:
            return _flip(old, place, how)


def _changed_tuple(old: tuple[object, ...], index: int, how: int) -> tuple[object, ...]:
    if not old:
        return old
    place = how // 8 % len(old)
    match how % 8:
        case 0:
            return ()
        case 1:
            return old[:-1]
        case 2:
            return (*old, old[-1])
        case 3:
            return old[::-1]
        case 4:
            return old * 40
        case _:
            return (*old[:place], _changed(old[place], index, how // 8), *old[place + 1 :])
