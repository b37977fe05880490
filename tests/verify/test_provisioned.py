"""The verdict on devices without certificates: by the key that was brought, and by nothing that they say themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cmakeys.emulator.conversation import Conversation
from cmakeys.emulator.device import Device
from cmakeys.emulator.lies.lie import Lie, M
from cmakeys.emulator.session_settings import SessionSettings
from cmakeys.emulator.settings import DeviceSettings, MeasurementSupport
from cmakeys.evidence.live import Question
from cmakeys.evidence.model import Evidence
from cmakeys.roots.deny import DenyEntry, DenyKind
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.spdm.attesting import SessionUse
from cmakeys.spdm.codes import Capability, Version
from cmakeys.spdm.messages.capabilities import Capabilities
from cmakeys.spdm.messages.challenge import ChallengeAuth
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.spdm.requester import MeasurementMode, Plan
from cmakeys.verify.enrolment import Enrolment
from cmakeys.verify.keys import Keys
from cmakeys.verify.policy import STEPS_OF_CERTIFICATES, Policy
from cmakeys.verify.review import review
from cmakeys.verify.verdict import Outcome, StepOutcome, Verdict
from cmakeys.verify.verifier import verify
from cmakeys.x509.pin import Pin, PinKind
from tests.evidence.loopback import NOW, attest, credentials, device, vendor

ROOTS = RootSet((Root("acme", vendor().certificate),))
KEYED = DeviceSettings(versions=(Version.V12,), provisioned_key=True)
KEY = ProvisionedKey.of(credentials().leaf.public_key, "device")
OTHER = ProvisionedKey.of(ec.generate_private_key(ec.SECP384R1()).public_key(), "other")
ENROLMENT = Enrolment(Pin(PinKind.PUBLIC_KEY, KEY.fingerprint), key=KEY)


def heard(
    key: ProvisionedKey | None = KEY, emulated: Device | None = None, *lies: Lie, plan: Plan | None = None
) -> Evidence:
    """What a device without certificates says, asked by somebody who has `key`."""
    question = Question(Offer(), replace(plan or Plan(), key=key))
    return attest(emulated or device(None, *lies, settings=KEYED), identity=None, question=question)


def judged(
    evidence: Evidence,
    key: ProvisionedKey | None = KEY,
    *,
    policy: Policy | None = None,
    enrolment: Enrolment | None = None,
    roots: RootSet = ROOTS,
) -> Verdict:
    return verify(evidence, roots, policy or Policy(), now=NOW, facts=review(evidence, key), enrolment=enrolment)


def outcomes(verdict: Verdict, outcome: StepOutcome) -> set[int]:
    return {step.number for step in verdict.steps if step.outcome is outcome}


class Amends(Lie):
    """Changes one kind of message before it is signed and sent."""

    def __init__(self, kind: type[object], **changes: object) -> None:
        self.kind = kind
        self.changes = changes

    def amend(self, message: M, talk: Conversation) -> M:
        return replace(message, **self.changes) if isinstance(message, self.kind) else message  # type: ignore[type-var]


# -- the honest device -------------------------------------------------------------------------------------------------


def test_a_device_that_signs_with_the_key_is_trusted_by_it_and_every_step_says_what_was_not_checked() -> None:
    verdict = judged(heard())
    assert verdict.outcome is Outcome.TRUSTED
    assert outcomes(verdict, StepOutcome.PASSED) == {1, 11, 12}
    assert all("no certificates" in verdict.step(number).reason for number in STEPS_OF_CERTIFICATES)
    assert (verdict.root, verdict.leaf_fingerprint, verdict.slot) == (None, None, None)
    assert verdict.key_fingerprint == KEY.fingerprint
    assert KEY.fingerprint[:16] in verdict.summary
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_no_root_is_needed_for_it() -> None:
    assert judged(heard(), roots=RootSet(())).outcome is Outcome.TRUSTED


def test_nobody_is_trusted_by_a_key_that_nobody_brought() -> None:
    verdict = judged(heard(None), None)
    assert verdict.outcome is Outcome.UNSUPPORTED
    assert not outcomes(verdict, StepOutcome.PASSED)
    assert "--public-key" in verdict.steps[0].hint


@pytest.mark.parametrize("step", [7, 9])
def test_a_policy_that_requires_what_only_certificates_have_refuses_it(step: int) -> None:
    policy = Policy()
    verdict = judged(heard(), policy=replace(policy, required=policy.required | {step}))
    assert verdict.outcome is Outcome.REJECTED
    assert f"step {step}" in verdict.summary
    assert "required but was not checked" in verdict.summary


def test_measurements_alone_prove_the_key_and_without_any_signature_nothing_does() -> None:
    silent = DeviceSettings(versions=(Version.V12,), provisioned_key=True, challenge=False)
    verdict = judged(heard(emulated=device(settings=silent)))
    assert verdict.step(11).outcome is StepOutcome.NOT_CHECKED
    assert verdict.step(12).outcome is StepOutcome.PASSED
    nothing = replace(silent, measurements=MeasurementSupport.NONE)
    verdict = judged(heard(emulated=device(settings=nothing), plan=Plan(measurements=MeasurementMode.NONE)))
    assert verdict.outcome is not Outcome.TRUSTED


def test_measurements_come_over_a_session_that_the_key_opened() -> None:
    settings = replace(KEYED, sessions=SessionSettings())
    question = Question(Offer(), Plan(key=KEY), session=SessionUse.REQUIRE)
    evidence = attest(device(settings=settings), identity=None, question=question)
    verdict = judged(evidence, policy=Policy(session=SessionUse.REQUIRE))
    assert verdict.outcome is Outcome.TRUSTED
    assert "came over a session" in verdict.step(12).reason
    assert judged(evidence, OTHER, policy=Policy(session=SessionUse.REQUIRE)).outcome is Outcome.REJECTED


# -- lies --------------------------------------------------------------------------------------------------------------


def test_another_key_than_the_device_names_is_told_with_what_to_do() -> None:
    verdict = judged(heard(OTHER), OTHER)
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.step(11).outcome is StepOutcome.FAILED
    assert "not the hash of the provisioned public key" in verdict.step(11).reason
    assert "another device answers here" in verdict.step(11).hint


def test_a_key_of_another_algorithm_is_told_as_what_it_may_be() -> None:
    big = ProvisionedKey.of(ec.generate_private_key(ec.SECP521R1()).public_key(), "big")
    verdict = judged(heard(big), big)
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.step(1).outcome is StepOutcome.FAILED
    assert verdict.step(1).hint == (
        "only ECDSA-P521 was offered, for the public key that was given: is it the key of this device?"
    )


def test_a_device_that_names_the_key_and_signs_with_another_is_rejected() -> None:
    thief = device(settings=KEYED)
    (known,) = thief.hardware.slots[0]
    thief.hardware.slots = {0: (replace(known, key=known.key_type.generate()),)}
    verdict = judged(heard(emulated=thief))
    assert verdict.outcome is Outcome.REJECTED
    assert outcomes(verdict, StepOutcome.FAILED) >= {11}
    assert "does not verify" in verdict.step(11).reason


def test_a_device_that_names_slots_beside_its_key_breaks_the_protocol() -> None:
    verdict = judged(heard(KEY, None, Amends(ChallengeAuth, slot_mask=1)))
    assert verdict.outcome is Outcome.REJECTED
    assert "names slots, and a public key was challenged" in verdict.step(11).reason


def test_a_device_that_claims_certificates_and_a_key_breaks_the_protocol() -> None:
    both = Capability.CERT | Capability.CHAL | Capability.PUB_KEY_ID | Capability.MEAS_SIGNED
    verdict = judged(heard(KEY, None, Amends(Capabilities, flags=both)))
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.step(1).outcome is StepOutcome.FAILED


def test_evidence_cannot_bring_its_own_key() -> None:
    evidence = heard(None)
    assert review(evidence).key is None
    assert judged(evidence, OTHER).outcome is Outcome.REJECTED


@pytest.mark.parametrize("after", [None, NOW])
def test_a_denied_key_is_rejected_whatever_date_the_entry_has(after: datetime | None) -> None:
    entry = DenyEntry(DenyKind.KEY, KEY.fingerprint, "sold on the market", after=after)
    verdict = judged(heard(), roots=RootSet((), (entry,)), enrolment=ENROLMENT)
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.step(4).outcome is StepOutcome.FAILED
    assert "sold on the market" in verdict.summary
    other = DenyEntry(DenyKind.KEY, OTHER.fingerprint)
    assert judged(heard(), roots=RootSet((), (other,))).outcome is Outcome.TRUSTED


# -- enrolments --------------------------------------------------------------------------------------------------------


def test_the_enrolled_key_is_the_pin() -> None:
    verdict = judged(heard(), enrolment=ENROLMENT)
    assert verdict.outcome is Outcome.TRUSTED
    assert verdict.step(10).outcome is StepOutcome.PASSED
    other = Enrolment(Pin(PinKind.PUBLIC_KEY, OTHER.fingerprint), key=OTHER)
    verdict = judged(heard(), enrolment=other)
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.step(10).outcome is StepOutcome.FAILED


def test_a_device_enrolled_with_certificates_cannot_come_back_with_a_key() -> None:
    enrolment = Enrolment(Pin(PinKind.LEAF, credentials().leaf.fingerprint))
    for key in (None, KEY):
        verdict = judged(heard(key), key, enrolment=enrolment)
        assert verdict.outcome is Outcome.REJECTED
        assert "enrolled with certificates" in verdict.step(1).reason


def test_a_device_enrolled_with_a_key_cannot_come_back_with_certificates() -> None:
    evidence = attest(device(settings=DeviceSettings(versions=(Version.V12,))), identity=None)
    verdict = judged(evidence, enrolment=ENROLMENT)
    assert verdict.outcome is Outcome.REJECTED
    assert "enrolled with a provisioned public key" in verdict.step(1).reason


# -- which key ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(OTHER, KEY), (KEY, OTHER)])
def test_evidence_is_judged_by_the_key_that_it_is_of(order: tuple[ProvisionedKey, ...]) -> None:
    evidence = heard(None)
    for named in (True, False):
        assert Keys(order, named=named).review(evidence).key == KEY


def test_measurements_without_a_challenge_find_their_key_by_the_signature() -> None:
    silent = DeviceSettings(versions=(Version.V12,), provisioned_key=True, challenge=False)
    evidence = heard(emulated=device(settings=silent))
    assert Keys((OTHER, KEY)).review(evidence).key == KEY


def test_named_keys_that_do_not_go_with_evidence_reject_it_and_others_only_do_not_help() -> None:
    evidence = heard(None)
    assert judged_by(Keys((OTHER,), named=True), evidence).outcome is Outcome.REJECTED
    assert judged_by(Keys((OTHER,)), evidence).outcome is Outcome.UNSUPPORTED
    assert judged_by(Keys(), evidence).outcome is Outcome.UNSUPPORTED


def test_keys_change_nothing_about_a_device_with_certificates() -> None:
    evidence = attest(identity=None)
    assert judged_by(Keys((KEY,), named=True), evidence).outcome is Outcome.TRUSTED


def judged_by(keys: Keys, evidence: Evidence) -> Verdict:
    return verify(evidence, ROOTS, Policy(), now=NOW, facts=keys.review(evidence))
