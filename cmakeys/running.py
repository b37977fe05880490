"""One check at a time, and the mark of one that was killed.

A check that keeps its verdicts holds the lock on the state directory while it runs, so that two of them neither ask a
device at once nor count one silence twice. Beside the register it leaves a mark that it takes away when it ends, with
an error or without; only a signal or a power failure leaves it there. Whoever finds the mark and has the lock knows
that the run before did not finish. The register needs none of this: its verdicts are written in one transaction.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cmakeys.errors import CmakeysError, EvidenceProblem, from_oserror
from cmakeys.evidence.fields import Fields, read_json, time_text
from cmakeys.files import sync_folder, write_whole
from cmakeys.lock import exclusive

MARK = "check.running"
SCHEMA = 1

_MAX_MARK = 4096


@dataclass(frozen=True, slots=True)
class Mark:
    """Which run it was: when it began, its process, and over how many devices. None is not known."""

    began: datetime | None = None
    process: int | None = None
    devices: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What a run finds when it begins: the one that did not finish, and why its own mark could not be left."""

    unfinished: Mark | None = None
    problem: CmakeysError | None = None


@contextmanager
def alone(state_dir: Path, now: datetime, devices: int) -> Iterator[Run]:
    """Run a check as the only one that keeps its verdicts in `state_dir`, which exists.

    Raises `Locked`, naming the holder, when there is another one; nothing is waited for.
    """
    descriptor = _open(state_dir)
    try:
        with exclusive(descriptor, str(state_dir), wait=0):
            path = state_dir / MARK
            unfinished = read_mark(path)
            problem = _leave(path, Mark(now, os.getpid(), devices))
            try:
                yield Run(unfinished, problem)
            finally:
                if problem is None:
                    _take_away(path)
    finally:
        os.close(descriptor)


def read_mark(path: Path) -> Mark | None:
    """The mark that a run has left; None when there is none. One that cannot be read says that there was a run."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_MARK + 1)
    except FileNotFoundError:
        return None
    except OSError:
        return Mark()
    try:
        fields = Fields(read_json(data[:_MAX_MARK], str(path)), str(path))
        if fields.take("schema") != SCHEMA:
            return Mark()
        mark = Mark(fields.time("began"), fields.integer("process", 1, 2**32), fields.integer("devices", 0, 2**32))
        fields.finish()
    except EvidenceProblem:
        return Mark()
    return mark


def _open(state_dir: Path) -> int:
    try:
        return os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise from_oserror(error, str(state_dir)) from error


def _leave(path: Path, mark: Mark) -> CmakeysError | None:
    began = time_text(mark.began) if mark.began else None
    document = {"schema": SCHEMA, "began": began, "process": mark.process, "devices": mark.devices}
    try:
        write_whole(path, json.dumps(document).encode() + b"\n")
    except OSError as error:
        return from_oserror(error, str(path))
    return None


def _take_away(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
    sync_folder(path.parent)
