"""An executor of worker processes that says whose work ended its process, and survives it.

The pool of the standard library breaks as a whole when one of its processes dies, without a word about which work it
was, and hangs where that happened while a pipe was full (CPython gh-94777; Debian 12 has such a Python). Here each
process has a thread and a pipe of its own: nobody else holds the other end, so a process that dies, in the middle of
a message as well, is seen at once, fails the one piece of work that it had, and is replaced.

Processes are forked from a server without threads (`forkserver`), so that neither locks nor open files of this process
come along. One whose parent is gone, however that ended, reads the end of its pipe and leaves.
"""

from __future__ import annotations

import gc
import pickle
import signal
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_LEAVE_SECONDS = 2.0
_COLLECT_AFTER = 50_000
"""Objects made and not given back; the default of 700 costs a twentieth of the time."""


class WorkerDied(BrokenExecutor):
    """The process that had this piece of work ended before it was done."""


class WorkFailed(RuntimeError):
    """The work raised an exception, whose type and text this is."""


@dataclass(frozen=True, slots=True)
class _Work:
    call: bytes
    future: Future[Any]


class ProcessExecutor(Executor):
    """So many processes, each started when there is work for it."""

    def __init__(self, number: int, preload: str = __name__) -> None:
        """`preload` is a module that processes have imported when they start."""
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([preload])
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._workers: dict[int, _Worker] = {}
        self._number = number
        self._idle = 0
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `fn`, a function of a module, called in one of the processes."""
        if self._closed:
            raise RuntimeError("no work after shutdown")
        future: Future[T] = Future()
        self._queue.put(_Work(pickle.dumps((fn, args, kwargs), pickle.HIGHEST_PROTOCOL), future))
        if len(self._threads) < self._number:
            thread = Thread(target=self._run, args=(len(self._threads),), name="fleet-worker", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work. With `cancel_futures` what is under way is given up as well, and its processes end."""
        self._closed = True
        if cancel_futures:
            while not self._queue.empty():
                work = self._queue.get()
                if work is not None:
                    work.future.cancel()
            for worker in list(self._workers.values()):
                worker.process.kill()
        for _ in self._threads:
            self._queue.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _run(self, index: int) -> None:
        """One thread: give work to its process, and wait for what comes of it."""
        while (work := self._queue.get()) is not None:
            if not work.future.set_running_or_notify_cancel():
                continue
            try:
                worker = self._workers.get(index) or self._start(index)
                done, value = worker.call(work.call)
            except (EOFError, BrokenPipeError, ConnectionError):
                self._end(index)
                work.future.set_exception(WorkerDied("the process ended"))
            except Exception as error:
                self._end(index)
                work.future.set_exception(error)
            else:
                if done:
                    work.future.set_result(value)
                else:
                    work.future.set_exception(WorkFailed(str(value)))
        self._end(index)

    def _start(self, index: int) -> _Worker:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there,), daemon=True)
        try:
            process.start()
        finally:
            there.close()
        worker = self._workers[index] = _Worker(process, here)
        return worker

    def _end(self, index: int) -> None:
        worker = self._workers.pop(index, None)
        if worker is not None:
            worker.end()


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process and this end of its pipe."""

    process: BaseProcess
    pipe: Connection

    def call(self, call: bytes) -> tuple[bool, object]:
        """Whether the call returned, and what; or the exception in words."""
        self.pipe.send_bytes(call)
        done, value = pickle.loads(self.pipe.recv_bytes())  # noqa: S301 from a process of ours
        return bool(done), value

    def end(self) -> None:
        """Close the pipe, by which a process that is well ends itself."""
        self.pipe.close()
        self.process.join(_LEAVE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


def settle() -> None:
    """Have the collector of cycles leave alone what is there for good, and come seldom: work leaves few behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


def _serve(pipe: Connection) -> None:
    """The other process: one call after the other until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the parent, which closes the pipe
    settle()
    while True:
        try:
            fn, args, kwargs = pickle.loads(pipe.recv_bytes())  # noqa: S301 from the process that started this one
        except (EOFError, ConnectionError):
            return
        try:
            answer: tuple[bool, object] = (True, fn(*args, **kwargs))
        except Exception as error:
            answer = (False, f"{type(error).__name__}: {error}")
        try:
            pipe.send_bytes(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))
        except ConnectionError:
            return
