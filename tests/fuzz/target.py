"""What every target of the fuzzer has in common: a name, damage that fits it, and a verdict on what came of it."""

from __future__ import annotations

import gc
import random
import re
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from cmakeys.spdm.schedule import KeySchedule, Secrets, TrafficKeys, TrafficSecret
from tests.fuzz.damage import Damage

MEMORY_FLOOR = 24 << 20
MEMORY_FACTOR = 64
"""Bytes that one input may take at once: so many, and so many more for each byte that was received."""

_NUMBERS = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|-?\d+(\.\d+)?")
_NAMES = re.compile(r"'[^']*'|\"[^\"]*\"")
_SECRETS = (Secrets, TrafficSecret, TrafficKeys, KeySchedule)


@dataclass(slots=True)
class Played:
    """What came of one input. `ended` is the step at which it ended and how; `finding` is empty where all is well.

    `reached` counts the steps that were come to, `damaged` those at which something was changed.
    """

    ended: tuple[str, str]
    kind: str
    reached: Counter[str] = field(default_factory=Counter)
    damaged: Counter[str] = field(default_factory=Counter)
    received: int = 0
    finding: str = ""


class Target(Protocol):
    """Something that takes hostile input."""

    @property
    def name(self) -> str:
        """Its name in a corpus, the same for ever."""

    @property
    def weight(self) -> int:
        """How often it is drawn."""

    def draw(self, rng: random.Random) -> tuple[Damage, ...]:
        """Random damage."""

    def play(self, damages: tuple[Damage, ...]) -> Played:
        """Try one input."""


def simplified(text: str) -> str:
    """A message without what differs from input to input."""
    return _NUMBERS.sub("#", _NAMES.sub("*", text))[:80]


def template(error: BaseException) -> str:
    """The kind of an error and its message, simplified."""
    return f"{type(error).__name__}: {simplified(str(error))}"


def described(error: BaseException) -> str:
    """An error that should not have come out, and where it came from."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/cmakeys/" in code.co_filename:
            place = f"{code.co_filename.rsplit('/cmakeys/')[-1]}:{trace.tb_lineno} {code.co_name}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}: {error}"[:300]


def played_deeply(target: Target, damages: tuple[Damage, ...]) -> Played:
    """As `Target.play`, and beyond: memory keeps its bounds, and no secret of a session is anywhere afterwards."""
    gc.collect()
    tracemalloc.start()
    try:
        played = target.play(damages)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    allowed = MEMORY_FLOOR + MEMORY_FACTOR * played.received
    if peak > allowed and not played.finding:
        played.finding = f"{peak} bytes of memory for {played.received} bytes received"
    gc.collect()
    kept = Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, _SECRETS))
    if kept and not played.finding:
        played.finding = f"secrets are still there: {dict(kept)}"
    return played


def several(rng: random.Random, draw: Callable[[], Damage]) -> tuple[Damage, ...]:
    """One damage mostly, a few now and then; in the order of the messages."""
    count = rng.choice((1, 1, 1, 1, 1, 1, 2, 2, 3))
    return tuple(sorted((draw() for _ in range(count)), key=lambda one: one.at))


def weighted(targets: Iterable[Target]) -> list[Target]:
    """Each target as often as it is to be drawn."""
    return [target for target in targets for _ in range(target.weight)]
