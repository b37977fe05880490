"""Hands out the work in chunks and gives the results back in the order of the items.

Memory stays flat: no more is read than is under way, bounded in chunks and in bytes. A chunk whose worker died is tried
once more; one that ends its worker again is halved until a single item is left, and that item is named and never counts
as passed. All others are judged as if nothing had happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from itertools import chain

from cmakeys.errors import Temporary
from cmakeys.fleet.crew import Crew
from cmakeys.fleet.item import Item, Judged, crashed
from cmakeys.fleet.worker import judge_chunk, judge_items, pack
from cmakeys.offline import Bench

CHUNK_ITEMS = 32
FEW = 48
CHUNK_BYTES = 1 << 20
BYTES_UNDER_WAY = 64 << 20
"""A chunk goes out in any case when nothing else is under way; so one item of the largest size does."""


def judge_here(bench: Bench, items: Iterable[Item]) -> Generator[list[Judged], None, None]:
    """Judge all items in this process."""
    return (judge_items(bench, chunk) for chunk, _ in chunks(items))


def judge_all(bench: Bench, items: Iterable[Item], crew: Crew) -> Generator[list[Judged], None, None]:
    """Judge all items by the workers of `crew`, which the caller closes. Results come in lists, in order."""
    return _Run(pack(bench), crew).results(items)


def first_few(items: Iterator[Item]) -> tuple[Iterator[Item], bool]:
    """The same items, and whether they are so few that processes would take longer to start than to judge them."""
    head: list[Item] = []
    size = 0
    for item in items:
        head.append(item)
        size += len(item.data)
        if len(head) > FEW or size > CHUNK_BYTES:
            return chain(head, items), False
    return iter(head), True


def chunks(items: Iterable[Item]) -> Iterator[tuple[list[Item], int]]:
    """The items in lists, each with the bytes in it."""
    chunk: list[Item] = []
    size = 0
    for item in items:
        if chunk and (len(chunk) == CHUNK_ITEMS or size + len(item.data) > CHUNK_BYTES):
            yield chunk, size
            chunk, size = [], 0
        chunk.append(item)
        size += len(item.data)
    if chunk:
        yield chunk, size


@dataclass(frozen=True, slots=True)
class _Chunk:
    items: Sequence[Item]
    size: int
    future: Future[list[Judged]]


class _Run:
    """One run over all items."""

    def __init__(self, packed: bytes, crew: Crew) -> None:
        self._packed = packed
        self._crew = crew
        self._under_way: deque[_Chunk] = deque()
        self._bytes = 0

    def results(self, items: Iterable[Item]) -> Generator[list[Judged], None, None]:
        """What becomes of the items."""
        window = self._crew.window
        for chunk_items, size in chunks(items):
            while self._under_way and (len(self._under_way) >= window or self._bytes + size > BYTES_UNDER_WAY):
                yield self._first()
            self._under_way.append(_Chunk(chunk_items, size, self._submit(chunk_items)))
            self._bytes += size
        while self._under_way:
            yield self._first()

    def _submit(self, items: Sequence[Item]) -> Future[list[Judged]]:
        return self._crew.executor.submit(judge_chunk, self._packed, items)

    def _first(self) -> list[Judged]:
        """The results of the chunk whose turn it is."""
        chunk = self._under_way.popleft()
        self._bytes -= chunk.size
        try:
            return _result(chunk.future)
        except self._crew.broken:
            return self._again(chunk.items)

    def _again(self, items: Sequence[Item]) -> list[Judged]:
        """Judge items whose worker died once more; those that end another one are halved."""
        try:
            return _result(self._submit(items))
        except self._crew.broken:
            if len(items) == 1:
                return [crashed(items[0], "the process that judged it died, each time it was tried")]
        half = len(items) // 2
        return [*self._again(items[:half]), *self._again(items[half:])]


def _result(future: Future[list[Judged]]) -> list[Judged]:
    try:
        return future.result()
    except CancelledError as error:
        raise Temporary(
            "the workers are gone, with the scheduler or by somebody's order",
            hint="start the cluster and judge again; nothing was kept",
        ) from error
