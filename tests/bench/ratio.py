"""One measured goal: what was measured against what, and how far it may go."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ratio:
    """`measured` and `reference` in the same unit; the goal is met when their quotient is at most `limit`."""

    goal: str
    measured: float
    reference: float
    limit: float
    unit: str = "ms"

    @property
    def value(self) -> float:
        """The quotient."""
        return self.measured / self.reference

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.value <= self.limit

    def __str__(self) -> str:
        verdict = "ok  " if self.met else "OVER"
        return (
            f"{verdict}  {self.value:6.2f} (at most {self.limit:.4g})  {self.goal}: "
            f"{self.measured:.1f} {self.unit} against {self.reference:.1f} {self.unit}"
        )


def interleaved(actions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median milliseconds of each action, taken in turns, so that a busy moment of the machine hits all of them."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(rounds):
        for action, taken in zip(actions, times, strict=True):
            start = time.perf_counter()
            action()
            taken.append((time.perf_counter() - start) * 1000)
    return [statistics.median(taken) for taken in times]


def command(*arguments: str) -> Callable[[], object]:
    """An action that runs a program to its end and ignores what it prints."""
    return lambda: subprocess.run(arguments, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
