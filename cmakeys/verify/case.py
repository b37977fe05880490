"""One case before the verifier: the evidence, its facts, and everything it is held against."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cmakeys.evidence.model import Evidence
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.verify.clock import Recorded, clock_fault
from cmakeys.verify.enrolment import Enrolment
from cmakeys.verify.facts import Facts
from cmakeys.verify.kernelview import KernelView
from cmakeys.verify.policy import Clock, Policy
from cmakeys.verify.proofs import Proofs
from cmakeys.verify.reference import ReferenceValues
from cmakeys.verify.verdict import Step, StepOutcome
from cmakeys.x509.certificate import Certificate, same_key
from cmakeys.x509.identity import PciIdentity
from cmakeys.x509.revocation import RevocationRecords


@dataclass(frozen=True, slots=True)
class Case:
    """Input of every verification step. `root` is the trusted root that vouches for the chain, None without one.

    `recorded` is the newest thing that the machine whose time is `now` has recorded; None where there is none. `kernel`
    is what kernels say of the chain.
    """

    evidence: Evidence
    facts: Facts
    rootset: RootSet
    policy: Policy
    now: datetime
    enrolment: Enrolment | None
    reference: ReferenceValues | None
    expected_nonce: bytes | None
    root: Root | None
    proofs: Proofs
    recorded: Recorded | None = None
    revocation: RevocationRecords = field(default_factory=RevocationRecords)
    kernel: tuple[KernelView, ...] = ()

    @property
    def path(self) -> tuple[Certificate, ...]:
        """The chain from the anchor downwards, whether the device included it or not; without one, what there is."""
        certificates = self.facts.certificates
        if self.root is None or self.root.certificate in certificates:
            return certificates
        return (self.root.certificate, *certificates)

    @property
    def needed(self) -> tuple[Certificate, ...]:
        """The path without a root that the device included and that the anchor is the renewal of.

        The anchor issued everything that the older root did, under the same name and key, so nothing rests on the old
        one: its dates do not matter.
        """
        first, *rest = path = self.path
        if (
            self.root is not None
            and rest
            and first == self.root.certificate
            and rest[0].self_issued
            and rest[0].parsed.subject == first.parsed.subject
            and same_key(first, rest[0])
        ):
            return (first, *rest[1:])
        return path

    @property
    def clock_fault(self) -> str:
        """Why no date may be judged by `now`, in words; empty where it may, or where the policy does not ask it."""
        return clock_fault(self.now, self.recorded) if self.policy.clock is Clock.NOW else ""

    @property
    def identity(self) -> PciIdentity | None:
        """The PCI function: that of the address, or the one the device was enrolled as."""
        return self.evidence.identity or (self.enrolment.identity if self.enrolment else None)


def passed(number: int, reason: str) -> Step:
    """The step was checked and holds."""
    return Step(number, StepOutcome.PASSED, reason)


def warned(number: int, reason: str, hint: str = "") -> Step:
    """The step holds, with something to know."""
    return Step(number, StepOutcome.WARNED, reason, hint)


def failed(number: int, reason: str, hint: str = "") -> Step:
    """The step was checked and does not hold."""
    return Step(number, StepOutcome.FAILED, reason, hint)


def not_checked(number: int, reason: str, hint: str = "") -> Step:
    """The step was not run."""
    return Step(number, StepOutcome.NOT_CHECKED, reason, hint)
