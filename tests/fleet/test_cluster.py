"""A Dask cluster of two processes judges as this machine does, also when one of them is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from functools import cache

import pytest

from cmakeys.errors import Temporary
from cmakeys.evidence import archive
from cmakeys.fleet import crew
from cmakeys.fleet.conductor import judge_all, judge_here
from cmakeys.fleet.crew import Cluster
from cmakeys.fleet.item import Item
from cmakeys.offline import Bench
from cmakeys.verify.policy import Policy
from tests.evidence.loopback import NOW
from tests.fleet.inbox import evidence, trusting

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
pytestmark = pytest.mark.system


@cache
def items() -> tuple[Item, ...]:
    made = [archive.encode(one) for one in evidence(250)]
    made[99] = b"{}"
    return tuple(Item(f"{number:04}.json", None, data) for number, data in enumerate(made))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_comes_to_the_same_results_and_a_killed_worker_changes_nothing(address: str) -> None:
    bench = Bench(trusting(), Policy(), NOW)
    expected = [judged for some in judge_here(bench, items()) for judged in some]
    assert [judged.outcome for judged in expected].count("trusted") == len(items()) - 1
    with closing(Cluster(address)) as cluster:
        assert [judged for some in judge_all(bench, items(), cluster) for judged in some] == expected
    with distributed.Client(address, set_as_default=False) as client, closing(Cluster(address)) as cluster:
        workers = client.run(os.getpid)
        assert len(workers) == 2
        found = []
        for number, some in enumerate(judge_all(bench, items(), cluster)):
            found += some
            if number == 1:
                os.kill(next(iter(workers.values())), signal.SIGKILL)
        assert found == expected


def test_where_no_cluster_is_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "CONNECT_TIMEOUT", 1)
    with pytest.raises(Temporary, match=r"127\.0\.0\.1:1"):
        Cluster("tcp://127.0.0.1:1")
