"""Only a device that passes can be enrolled, and what is enrolled is what the next check compares with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from cmakeys.check import (
    Target,
    check,
)
from cmakeys.devices.enrolled import Negotiated, check_device_name
from cmakeys.emulator.factory import DEFAULT_IDENTITY, Blueprint, build_device
from cmakeys.emulator.faults import FAULTS
from cmakeys.emulator.line import Seat
from cmakeys.emulator.settings import DeviceSettings, MeasurementSupport
from cmakeys.enrolling import DeviceRejected, Wish, candidate, default_name
from cmakeys.errors import Temporary, Unsupported
from cmakeys.spdm.codes import CertificateModel
from cmakeys.verify.kernelview import Answer, KernelView
from cmakeys.verify.policy import KernelViewRule, Policy
from cmakeys.verify.verdict import Outcome, StepOutcome
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.pin import PinKind, compute_pin
from tests.workbench import NOW, conditions, honest, seat, serving, targets_of, vendor

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("emu://127.0.0.1:2323?transport=doe", "127.0.0.1-2323"),
        ("tcp://gpu-host:4194", "gpu-host-4194"),
        ("pci:0000:01:00.0", "0000-01-00.0"),
        ("replay:/some/where/gpu 0.jsonl", "gpu-0.jsonl"),
        ("emu://[::1]:2323", "1-2323"),
        ("tcp://???", "device"),
    ],
)
def test_a_device_without_a_name_is_called_after_its_address(address: str, name: str) -> None:
    assert check_device_name(default_name(address)) == name


def test_what_is_enrolled_passes_the_next_check() -> None:
    with serving(seat()) as (url,):
        found = candidate(Wish(url, "gpu0", note="rack 3"), conditions())
        (result,) = check(targets_of([found.device]), conditions())
    device = found.device
    assert result.verdict.outcome is Outcome.TRUSTED
    for number in (9, 10, 13):
        assert result.verdict.step(number).outcome is StepOutcome.PASSED
    assert (device.root_name, device.root_fingerprint) == ("acme", vendor().certificate.fingerprint)
    assert device.chain == honest("0001").hardware.slots[0][0].chain
    assert device.identity == DEFAULT_IDENTITY
    assert device.at_enrolment == device.last == Negotiated("1.4", "ECDSA-P384", "SHA-384")
    assert (device.slot, device.note, device.enrolled_at) == (0, "rack 3", NOW)
    assert found.first.outcome == "trusted"


def test_a_kernel_that_would_refuse_a_device_is_heard_when_it_is_enrolled() -> None:
    def refuse(chain: Sequence[Certificate], device: str) -> tuple[KernelView, ...]:
        assert chain == honest("0001").hardware.slots[0][0].chain
        return (KernelView("this kernel", Answer.REFUSES, f"nothing vouches for {device}"),)

    asking = replace(conditions(policy=Policy(kernel_view=KernelViewRule.ORACLE)), kernel=refuse)
    with serving(seat()) as (url,):
        verdict = candidate(Wish(url, "gpu0"), asking).judgement.verdict
    assert verdict.outcome is Outcome.DEGRADED
    assert verdict.step(14).reason == f"we accept the chain, this kernel would not: nothing vouches for {url}"


@pytest.mark.parametrize("kind", [kind for kind in PinKind if kind is not PinKind.PUBLIC_KEY])
def test_the_pin_that_was_asked_for_is_taken_and_explained(kind: PinKind) -> None:
    with serving(seat()) as (url,):
        found = candidate(Wish(url, "gpu0", kind), conditions())
    chain = honest("0001").hardware.slots[0][0].chain
    assert found.device.pin == compute_pin(kind, chain, vendor().certificate)
    assert len(found.pin_reason) > 40


def test_alias_leaves_are_recommended_to_be_pinned_above_the_leaf() -> None:
    device = build_device(vendor(), Blueprint(model=CertificateModel.ALIAS))
    with serving(Seat(device)) as (url,):
        found = candidate(Wish(url), conditions())
        device.hardware.change_firmware(b"firmware 2")
        (after,) = check(targets_of([found.device]), conditions())
    credentials = device.hardware.slots[0][0]
    assert found.device.pin.value == credentials.device_certificate.spki_fingerprint
    assert [step.number for step in after.verdict.failures] == [13]


def test_a_rejected_device_is_not_enrolled_and_the_verdict_says_why() -> None:
    with serving(seat(FAULTS["impostor"])) as (url,), pytest.raises(DeviceRejected) as caught:
        candidate(Wish(url), conditions())
    assert caught.value.exit_code == 1
    assert caught.value.verdict.failures[0].number == 4
    assert caught.value.hint


def test_a_device_that_names_another_function_is_not_enrolled() -> None:
    other = replace(DEFAULT_IDENTITY, device=0x1234)
    with serving(seat()) as (url,), pytest.raises(DeviceRejected) as caught:
        candidate(Wish(url, identity=other), conditions())
    assert caught.value.verdict.failures[0].number == 9


def test_a_device_that_is_not_reached_is_temporary() -> None:
    with pytest.raises(Temporary, match="could not find out"):
        candidate(Wish("emu://127.0.0.1:1?transport=doe"), conditions(timeout=0.5))


@pytest.mark.parametrize("settings", [DeviceSettings(challenge=False)])
def test_a_device_without_authentication_is_unsupported(settings: DeviceSettings) -> None:
    with serving(Seat(build_device(vendor(), Blueprint(settings=settings)))) as (url,):
        with pytest.raises(Unsupported):
            candidate(Wish(url), conditions())
        (result,) = check([Target(url, url)], conditions())
    assert result.verdict.outcome is Outcome.UNSUPPORTED


def test_a_device_without_signed_measurements_has_no_reference_values() -> None:
    settings = DeviceSettings(measurements=MeasurementSupport.NONE)
    with serving(Seat(build_device(vendor(), Blueprint(settings=settings)))) as (url,):
        found = candidate(Wish(url), conditions())
        (result,) = check(targets_of([found.device]), conditions())
    assert found.device.measurements == ()
    assert result.verdict.step(13).outcome is StepOutcome.NOT_CHECKED


def test_a_leaf_without_a_pcie_name_is_enrolled_without_identity() -> None:
    device = build_device(vendor(), Blueprint(identity=None))
    with serving(Seat(device)) as (url,):
        assert candidate(Wish(url), conditions()).device.identity is None
