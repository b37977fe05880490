"""Evidence out of a file of any form that cmakeys reads, recognised by its bytes and never by its name.

A file that comes with a certificate chain is a report whatever its first bytes are: a damaged report has to end in a
verdict, not in doubts about the file.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from cmakeys.errors import EvidenceProblem, UsageProblem, from_oserror
from cmakeys.evidence import archive, nvidia, recording
from cmakeys.evidence.model import Evidence
from cmakeys.transports.recording import Recording

_RECORDING_KEYS = frozenset({"format", "dir"})


class UnknownForm(EvidenceProblem):
    """A file that is evidence of no kind."""

    code = "unknown-form"


def read_evidence(path: Path, chain: Path | None = None) -> Evidence:
    """The evidence in a file; `chain` is the certificate chain that goes with a vendor's report.

    Raises an `EvidenceProblem` for a file that does not hold what its form promises, `UsageProblem` for a report
    without a chain, and other members of `EnvironmentProblem` when a file cannot be read.
    """
    data, source = archive.read_file(path), str(path)
    if data.lstrip()[:1] == b"{":
        if _is_recording(data):
            return recording.evidence_of(Recording.parse(data, source))
        return archive.decode(data, source)
    if chain is None and not nvidia.is_report(data):
        raise UnknownForm(
            "neither saved evidence, a recorded conversation nor an attestation report",
            object=source,
            hint="cmakeys evidence save writes evidence; a report begins with the bytes 11 e0, also as hex text",
        )
    if chain is None:
        raise UsageProblem(
            "an attestation report needs its certificate chain", object=source, hint="give it with --chain FILE"
        )
    return nvidia.evidence_of(
        data,
        archive.read_file(chain, nvidia.MAX_CHAIN_TEXT),
        device=source,
        chain_source=str(chain),
        collected_at=_modified(path),
    )


def _is_recording(data: bytes) -> bool:
    """Whether the first line is a line of a recording, which no line of saved evidence is."""
    try:
        first: object = json.loads(data.lstrip().split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and bool(_RECORDING_KEYS & first.keys())


def _modified(path: Path) -> datetime:
    """When the file was written: a report itself does not say when it was made."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        raise from_oserror(error, str(path)) from error
