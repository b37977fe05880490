"""Step 14: the kernel's opinions held against ours, each about what it is about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmakeys.evidence.model import Evidence
from cmakeys.spdm.codes import ErrorCode, RequestCode
from cmakeys.verify.enrolment import Enrolment
from cmakeys.verify.kernelview import Answer, KernelView, Scope
from cmakeys.verify.policy import KernelViewRule, Policy
from cmakeys.verify.verdict import Outcome, StepOutcome
from cmakeys.verify.verifier import verify
from cmakeys.x509.pin import Pin, PinKind
from tests.evidence.loopback import IDENTITY, NOW, Answers, attest, device
from tests.verify.cases import WrongSignature, root, roots

EVIDENCE = attest()


def step_14(
    policy: Policy,
    *views: KernelView,
    trusting: bool = True,
    evidence: Evidence = EVIDENCE,
    enrolment: Enrolment | None = None,
) -> tuple[Outcome, StepOutcome, str]:
    """Outcome of the whole, and outcome and reason of the step, for an honest device."""
    rootset = roots() if trusting else roots(root("other", "Other"))
    verdict = verify(evidence, rootset, policy, now=NOW, kernel=views, enrolment=enrolment)
    step = verdict.step(14)
    return verdict.outcome, step.outcome, step.reason


SIMULATE = Policy(kernel_view=KernelViewRule.SIMULATE)
ORACLE = Policy(kernel_view=KernelViewRule.ORACLE)


def view(answer: Answer, scope: Scope = Scope.ANCHOR) -> KernelView:
    return KernelView("this kernel", answer, "because", scope=scope)


def test_the_step_is_off_unless_the_policy_wants_it() -> None:
    outcome, step, _ = step_14(Policy(), view(Answer.REFUSES))
    assert (outcome, step) == (Outcome.TRUSTED, StepOutcome.NOT_CHECKED)


def test_agreement_passes_and_names_who_agrees() -> None:
    outcome, step, reason = step_14(ORACLE, view(Answer.ACCEPTS))
    assert (outcome, step) == (Outcome.TRUSTED, StepOutcome.PASSED)
    assert reason == "this kernel accepts it: because; a kernel with CMA accepts it: its rules hold"


@pytest.mark.parametrize("scope", Scope)
def test_a_kernel_that_refuses_what_we_trust_degrades(scope: Scope) -> None:
    outcome, step, reason = step_14(ORACLE, view(Answer.REFUSES, scope))
    assert (outcome, step) == (Outcome.DEGRADED, StepOutcome.WARNED)
    what = "device" if scope is Scope.DEVICE else "chain"
    assert reason == f"we accept the {what}, this kernel would not: because"


@pytest.mark.parametrize("scope", Scope)
def test_a_kernel_that_accepts_what_we_refuse_is_said_beside_the_rejection(scope: Scope) -> None:
    outcome, step, reason = step_14(ORACLE, view(Answer.ACCEPTS, scope), trusting=False)
    assert (outcome, step) == (Outcome.REJECTED, StepOutcome.WARNED)
    assert reason.startswith("we refuse it at step 4, this kernel accepts")


def test_a_kernel_that_could_not_be_asked_is_no_agreement() -> None:
    for policy in (ORACLE, SIMULATE):
        outcome, step, reason = step_14(policy, view(Answer.UNKNOWN))
        assert (outcome, step) == (Outcome.TRUSTED, StepOutcome.NOT_CHECKED)
        assert "this kernel gave no answer: because" in reason


def test_a_simulation_alone_is_enough_where_the_policy_says_so() -> None:
    outcome, step, _ = step_14(SIMULATE)
    assert (outcome, step) == (Outcome.TRUSTED, StepOutcome.PASSED)


def test_both_refusing_is_agreement_too() -> None:
    _, step, reason = step_14(SIMULATE, trusting=False)
    assert step is StepOutcome.PASSED
    assert "refuses it" in reason


def test_an_impostor_is_refused_by_both_and_that_is_agreement() -> None:
    """The chain is anchored, which the oracle sees; that the leaf names another function both of us see."""
    other = replace(EVIDENCE, identity=replace(IDENTITY, device=0x11))
    outcome, step, reason = step_14(ORACLE, view(Answer.ACCEPTS), evidence=other)
    assert (outcome, step) == (Outcome.REJECTED, StepOutcome.PASSED)
    assert "a kernel with CMA refuses it: rule 11" in reason


def test_a_device_that_the_kernel_bound_although_it_was_exchanged_is_said() -> None:
    """The kernel remembers no device: our step 10 is what it cannot see."""
    exchanged = Enrolment(Pin(PinKind.DEVICE_CERTIFICATE, "0" * 64))
    outcome, step, reason = step_14(ORACLE, view(Answer.ACCEPTS, Scope.DEVICE), enrolment=exchanged)
    assert (outcome, step) == (Outcome.REJECTED, StepOutcome.WARNED)
    assert reason.startswith("we refuse it at step 10, this kernel accepts the device")
    _, step, reason = step_14(ORACLE, view(Answer.REFUSES, Scope.DEVICE), enrolment=exchanged)
    assert step is StepOutcome.WARNED
    assert "a kernel with CMA accepts the chain" in reason


def test_an_advisory_failure_is_no_refusal_of_ours() -> None:
    exchanged = Enrolment(Pin(PinKind.DEVICE_CERTIFICATE, "0" * 64))
    policy = replace(ORACLE, advisory=frozenset({10}))
    outcome, step, _ = step_14(policy, view(Answer.ACCEPTS, Scope.DEVICE), enrolment=exchanged)
    assert (outcome, step) == (Outcome.DEGRADED, StepOutcome.PASSED)


@pytest.mark.parametrize("purpose", ["challenge_auth", "measurements"])
def test_a_proof_that_fails_speaks_against_the_device_and_not_against_its_chain(purpose: str) -> None:
    liar = attest(device(None, WrongSignature(purpose)))
    outcome, step, _ = step_14(ORACLE, view(Answer.ACCEPTS), view(Answer.REFUSES, Scope.DEVICE), evidence=liar)
    assert (outcome, step) == (Outcome.REJECTED, StepOutcome.PASSED)
    _, step, _ = step_14(ORACLE, view(Answer.ACCEPTS, Scope.DEVICE), evidence=liar)
    assert step is StepOutcome.WARNED


def test_a_device_that_lacks_what_the_policy_requires_is_not_one_that_we_accept() -> None:
    policy = replace(ORACLE, required=ORACLE.required | {7})
    outcome, step, reason = step_14(policy, view(Answer.ACCEPTS, Scope.DEVICE))
    assert (outcome, step) == (Outcome.REJECTED, StepOutcome.WARNED)
    assert reason.startswith("we refuse it as a whole")


def test_without_a_chain_there_is_nothing_to_compare() -> None:
    mute = attest(device(None, Answers(RequestCode.GET_CERTIFICATE, ErrorCode.UNSPECIFIED)))
    _, step, reason = step_14(ORACLE, view(Answer.REFUSES), evidence=mute)
    assert step is StepOutcome.NOT_CHECKED
    assert reason
