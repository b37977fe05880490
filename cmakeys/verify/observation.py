"""What tells one state of a device from another, kept from the last check it passed, and the difference in words.

A verdict says whether a device deserves its trust; it does not say what about the device is another than last time. An
observation holds just that: what was negotiated, which slots have a chain, the chain by its fingerprints, the signed
measurements. `differences` puts two of them side by side for a person. Nothing is decided here: a leaf that was issued
anew is news of a device that passes, and measurements that differ are news of one that may not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cmakeys.evidence.fields import Fields, time_text
from cmakeys.spdm.algorithms import algorithm_name
from cmakeys.verify.facts import Facts
from cmakeys.verify.negotiation import Negotiation
from cmakeys.verify.reference import ReferenceValues
from cmakeys.verify.verdict import Outcome, StepOutcome, Verdict
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.pin import device_certificate

SCHEMA = 1
MAX_LINKS = 64
"""Certificates of one chain that are kept."""


@dataclass(frozen=True, slots=True)
class Link:
    """One certificate of a chain: its label, SHA-256 of its DER and of its key, and when it ends; None is never."""

    label: str
    sha256: str
    key_sha256: str
    not_after: datetime | None

    @classmethod
    def of(cls, certificate: Certificate) -> Link:
        """What is kept of a certificate; a key that the library cannot read has no fingerprint."""
        try:
            key = certificate.spki_fingerprint
        except CertificateProblem:
            key = ""
        ends = None if certificate.never_expires else certificate.not_after
        return cls(certificate.label[:256], certificate.fingerprint, key, ends)


@dataclass(frozen=True, slots=True)
class Observation:
    """See the head of this module.

    `chain` is that of `slot`, root first, and `device_index` the place of the device's own certificate in it.
    `provisioned` are the slots that have a chain. `measurements` is None where none were signed and checked.
    """

    negotiation: Negotiation | None = None
    slot: int | None = None
    provisioned: tuple[int, ...] = ()
    chain: tuple[Link, ...] = ()
    device_index: int = 0
    measurements: ReferenceValues | None = None

    @property
    def expires(self) -> datetime | None:
        """When the first certificate of the chain ends; None when none does."""
        return min((link.not_after for link in self.chain if link.not_after is not None), default=None)

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        return {
            "schema": SCHEMA,
            "negotiation": self.negotiation.to_json() if self.negotiation else None,
            "slot": self.slot,
            "provisioned": list(self.provisioned),
            "chain": [
                {
                    "label": link.label,
                    "sha256": link.sha256,
                    "key_sha256": link.key_sha256,
                    "not_after": time_text(link.not_after) if link.not_after else None,
                }
                for link in self.chain
            ],
            "device_index": self.device_index,
            "measurements": self.measurements.to_json() if self.measurements else None,
        }

    @classmethod
    def from_json(cls, document: object, source: str = "observation") -> Observation:
        """Read back what `to_json` wrote. Raises `FieldProblem` for anything else."""
        fields = Fields(document, source)
        if fields.take("schema") != SCHEMA:
            raise fields.problem("schema", f"this cmakeys reads observations of schema {SCHEMA}")
        negotiation, measurements = fields.take("negotiation"), fields.take("measurements")
        slots = fields.items("provisioned", 8)
        if not all(type(slot) is int and 0 <= slot < 8 for slot in slots):
            raise fields.problem("provisioned", "slots from 0 to 7 are expected")
        found = cls(
            Negotiation.from_json(negotiation, f"{source}, negotiation") if negotiation is not None else None,
            fields.optional_integer("slot", 0, 255),
            tuple(slot for slot in slots if isinstance(slot, int)),
            tuple(_link(link) for link in fields.objects("chain", MAX_LINKS)),
            fields.integer("device_index", 0, MAX_LINKS),
            ReferenceValues.from_json(measurements, f"{source}, measurements") if measurements is not None else None,
        )
        if found.device_index >= max(len(found.chain), 1):
            raise fields.problem("device_index", "that is beyond the chain")
        fields.finish()
        return found


def _link(fields: Fields) -> Link:
    link = Link(
        fields.text("label", 256),
        fields.octets("sha256", 32).hex(),
        fields.octets("key_sha256", 32).hex(),
        fields.optional_time("not_after"),
    )
    fields.finish()
    return link


def observe(facts: Facts, verdict: Verdict) -> Observation | None:
    """What was seen of a device, None when nothing was; its measurements only where the verdict found them signed."""
    if verdict.outcome in (Outcome.UNREACHABLE, Outcome.UNSUPPORTED):
        return None
    chain = facts.certificates[:MAX_LINKS]
    signed = verdict.step(12).outcome in (StepOutcome.PASSED, StepOutcome.WARNED)
    return Observation(
        facts.negotiation,
        facts.slot,
        facts.provisioned,
        tuple(Link.of(certificate) for certificate in chain),
        device_certificate(chain).index if chain else 0,
        ReferenceValues.of(facts.blocks, "the last check it passed") if signed and facts.blocks else None,
    )


# -- the difference ----------------------------------------------------------------------------------------------------


def differences(before: Observation, now: Observation) -> tuple[str, ...]:
    """What is another now than it was before, one line for each thing, in the order of the verification steps."""
    return (*_negotiation(before, now), *_slots(before, now), *_chain(before, now), *_measurements(before, now))


def _negotiation(before: Observation, now: Observation) -> list[str]:
    was, is_now = before.negotiation, now.negotiation
    if was is None or is_now is None:
        return []
    texts = []
    if was.version != is_now.version:
        way = "down" if is_now.version < was.version else "up"
        texts.append(f"negotiated version went {way} from SPDM {was.version} to {is_now.version}")
    for what, old, new in (("signatures", was.asym, is_now.asym), ("hash", was.base_hash, is_now.base_hash)):
        if old is not None and new is not None and old != new:
            texts.append(f"negotiated {what} changed from {algorithm_name(old)} to {algorithm_name(new)}")
    return texts


def _slots(before: Observation, now: Observation) -> list[str]:
    texts = [f"slot {slot} is newly provisioned" for slot in sorted({*now.provisioned} - {*before.provisioned})]
    if now.provisioned:
        lost = sorted({*before.provisioned} - {*now.provisioned})
        texts += [f"slot {slot} is no longer provisioned" for slot in lost]
    if before.slot is not None and now.slot is not None and before.slot != now.slot:
        texts.append(f"slot {now.slot} is judged, it was slot {before.slot}")
    return texts


def _chain(before: Observation, now: Observation) -> list[str]:
    was, is_now = before.chain, now.chain
    if not was or not is_now or [link.sha256 for link in was] == [link.sha256 for link in is_now]:
        return []
    texts = []
    if was[0].sha256 != is_now[0].sha256:
        # An impostor's root has the name of the one it stands in for.
        texts.append(f"the chain begins with {_named(is_now[0])}, it was {_named(was[0])}")
    old, new = was[before.device_index], is_now[now.device_index]
    same_device = bool(old.key_sha256) and old.key_sha256 == new.key_sha256
    if not same_device:
        texts.append(f"another device certificate: {_named(new)}, it was {old.sha256[:16]}…")
    elif old.sha256 != new.sha256:
        texts.append(f"the device certificate {new.label} was issued anew for the same key")
    if was[-1].sha256 != is_now[-1].sha256 and now.device_index != len(is_now) - 1:
        kept = "under the same device certificate" if same_device else "under the other one"
        key = "for the same key" if was[-1].key_sha256 == is_now[-1].key_sha256 else "for another key"
        texts.append(f"the leaf {is_now[-1].label} was issued anew {kept}, {key}")
    return texts or [f"other certificates between root and leaf: {len(is_now)} in the chain, it was {len(was)}"]


def _named(link: Link) -> str:
    return f"{link.label} ({link.sha256[:16]}…)"


def _measurements(before: Observation, now: Observation) -> list[str]:
    if before.measurements is None:
        return []
    if now.measurements is None:
        return ["no signed measurements any more"]
    return [f"measurement {text}" for text in before.measurements.differences(now.measurements.blocks)]
