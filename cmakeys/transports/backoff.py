"""How often to try again and how long to wait in between: a schedule as a value, and the one loop that follows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from cmakeys.transports.base import Deadline, TransportClosed, TransportTimeout

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Backoff:
    """`attempts` in all, with waits in seconds that start at `first`, grow by `factor` and stay below `longest`."""

    attempts: int = 4
    first: float = 0.1
    factor: float = 2.0
    longest: float = 2.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first < 0 or self.factor < 1 or self.longest < self.first:
            raise ValueError("a back-off needs an attempt, and waits that do not shrink")

    def delays(self) -> Iterator[float]:
        """The wait before each attempt but the first."""
        delay = self.first
        for _ in range(self.attempts - 1):
            yield delay
            delay = min(delay * self.factor, self.longest)


def retry(
    action: Callable[[], Result],
    backoff: Backoff,
    deadline: Deadline,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Run `action` until it succeeds, the schedule ends, or the next wait would outlast the deadline.

    Only a timeout or a closed connection is tried again; a framing error will not go away. The last error is raised.
    """
    delays = backoff.delays()
    while True:
        try:
            return action()
        except (TransportTimeout, TransportClosed):
            delay = next(delays, None)
            if delay is None or delay >= deadline.remaining():
                raise
        sleep(delay)
