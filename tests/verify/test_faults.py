"""Every fault that the emulated device knows is caught by the real verifier, at the step that the fault names."""

from __future__ import annotations

from functools import cache

import pytest

from cmakeys.emulator.device import Device
from cmakeys.emulator.factory import DEFAULT_IDENTITY, Blueprint, build_device
from cmakeys.emulator.faults import FAULTS, Fault, Where
from cmakeys.emulator.faults import Outcome as Expected
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.evidence import archive
from cmakeys.evidence.live import Question
from cmakeys.evidence.model import Evidence
from cmakeys.spdm.codes import Version
from cmakeys.spdm.effects import Limits
from cmakeys.verify.enrolment import Enrolment
from cmakeys.verify.reference import ReferenceValues
from cmakeys.verify.review import review
from cmakeys.verify.verdict import Outcome, Verdict
from cmakeys.x509.pin import PinKind, compute_pin
from tests.evidence.loopback import attest, vendor
from tests.verify.cases import failed_steps, judge

QUICK = Question(limits=Limits(busy_retries=3, busy_delay=0.0001, not_ready_rounds=3, not_ready_delay=0.5))
CASES = [
    (fault, version)
    for fault in FAULTS.values()
    if fault.where not in (Where.LINE, Where.SESSIONS)
    for version in (Version.V11, Version.V12, Version.V13, Version.V14)
    if version >= fault.since and not (fault.name == "version-downgrade" and version is Version.V11)
]


@cache
def honest(version: Version) -> Device:
    versions = tuple(one for one in Version if one <= version)
    return build_device(vendor(), Blueprint(settings=DeviceSettings(versions=versions)))


def evidence_of(device: Device) -> Evidence:
    return attest(device, identity=DEFAULT_IDENTITY, question=QUICK)


@cache
def memory(version: Version) -> tuple[Enrolment, ReferenceValues]:
    """What an enrolment of the honest device keeps."""
    facts = review(evidence_of(honest(version)))
    pin = compute_pin(PinKind.DEVICE_CERTIFICATE, facts.certificates, vendor().certificate)
    return Enrolment(pin, facts.negotiation, DEFAULT_IDENTITY), ReferenceValues.of(facts.blocks)


def verdict_on(fault: Fault, version: Version) -> tuple[Evidence, Verdict]:
    original = honest(version).hardware
    blueprint = Blueprint(settings=original.settings, credentials=original.slots)
    evidence = evidence_of(build_device(vendor(), blueprint, [fault]))
    enrolment, reference = memory(version) if fault.enrolled else (None, None)
    return evidence, judge(evidence, enrolment=enrolment, reference=reference)


@pytest.mark.parametrize(("fault", "version"), CASES, ids=[f"{fault.name}-{version}" for fault, version in CASES])
def test_each_fault_is_caught_at_its_step_with_something_to_do(fault: Fault, version: Version) -> None:
    evidence, verdict = verdict_on(fault, version)
    match fault.outcome:
        case Expected.TOLERATED:
            assert verdict.outcome.healthy, verdict.summary
        case Expected.UNREACHABLE:
            assert verdict.outcome is Outcome.UNREACHABLE, verdict.summary
        case Expected.REJECTED:
            assert verdict.outcome is Outcome.REJECTED, verdict.summary
            assert failed_steps(verdict)[:1] == [fault.step], verdict.summary
            assert verdict.failures[0].hint
    enrolment, reference = memory(version) if fault.enrolled else (None, None)
    again = archive.decode(archive.encode(evidence), "file")
    assert judge(again, enrolment=enrolment, reference=reference) == verdict


@pytest.mark.parametrize("version", [Version.V11, Version.V12, Version.V13, Version.V14])
def test_the_honest_device_passes_with_everything_that_is_remembered(version: Version) -> None:
    enrolment, reference = memory(version)
    verdict = judge(evidence_of(honest(version)), enrolment=enrolment, reference=reference)
    assert verdict.outcome is Outcome.TRUSTED, verdict.summary
