"""What saved evidence is held against, as one value that can be sent to another process or machine.

The bytes of a file go in and a verdict comes out, or the problem that kept it from being read. Reading and judging are
two steps, because many files are read faster one after the other, and then judged, than in turns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from cmakeys.evidence.formats import ChainFile, evidence_of
from cmakeys.evidence.model import Evidence
from cmakeys.roots.rootset import RootSet
from cmakeys.verify.clock import Recorded
from cmakeys.verify.facts import Facts
from cmakeys.verify.policy import Policy
from cmakeys.verify.review import review
from cmakeys.verify.verdict import Verdict
from cmakeys.verify.verifier import verify
from cmakeys.witness import Witness, kernel_witness
from cmakeys.x509.revocation import RevocationRecords


@dataclass(frozen=True, slots=True)
class Read:
    """Evidence and what it says, unjudged."""

    evidence: Evidence
    facts: Facts


@dataclass(frozen=True)
class Bench:
    """What all evidence is judged by; `chain` goes with attestation reports, `now` is the time of the whole run.

    `recorded` is the newest thing recorded on the machine whose time it is, None for a time that somebody chose.
    """

    rootset: RootSet
    policy: Policy
    now: datetime
    chain: ChainFile | None = None
    expected_nonce: bytes | None = None
    recorded: Recorded | None = None
    revocation: RevocationRecords = field(default_factory=RevocationRecords)

    def read(self, data: bytes, source: str, modified: float | None = None) -> Read:
        """What evidence of any form says; `modified` is when it was written, in seconds of the epoch.

        Raises a `CmakeysError` that names `source` where the bytes are no evidence.
        """
        written = self.now if modified is None else datetime.fromtimestamp(modified, UTC)
        evidence = evidence_of(data, source, self.chain, collected_at=written)
        return Read(evidence, review(evidence))

    def judge(self, read: Read) -> Verdict:
        """The verdict on it."""
        evidence, facts = read.evidence, read.facts
        return verify(
            evidence,
            self.rootset,
            self.policy,
            now=self.now,
            expected_nonce=self.expected_nonce,
            recorded=self.recorded,
            revocation=self.revocation,
            facts=facts,
            kernel=self._witness(facts.certificates, evidence.device),
        )

    def __getstate__(self) -> dict[str, object]:
        """Only the fields travel: a kernel is asked where the evidence is judged."""
        return {name: value for name, value in self.__dict__.items() if name != "_witness"}

    @cached_property
    def _witness(self) -> Witness:
        return kernel_witness(self.rootset, self.policy.kernel_view, sysfs=None)
