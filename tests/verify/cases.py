"""Emulated devices held against roots: what the tests of the verifier have in common."""

from __future__ import annotations

from collections.abc import Sequence

from cmakeys.emulator.lies.lie import Lie
from cmakeys.evidence.model import Evidence
from cmakeys.roots.root import Constraints, LifeCycle, Root
from cmakeys.roots.rootset import DenyEntry, RootSet
from cmakeys.spdm.signing import Statement
from cmakeys.verify.enrolment import Enrolment
from cmakeys.verify.facts import Facts
from cmakeys.verify.policy import Policy
from cmakeys.verify.reference import ReferenceValues
from cmakeys.verify.review import review
from cmakeys.verify.verdict import StepOutcome, Verdict
from cmakeys.verify.verifier import verify
from cmakeys.x509.pin import PinKind, compute_pin
from tests.evidence.loopback import IDENTITY, NOW, vendor

OPTIONAL = {7, 10, 13, 14}
"""Steps that a plain check of an unknown device does not run."""


class WrongSignature(Lie):
    """Spoils the signatures of one kind of message."""

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose

    def signature(self, signature: bytes, statement: Statement) -> bytes:
        if self.purpose not in statement.context.value:
            return signature
        return signature[:-1] + bytes([signature[-1] ^ 1])


def root(
    name: str = "acme",
    authority: str = "Acme",
    state: LifeCycle = LifeCycle.TRUSTED,
    constraints: Constraints | None = None,
) -> Root:
    return Root(name, vendor(authority).certificate, state, constraints or Constraints())


def roots(*members: Root, deny: Sequence[DenyEntry] = ()) -> RootSet:
    return RootSet(members or (root(),), tuple(deny))


def judge(
    evidence: Evidence,
    rootset: RootSet | None = None,
    policy: Policy | None = None,
    *,
    enrolment: Enrolment | None = None,
    reference: ReferenceValues | None = None,
    expected_nonce: bytes | None = None,
) -> Verdict:
    return verify(
        evidence,
        rootset if rootset is not None else roots(),
        policy,
        now=NOW,
        enrolment=enrolment,
        reference=reference,
        expected_nonce=expected_nonce,
    )


def enrol(facts: Facts, kind: PinKind = PinKind.DEVICE_CERTIFICATE) -> Enrolment:
    """What an enrolment of this device would keep."""
    pin = compute_pin(kind, facts.certificates, vendor().certificate)
    return Enrolment(pin, facts.negotiation, IDENTITY)


def enrolled(evidence: Evidence, kind: PinKind = PinKind.DEVICE_CERTIFICATE) -> Enrolment:
    return enrol(review(evidence), kind)


def outcome(verdict: Verdict, number: int) -> StepOutcome:
    return verdict.step(number).outcome


def failed_steps(verdict: Verdict) -> list[int]:
    return [step.number for step in verdict.failures]


def passed_steps(verdict: Verdict) -> set[int]:
    return {step.number for step in verdict.steps if step.outcome in (StepOutcome.PASSED, StepOutcome.WARNED)}
