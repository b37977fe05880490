"""A CoRIM taken for what it is: signed by the key that a person named, or by their word unsigned, and valid now."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cmakeys.corim.decoding import MAX_SIZE, CorimProblem
from cmakeys.corim.manifest import Manifest, read_manifest
from cmakeys.corim.signature import read_signer
from cmakeys.errors import UsageProblem, from_oserror

MAX_SIGNER_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Taken:
    """A CoRIM that may be used: `digest` is the SHA-256 of the file, `source` names it and its signer, for the journal.

    `warning` says what was not checked; empty where all was.
    """

    manifest: Manifest
    digest: str
    source: str
    warning: str


def take(path: Path, signer: Path | None, *, unsigned: bool, now: datetime) -> Taken:
    """Read a CoRIM and hold it against its signer and the time.

    Raises `UsageProblem` unless exactly one of `signer` and `unsigned` is given, and `CorimProblem` for a file that
    cannot be read, is not signed by that key, or is not valid now.
    """
    if (signer is None) != unsigned:
        raise UsageProblem(
            "say whose signature counts by --signer FILE, or take it without one by --unsigned",
            object=str(path),
            hint="--signer is the vendor's certificate or public key, from another place than the file",
        )
    data = _read(path, MAX_SIZE)
    manifest = read_manifest(data, str(path))
    key = read_signer(_read(signer, MAX_SIGNER_SIZE), str(signer)) if signer else None
    manifest.hold(key, now, str(path))
    digest = hashlib.sha256(data).hexdigest()
    name = f"CoRIM {manifest.identity}"
    if key is not None and manifest.envelope is not None:
        said = f"{name}, signed by {manifest.envelope.signer_name} (key SHA-256 {key.fingerprint})"
        return Taken(manifest, digest, said, "")
    if manifest.envelope is None:
        return Taken(manifest, digest, f"{name}, unsigned", "nobody signed it: whoever could write it said this")
    said = f"{name}, signature not checked (it says {manifest.envelope.signer_name})"
    return Taken(manifest, digest, said, "its signature was not checked: anybody could have written it")


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise from_oserror(error, str(path)) from error
    if len(data) > limit:
        raise CorimProblem(f"larger than {limit} bytes", object=str(path))
    return data
