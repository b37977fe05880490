"""A run over many devices ends with a verdict on each, the right one, whatever any of them does."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cmakeys.check import (
    Conditions,
    Judgement,
    Target,
    check,
    check_device,
    judge,
    targets,
)
from cmakeys.devices.enrolled import EnrolledDevice, Negotiated
from cmakeys.devices.register import Register
from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.faults import FAULTS, Fault, Where
from cmakeys.emulator.faults import Outcome as Expected
from cmakeys.emulator.line import Seat
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.errors import NotFound, UsageProblem
from cmakeys.evidence.model import Evidence
from cmakeys.roots.rootset import RootSet
from cmakeys.spdm.codes import Version
from cmakeys.standing import findings, history, worst
from cmakeys.transports.backoff import Backoff
from cmakeys.transports.framing import Framing
from cmakeys.verify.policy import Policy
from cmakeys.verify.verdict import Outcome, StepOutcome, Verdict
from tests.workbench import NOW, conditions, enrolled, faulty, honest, seat, serving, targets_of, vendor

pytestmark = pytest.mark.system

OF_A_CHECK = [fault for fault in FAULTS.values() if fault.where is not Where.SESSIONS]
"""A check opens no session."""


@pytest.fixture(scope="module")
def enrolment() -> EnrolledDevice:
    """The honest device as it was enrolled."""
    with serving(seat()) as (url,):
        return enrolled(url)


# -- every fault, end to end -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def verdicts(enrolment: EnrolledDevice) -> dict[str, Verdict]:
    """What one run says about devices that were enrolled when they were honest, one for each fault.

    Framed as MCTP, because DOE pads messages, which mends those that end a byte early.
    """
    faults = OF_A_CHECK
    forgetful = replace(enrolment, last=Negotiated())
    with serving(*(replace(seat(fault), framing=Framing.MCTP) for fault in faults)) as urls:
        wanted = [
            Target(fault.name, url, replace(enrolment if fault.enrolled else forgetful, address=url))
            for fault, url in zip(faults, urls, strict=True)
        ]
        results = check(wanted, conditions(timeout=4.0), jobs=12)
    return {result.target.name: result.verdict for result in results}


@pytest.mark.parametrize("fault", OF_A_CHECK, ids=lambda fault: fault.name)
def test_each_fault_is_caught_at_its_step_over_a_real_socket(fault: Fault, verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts[fault.name]
    if fault.outcome is Expected.TOLERATED:
        assert verdict.outcome.healthy, verdict.summary
        return
    assert verdict.outcome.value == fault.outcome.value, verdict.summary
    if fault.step is not None:
        assert verdict.step(fault.step).outcome is StepOutcome.FAILED
        assert min(step.number for step in verdict.failures) == fault.step


def test_a_device_that_fails_has_a_reason_and_a_next_step_for_a_person(verdicts: dict[str, Verdict]) -> None:
    for name, verdict in verdicts.items():
        for step in verdict.failures:
            assert len(step.reason) > 10, name
            assert step.hint, (name, step.reason)


# -- the run -----------------------------------------------------------------------------------------------------------


def test_devices_are_asked_at_the_same_time() -> None:
    arrived = threading.Barrier(6, timeout=20)

    def together(evidence: Evidence, device: EnrolledDevice | None, terms: Conditions) -> Judgement:
        arrived.wait()
        return judge(evidence, device, terms)

    with serving(*(seat() for _ in range(6))) as urls:
        results = check([Target(url, url) for url in urls], conditions(), jobs=6, judge=together)
    assert [result.verdict.outcome for result in results] == [Outcome.TRUSTED] * 6
    assert [result.target.address for result in results] == urls


def test_no_more_devices_are_asked_at_once_than_allowed() -> None:
    running, most, lock = [0], [0], threading.Lock()

    def counting(evidence: Evidence, device: EnrolledDevice | None, terms: Conditions) -> Judgement:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1
        return judge(evidence, device, terms)

    with serving(*(seat() for _ in range(6))) as urls:
        check([Target(url, url) for url in urls], conditions(), jobs=2, judge=counting)
    assert most[0] <= 2


def test_one_device_that_hangs_costs_its_own_time_only(enrolment: EnrolledDevice) -> None:
    with _silent_port() as silent, serving(seat()) as (good,):
        devices = [replace(enrolment, name="hangs", address=silent), replace(enrolment, name="good", address=good)]
        started = time.monotonic()
        hangs, fine = check(targets_of(devices), conditions(timeout=1.0))
        assert time.monotonic() - started < 8
    assert hangs.verdict.outcome is Outcome.UNREACHABLE
    assert fine.verdict.outcome is Outcome.TRUSTED


def test_a_mistake_of_this_program_about_one_device_does_not_end_the_run() -> None:
    def broken(evidence: Evidence, device: EnrolledDevice | None, terms: Conditions) -> Judgement:
        if evidence.device == urls[0]:
            raise ZeroDivisionError("oops")
        return judge(evidence, device, terms)

    with serving(seat(), seat()) as urls:
        first, second = check([Target(url, url) for url in urls], conditions(), judge=broken)
    assert first.verdict.outcome is Outcome.UNREACHABLE
    assert "ZeroDivisionError: oops" in first.verdict.summary
    assert "bug in cmakeys" in first.verdict.steps[0].hint
    assert second.verdict.outcome is Outcome.TRUSTED


def test_nothing_to_check_is_no_result() -> None:
    assert check([], conditions()) == ()


def test_trouble_that_passes_is_tried_again() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    url = f"emu://127.0.0.1:{port}?transport=doe"
    patient = replace(conditions(timeout=20), backoff=Backoff(attempts=30, first=0.05, factor=1.0, longest=0.05))
    results = []
    waiting = threading.Thread(target=lambda: results.append(check_device(Target(url, url), patient)))
    waiting.start()
    time.sleep(0.15)
    from cmakeys.emulator.server import Server

    with Server([seat()], ports=[port]):
        waiting.join()
    assert results[0].verdict.outcome is Outcome.TRUSTED


def test_a_device_that_is_not_there_is_unreachable_within_its_time() -> None:
    (result,) = check([Target("x", "emu://127.0.0.1:1?transport=doe")], conditions(timeout=1.0))
    assert result.verdict.outcome is Outcome.UNREACHABLE
    assert all(step.outcome is StepOutcome.NOT_CHECKED for step in result.verdict.steps)


def test_policy_and_roots_of_the_run_decide() -> None:
    with serving(seat()) as (url,):
        (untrusted,) = check([Target(url, url)], conditions(rootset=RootSet()))
        (old,) = check([Target(url, url)], conditions(policy=Policy(versions=frozenset({Version.V12}))))
    assert untrusted.verdict.failures[0].number == 4
    assert (old.verdict.outcome, old.verdict.version) == (Outcome.TRUSTED, "1.2")


@contextmanager
def _silent_port() -> Iterator[str]:
    """A port that takes connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=8)) as listener:
        yield f"emu://127.0.0.1:{listener.getsockname()[1]}?transport=doe"


# -- history -----------------------------------------------------------------------------------------------------------


def test_only_a_good_verdict_changes_what_the_next_check_compares_with(
    enrolment: EnrolledDevice, tmp_path: Path
) -> None:
    register = Register(tmp_path)
    weaker = Negotiated("1.1", "ECDSA-P384", "SHA-384")
    with serving(seat(), seat(FAULTS["bad-signature"])) as (good, bad):
        devices = [
            replace(enrolment, name="good", address=good, last=weaker),
            replace(enrolment, name="bad", address=bad, last=weaker),
            replace(enrolment, name="gone", address="emu://127.0.0.1:1?transport=doe", last=weaker),
        ]
        for device in devices:
            register.enroll(device)
        results = check([*targets_of(devices), Target(good, good)], conditions(timeout=1.0))
    register.record(history(findings(results, {})))
    assert register.find("good").last == enrolment.last
    assert register.find("bad").last == weaker
    assert register.find("gone").last == weaker
    assert {name: record.outcome for name, record in register.latest().items()} == {
        "good": "trusted",
        "bad": "rejected",
        "gone": "unreachable",
    }
    assert set(register.latest_verdicts()) == {"good", "bad"}


def test_the_history_holds_the_whole_verdict(enrolment: EnrolledDevice) -> None:
    with serving(seat()) as (url,):
        results = check(targets_of([replace(enrolment, address=url)]), conditions())
    (record,) = history(findings(results, {}))
    assert Verdict.from_json(json.loads(record.detail)) == results[0].verdict
    assert record.checked_at == NOW


def test_a_downgrade_against_the_last_good_check_is_rejected(enrolment: EnrolledDevice) -> None:
    old = build_device(
        vendor(),
        Blueprint(
            credentials=honest("0001").hardware.slots, settings=DeviceSettings(versions=(Version.V10, Version.V11))
        ),
    )
    with serving(Seat(old)) as (url,):
        (result,) = check(targets_of([replace(enrolment, address=url, measurements=())]), conditions())
    assert [step.number for step in result.verdict.failures] == [1]
    assert "weaker than last time" in result.verdict.summary


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((), Outcome.TRUSTED),
        ((Outcome.TRUSTED, Outcome.DEGRADED), Outcome.DEGRADED),
        ((Outcome.UNSUPPORTED, Outcome.DEGRADED), Outcome.UNSUPPORTED),
        ((Outcome.UNSUPPORTED, Outcome.UNREACHABLE), Outcome.UNREACHABLE),
        ((Outcome.UNREACHABLE, Outcome.REJECTED), Outcome.REJECTED),
    ],
)
def test_the_worst_outcome_decides_the_exit_code(outcomes: tuple[Outcome, ...], expected: Outcome) -> None:
    assert worst(outcomes) is expected


# -- which devices -----------------------------------------------------------------------------------------------------


def test_a_device_is_meant_by_name_or_address_and_checked_once(enrolment: EnrolledDevice) -> None:
    device = replace(enrolment, address="emu://127.0.0.1:2323?transport=doe")
    found = targets(["gpu0", device.address, "EMU://127.0.0.1:2323?transport=doe", "tcp://h:1"], [device])
    assert found == (Target("gpu0", device.address, device), Target("tcp://h:1", "tcp://h:1"))


def test_a_name_nobody_enrolled_is_not_found(enrolment: EnrolledDevice) -> None:
    with pytest.raises(NotFound) as caught:
        targets(["gpu1"], [enrolment])
    assert "gpu0" in caught.value.hint


@pytest.mark.parametrize("address", ["http://x", "emu://", "pci:nonsense", "emu://h?transport=carrier-pigeon"])
def test_an_address_that_makes_no_sense_is_a_usage_problem(address: str) -> None:
    with pytest.raises(UsageProblem):
        targets([address], ())


def test_a_faulty_device_shows_its_own_chain() -> None:
    assert faulty().hardware.slots == honest("0001").hardware.slots
