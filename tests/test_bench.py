"""The benchmarks judge as they say; how fast this machine is, no test asks."""

from __future__ import annotations

import io
import sys
import zlib

from cmakeys.images.initrd import read_stream
from tests.bench import initrd, mailbox, session, trust
from tests.bench.ratio import Ratio, command, interleaved
from tests.evidence.loopback import attest


def test_a_ratio_at_its_limit_is_met_and_above_it_is_not() -> None:
    assert Ratio("x", 125.0, 100.0, 1.25).met
    assert not Ratio("x", 126.0, 100.0, 1.25).met
    assert str(Ratio("x", 150.0, 100.0, 1.25)).startswith("OVER    1.50 (at most 1.25)")


def test_actions_take_turns() -> None:
    order: list[str] = []
    medians = interleaved([lambda: order.append("a"), lambda: order.append("b")], 3)
    assert order == ["a", "b"] * 3
    assert len(medians) == 2


def test_a_command_runs_to_its_end() -> None:
    result = command(sys.executable, "-c", "raise SystemExit(3)")()
    assert getattr(result, "returncode", None) == 3


def test_every_step_of_a_set_of_roots_is_measured() -> None:
    cost = trust.measure(3, 6, attest(), None)
    assert list(cost.steps) == ["load", "anchors", "check"]
    assert cost.total == sum(cost.steps.values()) > 0


def test_the_initrd_that_is_looked_into_is_packed_to_the_size_that_is_meant() -> None:
    data = initrd.filling(20, 1 << 16)
    assert read_stream(io.BytesIO(data), len(data), "test").parts[0].entries >= 20
    assert 0.9 < len(zlib.compress(data)) / (1 << 16) < 1.4


def test_an_attestation_costs_the_least_that_the_bus_allows() -> None:
    ratios = mailbox.ratios()
    assert [ratio.value for ratio in ratios] == [1.0, 1.0]
    assert ratios[1].measured == 7


def test_a_session_is_set_up_as_often_as_it_is_measured_and_its_floor_is_its_own_work() -> None:
    bench = session.Bench()
    spent = [bench.establish()[0] for _ in range(5)]
    assert min(spent) > 0
    session.floor(bench.key, bench.establish()[1])()
    assert session.stream([b"message"]) > 0
    assert session.bare([b"message"]) > 0
