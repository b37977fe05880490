"""From evidence to a verdict: which step finds what, and what an outcome is made of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from cmakeys.emulator.flaws import ALIAS_FLAWS, FLAW_STEPS, Flaw
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.measurements import INDEX_FIRMWARE, standard_measurements
from cmakeys.emulator.pki import DeviceRequest
from cmakeys.emulator.settings import DeviceSettings, MeasurementSupport
from cmakeys.evidence import archive
from cmakeys.evidence.live import Question
from cmakeys.evidence.model import Ending, EndingKind
from cmakeys.roots.deny import DenyKind, entry_about
from cmakeys.roots.root import Constraints, LeafNameRule, LifeCycle
from cmakeys.roots.rootset import RootSet
from cmakeys.spdm.algorithms import BASE_HASH_FUNCTIONS, BaseAsym, BaseHash
from cmakeys.spdm.codes import CertificateModel, ErrorCode, RequestCode, SummaryHash, Version
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import MeasurementMode, Plan
from cmakeys.verify.enrolment import Enrolment
from cmakeys.verify.policy import Clock, Policy
from cmakeys.verify.reference import ReferenceValues
from cmakeys.verify.review import review
from cmakeys.verify.verdict import Outcome, StepOutcome, Verdict
from cmakeys.x509.identity import PciIdentity
from cmakeys.x509.pin import Pin, PinKind
from tests.evidence.loopback import IDENTITY, NOW, Answers, attest, credentials, device, vendor
from tests.verify.cases import (
    OPTIONAL,
    WrongSignature,
    enrolled,
    failed_steps,
    judge,
    outcome,
    passed_steps,
    root,
    roots,
)

NONCE = bytes(range(32))
ALIAS = DeviceRequest("0001", IDENTITY, KeyType.ECDSA_P384, CertificateModel.ALIAS)
TWIN = DeviceRequest("0002", IDENTITY)
BOTH_NAMES = DeviceRequest("0001", IDENTITY)
DEVICE_INFO_ONLY = DeviceRequest("0001")


# --- an honest device ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", list(Version))
def test_an_honest_device_is_trusted_in_every_version(version: Version) -> None:
    verdict = judge(attest(question=Question(Offer(versions=frozenset({version}))), identity=IDENTITY), policy=None)
    # The device has more versions than this requester asked for, so only the highest is no downgrade.
    expected = Outcome.TRUSTED if version == max(Version) else Outcome.REJECTED
    assert verdict.outcome is expected
    verdict = judge(
        attest(device(settings=DeviceSettings(versions=(version,))), question=Question(Offer())), policy=None
    )
    assert verdict.outcome is Outcome.TRUSTED, verdict.summary
    assert passed_steps(verdict) == set(range(1, 15)) - OPTIONAL
    assert (verdict.root, verdict.slot, verdict.version) == ("acme", 0, str(version))


@pytest.mark.parametrize("alias", [False, True])
def test_device_and_alias_chains_are_trusted(alias: bool) -> None:
    assert judge(attest(device(credentials(alias=alias)))).outcome is Outcome.TRUSTED


@pytest.mark.parametrize("key_type", [KeyType.ECDSA_P256, KeyType.ECDSA_P521, KeyType.ED25519, KeyType.ML_DSA_65])
def test_every_kind_of_key_is_trusted(key_type: KeyType) -> None:
    chain = credentials(DeviceRequest("0001", IDENTITY, key_type))
    verdict = judge(attest(device(chain)))
    assert verdict.outcome is Outcome.TRUSTED, verdict.summary


def test_a_chain_without_its_root_is_anchored_by_signature() -> None:
    chain = credentials(DeviceRequest("0001", IDENTITY, include_root=False))
    verdict = judge(attest(device(chain)))
    assert verdict.outcome is Outcome.TRUSTED, verdict.summary
    assert judge(attest(device(chain)), roots(root("other", "Other"))).outcome is Outcome.REJECTED


def test_an_enrolled_device_with_its_measurements_passes_all_that_can_be_checked() -> None:
    evidence = attest()
    reference = ReferenceValues.of(review(evidence).blocks)
    verdict = judge(attest(), enrolment=enrolled(evidence), reference=reference)
    assert verdict.outcome is Outcome.TRUSTED
    assert passed_steps(verdict) == set(range(1, 15)) - {7, 14}


def test_saved_evidence_gives_the_same_verdict_as_the_live_one() -> None:
    function = BASE_HASH_FUNCTIONS[BaseHash.SHA_384]
    structure = credentials().structure(function)
    for evidence in (
        attest(),
        attest(question=Question(nonce=NONCE)),
        attest(known_chains={function.digest(structure): structure}),
        attest(device(credentials(authority="Impostor"))),
        attest(device(None, WrongSignature("measurements"))),
        attest(device(None, Answers(RequestCode.CHALLENGE, ErrorCode.UNSPECIFIED))),
    ):
        assert judge(archive.decode(archive.encode(evidence), "file")) == judge(evidence)


def test_a_chain_from_the_cache_is_as_good_as_one_that_was_read() -> None:
    function = BASE_HASH_FUNCTIONS[BaseHash.SHA_384]
    structure = credentials().structure(function)
    evidence = attest(known_chains={function.digest(structure): structure})
    assert judge(evidence).outcome is Outcome.TRUSTED
    without = judge(replace(evidence, chains=()))
    assert without.outcome is Outcome.REJECTED
    assert outcome(without, 2) is StepOutcome.NOT_CHECKED


def test_a_summary_hash_and_one_by_one_measurements_do_not_matter() -> None:
    for plan in (Plan(summary=SummaryHash.ALL), Plan(measurements=MeasurementMode.EACH), Plan(raw=True)):
        assert judge(attest(question=Question(plan=plan))).outcome is Outcome.TRUSTED


# --- flaws of certificates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flaw", list(Flaw), ids=lambda flaw: flaw.value)
def test_every_flaw_of_a_certificate_is_found_at_its_step(flaw: Flaw) -> None:
    model = CertificateModel.ALIAS if flaw in ALIAS_FLAWS else CertificateModel.DEVICE
    chain = credentials(DeviceRequest("0001", IDENTITY, model=model, flaw=flaw))
    verdict = judge(attest(device(chain)))
    assert verdict.outcome is Outcome.REJECTED
    assert failed_steps(verdict)[0] == FLAW_STEPS[flaw], verdict.summary
    assert verdict.failures[0].reason
    assert verdict.failures[0].hint


# --- step 1 ----------------------------------------------------------------------------------------------------------


def test_a_version_below_policy_is_refused_at_step_1() -> None:
    evidence = attest(device(settings=DeviceSettings(versions=(Version.V11,))))
    verdict = judge(evidence, policy=Policy(versions=frozenset({Version.V12, Version.V13})))
    assert failed_steps(verdict) == [1]
    assert "1.1 is not allowed" in verdict.step(1).reason


@pytest.mark.parametrize(
    "policy", [Policy(asym=BaseAsym.ECDSA_P521), Policy(hashes=BaseHash.SHA_512)], ids=["signature", "hash"]
)
def test_an_algorithm_below_policy_is_refused_at_step_1(policy: Policy) -> None:
    assert failed_steps(judge(attest(), policy=policy)) == [1]


def test_a_lower_version_than_both_sides_have_is_a_downgrade() -> None:
    evidence = attest(question=Question(Offer(versions=frozenset({Version.V12}))))
    verdict = judge(evidence)
    assert failed_steps(verdict) == [1]
    only_this = Policy(versions=frozenset({Version.V12}))
    assert judge(evidence, policy=only_this).outcome is Outcome.TRUSTED


def test_weaker_than_last_time_is_a_downgrade() -> None:
    before = enrolled(attest())
    weaker = attest(device(settings=DeviceSettings(versions=(Version.V12,))))
    verdict = judge(weaker, enrolment=before)
    assert failed_steps(verdict) == [1]
    assert "SPDM 1.2 where it was 1.4" in verdict.step(1).reason
    assert judge(attest(), enrolment=enrolled(weaker)).outcome is Outcome.TRUSTED


def test_a_device_without_challenge_is_unsupported_unless_it_is_enrolled() -> None:
    evidence = attest(device(settings=DeviceSettings(challenge=False)))
    verdict = judge(evidence)
    assert verdict.outcome is Outcome.UNSUPPORTED
    assert all(step.outcome is StepOutcome.NOT_CHECKED for step in verdict.steps)
    assert "CHAL" in verdict.summary
    enrolled_before = judge(evidence, enrolment=enrolled(attest()))
    assert enrolled_before.outcome is Outcome.REJECTED
    assert 1 in failed_steps(enrolled_before)


@pytest.mark.parametrize("error", [ErrorCode.UNSUPPORTED_REQUEST, ErrorCode.INVALID_REQUEST])
def test_a_device_that_knows_no_get_version_is_unsupported(error: ErrorCode) -> None:
    evidence = attest(device(None, Answers(RequestCode.GET_VERSION, error)))
    assert judge(evidence).outcome is Outcome.UNSUPPORTED
    verdict = judge(evidence, enrolment=enrolled(attest()))
    assert verdict.outcome is Outcome.REJECTED
    assert failed_steps(verdict) == [1]
    assert verdict.step(2).reason == "step 1 failed"


# --- steps 3 to 6 ----------------------------------------------------------------------------------------------------


def test_an_impostor_with_its_own_root_is_refused_at_step_4_and_the_rest_is_told() -> None:
    verdict = judge(attest(device(credentials(authority="Impostor"))))
    assert failed_steps(verdict) == [4]
    assert "Impostor Test Root CA" in verdict.step(4).reason
    assert verdict.root is None
    assert outcome(verdict, 11) is StepOutcome.PASSED
    assert outcome(verdict, 5) is outcome(verdict, 9) is StepOutcome.NOT_CHECKED
    assert verdict.step(5).reason == "step 4 failed"


def test_no_root_at_all_is_refused_at_step_4() -> None:
    verdict = judge(attest(), RootSet())
    assert failed_steps(verdict) == [4]
    assert "no root is trusted" in verdict.step(4).reason


@pytest.mark.parametrize("state", [LifeCycle.STAGED, LifeCycle.RETIRED, LifeCycle.DISTRUSTED])
def test_a_root_that_does_not_anchor_is_named_with_its_state(state: LifeCycle) -> None:
    verdict = judge(attest(), roots(root(state=state)))
    assert failed_steps(verdict) == [4]
    assert "acme" in verdict.step(4).reason
    assert state.value in verdict.step(4).reason


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("kind", list(DenyKind))
def test_a_deny_entry_anywhere_in_the_chain_wins(index: int, kind: DenyKind) -> None:
    certificate = credentials().chain[index]
    verdict = judge(attest(), roots(root(), deny=[entry_about(certificate, kind, "stolen")]))
    assert failed_steps(verdict) == [4]
    assert "stolen" in verdict.step(4).reason


@pytest.mark.parametrize("include_root", [True, False])
@pytest.mark.parametrize("kind", list(DenyKind))
def test_a_deny_entry_with_a_date_holds_for_devices_issued_after_it(kind: DenyKind, include_root: bool) -> None:
    made = credentials(DeviceRequest("0001", IDENTITY, include_root=include_root))
    for days, expected in ((-1, [4]), (1, [])):
        after = made.leaf.not_before + timedelta(days=days)
        entry = entry_about(vendor().certificate, kind, "leaked", after)
        verdict = judge(attest(device(made)), roots(root(), deny=[entry]))
        assert failed_steps(verdict) == expected


def test_a_twin_of_a_distrusted_root_is_no_way_round() -> None:
    twin = vendor("Other").cross_sign(vendor())
    chain = (twin, *credentials().chain[1:])
    evidence = attest(device(replace(credentials(), root=vendor("Other").certificate, chain=chain)))
    anchored = judge(evidence, roots(root("other", "Other")))
    assert anchored.outcome is Outcome.TRUSTED, anchored.summary
    verdict = judge(evidence, roots(root("other", "Other"), root(state=LifeCycle.DISTRUSTED)))
    assert failed_steps(verdict) == [4]
    assert "distrusted root acme" in verdict.step(4).reason


def test_a_retiring_root_degrades() -> None:
    verdict = judge(attest(), roots(root(state=LifeCycle.RETIRING)))
    assert verdict.outcome is Outcome.DEGRADED
    assert outcome(verdict, 5) is StepOutcome.WARNED


def test_a_trusted_root_is_preferred_to_a_retiring_one() -> None:
    chain = credentials(DeviceRequest("0001", IDENTITY, include_root=False))
    verdict = judge(attest(device(chain)), RootSet((root("a-old", state=LifeCycle.RETIRING), root("other", "Other"))))
    assert (verdict.outcome, verdict.root) == (Outcome.DEGRADED, "a-old")


def test_distrust_after_a_date_looks_at_the_leaf() -> None:
    leaf = credentials().leaf
    for days, expected in ((-1, [5]), (1, [])):
        limited = replace(root(), distrust_after=leaf.not_before + timedelta(days=days))
        assert failed_steps(judge(attest(), roots(limited))) == expected


@pytest.mark.parametrize(
    "constraints",
    [
        Constraints(pci_vendors=frozenset({0x10DE})),
        Constraints(pci_devices=frozenset({0x1234})),
        Constraints(classes=frozenset({"0302"})),
        Constraints(slots=frozenset({1})),
        Constraints(algorithms=frozenset({"ECDSA-P256"})),
        Constraints(versions=frozenset({"1.1"})),
    ],
)
def test_a_root_vouches_only_for_what_it_may(constraints: Constraints) -> None:
    verdict = judge(attest(), roots(root(constraints=constraints)))
    assert failed_steps(verdict) == [5]


def test_a_constraint_on_what_is_not_known_is_said() -> None:
    limited = root(constraints=Constraints(pci_vendors=frozenset({0x10DE})))
    verdict = judge(attest(identity=None), roots(limited))
    assert verdict.outcome is Outcome.TRUSTED
    assert "not known here: PCI vendor" in verdict.step(5).reason


def test_dates_by_the_clock_of_the_policy() -> None:
    expired = attest(device(credentials(DeviceRequest("0001", IDENTITY, flaw=Flaw.EXPIRED_LEAF))))
    assert failed_steps(judge(expired, policy=Policy(clock=Clock.NOW))) == [6]
    ignored = judge(expired, policy=Policy(clock=Clock.IGNORE))
    assert ignored.outcome is Outcome.TRUSTED
    assert outcome(ignored, 6) is StepOutcome.NOT_CHECKED


# --- steps 9 and 10 --------------------------------------------------------------------------------------------------


def test_another_function_than_the_leaf_names_is_refused_at_step_9() -> None:
    verdict = judge(attest(identity=PciIdentity(0x10DE, 0x2330, 0x030200, 0xA1)))
    assert failed_steps(verdict) == [9]
    assert "10de" in verdict.step(9).reason


def test_without_a_function_the_name_is_compared_with_the_enrolled_one() -> None:
    evidence = attest(identity=None)
    assert outcome(judge(evidence), 9) is StepOutcome.NOT_CHECKED
    before = enrolled(evidence)
    assert outcome(judge(evidence, enrolment=before), 9) is StepOutcome.PASSED
    other = replace(before, identity=replace(IDENTITY, revision=9))
    assert failed_steps(judge(evidence, enrolment=other)) == [9]


@pytest.mark.parametrize(
    ("rule", "request_", "expected"),
    [
        (LeafNameRule.PCIE, BOTH_NAMES, StepOutcome.PASSED),
        (LeafNameRule.PCIE, DEVICE_INFO_ONLY, StepOutcome.FAILED),
        (LeafNameRule.DEVICE_INFO, BOTH_NAMES, StepOutcome.PASSED),
        (LeafNameRule.DEVICE_INFO, DEVICE_INFO_ONLY, StepOutcome.PASSED),
        (LeafNameRule.DEVICE_INFO, replace(BOTH_NAMES, flaw=Flaw.NO_NAME), StepOutcome.FAILED),
        (LeafNameRule.EITHER, BOTH_NAMES, StepOutcome.PASSED),
        (LeafNameRule.EITHER, DEVICE_INFO_ONLY, StepOutcome.PASSED),
        (LeafNameRule.EITHER, replace(BOTH_NAMES, flaw=Flaw.NO_NAME), StepOutcome.FAILED),
        (LeafNameRule.EITHER, replace(BOTH_NAMES, flaw=Flaw.WRONG_NAME), StepOutcome.FAILED),
        (LeafNameRule.EITHER, replace(BOTH_NAMES, flaw=Flaw.UNREADABLE_NAME), StepOutcome.FAILED),
        (LeafNameRule.NONE, replace(BOTH_NAMES, flaw=Flaw.WRONG_NAME), StepOutcome.NOT_CHECKED),
    ],
)
def test_the_rule_for_the_leafs_name(rule: LeafNameRule, request_: DeviceRequest, expected: StepOutcome) -> None:
    evidence = attest(device(credentials(request_)))
    assert outcome(judge(evidence, roots(root(constraints=Constraints(leaf_name=rule)))), 9) is expected
    assert outcome(judge(evidence, policy=Policy(leaf_name=rule)), 9) is expected
    assert outcome(judge(evidence, policy=Policy(leaf_names=(("acme", rule),))), 9) is expected


def test_a_changed_device_info_name_is_refused() -> None:
    policy = Policy(leaf_name=LeafNameRule.DEVICE_INFO)
    before = replace(enrolled(attest()), device_info=("Acme:CMA-EMULATOR:0001",))
    assert judge(attest(), policy=policy, enrolment=before).outcome is Outcome.TRUSTED
    other = replace(before, device_info=("Acme:CMA-EMULATOR:0002",))
    assert failed_steps(judge(attest(), policy=policy, enrolment=other)) == [9]


@pytest.mark.parametrize(
    ("kind", "same_root", "same_device", "after_update"),
    [
        (PinKind.ROOT, True, True, True),
        (PinKind.DEVICE_CERTIFICATE, False, True, True),
        (PinKind.LEAF, False, True, False),
        (PinKind.CHAIN, False, True, False),
    ],
)
def test_a_pin_recognises_what_it_is_for(kind: PinKind, same_root: bool, same_device: bool, after_update: bool) -> None:
    original = credentials(ALIAS)
    before = enrolled(attest(device(original)), kind)
    for chain, same in (
        (original, same_device),
        (original.with_firmware(b"firmware 2"), after_update),
        (credentials(replace(ALIAS, serial="0002")), same_root),
    ):
        verdict = judge(attest(device(chain)), enrolment=before)
        assert failed_steps(verdict) == ([] if same else [10]), (kind, chain.request)


def test_a_pin_on_the_root_is_not_compared_when_no_root_vouches() -> None:
    before = Enrolment(Pin(PinKind.ROOT, "0" * 64))
    verdict = judge(attest(), RootSet(), enrolment=before)
    assert failed_steps(verdict) == [4]
    assert verdict.step(10).reason == "step 4 failed"


# --- steps 11 to 13 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("purpose", "step"), [("challenge_auth", 11), ("measurements", 12)])
def test_a_wrong_signature_is_found_at_its_step(purpose: str, step: int) -> None:
    verdict = judge(attest(device(None, WrongSignature(purpose))))
    assert failed_steps(verdict) == [step]
    assert outcome(verdict, 13) is StepOutcome.NOT_CHECKED


def test_a_copied_chain_without_its_key_is_refused_at_step_11() -> None:
    thief = replace(credentials(), key=credentials(TWIN).key)
    verdict = judge(attest(device(thief)))
    assert failed_steps(verdict) == [11, 12]


def test_the_expected_nonce_must_be_the_one_that_was_asked_with() -> None:
    evidence = attest(question=Question(nonce=NONCE))
    assert judge(evidence).outcome is Outcome.TRUSTED
    assert judge(evidence, expected_nonce=NONCE).outcome is Outcome.TRUSTED
    other = judge(evidence, expected_nonce=bytes(32))
    assert failed_steps(other) == [11]
    assert "nonce" in other.step(11).reason
    assert failed_steps(judge(attest(), expected_nonce=NONCE)) == [11]


@pytest.mark.parametrize("support", [MeasurementSupport.NONE, MeasurementSupport.UNSIGNED])
def test_measurements_that_are_not_signed_are_not_checked_and_say_so(support: MeasurementSupport) -> None:
    evidence = attest(device(settings=DeviceSettings(measurements=support)))
    verdict = judge(evidence)
    assert verdict.outcome is Outcome.TRUSTED
    assert outcome(verdict, 12) is StepOutcome.NOT_CHECKED
    required = judge(evidence, policy=Policy(require_measurements=True))
    assert required.outcome is Outcome.REJECTED
    assert "step 12" in required.summary
    assert outcome(judge(evidence, reference=ReferenceValues(())), 13) is StepOutcome.NOT_CHECKED


@pytest.mark.parametrize("support", [MeasurementSupport.NONE, MeasurementSupport.UNSIGNED])
def test_a_device_that_hides_its_measurements_has_changed(support: MeasurementSupport) -> None:
    reference = ReferenceValues.of(review(attest()).blocks)
    verdict = judge(attest(device(settings=DeviceSettings(measurements=support))), reference=reference)
    assert failed_steps(verdict) == [13]
    assert "now there are none" in verdict.step(13).reason
    unasked = attest(question=Question(plan=Plan(measurements=MeasurementMode.NONE)))
    assert failed_steps(judge(unasked, reference=reference)) == [13]


def test_changed_firmware_is_refused_at_step_13_and_names_the_index() -> None:
    reference = ReferenceValues.of(review(attest()).blocks)
    changed = device(measurements=standard_measurements().changed(INDEX_FIRMWARE, b"firmware 2"))
    verdict = judge(attest(changed), reference=reference)
    assert failed_steps(verdict) == [13]
    assert "index 2 (mutable firmware)" in verdict.step(13).reason
    advisory = judge(attest(changed), policy=Policy(advisory=frozenset({13})), reference=reference)
    assert advisory.outcome is Outcome.DEGRADED


@pytest.mark.parametrize(
    ("request_code", "step"),
    [
        (RequestCode.GET_DIGESTS, 2),
        (RequestCode.GET_CERTIFICATE, 2),
        (RequestCode.CHALLENGE, 11),
        (RequestCode.GET_MEASUREMENTS, 12),
    ],
)
def test_an_error_answer_is_the_same_finding_in_a_recording(request_code: RequestCode, step: int) -> None:
    evidence = attest(device(None, Answers(request_code, ErrorCode.UNSPECIFIED)))
    verdict = judge(replace(evidence, ending=Ending()))
    assert (verdict.outcome, failed_steps(verdict)) == (Outcome.REJECTED, [step])
    assert "UNSPECIFIED" in verdict.step(step).reason


def test_an_error_answer_fails_its_step_and_the_steps_before_it_still_count() -> None:
    verdict = judge(attest(device(None, Answers(RequestCode.CHALLENGE, ErrorCode.UNSPECIFIED))))
    assert failed_steps(verdict) == [11]
    assert {1, 2, 3, 4, 5, 6, 8, 9} <= passed_steps(verdict)
    assert verdict.step(12).reason == "step 11 failed"


# --- outcomes --------------------------------------------------------------------------------------------------------


def test_evidence_that_was_cut_short_is_never_a_verdict_on_the_device() -> None:
    evidence = attest(device(credentials(authority="Impostor")))
    for length in range(len(evidence.exchanges) + 1):
        cut = replace(
            evidence, exchanges=evidence.exchanges[:length], ending=Ending(EndingKind.UNREACHABLE, "timed out")
        )
        verdict = judge(cut, enrolment=enrolled(attest()))
        assert verdict.outcome is Outcome.UNREACHABLE
        assert all(step.outcome is StepOutcome.NOT_CHECKED for step in verdict.steps)
        assert "timed out" in verdict.summary


def test_evidence_that_only_claims_to_be_complete_is_rejected() -> None:
    evidence = attest()
    for length in range(len(evidence.exchanges)):
        verdict = judge(replace(evidence, exchanges=evidence.exchanges[:length]))
        challenged = any(exchange.request[1] == RequestCode.CHALLENGE for exchange in evidence.exchanges[:length])
        assert verdict.outcome is (Outcome.TRUSTED if challenged else Outcome.REJECTED)


def test_exchanges_of_two_devices_cannot_be_mixed() -> None:
    one, other = attest(), attest(device(credentials(TWIN)))
    for index in range(4, len(one.exchanges)):
        mixed = (*one.exchanges[:index], *other.exchanges[index:])
        verdict = judge(replace(one, exchanges=mixed))
        assert verdict.outcome is Outcome.REJECTED or verdict == judge(one)


def test_every_failed_or_required_step_tells_a_person_why() -> None:
    verdict = judge(attest(device(credentials(authority="Impostor"))))
    assert all(step.reason for step in verdict.steps)
    assert verdict.summary.startswith("step 4, anchored in a trusted root: ")


def test_a_required_step_that_was_not_checked_rejects() -> None:
    verdict = judge(attest(), policy=Policy(required=frozenset({10})))
    assert verdict.outcome is Outcome.REJECTED
    assert "step 10" in verdict.summary
    assert "not enrolled" in verdict.summary


def test_no_policy_gives_trust_without_proof_of_possession() -> None:
    evidence = attest()
    before_proof = [e for e in evidence.exchanges if e.request[1] not in (0x83, 0xE0)]
    verdict = judge(replace(evidence, exchanges=tuple(before_proof)), policy=Policy(required=frozenset()))
    assert verdict.outcome is Outcome.REJECTED
    assert "holds the leaf's key" in verdict.summary


def test_signed_measurements_alone_prove_possession_where_the_policy_lets_them() -> None:
    evidence = attest()
    exchanges = tuple(e for e in evidence.exchanges if e.request[1] != RequestCode.CHALLENGE)
    verdict = judge(replace(evidence, exchanges=exchanges), policy=Policy(required=frozenset()))
    assert verdict.outcome is Outcome.TRUSTED
    stale = judge(replace(evidence, exchanges=exchanges), policy=Policy(required=frozenset()), expected_nonce=bytes(32))
    assert failed_steps(stale) == [12]


def test_the_verdict_names_its_evidence_and_its_roots() -> None:
    evidence = attest()
    verdict = judge(evidence)
    assert verdict.evidence_digest == evidence.digest
    assert verdict.rootset_digest == roots().digest
    assert verdict.checked_at == NOW
    assert verdict.leaf_fingerprint == credentials().leaf.fingerprint
    assert Verdict.from_json(verdict.to_json()) == verdict
