"""The conductor of one run: devices to evidence, evidence to verdicts, verdicts to the register.

Devices are asked in parallel, each within its own deadline, and whatever goes wrong with one of them becomes its
verdict: a run never ends because of a device. What could not be found out is tried again while there is time, and is
then `unreachable`, which says nothing about the device. Where the whole run has a budget of time, all devices are asked
once before any is asked again, so that one that hangs takes no other's turn. Judging is a pure function of evidence,
enrolment and the conditions of the run, and its caller chooses where it runs (`Judge`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from cmakeys.devices.address import DeviceAddress
from cmakeys.devices.enrolled import EnrolledDevice, Negotiated
from cmakeys.devices.pci import identity_behind
from cmakeys.errors import (
    EnvironmentProblem,
    NotFound,
    NotPermitted,
    Refused,
    Temporary,
    Unsupported,
    UsageProblem,
)
from cmakeys.evidence.live import Question, collect, not_reached
from cmakeys.evidence.model import EndingKind, Evidence
from cmakeys.roots.rootset import RootSet
from cmakeys.spdm.algorithms import algorithm_name
from cmakeys.spdm.own_identity import Credentials
from cmakeys.spdm.provisioned import KeyNotAllowed, ProvisionedKey
from cmakeys.spdm.requester import Plan
from cmakeys.transports.backoff import Backoff
from cmakeys.transports.base import Deadline, Transport
from cmakeys.transports.connect import open_transport, parse_url
from cmakeys.verify.clock import Recorded
from cmakeys.verify.enrolment import Enrolment
from cmakeys.verify.negotiation import Negotiation
from cmakeys.verify.observation import Observation, observe
from cmakeys.verify.policy import Policy
from cmakeys.verify.reference import ReferenceValues
from cmakeys.verify.review import review
from cmakeys.verify.tcb_comparison import known_tcb
from cmakeys.verify.verdict import STEP_TITLES, Outcome, Step, StepOutcome, Verdict
from cmakeys.verify.verifier import verify
from cmakeys.witness import Witness, no_witness
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.identity import leaf_names
from cmakeys.x509.revocation import RevocationRecords

DEFAULT_TIMEOUT = 30.0
"""Seconds for one device, all attempts together."""

DEFAULT_JOBS = 64
"""Devices that are asked at the same time."""


@dataclass(frozen=True, slots=True)
class Target:
    """A device to check: its name for people, its address, and its entry in the register if it has one."""

    name: str
    address: str
    enrolled: EnrolledDevice | None = None


def enrolled_values(device: EnrolledDevice) -> ReferenceValues | None:
    """The reference values that a device's enrolment took; None for one that had no signed measurements then."""
    return ReferenceValues(device.measurements, tcb=known_tcb(device.chain)) if device.measurements else None


@dataclass(frozen=True, slots=True)
class Conditions:
    """What every device of one run is held against. `now` is the aware time of the whole run, `timeout` seconds.

    `reach` opens a way to an address within a deadline; `credentials` are shown to a device that asks who we are.
    `recorded` is the newest thing that this machine has recorded, `revocation` every revocation list and response at
    hand. `kernel` is asked about each device's chain, and `references` for the reference values of an enrolled one.
    `budget` is the seconds that the whole run may take, None for as long as its devices do; in what is left of them,
    those that were not reached are asked again after the waits of `rounds`, by `pause`. `until` is when the budget is
    spent. `key` is the public key of a device that is not enrolled and shows no certificates.
    """

    rootset: RootSet
    policy: Policy
    now: datetime
    timeout: float = DEFAULT_TIMEOUT
    backoff: Backoff = field(default_factory=lambda: Backoff(attempts=4, first=0.2))
    reach: Callable[[str, Deadline], Transport] = open_transport
    credentials: Credentials | None = None
    recorded: Recorded | None = None
    revocation: RevocationRecords = field(default_factory=RevocationRecords)
    kernel: Witness = no_witness
    references: Callable[[EnrolledDevice], ReferenceValues | None] = enrolled_values
    budget: float | None = None
    rounds: Backoff = field(default_factory=lambda: Backoff(attempts=1000, first=1.0, longest=60.0))
    pause: Callable[[float], None] = time.sleep
    until: Deadline | None = None
    key: ProvisionedKey | None = None

    def deadline(self) -> Deadline:
        """When the time of a device is over that is asked now."""
        return Deadline.after(self.timeout) if self.until is None else self.until.within(self.timeout)


class Trouble(Enum):
    """What kept us from asking a device: nothing, something that may pass, its absence, or what only a person mends."""

    NONE = "none"
    PASSING = "passing"
    GONE = "gone"
    LASTING = "lasting"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and what was negotiated and seen, which the next check compares with.

    `gone` says that nothing is at the device's address any more, as its bus has it.
    """

    verdict: Verdict
    negotiation: Negotiation | None = None
    observation: Observation | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One device of a run; `evidence` is None where the device's address cannot be used on this machine."""

    target: Target
    judgement: Judgement
    evidence: Evidence | None = None
    trouble: Trouble = Trouble.NONE

    @property
    def verdict(self) -> Verdict:
        """The verdict."""
        return self.judgement.verdict


Judge = Callable[[Evidence, EnrolledDevice | None, Conditions], Judgement]


# -- which devices -----------------------------------------------------------------------------------------------------


def targets(words: Sequence[str], devices: Sequence[EnrolledDevice]) -> tuple[Target, ...]:
    """What the command line means: names of enrolled devices, or addresses, each device once.

    Raises `NotFound` for a name that nobody enrolled and `UsageProblem` for an address that makes no sense.
    """
    by_name = {device.name: device for device in devices}
    by_address = {device.address: device for device in devices}
    found: dict[str, Target] = {}
    for word in words:
        device = by_name.get(word)
        if device is None and ":" not in word:
            known = ", ".join(sorted(by_name)[:8]) or "none"
            raise NotFound("no such device", object=word, hint=f"enrolled: {known}; or give an address, emu://…")
        address = device.address if device else usable_address(word)
        device = device or by_address.get(DeviceAddress.parse(address).place)
        name = device.name if device else address
        found.setdefault(name, Target(name, address, device))
    return tuple(found.values())


def usable_address(text: str) -> str:
    """The one spelling of an address. Raises `UsageProblem` for one that makes no sense."""
    address = DeviceAddress.parse(text).text
    parse_url(address)
    return address


# -- asking ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """What a device said, and what kept it from saying all."""

    evidence: Evidence
    trouble: Trouble = Trouble.NONE


def ask(
    address: str, conditions: Conditions, *, slot: int | None = None, key: ProvisionedKey | None = None
) -> Evidence:
    """Everything that the device says within the time it has; trouble that may pass is tried again.

    The chain is read every time, although its digest is known for an enrolled device: an audit asks, it does not
    remember. `key` is the public key of a device that shows no certificates.

    Raises `Unsupported` for an address that this machine cannot use, and `KeyNotAllowed` for a key that the policy
    allows no algorithm of.
    """
    return _ask(address, conditions, slot, key).evidence


def _ask(address: str, conditions: Conditions, slot: int | None, key: ProvisionedKey | None = None) -> Asked:
    deadline = conditions.deadline()
    if conditions.until is not None and deadline.expired:
        return _not_asked(address, conditions)
    policy = conditions.policy
    question = Question(
        policy.offer(),
        Plan(slots=frozenset(), slot=slot, key=key),
        session=policy.session,
        credentials=conditions.credentials,
    )
    question.whole_offer()  # what cannot be offered at all is told before anything is sent
    delays = conditions.backoff.delays()
    while True:
        asked = _attempt(address, deadline, question, conditions)
        delay = next(delays, None)
        if asked.trouble in (Trouble.NONE, Trouble.LASTING) or delay is None or delay >= deadline.remaining():
            return asked
        conditions.pause(delay)


def _attempt(address: str, deadline: Deadline, question: Question, conditions: Conditions) -> Asked:
    now = conditions.now
    try:
        with closing(conditions.reach(address, deadline)) as transport:
            identity = identity_behind(transport)
            evidence = collect(transport, deadline, now=now, question=question, identity=identity, device=address)
    except Unsupported:
        raise
    except EnvironmentProblem as problem:
        cut_short = Temporary(problem.message, object=problem.object, hint=problem.hint)
        return Asked(not_reached(address, cut_short, now=now), _trouble(problem))
    unreachable = evidence.ending.kind is EndingKind.UNREACHABLE
    return Asked(evidence, Trouble.PASSING if unreachable else Trouble.NONE)


def _trouble(problem: EnvironmentProblem) -> Trouble:
    """What is missing may come back; a right that is missing will not within a run."""
    if isinstance(problem, NotFound):
        return Trouble.GONE
    return Trouble.LASTING if isinstance(problem, (NotPermitted, Refused, UsageProblem)) else Trouble.PASSING


def _not_asked(address: str, conditions: Conditions) -> Asked:
    problem = Temporary(
        f"not asked: the {conditions.budget or 0:g} s of the run were over before its turn",
        object=address,
        hint="allow the run more time with --budget, or each device less with --timeout",
    )
    return Asked(not_reached(address, problem, now=conditions.now), Trouble.PASSING)


# -- judging -----------------------------------------------------------------------------------------------------------


def judge(evidence: Evidence, enrolled: EnrolledDevice | None, conditions: Conditions) -> Judgement:
    """The verdict on what a device said, for an enrolled one also against its enrolment."""
    facts = review(evidence, enrolled.key if enrolled else conditions.key)
    verdict = verify(
        evidence,
        conditions.rootset,
        conditions.policy,
        now=conditions.now,
        enrolment=enrolment_of(enrolled) if enrolled else None,
        reference=conditions.references(enrolled) if enrolled else None,
        facts=facts,
        recorded=conditions.recorded,
        revocation=conditions.revocation,
        kernel=conditions.kernel(facts.certificates, evidence.device),
    )
    return Judgement(verdict, facts.negotiation, observe(facts, verdict))


def enrolment_of(device: EnrolledDevice) -> Enrolment:
    """What the verifier needs to know of an entry of the register."""
    return Enrolment(device.pin, _negotiation(device.last), device.identity, _device_info(device.chain), device.key)


def _negotiation(negotiated: Negotiated) -> Negotiation | None:
    if not negotiated.version:
        return None
    return Negotiation.from_json(
        {"version": negotiated.version, "asym": negotiated.asymmetric or None, "hash": negotiated.hash or None}
    )


def negotiated(negotiation: Negotiation | None) -> Negotiated:
    """The register's form of what was negotiated."""
    if negotiation is None:
        return Negotiated()
    asym, base_hash = negotiation.asym, negotiation.base_hash
    return Negotiated(
        str(negotiation.version),
        algorithm_name(asym) if asym is not None else "",
        algorithm_name(base_hash) if base_hash is not None else "",
    )


def _device_info(chain: Sequence[Certificate]) -> tuple[str, ...]:
    try:
        return leaf_names(chain[-1]).device_info if chain else ()
    except CertificateProblem:
        return ()


# -- the run -----------------------------------------------------------------------------------------------------------


def check(
    wanted: Sequence[Target], conditions: Conditions, *, jobs: int = DEFAULT_JOBS, judge: Judge = judge
) -> tuple[CheckResult, ...]:
    """Check devices in parallel, `jobs` at a time; the results come in the order of `wanted`. Never raises for one."""
    if not wanted:
        return ()
    if conditions.budget is not None:
        conditions = replace(conditions, until=Deadline.after(conditions.budget))
    with ThreadPoolExecutor(max(1, min(jobs, len(wanted))), thread_name_prefix="check") as pool:

        def run(some: Sequence[Target]) -> Iterator[CheckResult]:
            return pool.map(lambda target: check_device(target, conditions, judge), some)

        results = list(run(wanted))
        for delay in conditions.rounds.delays():
            late = [place for place, result in enumerate(results) if result.trouble in (Trouble.PASSING, Trouble.GONE)]
            if not late or conditions.until is None or delay >= conditions.until.remaining():
                break
            conditions.pause(delay)
            for place, result in zip(late, run([wanted[place] for place in late]), strict=True):
                results[place] = result
    return tuple(results)


def check_device(target: Target, conditions: Conditions, judge: Judge = judge) -> CheckResult:
    """Check one device. Whatever happens, the result is a verdict; a mistake of this program is no finding either."""
    try:
        enrolled = target.enrolled
        asked = _ask(
            target.address,
            conditions,
            enrolled.slot if enrolled else None,
            enrolled.key if enrolled else conditions.key,
        )
        judgement = judge(asked.evidence, target.enrolled, conditions)
        if asked.trouble is Trouble.GONE:
            judgement = replace(judgement, gone=True)
        return CheckResult(target, judgement, asked.evidence, asked.trouble)
    except Unsupported as problem:
        verdict = _no_step(target, conditions, Outcome.UNSUPPORTED, problem.message, problem.hint)
    except KeyNotAllowed as problem:
        verdict = _not_allowed(target, conditions, problem)
    except EnvironmentProblem as problem:  # of this machine's own files, such as reference values
        reason = f"could not find out: {problem}"
        verdict = _no_step(target, conditions, Outcome.UNREACHABLE, reason, problem.hint)
    except Exception as error:  # a thread's exception would end the whole run
        reason = f"could not find out: {type(error).__name__}: {error}"
        verdict = _no_step(
            target, conditions, Outcome.UNREACHABLE, reason, "this is a bug in cmakeys; please report it"
        )
    return CheckResult(target, Judgement(verdict), trouble=Trouble.LASTING)


def _not_allowed(target: Target, conditions: Conditions, problem: KeyNotAllowed) -> Verdict:
    """The policy has turned against the key of an enrolled device, so that there is nothing to ask it."""
    verdict = _no_step(target, conditions, Outcome.REJECTED, "step 1 failed", "")
    first = Step(1, StepOutcome.FAILED, problem.message, problem.hint)
    summary = f"step 1, {first.title}: {first.reason}"
    return replace(verdict, steps=(first, *verdict.steps[1:]), summary=summary)


def _no_step(target: Target, conditions: Conditions, outcome: Outcome, reason: str, hint: str) -> Verdict:
    steps = tuple(Step(number, StepOutcome.NOT_CHECKED, reason, hint) for number in STEP_TITLES)
    return Verdict(target.address, outcome, steps, reason, conditions.now, rootset_digest=conditions.rootset.digest)
