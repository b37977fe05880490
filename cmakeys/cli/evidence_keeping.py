"""What a check keeps of what the devices said, as the configuration wants it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cmakeys.check import CheckResult
from cmakeys.config import History
from cmakeys.evidence.keeping import FOLDER, Archive, Keep
from cmakeys.standing import Finding


def keep_evidence(settings: History, state: Path, results: Sequence[CheckResult], found: Sequence[Finding]) -> None:
    """Keep the evidence of a run's devices in the archive, and the archive within its limit.

    Of a device that said nothing, nothing is kept.
    """
    if settings.evidence is Keep.NONE:
        return
    archive = Archive(state / FOLDER, settings.evidence_limit)
    kept = False
    for result, one in zip(results, found, strict=True):
        told = settings.evidence is Keep.ALL or one.standing.news
        if one.enrolled and told and result.evidence is not None and result.evidence.exchanges:
            archive.keep(one.name, result.evidence)
            kept = True
    if kept:
        archive.trim()
