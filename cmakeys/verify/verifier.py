"""`verify`: evidence in, `Verdict` out, the fourteen steps in their order.

This is the only place where steps become an outcome. The rules:

* A step runs when the steps it needs have passed; otherwise it says which one stands in its way.
* A broken protocol rule fails the step it belongs to; the steps before it still run on what was said until then.
* Rejected: a step failed that is not advisory, or a required one was not checked, or nothing proved possession.
* A clock that is plainly wrong judges no date: steps 6 and 7 are not checked and the device degraded, not rejected,
  because the fault is the machine's.
* Evidence whose collection was cut short is `unreachable` and judged no further: a device must not fail a step because
  a cable did. A device that does not do CMA-SPDM is `unsupported`, unless it is enrolled: then it did once, and saying
  no more is a downgrade to nothing.
* A device that is known by a provisioned public key has no certificates: nothing about them is checked, and nothing of
  that kind required. The key takes the place of the anchor, so it must come from whoever asks. A device that changes
  between certificates and such a key is rejected at step 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from cmakeys.evidence.model import EndingKind, Evidence
from cmakeys.roots.rootset import RootSet
from cmakeys.spdm.algorithms import algorithm_name
from cmakeys.verify import chain_steps, device_steps, kernel_step, reference_step, revocation_step
from cmakeys.verify.anchoring import anchor_root
from cmakeys.verify.case import Case, failed, not_checked
from cmakeys.verify.clock import Recorded, clock_fault
from cmakeys.verify.enrolment import Enrolment
from cmakeys.verify.facts import Facts
from cmakeys.verify.kernelview import KernelView
from cmakeys.verify.policy import INDISPENSABLE_STEPS, STEPS_OF_CERTIFICATES, Policy
from cmakeys.verify.proofs import Proofs, prove
from cmakeys.verify.reference import ReferenceValues
from cmakeys.verify.review import review
from cmakeys.verify.verdict import STEP_TITLES, Outcome, Step, StepOutcome, Verdict
from cmakeys.x509.revocation import RevocationRecords

STEPS: Mapping[int, Callable[[Case], Step]] = MappingProxyType(
    {
        1: device_steps.step_1,
        2: chain_steps.step_2,
        3: chain_steps.step_3,
        4: chain_steps.step_4,
        5: chain_steps.step_5,
        6: chain_steps.step_6,
        7: revocation_step.step_7,
        8: chain_steps.step_8,
        9: device_steps.step_9,
        10: device_steps.step_10,
        11: device_steps.step_11,
        12: device_steps.step_12,
        13: reference_step.step_13,
    }
)
"""The steps that look at the evidence. Step 14 looks at what the others say."""

NEEDS: Mapping[int, int] = MappingProxyType({4: 3, 5: 4, 6: 3, 7: 4, 8: 3, 9: 4, 10: 3, 11: 3, 12: 3, 13: 12})
"""The step that must have passed before another one means anything. Step 3 needs certificates, whatever step 2 says
about their form, so that a chain with one odd extension is still shown to be signed or not."""

BROKEN_PROTOCOL = "the device breaks SPDM, or its answers were changed on the way; save the evidence for its vendor"
"""What to do about a violation that brings no hint of its own."""

GIVE_THE_KEY = "get its public key from whoever provisioned it, and give it: --public-key FILE"
"""What to do about a device without certificates."""

_NEED_CERTIFICATES = frozenset({3})
_OF_ANY_KEY = frozenset({10, 11, 12})
"""Steps that need no certificate where the device's key is known without one."""

_GOOD = (StepOutcome.PASSED, StepOutcome.WARNED)


def verify(
    evidence: Evidence,
    rootset: RootSet,
    policy: Policy | None = None,
    *,
    now: datetime,
    enrolment: Enrolment | None = None,
    reference: ReferenceValues | None = None,
    expected_nonce: bytes | None = None,
    facts: Facts | None = None,
    proofs: Proofs | None = None,
    recorded: Recorded | None = None,
    revocation: RevocationRecords | None = None,
    kernel: Sequence[KernelView] = (),
) -> Verdict:
    """Judge one piece of evidence.

    `now` is the aware time of the whole run. `expected_nonce` is the requester nonce that the caller chose; without
    it, the one that the evidence itself says was chosen. `facts` are those of `review(evidence)`, and `proofs` those
    of `prove(facts)`, where the caller has them already. `recorded` is the newest thing recorded on the machine whose
    time `now` is: a clock behind it is wrong, and no date is judged by it. `revocation` is every revocation list and
    OCSP response at hand, `kernel` what kernels say of this chain. Never raises for anything that is in the evidence.
    """
    policy = policy or Policy()
    facts = facts or review(evidence, enrolment.key if enrolment else None)
    identity = evidence.identity or (enrolment.identity if enrolment else None)
    root = anchor_root(facts, rootset, policy, None if clock_fault(now, recorded) else now, identity)
    nonce = expected_nonce if expected_nonce is not None else evidence.expected_nonce
    case = Case(
        evidence,
        facts,
        rootset,
        policy,
        now,
        enrolment,
        reference,
        nonce,
        root,
        proofs or prove(facts),
        recorded,
        revocation or RevocationRecords(),
        tuple(kernel),
    )
    if evidence.ending.kind is EndingKind.UNREACHABLE:
        reason = f"could not find out: {evidence.ending.message}"
        return _verdict(case, Outcome.UNREACHABLE, _none_checked(reason, evidence.ending.hint), reason)
    if facts.unsupported and enrolment is None:
        steps = _none_checked(facts.unsupported, GIVE_THE_KEY if facts.by_key else "")
        return _verdict(case, Outcome.UNSUPPORTED, steps, facts.unsupported)
    steps = _run(case)
    outcome, summary = _conclude(case, steps)
    return _verdict(case, outcome, steps, summary)


def _none_checked(reason: str, hint: str = "") -> tuple[Step, ...]:
    return tuple(not_checked(number, reason, hint) for number in STEP_TITLES)


def _run(case: Case) -> tuple[Step, ...]:
    done: dict[int, Step] = {}
    for number, step in STEPS.items():
        done[number] = _forced(case, number) or _blocked(case, number, done) or step(case)
    before = tuple(done.values())
    done[14] = kernel_step.step_14(case, before, healthy=lambda: _conclude(case, before)[0].healthy)
    if case.facts.violation is None:
        return tuple(done.values())
    return tuple(_name_the_cause(case, step) for step in done.values())


def _forced(case: Case, number: int) -> Step | None:
    """A failure that is known before the step runs."""
    violation = case.facts.violation
    other = _identified_otherwise(case) if number == 1 else ""
    if other:
        return failed(
            1, other, "another device answers here, or its firmware was changed; if on purpose, enrol it again"
        )
    if violation is not None and violation.step == number:
        return failed(number, violation.message, violation.hint or BROKEN_PROTOCOL)
    if number == 4:
        return chain_steps.denied_key(case)
    if number == 1 and case.facts.unsupported and case.enrolment is not None:
        return failed(
            1,
            f"{case.facts.unsupported}, but it did when it was enrolled",
            "the device was exchanged or its firmware lost the feature; forget it if that is intended",
        )
    return None


def _identified_otherwise(case: Case) -> str:
    """How a device is identified in another way than when it was enrolled, in words; empty when it is not."""
    enrolment, facts = case.enrolment, case.facts
    if enrolment is None:
        return ""
    if enrolment.key is None and facts.by_key:
        return "it was enrolled with certificates, and says now that it is identified by a provisioned public key"
    if enrolment.key is not None and not facts.by_key and (facts.negotiated or facts.certificates):
        return "it was enrolled with a provisioned public key, and does not say any more that it is identified by one"
    return ""


def _blocked(case: Case, number: int, done: Mapping[int, Step]) -> Step | None:
    """Why the step cannot run: a step it needs did not pass, or an earlier one ended the conversation."""
    if number in _NEED_CERTIFICATES and not case.facts.certificates:
        return not_checked(number, _why_not(done[2]))
    needed = None if case.facts.key is not None and number in _OF_ANY_KEY else NEEDS.get(number)
    if number == 13 and not case.facts.measurements and case.facts.violation is None:
        needed = 3 if case.facts.key is None else 11  # that nothing was measured is a difference too
    if needed is not None and done[needed].outcome not in _GOOD:
        return not_checked(number, _why_not(done[needed]))
    if number == 2 and not case.facts.certificates and done[1].outcome is StepOutcome.FAILED:
        return not_checked(number, _why_not(done[1]))
    return None


def _why_not(step: Step) -> str:
    return f"step {step.number} failed" if step.outcome is StepOutcome.FAILED else step.reason


def _name_the_cause(case: Case, step: Step) -> Step:
    """A step that found nothing to check after a violation says so, instead of that nothing was asked."""
    violation = case.facts.violation
    if violation is None or violation.step >= step.number or step.outcome is not StepOutcome.NOT_CHECKED:
        return step
    if step.reason in (case.facts.no_challenge, case.facts.no_measurements):
        return not_checked(step.number, f"step {violation.step} failed")
    return step


def _conclude(case: Case, steps: tuple[Step, ...]) -> tuple[Outcome, str]:
    policy = case.policy
    failures = [step for step in steps if step.outcome is StepOutcome.FAILED]
    serious = [step for step in failures if step.number not in policy.advisory]
    if serious:
        first = serious[0]
        more = f" (and {len(serious) - 1} more)" if len(serious) > 1 else ""
        return Outcome.REJECTED, f"step {first.number}, {first.title}: {first.reason}{more}"
    blind = [step for step in steps if step.number in (6, 7) and case.clock_fault and step.reason == case.clock_fault]
    required = (policy.required_steps(case.evidence.kind) | INDISPENSABLE_STEPS) - {step.number for step in blind}
    if case.facts.key is not None:
        required -= STEPS_OF_CERTIFICATES
    skipped = [step for step in steps if step.number in required and step.outcome not in _GOOD]
    if skipped:
        first = skipped[0]
        return Outcome.REJECTED, f"step {first.number}, {first.title}, is required but was not checked: {first.reason}"
    if not any(steps[number - 1].outcome in _GOOD for number in (11, 12)):
        whose = "the leaf's" if case.facts.key is None else "the provisioned"
        return Outcome.REJECTED, f"nothing proves that the device holds {whose} key (steps 11 and 12)"
    remarks = [step for step in steps if step.outcome is StepOutcome.WARNED] + blind + failures
    vouched = f"anchored in {case.root.name if case.root else '?'}"
    if case.facts.key is not None:
        vouched = f"identified by public key {case.facts.key.fingerprint[:16]}…, without certificates"
    if remarks:
        first = remarks[0]
        return Outcome.DEGRADED, f"{vouched}, but {first.reason} (step {first.number})"
    return Outcome.TRUSTED, f"{vouched}, {case.facts.negotiation}"


def _verdict(case: Case, outcome: Outcome, steps: tuple[Step, ...], summary: str) -> Verdict:
    facts = case.facts
    anchored = case.root if steps[3].outcome is StepOutcome.PASSED else None
    negotiation = facts.negotiation
    asym = negotiation.asym if negotiation else None
    return Verdict(
        device=case.evidence.device,
        outcome=outcome,
        steps=steps,
        summary=summary,
        checked_at=case.now,
        evidence_digest=case.evidence.digest,
        rootset_digest=case.rootset.digest,
        root=anchored.name if anchored else None,
        root_fingerprint=anchored.fingerprint if anchored else None,
        slot=facts.slot,
        version=str(negotiation.version) if negotiation else None,
        algorithm=algorithm_name(asym) if asym is not None else None,
        leaf_fingerprint=facts.leaf.fingerprint if facts.leaf else None,
        key_fingerprint=facts.key.fingerprint if facts.key else None,
    )
