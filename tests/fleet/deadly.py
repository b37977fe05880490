"""Judges as a worker does, and kills its process at certain items; imports little, for each new process imports it."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from cmakeys.fleet import worker
from cmakeys.fleet.item import Item, Judged


def judge_or_die(always: tuple[str, ...], once: Path | None, packed: bytes, chunk: Sequence[Item]) -> list[Judged]:
    for item in chunk:
        if item.name in always:
            os.kill(os.getpid(), signal.SIGKILL)
        if once is not None and item.name == "0100.json" and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return worker.judge_chunk(packed, chunk)
