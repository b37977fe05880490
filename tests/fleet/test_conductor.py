"""Results come in order and none is lost, whoever judges and whatever dies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest

from cmakeys.evidence import archive
from cmakeys.fleet import worker
from cmakeys.fleet.conductor import BYTES_UNDER_WAY, CHUNK_BYTES, CHUNK_ITEMS, chunks, first_few, judge_all, judge_here
from cmakeys.fleet.crew import Processes
from cmakeys.fleet.item import CRASHED, Item, Judged
from cmakeys.fleet.processes import ProcessExecutor
from cmakeys.offline import Bench
from cmakeys.verify.policy import Policy
from tests.evidence.loopback import NOW
from tests.fleet.deadly import judge_or_die
from tests.fleet.inbox import evidence, trusting

COUNT = 200


@cache
def items() -> tuple[Item, ...]:
    """A few hundred pieces of evidence, one of them broken and one changed."""
    made = [archive.encode(one) for one in evidence(COUNT)]
    made[17] = b"{}"
    made[130] = forged(made[130])
    return tuple(Item(f"{number:04}.json", None, data) for number, data in enumerate(made))


def forged(document: bytes) -> bytes:
    """The evidence with another last byte in its last signature."""
    end = document.rindex(b'"\n  }\n ],\n "chains"')
    return document[: end - 1] + (b"0" if document[end - 1 : end] != b"0" else b"1") + document[end:]


def bench() -> Bench:
    return Bench(trusting(), Policy(), NOW)


@cache
def expected() -> tuple[Judged, ...]:
    return flat(judge_here(bench(), items()))


def flat(results: Iterator[list[Judged]]) -> tuple[Judged, ...]:
    return tuple(judged for some in results for judged in some)


def test_one_process_judges_everything_and_goes_on_after_a_broken_one() -> None:
    outcomes = [judged.outcome for judged in expected()]
    assert outcomes.count("trusted") == COUNT - 2
    assert (outcomes[17], outcomes[130]) == ("unreadable", "rejected")


def test_several_processes_come_to_the_same_results_in_the_same_order() -> None:
    with closing(Processes(2)) as crew:
        assert flat(judge_all(bench(), items(), crew)) == expected()


class Suicidal:
    """Processes that die at certain items: `always`, or only the first time that a file does not exist yet."""

    def __init__(self, always: Sequence[str] = (), once: Path | None = None) -> None:
        self.crew = Processes(2)
        self.broken = self.crew.broken
        self.window = self.crew.window
        self.executor: Executor = _Deadly(tuple(always), once)

    def close(self) -> None:
        self.executor.shutdown(cancel_futures=True)
        self.crew.close()


class _Deadly(ProcessExecutor):
    def __init__(self, always: tuple[str, ...], once: Path | None) -> None:
        super().__init__(2, worker.__name__)
        self.always, self.once = always, once

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]  # stands in for any signature
        assert fn is worker.judge_chunk
        return super().submit(judge_or_die, self.always, self.once, *args, **kwargs)


def test_a_worker_that_is_killed_halfway_changes_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "died"
    with closing(Suicidal(once=mark)) as crew:
        assert flat(judge_all(bench(), items(), crew)) == expected()
    assert mark.exists()


@pytest.mark.parametrize("deadly", [("0000.json",), ("0033.json", "0034.json", "0199.json")])
def test_what_ends_every_worker_is_named_and_never_passes(deadly: tuple[str, ...]) -> None:
    with closing(Suicidal(deadly)) as crew:
        found = flat(judge_all(bench(), items(), crew))
    assert [judged.name for judged in found if judged.outcome == CRASHED] == list(deadly)
    assert all(judged.problem is not None and not judged.document for judged in found if judged.outcome == CRASHED)
    others = [judged for judged in found if judged.name not in deadly]
    assert others == [judged for judged in expected() if judged.name not in deadly]


def test_nothing_is_read_that_is_not_under_way() -> None:
    taken = 0

    def counted() -> Iterator[Item]:
        nonlocal taken
        for number in range(1_000_000):
            taken += 1
            yield Item(str(number), None, b"{}")

    with closing(Processes(1)) as crew, closing(judge_all(bench(), counted(), crew)) as results:
        next(results)
        assert taken <= (crew.window + 2) * CHUNK_ITEMS


def test_a_chunk_is_bounded_in_items_and_in_bytes() -> None:
    small = [Item(str(number), None, b"x") for number in range(CHUNK_ITEMS + 1)]
    assert [len(chunk) for chunk, _ in chunks(small)] == [CHUNK_ITEMS, 1]
    large = [Item(str(number), None, bytes(CHUNK_BYTES // 2)) for number in range(3)]
    assert [(len(chunk), size) for chunk, size in chunks(large)] == [(2, CHUNK_BYTES), (1, CHUNK_BYTES // 2)]
    assert CHUNK_BYTES < BYTES_UNDER_WAY


def test_a_few_items_are_told_from_many_without_losing_one() -> None:
    few, is_few = first_few(iter([Item("a"), Item("b")]))
    assert ([item.name for item in few], is_few) == (["a", "b"], True)
    many, is_few = first_few(Item(str(number)) for number in range(500))
    assert ([item.name for item in many], is_few) == ([str(number) for number in range(500)], False)
    large, is_few = first_few(iter([Item("a", None, bytes(CHUNK_BYTES + 1)), Item("b")]))
    assert ([item.name for item in large], is_few) == (["a", "b"], False)
