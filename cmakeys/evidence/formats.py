"""Evidence out of a file of any form that cmakeys reads, recognised by its bytes and never by its name.

A file that comes with a certificate chain is a report whatever its first bytes are: a damaged report has to end in a
verdict, not in doubts about the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cmakeys.errors import EvidenceProblem, UsageProblem, from_oserror
from cmakeys.evidence import archive, nvidia, recording
from cmakeys.evidence.model import Evidence
from cmakeys.transports.recording import Recording

_SAVED = b'"cmakeys/evidence/'
_RECORDING_KEYS = frozenset({"format", "dir"})


class UnknownForm(EvidenceProblem):
    """A file that is evidence of no kind."""

    code = "unknown-form"


@dataclass(frozen=True, slots=True)
class ChainFile:
    """A file with the certificate chain that goes with attestation reports: its name, for messages, and its bytes."""

    source: str
    data: bytes

    @classmethod
    def read(cls, path: Path) -> ChainFile:
        """Read it. Raises what `archive.read_file` does."""
        return cls(str(path), archive.read_file(path, nvidia.MAX_CHAIN_TEXT))


def read_evidence(path: Path, chain: Path | None = None) -> Evidence:
    """The evidence in a file; `chain` is the certificate chain that goes with a vendor's report.

    Raises what `evidence_of` does, and other members of `EnvironmentProblem` when a file cannot be read.
    """
    data = archive.read_file(path)
    return evidence_of(
        data, str(path), ChainFile.read(chain) if chain is not None else None, collected_at=_modified(path)
    )


def evidence_of(data: bytes, source: str, chain: ChainFile | None = None, *, collected_at: datetime) -> Evidence:
    """The evidence in the bytes of the file `source`.

    `collected_at` holds for a report, which itself does not say when it was made. Raises an `EvidenceProblem` for bytes
    that do not hold what their form promises, and `UsageProblem` for a report without a chain.
    """
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
    return nvidia.evidence_of(data, chain.data, device=source, chain_source=chain.source, collected_at=collected_at)


def _is_recording(data: bytes) -> bool:
    """Whether the first line is a line of a recording, which no line of saved evidence is."""
    line, _, rest = data.lstrip().partition(b"\n")
    if line == b"{" or (not rest and _SAVED in line):
        return False  # saved evidence, on many lines or on one, as nearly every file is
    try:
        first: object = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and bool(_RECORDING_KEYS & first.keys())


def _modified(path: Path) -> datetime:
    """When the file was written."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        raise from_oserror(error, str(path)) from error
