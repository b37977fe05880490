"""What runs in a worker: a chunk of items in, what became of each out.

A worker may be a process of this machine or one on another, so all it needs comes with the call: the bench, packed
once by whoever hands out the work, and kept here by its bytes. An item that does not come to a verdict says why, and
never counts as passed.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from functools import lru_cache

from cmakeys.errors import CmakeysError
from cmakeys.fleet.item import Item, Judged, Problem, crashed, unread
from cmakeys.offline import Bench


def pack(bench: Bench) -> bytes:
    """The bench as it goes to workers."""
    return pickle.dumps(bench, pickle.HIGHEST_PROTOCOL)


@lru_cache(maxsize=2)
def _unpack(packed: bytes) -> Bench:
    bench: Bench = pickle.loads(packed)  # noqa: S301 made by `pack` in the process that runs this one
    return bench


def judge_chunk(packed: bytes, items: Sequence[Item]) -> list[Judged]:
    """What becomes of each item, in order."""
    bench = _unpack(packed)
    return [judge_item(bench, item) for item in items]


def judge_item(bench: Bench, item: Item) -> Judged:
    """What becomes of one item."""
    if item.problem is not None:
        return unread(item, item.problem)
    try:
        verdict = bench.judge(item.data, item.place, item.modified)
    except CmakeysError as problem:
        return unread(item, Problem.of(problem))
    except Exception as error:  # a fault of ours that hostile bytes have found: it must not take the others along
        return crashed(item, f"judging it failed with {type(error).__name__}: {error}"[:400])
    document = json.dumps(verdict.to_json(), separators=(",", ":"))
    return Judged(item.name, item.line, verdict.outcome.value, verdict.summary, document)
