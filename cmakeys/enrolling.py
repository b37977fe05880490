"""Enrolling a device: asked and judged like any other, and only one whose verdict is good becomes an entry.

What an entry fixes is decided here, and nowhere else: the pin, the slot, the measurements that were signed, what was
negotiated. `candidate` writes nothing; whoever calls it shows the candidate to a person first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cmakeys.check import Conditions, Judgement, ask, negotiated
from cmakeys.devices.address import DeviceAddress
from cmakeys.devices.enrolled import MAX_NAME_LENGTH, CheckRecord, EnrolledDevice, check_device_name
from cmakeys.devices.pin import explain, recommend
from cmakeys.errors import EvidenceProblem, Refused, Temporary, Unsupported, UsageProblem
from cmakeys.evidence.model import Evidence
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.standing import first_record
from cmakeys.verify.comparison import latest_by_index
from cmakeys.verify.observation import observe
from cmakeys.verify.review import review
from cmakeys.verify.verdict import Outcome, StepOutcome, Verdict
from cmakeys.verify.verifier import verify
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.identity import PciIdentity, leaf_names
from cmakeys.x509.pin import Pin, PinKind, compute_pin


@dataclass(frozen=True, slots=True)
class Wish:
    """What whoever enrols a device wants; None leaves the choice to `candidate`.

    `identity` is the PCI function that the device is said to be, for an address that has no configuration space. `key`
    is the public key of a device that shows no certificates; its pin follows from it. Raises `UsageProblem` for wishes
    that do not go together.
    """

    address: str
    name: str | None = None
    pin: PinKind | None = None
    identity: PciIdentity | None = None
    slot: int | None = None
    note: str = ""
    key: ProvisionedKey | None = None

    def __post_init__(self) -> None:
        if self.key is not None and (self.pin not in (None, PinKind.PUBLIC_KEY) or self.slot is not None):
            raise UsageProblem(
                "a device with a provisioned public key has neither slots nor certificates to pin",
                object=self.address,
                hint="leave out --pin and --slot: it is known by that key",
            )
        if self.key is None and self.pin is PinKind.PUBLIC_KEY:
            raise UsageProblem(
                "this pin is for a device without certificates", object=self.address, hint="give --public-key FILE"
            )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that passed, as it would stand in the register; `pin_reason` explains what its pin fixes."""

    device: EnrolledDevice
    judgement: Judgement
    pin_reason: str

    @property
    def first(self) -> CheckRecord:
        """The check that it passed, the first entry of its history."""
        return first_record(self.device.name, self.judgement)


class DeviceRejected(EvidenceProblem):
    """A device that was rejected cannot be enrolled."""

    code = "rejected"

    def __init__(self, verdict: Verdict) -> None:
        hint = next((step.hint for step in verdict.failures if step.hint), "see the steps of the verdict")
        super().__init__(f"not enrolled, it is rejected: {verdict.summary}", object=verdict.device, hint=hint)
        self.verdict = verdict


def candidate(wish: Wish, conditions: Conditions) -> Candidate:
    """Ask a device and say how it would be enrolled: only one whose verdict is good can be.

    Raises `DeviceRejected`, `Temporary` when it cannot be reached, `Unsupported`, and `Refused` for a PCI function that
    is not the one named.
    """
    evidence = ask(wish.address, conditions, slot=wish.slot, key=wish.key)
    evidence = _with_identity(evidence, wish)
    facts = review(evidence, wish.key)
    verdict = verify(
        evidence,
        conditions.rootset,
        conditions.policy,
        now=conditions.now,
        facts=facts,
        recorded=conditions.recorded,
        revocation=conditions.revocation,
        kernel=conditions.kernel(facts.certificates, evidence.device),
    )
    _refuse_unhealthy(verdict)
    chain = facts.certificates
    kind = PinKind.PUBLIC_KEY if wish.key is not None else wish.pin or recommend(chain)[0]
    anchor = next((root for root in conditions.rootset.roots if root.fingerprint == verdict.root_fingerprint), None)
    measured = verdict.step(12).outcome in (StepOutcome.PASSED, StepOutcome.WARNED)
    now_negotiated = negotiated(facts.negotiation)
    device = EnrolledDevice(
        name=check_device_name(wish.name or default_name(wish.address)),
        address=DeviceAddress.parse(wish.address).place,
        pin=_pin(kind, wish.key, chain, anchor.certificate if anchor else None),
        chain=chain,
        enrolled_at=conditions.now,
        identity=evidence.identity or (_named_identity(chain[-1]) if chain else None),
        slot=verdict.slot,
        at_enrolment=now_negotiated,
        last=now_negotiated,
        measurements=latest_by_index(facts.blocks) if measured else (),
        root_name=verdict.root or "",
        root_fingerprint=verdict.root_fingerprint or "",
        note=wish.note,
        key=wish.key,
    )
    return Candidate(device, Judgement(verdict, facts.negotiation, observe(facts, verdict)), explain(kind, chain))


def _pin(kind: PinKind, key: ProvisionedKey | None, chain: Sequence[Certificate], anchor: Certificate | None) -> Pin:
    return Pin(kind, key.fingerprint) if key is not None else compute_pin(kind, chain, anchor)


def _with_identity(evidence: Evidence, wish: Wish) -> Evidence:
    """Configuration space says what a function is; only where there is none, whoever enrols does."""
    if evidence.identity is None or wish.identity in (None, evidence.identity):
        return replace(evidence, identity=evidence.identity or wish.identity)
    raise Refused(
        f"configuration space says {evidence.identity.san_string()}",
        object=wish.address,
        hint="that is another function than the one named; look at the address, or leave the name out",
    )


def _refuse_unhealthy(verdict: Verdict) -> None:
    match verdict.outcome:
        case Outcome.REJECTED:
            raise DeviceRejected(verdict)
        case Outcome.UNREACHABLE:
            hint = verdict.steps[0].hint or "see that it is on and not used by another requester, then try again"
            raise Temporary(verdict.summary, object=verdict.device, hint=hint)
        case Outcome.UNSUPPORTED:
            hint = verdict.steps[0].hint or "it cannot be authenticated, so not enrolled"
            raise Unsupported(verdict.summary, object=verdict.device, hint=hint)


def _named_identity(leaf: Certificate) -> PciIdentity | None:
    """The PCI function that the leaf names, for a device whose address has none to compare with."""
    try:
        named = {PciIdentity.parse(name) for name in leaf_names(leaf).pcie}
    except CertificateProblem:
        return None
    return named.pop() if len(named) == 1 else None


def default_name(address: str) -> str:
    """A name made of what tells an address from others: `emu://127.0.0.1:2323?…` gives `127.0.0.1-2323`."""
    rest = address.partition(":")[2].lstrip("/").partition("?")[0]
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", rest.rpartition("/")[2] or rest).strip("-._")
    return words[:MAX_NAME_LENGTH] or "device"
