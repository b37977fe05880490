"""Mutation for a bounded time: what every fuzz program that feeds bytes to parsers shares."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

INTERESTING = (0x00, 0x01, 0x06, 0x0C, 0x2D, 0x30, 0x31, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xA0, 0xA3, 0xFF)


@dataclass(frozen=True)
class Finding:
    """An input on which something else than the clean error came out."""

    data: bytes
    error: Exception


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change a few bytes, cut a piece out, double one, or cut the end off."""
    buffer = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not buffer:
            break
        at = rng.randrange(len(buffer))
        size = min(rng.choice((1, 1, 2, 4, 16, 400)), len(buffer) - at)
        match rng.randrange(7):
            case 0:
                buffer[at] ^= 1 << rng.randrange(8)
            case 1:
                buffer[at] = rng.choice(INTERESTING)
            case 2:
                buffer[at : at + size] = rng.randbytes(size)
            case 3:
                del buffer[at : at + size]
            case 4:
                buffer[at:at] = buffer[at : at + size]
            case 5:
                del buffer[len(buffer) - size :]
            case _:
                other = rng.randrange(len(buffer))
                buffer[at : at + size] = buffer[other : other + size]
    return bytes(buffer)


def fuzz(
    corpus: Sequence[bytes], try_one: Callable[[bytes], Finding | None], seconds: float, seed: int
) -> tuple[int, Finding | None]:
    """Mutate the corpus until `seconds` are over or something is found; how many were tried, and the finding."""
    rng = random.Random(seed)
    tried = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tried += 1
        finding = try_one(mutate(rng.choice(corpus), rng))
        if finding:
            return tried, finding
    return tried, None


def run(corpus: Sequence[bytes], try_one: Callable[[bytes], Finding | None], arguments: Sequence[str]) -> int:
    """The program of a target: `[seconds [seed]]`; prints a call that repeats what was found."""
    seconds = float(arguments[0]) if arguments else 60.0
    seed = int(arguments[1]) if len(arguments) > 1 else time.time_ns()
    tried, finding = fuzz(corpus, try_one, seconds, seed)
    print(f"seed {seed}: {tried} inputs tried")
    if finding:
        print(f"try_one(bytes.fromhex({finding.data.hex()!r}))\n  {finding.error!r}")
        return 1
    return 0
