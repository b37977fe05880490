"""The mailbox of a machine that we did not write: QEMU's NVMe controller, with an emulated device behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from cmakeys.check import CheckResult, Target, check_device
from cmakeys.devices.pci import read_identity
from cmakeys.emulator.factory import DEFAULT_IDENTITY, Blueprint, build_device
from cmakeys.emulator.faults import FAULTS
from cmakeys.emulator.line import Seat
from cmakeys.emulator.server import Server
from cmakeys.spdm.codes import Version
from cmakeys.transports import doe
from cmakeys.transports.base import Deadline, TransportClosed, TransportTimeout
from cmakeys.transports.config_space import CountedConfig
from cmakeys.transports.connect import open_transport
from cmakeys.transports.doe import OVERHEAD, Register, mailboxes, open_spdm_mailbox
from cmakeys.transports.framing import DoeObject
from cmakeys.verify.policy import Policy
from cmakeys.verify.verdict import Outcome, StepOutcome
from tests.transports.mailbox import FUNCTION, host, plant
from tests.transports.qtest import QtestConfig, nvme
from tests.workbench import conditions, honest, seat, vendor

pytestmark = pytest.mark.system

URL = f"pci:{FUNCTION}"
GET_VERSION = DoeObject(1, 1, bytes.fromhex("10840000"))


@dataclass
class Bench:
    """A stopped machine, the seat behind its controller, and a sysfs that has the controller in it."""

    server: Server
    seat: Seat
    config: QtestConfig
    sysfs: Path

    def check(self, policy: Policy | None = None, timeout: float = 20.0) -> CheckResult:
        reach = partial(open_transport, pci=host(self.sysfs, self.config))
        return check_device(Target(URL, URL), replace(conditions(timeout, policy=policy), reach=reach))


@contextmanager
def machine(folder: Path) -> Iterator[Bench]:
    place = seat()
    plant(folder / "sysfs")
    with Server([place]) as server, nvme(server.places[0].port, folder) as config:
        yield Bench(server, place, config, folder / "sysfs")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with machine(tmp_path_factory.mktemp("qemu")) as bench:
        yield bench


@pytest.fixture
def bench(running: Bench) -> Iterator[Bench]:
    """The machine with the honest device behind it."""
    running.seat.device = honest("0001")
    yield running
    running.seat.device = honest("0001")


def soon() -> Deadline:
    return Deadline.after(20)


def test_the_controllers_registers_are_what_it_is(bench: Bench) -> None:
    assert read_identity(bench.config) == DEFAULT_IDENTITY
    assert [capability.offset for capability in mailboxes(bench.config)] == [0x100]
    assert open_spdm_mailbox(bench.config, soon()).features == {(1, 0), (1, 1), (1, 2)}


def test_a_full_attestation_through_the_mailbox_costs_the_minimum(bench: Bench) -> None:
    counted = CountedConfig(bench.config)
    reach = partial(open_transport, pci=host(bench.sysfs, counted))
    result = check_device(Target(URL, URL), replace(conditions(20.0), reach=reach))
    assert result.verdict.outcome is Outcome.TRUSTED, result.verdict.summary
    assert result.verdict.step(9).outcome is StepOutcome.PASSED
    assert result.evidence is not None
    assert len(result.evidence.exchanges) == 7
    sent = sum(2 + (len(exchange.request) + 3) // 4 for exchange in result.evidence.exchanges)
    received = sum(2 + (len(exchange.response) + 3) // 4 for exchange in result.evidence.exchanges)
    discovery = 3 * (3 + 2 * 3 + OVERHEAD)
    lists_and_identity = 3 + 4
    assert counted.accesses - sent - 2 * received - 7 * OVERHEAD - discovery <= lists_and_identity


@pytest.mark.parametrize("version", [Version.V10, Version.V11, Version.V12, Version.V13, Version.V14])
def test_every_version_passes_the_mailbox(bench: Bench, version: Version) -> None:
    result = bench.check(Policy(versions=frozenset({version})))
    assert result.verdict.outcome is Outcome.TRUSTED, result.verdict.summary
    assert result.verdict.version == str(version)


def test_an_impostor_with_a_certificate_of_another_function_is_rejected_at_step_9(bench: Bench) -> None:
    other = replace(DEFAULT_IDENTITY, device=0x0011)
    bench.seat.device = build_device(vendor(), Blueprint(serial="0009", identity=other))
    verdict = bench.check().verdict
    assert verdict.outcome is Outcome.REJECTED
    assert [step.number for step in verdict.failures] == [9]


@pytest.mark.parametrize(("fault", "step"), [("bad-signature", 11), ("impostor", 4)])
def test_a_lying_device_is_rejected_through_the_mailbox_too(bench: Bench, fault: str, step: int) -> None:
    bench.seat.device = seat(FAULTS[fault]).device
    verdict = bench.check().verdict
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.failures[0].number == step


def test_an_object_that_is_silently_discarded_is_a_timeout_and_leaves_the_mailbox_clean(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doe, "SECOND", 0.1)
    mailbox = open_spdm_mailbox(bench.config, soon())
    with pytest.raises(TransportTimeout):
        mailbox.exchange(DoeObject(1, 9, b"nobody knows"), soon())
    assert mailbox.exchange(GET_VERSION, soon()).payload[:2] == b"\x10\x04"


def test_an_error_that_another_left_behind_is_cleared(bench: Bench) -> None:
    offset = next(mailboxes(bench.config)).offset
    mailbox = open_spdm_mailbox(bench.config, soon())
    bench.config.write32(offset + Register.READ, 0)
    with pytest.raises(TransportClosed, match="before the request"):
        mailbox.exchange(GET_VERSION, soon())
    assert mailbox.exchange(GET_VERSION, soon()).payload[:2] == b"\x10\x04"
    bench.config.write32(offset + Register.READ, 0)
    assert bench.check().verdict.outcome is Outcome.TRUSTED


def test_a_dead_responder_is_unreachable_within_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doe, "SECOND", 0.2)
    with machine(tmp_path) as bench:
        assert bench.check().verdict.outcome is Outcome.TRUSTED
        bench.server.stop()
        verdict = bench.check(timeout=1.0).verdict
    assert verdict.outcome is Outcome.UNREACHABLE
    assert "no answer in the mailbox" in verdict.summary
