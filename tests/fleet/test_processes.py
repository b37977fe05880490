"""Every piece of work comes back, fails by its own fault, or says that its process died; nothing hangs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, as_completed

import pytest

from cmakeys.fleet import worker
from cmakeys.fleet.processes import ProcessExecutor, WorkerDied, WorkFailed


@pytest.fixture
def pool() -> Iterator[ProcessExecutor]:
    executor = ProcessExecutor(2, worker.__name__)
    yield executor
    executor.shutdown(cancel_futures=True)


def double(data: bytes) -> bytes:
    return data * 2


def die(after: float = 0.0, _ballast: bytes = b"") -> None:
    time.sleep(after)
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise ValueError("of all things")


def process() -> int:
    return os.getpid()


class Unsendable:
    def __reduce__(self) -> str:
        raise TypeError("stays at home")


def make_unsendable() -> Unsendable:
    return Unsendable()


def test_work_is_done_in_other_processes_whatever_its_size(pool: ProcessExecutor) -> None:
    large = bytes(3_000_000)
    futures = [pool.submit(double, large) for _ in range(5)]
    assert [future.result() for future in futures] == [large * 2] * 5
    assert pool.submit(process).result() != os.getpid()


def test_work_that_raises_says_so_and_its_process_goes_on(pool: ProcessExecutor) -> None:
    with pytest.raises(WorkFailed, match="ValueError: of all things"):
        pool.submit(fail).result()
    assert pool.submit(double, b"x").result() == b"xx"


def test_only_the_work_whose_process_died_fails_and_the_rest_is_done(pool: ProcessExecutor) -> None:
    ballast = bytes(1_000_000)  # more than a pipe holds: where the pool of the standard library hangs
    deadly = [pool.submit(die, 0.01, ballast) for _ in range(3)]
    futures = [pool.submit(double, ballast) for _ in range(6)]
    assert all(isinstance(future.exception(timeout=30), WorkerDied) for future in deadly)
    assert all(future.result(timeout=30) == ballast * 2 for future in as_completed(futures))


def test_what_cannot_be_sent_back_is_a_failure_of_that_work(pool: ProcessExecutor) -> None:
    assert pool.submit(make_unsendable).exception(timeout=30) is not None
    assert pool.submit(double, b"x").result(timeout=30) == b"xx"


def test_shutdown_gives_up_what_is_under_way_and_refuses_more() -> None:
    pool = ProcessExecutor(1, worker.__name__)
    futures = [pool.submit(time.sleep, 60) for _ in range(3)]
    time.sleep(0.3)
    began = time.monotonic()
    pool.shutdown(cancel_futures=True)
    assert time.monotonic() - began < 20
    assert isinstance(futures[0].exception(), WorkerDied)
    for future in futures[1:]:
        with pytest.raises((CancelledError, WorkerDied)):
            future.result()
    with pytest.raises(RuntimeError):
        pool.submit(double, b"x")


def test_shutdown_without_haste_finishes_what_was_submitted() -> None:
    with ProcessExecutor(1, worker.__name__) as pool:
        futures = [pool.submit(double, b"x") for _ in range(4)]
    assert [future.result() for future in futures] == [b"xx"] * 4
