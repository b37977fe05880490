"""What a device measured, and how far that can be believed: taken from evidence, live or saved, whatever its verdict.

Only what the leaf of a trusted chain signed may become a reference. Everything else can be looked at, and is told for
what it is: signed by a chain that nobody vouches for, not signed at all, or with a signature that does not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from cmakeys.check import CheckResult, Conditions, enrolment_of
from cmakeys.devices.enrolled import EnrolledDevice
from cmakeys.errors import EvidenceProblem, NotFound, Refused, Temporary, Unsupported, UsageProblem
from cmakeys.evidence.model import EndingKind, Evidence
from cmakeys.references import Reference, ReferenceStore
from cmakeys.spdm.codes import RequestCode, ResponseCode
from cmakeys.spdm.messages.header import Layout
from cmakeys.spdm.messages.measurements import GetMeasurements, MeasurementBlock, Measurements
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.spdm.wire import Reader, WireError
from cmakeys.verify.comparison import Comparison, Match, compare, latest_by_index
from cmakeys.verify.facts import Facts
from cmakeys.verify.measurement_rules import RuleKind, Rules, rules_for
from cmakeys.verify.review import review
from cmakeys.verify.tcb_comparison import known_tcb, tcb_lower
from cmakeys.verify.verdict import Outcome, StepOutcome, Verdict
from cmakeys.verify.verifier import verify


class Proof(Enum):
    """How far measurements can be believed."""

    TRUSTED = "signed by a trusted device"
    KEY = "signed by the public key that was given"
    SIGNED = "signed, but nobody vouches for the signer"
    BROKEN = "signed, and the signature does not hold"
    UNSIGNED = "not signed"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Measured:
    """What evidence says of a device's measurements; `blocks` has one for each index, `reason` says why so.

    `verdict` is on everything but the reference values. `facts` are what the evidence says besides.
    """

    evidence: Evidence
    facts: Facts
    verdict: Verdict
    proof: Proof
    blocks: tuple[MeasurementBlock, ...]
    reason: str


class MeasurementsRejected(EvidenceProblem):
    """Measurements that are not good enough to be a reference, or to be compared with one."""

    code = "rejected"


def measured(
    evidence: Evidence, enrolled: EnrolledDevice | None, conditions: Conditions, key: ProvisionedKey | None = None
) -> Measured:
    """Judge evidence on all but its reference values, and take the measurements out of it.

    `key` is the public key of a device that shows no certificates, where it is not the one in the register. Raises
    `Temporary` for evidence of a device that was not reached.
    """
    if evidence.ending.kind is EndingKind.UNREACHABLE:
        raise Temporary(evidence.ending.message, object=evidence.device, hint=evidence.ending.hint or "try again later")
    facts = review(evidence, key or (enrolled.key if enrolled else None))
    policy = conditions.policy
    verdict = verify(
        evidence,
        conditions.rootset,
        replace(policy, required=policy.required - {13}, required_of_reports=policy.required_of_reports - {13}),
        now=conditions.now,
        enrolment=enrolment_of(enrolled) if enrolled else None,
        facts=facts,
        recorded=conditions.recorded,
        revocation=conditions.revocation,
        kernel=conditions.kernel(facts.certificates, evidence.device),
    )
    step = verdict.step(12)
    if step.outcome in (StepOutcome.PASSED, StepOutcome.WARNED):
        proof = _proof(facts, enrolled) if verdict.outcome.healthy else Proof.SIGNED
        reason = step.reason if proof is Proof.TRUSTED else verdict.summary
        return Measured(evidence, facts, verdict, proof, latest_by_index(facts.blocks), reason)
    if facts.measurements:
        proof = Proof.BROKEN if step.outcome is StepOutcome.FAILED else Proof.SIGNED
        reason = step.reason if proof is Proof.BROKEN else verdict.summary
        return Measured(evidence, facts, verdict, proof, latest_by_index(facts.blocks), reason)
    blocks = latest_by_index(unsigned_blocks(evidence))
    proof = Proof.UNSIGNED if blocks else Proof.NONE
    reason = verdict.summary if facts.violation is not None else facts.unsupported or facts.no_measurements
    return Measured(evidence, facts, verdict, proof, blocks, reason)


def _proof(facts: Facts, enrolled: EnrolledDevice | None) -> Proof:
    """A key that was only given for this once is taken at somebody's word; an enrolled one is trusted as a device."""
    return Proof.KEY if facts.by_key and (enrolled is None or enrolled.key is None) else Proof.TRUSTED


def unsigned_blocks(evidence: Evidence) -> tuple[MeasurementBlock, ...]:
    """The blocks of all answers that came without a signature; an answer that cannot be read has none."""
    blocks: list[MeasurementBlock] = []
    for exchange in evidence.exchanges:
        if exchange.request[1:2] != bytes((RequestCode.GET_MEASUREMENTS,)):
            continue
        if exchange.response[1:2] != bytes((ResponseCode.MEASUREMENTS,)):
            continue
        try:
            asked = GetMeasurements.pull(Reader(exchange.request, "GET_MEASUREMENTS"))
            if asked.signed:
                continue
            answer = Measurements.pull(Reader(exchange.response, "MEASUREMENTS"), Layout(asked.version), signed=False)
            blocks += answer.blocks()
        except WireError:
            continue
    return tuple(blocks)


def insist(found: Measured, *, what: str) -> None:
    """Raise `MeasurementsRejected`, or `Unsupported` for a device without any, unless a trusted device signed them."""
    match found.proof:
        case Proof.TRUSTED:
            return
        case Proof.NONE if found.verdict.outcome in (Outcome.TRUSTED, Outcome.DEGRADED, Outcome.UNSUPPORTED):
            raise Unsupported(
                f"{what}: {found.reason}", object=found.evidence.device, hint="there is nothing to compare"
            )
        case Proof.UNSIGNED:
            raise MeasurementsRejected(
                f"{what}: the measurements are not signed",
                object=found.evidence.device,
                hint="anybody on the way could have written them; cmakeys measure get shows them",
            )
        case _:
            hint = next((step.hint for step in found.verdict.failures if step.hint), "cmakeys check tells every step")
            raise MeasurementsRejected(f"{what}: {found.verdict.summary}", object=found.evidence.device, hint=hint)


def policy_rules(found: Measured, conditions: Conditions) -> Rules:
    """The policy's rules for the device, by the root that its chain ends in."""
    return rules_for(conditions.policy.measurements, found.verdict.root)


def against(found: Measured, reference: Reference, rules: Rules) -> tuple[Comparison, ...]:
    """The measurements held against a reference, index by index."""
    return reference.values.compare(found.blocks, rules)


def refuse_going_down(name: str, lines: Sequence[Comparison]) -> None:
    """Raise `Refused` where a reference would get a lower secure version number than one that was seen already."""
    for line in lines:
        if line.match is Match.LOWER:
            raise Refused(
                line.difference,
                object=name,
                hint=f"older firmware is back, holes included; if that is meant, say index {line.index} is fixed in the"
                " policy, or enrol the device again",
            )


def refuse_certified_going_down(name: str, reference: Reference | None, found: Measured, rules: Rules) -> None:
    """Raise `Refused` where certificates tell of a lower secure version number than the reference, by the policy."""
    expected = (reference.values.tcb if reference else None) or ()
    for what in tcb_lower(expected, known_tcb(found.facts.certificates), rules.tcb):
        raise Refused(
            f"the secure version number went down: {what}",
            object=name,
            hint="older firmware is back, holes included; if that is meant, enrol the device again",
        )


def accepted(
    name: str, reference: Reference, lines: Sequence[Comparison], indices: Sequence[int] | None
) -> tuple[tuple[MeasurementBlock, ...], tuple[Comparison, ...]]:
    """The blocks of a reference in which those `indices` are as measured now, and what that changes; None: all.

    Raises `NotFound` for an index that nothing is known of, `UsageProblem` for one that does not differ, and `Refused`
    for a secure version number that went down.
    """
    by_index = {line.index: line for line in lines}
    for index in indices or ():
        if index not in by_index:
            raise NotFound("there is no such measurement", object=f"{name}, index {index}")
        if by_index[index].match.good:
            raise UsageProblem("there is nothing to accept, it is as it should be", object=f"{name}, index {index}")
    chosen = [line for line in lines if not line.match.good and (indices is None or line.index in indices)]
    refuse_going_down(name, chosen)
    blocks = {block.index: block for block in reference.values.blocks}
    for line in chosen:
        if line.actual is None:
            blocks.pop(line.index, None)
        else:
            blocks[line.index] = line.actual
    return tuple(blocks[index] for index in sorted(blocks)), tuple(chosen)


def would_go_down(
    reference: Reference | None, blocks: Sequence[MeasurementBlock], rules: Rules
) -> tuple[Comparison, ...]:
    """The secure version numbers of new reference values that are lower than those of the old."""
    lines = compare(reference.values.blocks, blocks, rules) if reference else ()
    return tuple(line for line in lines if line.match is Match.LOWER)


def remember_versions(store: ReferenceStore, results: Iterable[CheckResult], conditions: Conditions) -> None:
    """Keep the secure version numbers that rose on devices that a run found good; raises what writing does."""
    for result in results:
        good = result.verdict.outcome in (Outcome.TRUSTED, Outcome.DEGRADED)
        compared = result.verdict.step(13).outcome is StepOutcome.PASSED
        if result.target.enrolled is None or result.evidence is None or not (good and compared):
            continue
        rules = rules_for(conditions.policy.measurements, result.verdict.root)
        if rules.tcb is RuleKind.MONOTONE or any(rule.kind is RuleKind.MONOTONE for _, rule in rules.by_index):
            facts = review(result.evidence, result.target.enrolled.key)
            store.remember(result.target.enrolled, facts.blocks, known_tcb(facts.certificates), rules)
