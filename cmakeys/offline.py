"""Judging many files of evidence, in this process or on any `concurrent.futures.Executor`.

A `Bench` is everything that the files are held against, as one value that can be sent to another process or machine;
a file goes in and a verdict comes out, or the problem that kept it from being read. No file ends the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cmakeys.errors import CmakeysError
from cmakeys.evidence.formats import read_evidence
from cmakeys.roots.rootset import RootSet
from cmakeys.verify.clock import Recorded
from cmakeys.verify.policy import Policy
from cmakeys.verify.review import review
from cmakeys.verify.verdict import Verdict
from cmakeys.verify.verifier import verify
from cmakeys.witness import kernel_witness
from cmakeys.x509.revocation import RevocationRecords


@dataclass(frozen=True, slots=True)
class Bench:
    """What every file is judged by; `chain` goes with attestation reports, `now` is the time of the whole run.

    `recorded` is the newest thing recorded on the machine whose time it is, None for a time that somebody chose.
    """

    rootset: RootSet
    policy: Policy
    now: datetime
    chain: Path | None = None
    expected_nonce: bytes | None = None
    recorded: Recorded | None = None
    revocation: RevocationRecords = field(default_factory=RevocationRecords)

    def judge(self, file: Path) -> Verdict | CmakeysError:
        """The verdict on one file, or why it could not be read."""
        try:
            evidence = read_evidence(file, self.chain)
        except CmakeysError as problem:
            return problem
        facts = review(evidence)
        witness = kernel_witness(self.rootset, self.policy.kernel_view, sysfs=None)
        return verify(
            evidence,
            self.rootset,
            self.policy,
            now=self.now,
            expected_nonce=self.expected_nonce,
            recorded=self.recorded,
            revocation=self.revocation,
            facts=facts,
            kernel=witness(facts.certificates, evidence.device),
        )


def judge_files(
    bench: Bench, files: Sequence[Path], executor: Executor | None = None
) -> Iterator[tuple[Path, Verdict | CmakeysError]]:
    """Judge each file, in order; on `executor` where one is given."""
    results = map(bench.judge, files) if executor is None else executor.map(bench.judge, files, chunksize=16)
    return zip(files, results, strict=True)
