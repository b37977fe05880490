from __future__ import annotations

from functools import cache

import pytest

from cmakeys.emulator.device import Device
from cmakeys.emulator.factory import DEFAULT_IDENTITY, Blueprint, build_device
from cmakeys.emulator.faults import FAULTS, Fault, Outcome, Where, find_faults
from cmakeys.emulator.flaws import Flaw
from cmakeys.emulator.lies import (
    agreement,
    certificates,
    challenge,
    chunking,
    measurements,
    negotiation,
    parameters,
    patience,
    records,
    sessions,
)
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.errors import NotFound
from cmakeys.spdm.codes import CertificateModel, Version
from cmakeys.spdm.offer import Offer
from tests.emulator.conftest import vendor
from tests.emulator.judge import Enrolment, Judgement, attest, enrol, judge

MODULES = (
    negotiation,
    certificates,
    challenge,
    measurements,
    chunking,
    patience,
    sessions,
    parameters,
    agreement,
    records,
)
IN_MESSAGES = [fault for fault in FAULTS.values() if fault.where not in (Where.LINE, Where.SESSIONS)]
CASES = [
    (fault, version)
    for fault in IN_MESSAGES
    for version in (Version.V11, Version.V12, Version.V13, Version.V14)
    if version >= fault.since and not (fault.name == "version-downgrade" and version == Version.V11)
]


@cache
def honest(version: Version, model: CertificateModel = CertificateModel.DEVICE) -> Device:
    versions = tuple(one for one in Version if one <= version)
    return build_device(vendor(), Blueprint(model=model, settings=DeviceSettings(versions=versions)))


def faulty(fault: Fault, version: Version, model: CertificateModel = CertificateModel.DEVICE) -> Device:
    """The honest device with a fault in it: what can stay the same does."""
    honest_one = honest(version, model)
    settings = honest_one.hardware.settings
    blueprint = Blueprint(model=model, settings=settings, credentials=honest_one.hardware.slots)
    return build_device(vendor(), blueprint, [fault])


@cache
def enrolment(version: Version, model: CertificateModel = CertificateModel.DEVICE) -> Enrolment:
    return enrol(attest(honest(version, model), Offer()), index=2)


def judged(device: Device, enrolled: Enrolment | None = None) -> Judgement:
    return judge(device, Offer(), vendor().certificate, DEFAULT_IDENTITY, index=2, enrolment=enrolled)


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize("model", [CertificateModel.DEVICE, CertificateModel.ALIAS])
def test_an_honest_device_passes_every_step(version: Version, model: CertificateModel) -> None:
    assert judged(honest(version, model), enrolment(version, model)) == Judgement(Outcome.TOLERATED)


@pytest.mark.parametrize(("fault", "version"), CASES, ids=[f"{fault.name}-{version}" for fault, version in CASES])
def test_each_fault_is_caught_where_it_says(fault: Fault, version: Version) -> None:
    found = judged(faulty(fault, version), enrolment(version) if fault.enrolled else None)
    assert (found.outcome, found.step) == (fault.outcome, fault.step), found.why


def test_changed_firmware_in_the_alias_model_is_still_the_same_device() -> None:
    device = faulty(FAULTS["firmware-changed"], Version.V13, CertificateModel.ALIAS)
    assert judged(device, enrolment(Version.V13, CertificateModel.ALIAS)).step == 13
    assert device.hardware.slots[0][0].leaf != honest(Version.V13, CertificateModel.ALIAS).hardware.slots[0][0].leaf


def test_faults_can_be_combined() -> None:
    device = build_device(vendor(), Blueprint(), find_faults(["busy-twice", "not-ready-once", "leaf-wrong-name"]))
    assert judged(device).step == 9


def test_a_lie_that_counts_begins_anew_in_each_connection() -> None:
    device = faulty(FAULTS["busy-twice"], Version.V12)
    assert [judged(device).outcome for _ in range(3)] == [Outcome.TOLERATED] * 3


def test_every_flaw_of_a_certificate_is_a_fault() -> None:
    assert {flaw.value for flaw in Flaw} <= set(FAULTS)


def test_no_two_faults_share_a_name_and_all_of_the_list_are_there() -> None:
    assert sum(len(module.FAULTS) for module in MODULES) == len(FAULTS)
    demanded = """wrong-slot missing-slot-bit two-selection-bits-asym two-selection-bits-hash superset-selection
        overlong-portion zero-portion remainder-change endless-portions nonce-reuse wrong-context-echo
        wrong-signature-context bad-signature nested-large-response chunk-overflow chunk-wrong-handle
        chunk-skip-sequence chunk-endless oversize-opaque opaque-without-format digest-mismatch chain-hash-mismatch
        root-hash-mismatch chain-length-mismatch wrong-measurement-index duplicate-measurement-index
        measurement-spec-wrong measurement-digest-size content-changed wrong-version-byte wrong-response-code
        version-downgrade version-tampered capabilities-inconsistent data-transfer-size-too-small
        ct-exponent-too-large busy-forever busy-twice not-ready-once not-ready-forever not-ready-wrong-token
        not-ready-wrong-code resync-once resync-forever error-unspecified silence close-mid-message slow-dribble
        impostor leaf-wrong-name expired-leaf firmware-changed"""
    assert set(demanded.split()) <= set(FAULTS)


def test_each_response_has_a_truncated_form() -> None:
    kinds = {name.removeprefix("truncated-") for name in FAULTS if name.startswith("truncated-")}
    assert kinds == {
        "version",
        "capabilities",
        "algorithms",
        "digests",
        "certificate",
        "challenge-auth",
        "measurements",
        "chunk-response",
        "chunk-send-ack",
        "key-exchange-rsp",
        "finish-rsp",
        "psk-exchange-rsp",
        "key-update-ack",
        "heartbeat-ack",
        "end-session-ack",
        "encapsulated-request",
    }


def test_a_fault_is_rejected_at_a_step_or_at_none() -> None:
    for fault in FAULTS.values():
        assert (fault.step is not None) == (fault.outcome == Outcome.REJECTED)
        assert fault.step is None or 1 <= fault.step <= 14
        assert fault.description


def test_an_unknown_fault_is_not_found() -> None:
    with pytest.raises(NotFound, match="no fault"):
        find_faults(["bad-signature", "bad-hair"])
