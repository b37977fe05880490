"""A whole check of `pci:` devices through the registers of their mailboxes, on a machine made of files and software."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cmakeys.check import Conditions, Target, check, check_device, targets
from cmakeys.emulator.factory import DEFAULT_IDENTITY, Blueprint, build_device
from cmakeys.enrolling import Wish, candidate
from cmakeys.errors import Refused, Temporary, Unsupported
from cmakeys.evidence.model import EndingKind
from cmakeys.spdm.codes import RequestCode
from cmakeys.transports import doe
from cmakeys.transports.config_space import ConfigSpace, CountedConfig
from cmakeys.transports.connect import open_transport
from cmakeys.verify.verdict import Outcome, StepOutcome
from tests.transports.mailbox import (
    FUNCTION,
    MAILBOX,
    MailboxFaults,
    Respond,
    SimulatedFunction,
    SimulatedMailbox,
    answering,
    host,
    plant,
)
from tests.workbench import conditions, honest, vendor

URL = f"pci:{FUNCTION}"
PLAN = [
    RequestCode.GET_VERSION,
    RequestCode.GET_CAPABILITIES,
    RequestCode.NEGOTIATE_ALGORITHMS,
    RequestCode.GET_DIGESTS,
    RequestCode.GET_CERTIFICATE,
    RequestCode.CHALLENGE,
    RequestCode.GET_MEASUREMENTS,
]
"""Every question once: all that an attestation needs when the chain fits one portion."""


def dwords_of(message: bytes) -> int:
    return (len(message) + 3) // 4


def reaching(sysfs: Path, config: ConfigSpace, timeout: float = 10.0) -> Conditions:
    """The conditions of a run on a machine whose one function has these registers."""
    return replace(conditions(timeout), reach=partial(open_transport, pci=host(sysfs, config)))


def of(respond: Respond, faults: MailboxFaults | None = None) -> SimulatedFunction:
    return SimulatedFunction({MAILBOX: SimulatedMailbox(respond, faults=faults or MailboxFaults())})


def test_a_device_is_authenticated_through_its_mailbox(tmp_path: Path) -> None:
    plant(tmp_path)
    result = check_device(Target(URL, URL), reaching(tmp_path, of(answering(honest("0001")))))
    assert result.verdict.outcome is Outcome.TRUSTED, result.verdict.summary
    assert result.verdict.step(9).outcome is StepOutcome.PASSED
    assert "names the function" in result.verdict.step(9).reason
    assert result.evidence is not None
    assert result.evidence.identity == DEFAULT_IDENTITY


def test_a_full_attestation_makes_no_more_exchanges_than_needed(tmp_path: Path) -> None:
    plant(tmp_path)
    simulated = SimulatedMailbox(answering(honest("0001")))
    counted = CountedConfig(SimulatedFunction({MAILBOX: simulated}))
    result = check_device(Target(URL, URL), reaching(tmp_path, counted))
    assert result.evidence is not None
    spdm = [message for kind, message in simulated.objects if kind == 1]
    assert [RequestCode(message[1]) for message in spdm] == PLAN
    assert len([kind for kind, _ in simulated.objects if kind == 0]) == 3
    sent = sum(2 + dwords_of(exchange.request) for exchange in result.evidence.exchanges)
    received = sum(2 + dwords_of(exchange.response) for exchange in result.evidence.exchanges)
    discovery = 3 * (3 + 2 * 3 + doe.OVERHEAD)
    identity_and_lists = 4 + 2 * 2
    assert counted.accesses == sent + 2 * received + len(PLAN) * doe.OVERHEAD + discovery + 1 + identity_and_lists


def test_an_impostor_with_a_certificate_of_another_function_is_rejected_at_step_9(tmp_path: Path) -> None:
    plant(tmp_path)
    other = build_device(vendor(), Blueprint(serial="0009", identity=replace(DEFAULT_IDENTITY, device=0x1234)))
    verdict = check_device(Target(URL, URL), reaching(tmp_path, of(answering(other)))).verdict
    assert verdict.outcome is Outcome.REJECTED
    assert [step.number for step in verdict.failures] == [9]


@pytest.mark.parametrize(
    "faults",
    [
        MailboxFaults(silent=True),
        MailboxFaults(busy=1 << 30),
        MailboxFaults(refuses=True),
        MailboxFaults(vendor=2),
        MailboxFaults(drops_ready_after=3),
        MailboxFaults(ignores_abort=True, silent=True),
    ],
)
def test_a_mailbox_out_of_order_is_unreachable_and_accuses_nobody(
    tmp_path: Path, faults: MailboxFaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doe, "SECOND", 0.02)
    control = plant(tmp_path, files={"power/control": "auto"}) / "power/control"
    verdict = check_device(Target(URL, URL), reaching(tmp_path, of(answering(honest("0001")), faults), 1.0)).verdict
    assert verdict.outcome is Outcome.UNREACHABLE
    assert all(step.outcome is StepOutcome.NOT_CHECKED for step in verdict.steps)
    assert control.read_text().strip() == "auto"


def test_a_function_of_a_virtual_machine_is_unreachable_with_the_way_to_force_it(tmp_path: Path) -> None:
    plant(tmp_path, driver="vfio-pci")
    terms = reaching(tmp_path, of(answering(honest("0001"))))
    (refused,) = check(targets([URL], ()), terms)
    assert refused.verdict.outcome is Outcome.UNREACHABLE
    assert "vfio-pci" in refused.verdict.summary
    assert "?force=1" in refused.verdict.steps[0].hint
    (forced,) = check(targets([URL + "?force=1"], ()), terms)
    assert forced.verdict.outcome is Outcome.TRUSTED


def test_a_function_without_spdm_is_unsupported(tmp_path: Path) -> None:
    plant(tmp_path)
    (result,) = check(targets([FUNCTION], ()), reaching(tmp_path, SimulatedFunction({})))
    assert result.verdict.outcome is Outcome.UNSUPPORTED
    with pytest.raises(Unsupported):
        candidate(Wish(URL), reaching(tmp_path, SimulatedFunction({})))


def test_a_function_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    (result,) = check(targets([FUNCTION], ()), reaching(tmp_path, of(answering(honest("0001"))), 0.5))
    assert result.verdict.outcome is Outcome.UNREACHABLE
    assert "no such PCI function" in result.verdict.summary
    with pytest.raises(Temporary, match="no such PCI function"):
        candidate(Wish(URL), reaching(tmp_path, of(answering(honest("0001"))), 0.5))


def test_a_device_is_enrolled_where_it_is_and_force_is_for_one_run(tmp_path: Path) -> None:
    plant(tmp_path)
    terms = reaching(tmp_path, of(answering(honest("0001"))))
    found = candidate(Wish(URL + "?force=1", "nvme0"), terms)
    assert found.device.address == URL
    assert found.device.identity == DEFAULT_IDENTITY
    (target,) = targets([URL + "?force=1"], [found.device])
    assert (target.name, target.address) == ("nvme0", URL + "?force=1")


def test_configuration_space_is_not_overruled_by_whoever_enrols(tmp_path: Path) -> None:
    plant(tmp_path)
    terms = reaching(tmp_path, of(answering(honest("0001"))))
    with pytest.raises(Refused, match="configuration space says"):
        candidate(Wish(URL, identity=replace(DEFAULT_IDENTITY, device=0x1234)), terms)
    assert candidate(Wish(URL, identity=DEFAULT_IDENTITY), terms).device.identity == DEFAULT_IDENTITY


def test_a_function_pulled_out_in_the_middle_leaves_evidence_without_an_accusation(tmp_path: Path) -> None:
    plant(tmp_path)
    function = of(answering(honest("0001")))
    function.unplugged_after = 500
    result = check_device(Target(URL, URL), reaching(tmp_path, function, 1.0))
    assert result.verdict.outcome is Outcome.UNREACHABLE
    assert result.evidence is not None
    assert result.evidence.ending.kind is EndingKind.UNREACHABLE
