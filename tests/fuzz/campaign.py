"""A run of the fuzzer over all its targets: a number of inputs from a seed, a corpus, and what was reached.

An input is a target's name and damage, one line of JSON; whatever the seed, it can be played again. Inputs that ended
in a way in which none ended before are kept, and further damage is done to them: so deep states are come to by way of
others.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.fuzz import channels, conversations, recordings
from tests.fuzz.damage import Argument, Damage
from tests.fuzz.target import Played, Target, played_deeply, weighted

CORPUS = Path(__file__).parent / "corpus"
FRESH = 0.7
"""The part of all inputs that is drawn anew and not made of an earlier one."""

DEEP_EVERY = 1024
"""One input of so many is watched for memory and for what is left of secrets, which takes its time."""

MOST_KEPT = 4000


@dataclass(frozen=True, slots=True)
class Input:
    """One input."""

    target: str
    damages: tuple[Damage, ...]

    def line(self) -> str:
        """One line of a corpus."""
        return json.dumps([self.target, *(damage.line() for damage in self.damages)], separators=(",", ":"))

    @classmethod
    def of(cls, line: str) -> Input:
        """Read back a line."""
        target, *damages = json.loads(line)
        return cls(target, tuple(Damage.of(_checked(damage)) for damage in damages))


def _checked(line: object) -> Sequence[Argument]:
    if not isinstance(line, list) or not all(isinstance(one, int | str) for one in line):
        raise TypeError(f"no damage: {line}")
    return line


@dataclass(frozen=True, slots=True)
class Finding:
    """An input on which something happened that may not."""

    input: Input
    what: str


@dataclass
class Coverage:
    """What a run has come to."""

    inputs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    damaged: Counter[str] = field(default_factory=Counter)
    ended: dict[tuple[str, str], Input] = field(default_factory=dict)
    """The first input that ended at a step in a way."""
    findings: list[Finding] = field(default_factory=list)

    def take(self, tried: Input, played: Played) -> bool:
        """Count one input; whether it ended as none before."""
        self.inputs += 1
        self.kinds[played.kind] += 1
        self.reached.update(played.reached)
        self.damaged.update(played.damaged)
        if played.finding:
            self.findings.append(Finding(tried, played.finding))
        if played.ended in self.ended:
            return False
        self.ended[played.ended] = tried
        return True

    def missing(self, chosen: Iterable[Target]) -> dict[str, str]:
        """Steps that honest targets come to and no input did, or at which nothing was ever changed."""
        wanted = frozenset(step for target in chosen for step in honest_steps(target.name))
        never = dict.fromkeys(sorted(wanted - set(self.reached)), "never reached")
        return never | dict.fromkeys(sorted(wanted & set(self.reached) - set(self.damaged)), "never damaged")


@cache
def targets() -> dict[str, Target]:
    """Every target by its name."""
    found: list[Target] = [*conversations.targets(), *recordings.targets(), *channels.targets()]
    return {target.name: target for target in found}


@cache
def honest_steps(name: str) -> frozenset[str]:
    """The steps of a target that nothing is done to."""
    return frozenset(targets()[name].play(()).reached)


def inputs(count: int, seed: int, coverage: Coverage, chosen: Sequence[Target]) -> Iterator[Input]:
    """`count` inputs; those that follow something new in `coverage` are made of it."""
    rng = random.Random(seed)
    lots = weighted(chosen)
    names = {target.name for target in chosen}
    pool: list[Input] = []
    known = 0
    for _ in range(count):
        if len(coverage.ended) > known:
            known = len(coverage.ended)
            pool = [one for one in coverage.ended.values() if one.target in names][-MOST_KEPT:]
        if not pool or rng.random() < FRESH:
            target = rng.choice(lots)
            yield Input(target.name, target.draw(rng))
        else:
            old = rng.choice(pool)
            more = targets()[old.target].draw(rng)[:1]
            kept = old.damages[: rng.randint(1, 4)]
            yield Input(old.target, tuple(sorted((*kept, *more), key=lambda one: one.at)))


def play(tried: Input, *, deep: bool = False) -> Played:
    """Try one input."""
    target = targets()[tried.target]
    return played_deeply(target, tried.damages) if deep else target.play(tried.damages)


def run(count: int, seed: int, coverage: Coverage, chosen: Iterable[Target] | None = None) -> Iterator[Finding | None]:
    """Try `count` inputs; for each the finding that it is, or None."""
    some = tuple(targets().values() if chosen is None else chosen)
    for number, tried in enumerate(inputs(count, seed, coverage, some)):
        before = len(coverage.findings)
        coverage.take(tried, play(tried, deep=number % DEEP_EVERY == DEEP_EVERY - 1))
        yield coverage.findings[-1] if len(coverage.findings) > before else None


def minimal(tried: Input) -> Input:
    """The input without the damage that has no part in how it ends."""
    ended = play(tried).ended
    for damage in tried.damages:
        fewer = Input(tried.target, tuple(one for one in tried.damages if one is not damage))
        if len(tried.damages) > 1 and play(fewer).ended == ended:
            return minimal(fewer)
    return tried


def read_corpus(folder: Path = CORPUS) -> list[Input]:
    """Every input that was kept."""
    files = sorted(folder.glob("*.jsonl"))
    return [Input.of(line) for path in files for line in path.read_text().splitlines() if line]
