"""Who does the work: processes of this machine or a Dask cluster, both behind one small interface.

Work is submitted to a `concurrent.futures.Executor`, whatever stands behind it. A crew adds what an executor has no
word for: how many chunks keep it busy, and which exceptions mean that the worker died and not that the work failed.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, Executor
from typing import TYPE_CHECKING, Protocol

from cmakeys.errors import Temporary, Unsupported
from cmakeys.fleet.processes import ProcessExecutor
from cmakeys.fleet.worker import judge_chunk

if TYPE_CHECKING:
    from distributed import Client

CHUNKS_PER_WORKER = 3
"""One that is judged, one that waits, and one that may be done before its turn."""

CONNECT_TIMEOUT = 30
"""Seconds within which a cluster must answer and show a worker."""


class Crew(Protocol):
    """See the head of this module."""

    executor: Executor

    broken: tuple[type[BaseException], ...]
    """What a future raises whose worker died."""

    @property
    def window(self) -> int:
        """Chunks to have under way at a time."""

    def close(self) -> None:
        """Stop; what was not done is lost."""


class Processes:
    """Processes on this machine."""

    broken: tuple[type[BaseException], ...] = (BrokenExecutor,)

    def __init__(self, jobs: int) -> None:
        self.executor: Executor = ProcessExecutor(jobs, judge_chunk.__module__)
        self._jobs = jobs

    @property
    def window(self) -> int:
        """Chunks to have under way at a time."""
        return self._jobs * CHUNKS_PER_WORKER

    def close(self) -> None:
        """End the processes."""
        self.executor.shutdown(cancel_futures=True)


class Cluster:
    """A Dask cluster, by the address of its scheduler. Its workers need cmakeys, in this version."""

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client, KilledWorker
        except ImportError as error:
            raise Unsupported(
                "this installation has no Dask", object=address, hint="install it: pip install 'cmakeys[dask]'"
            ) from error
        self.broken: tuple[type[BaseException], ...] = (KilledWorker,)
        self._client = _connect(Client, address)
        self.executor: Executor = self._client.get_executor()

    @property
    def window(self) -> int:
        """Chunks to have under way at a time: the cluster may grow and shrink."""
        threads = int(sum(self._client.nthreads().values()))
        return max(threads, 1) * CHUNKS_PER_WORKER

    def close(self) -> None:
        """Leave the cluster."""
        self._client.close()


def _connect(client: type[Client], address: str) -> Client:
    try:
        found = client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
        found.wait_for_workers(1, timeout=CONNECT_TIMEOUT)
    except (OSError, TimeoutError, ValueError) as error:
        raise Temporary(
            f"no Dask cluster with a worker there: {error}"[:300],
            object=address,
            hint="give the address of the scheduler, as tcp://127.0.0.1:8786",
        ) from error
    return found
