"""What saved evidence is held against, as one value that can be sent to another process or machine.

The bytes of a file go in and a verdict comes out, or the problem that kept it from being read. Reading, checking the
signatures and judging are three steps, because it is faster to do each for many files than all for one after the other.
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
from cmakeys.verify.keys import Keys
from cmakeys.verify.policy import Policy
from cmakeys.verify.proofs import Proofs, prove
from cmakeys.verify.verdict import Verdict
from cmakeys.verify.verifier import verify
from cmakeys.witness import Witness, kernel_witness
from cmakeys.x509.revocation import RevocationRecords


@dataclass(frozen=True, slots=True)
class Read:
    """Evidence and what it says, unjudged."""

    evidence: Evidence
    facts: Facts


@dataclass(frozen=True, slots=True)
class Proven:
    """Evidence whose signatures have been checked, unjudged."""

    read: Read
    proofs: Proofs


@dataclass(frozen=True)
class Bench:
    """What all evidence is judged by; `chain` goes with attestation reports, `now` is the time of the whole run.

    `recorded` is the newest thing recorded on the machine whose time it is, None for a time that somebody chose. `keys`
    are the public keys of devices without certificates.
    """

    rootset: RootSet
    policy: Policy
    now: datetime
    chain: ChainFile | None = None
    expected_nonce: bytes | None = None
    recorded: Recorded | None = None
    revocation: RevocationRecords = field(default_factory=RevocationRecords)
    keys: Keys = Keys()

    def read(self, data: bytes, source: str, modified: float | None = None) -> Read:
        """What evidence of any form says; `modified` is when it was written, in seconds of the epoch.

        Raises a `CmakeysError` that names `source` where the bytes are no evidence.
        """
        written = self.now if modified is None else datetime.fromtimestamp(modified, UTC)
        evidence = evidence_of(data, source, self.chain, collected_at=written)
        return Read(evidence, self.keys.review(evidence))

    def prove(self, read: Read) -> Proven:
        """Check its signatures."""
        return Proven(read, prove(read.facts))

    def judge(self, proven: Proven) -> Verdict:
        """The verdict on it."""
        evidence, facts = proven.read.evidence, proven.read.facts
        return verify(
            evidence,
            self.rootset,
            self.policy,
            now=self.now,
            expected_nonce=self.expected_nonce,
            recorded=self.recorded,
            revocation=self.revocation,
            facts=facts,
            proofs=proven.proofs,
            kernel=self._witness(facts.certificates, evidence.device),
        )

    def __getstate__(self) -> dict[str, object]:
        """Only the fields travel: a kernel is asked where the evidence is judged."""
        return {name: value for name, value in self.__dict__.items() if name != "_witness"}

    @cached_property
    def _witness(self) -> Witness:
        return kernel_witness(self.rootset, self.policy.kernel_view, sysfs=None)
