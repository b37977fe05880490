"""Revocation lists and OCSP responses in files: two directories, one for the admin and one for what was fetched.

Whatever lies in /etc/cmakeys/revocation is read as it is and never written; what is fetched or imported goes to the
state directory under a name made of whom it speaks for, so that the next one of its kind takes its place. A file that
cannot be read stops the load with its name: a list that somebody put there must never be passed over in silence.
Whether anything may be believed is not decided here but each time it is held against a chain.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from cmakeys.errors import EnvironmentProblem, ExitCode, NotFound, Refused, from_oserror
from cmakeys.files import TEMPORARY_PREFIX, make_folder, sync_folder, write_whole
from cmakeys.lock import WAIT, exclusive
from cmakeys.x509.crl import MAX_LIST_SIZE, RevocationList, RevocationProblem
from cmakeys.x509.ocsp import OcspResponse
from cmakeys.x509.revocation import MAX_RECORDS, RevocationRecords, read_revocation

ETC: Final = "etc/cmakeys/revocation"
FOLDER: Final = "revocation"
"""In the state directory."""

Record = RevocationList | OcspResponse


class RevocationStoreProblem(EnvironmentProblem):
    """A file of revocations is not one; nothing can be said about revocation until it is, or is gone."""

    exit_code = ExitCode.USAGE
    code = "revocation-store"


@dataclass(frozen=True, slots=True)
class Kept:
    """A list or response with the file that holds it."""

    path: Path
    record: Record


class RevocationStore:
    """What one machine, or the tree at `sysroot` with its state in `state_dir`, knows of revocation."""

    def __init__(self, sysroot: Path, state_dir: Path, *, wait: float = WAIT) -> None:
        self.directories = (sysroot / ETC, state_dir / FOLDER)
        self._wait = wait

    def load(self) -> RevocationRecords:
        """Everything at hand. Missing directories are empty.

        Raises `RevocationStoreProblem` for a file that is neither list nor response, other `EnvironmentProblem`s when
        something cannot be read.
        """
        return records(kept.record for kept in self.inspect())

    def inspect(self) -> tuple[Kept, ...]:
        """Everything at hand, file by file. Raises as `load` does."""
        found: list[Kept] = []
        for directory in self.directories:
            for path in _files(directory):
                if len(found) == MAX_RECORDS:
                    raise RevocationStoreProblem(f"more than {MAX_RECORDS} files", object=str(directory))
                with suppress(NotFound):  # replaced by a newer one since the directory was read
                    found.append(Kept(path, _stored(path)))
        return tuple(found)

    def put(self, record: Record) -> Path | None:
        """Keep a record that somebody has verified, in place of an older one of its kind; None if it is there already.

        Raises `Refused` where the one that is there is newer: whoever hands out old lists may have a reason.
        """
        folder = self.directories[1]
        try:
            make_folder(folder)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with exclusive(descriptor, str(folder), wait=self._wait):
                    _clear(folder)
                    return _replace(folder / file_name(record), record)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise from_oserror(error, str(error.filename or folder)) from error


def read_file(path: Path) -> Record:
    """The list or response in a file that somebody named.

    Raises `RevocationProblem` for anything else, `EnvironmentProblem` when it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise RevocationProblem("not a regular file", object=str(path))
            data = file.read(2 * MAX_LIST_SIZE + 1)
    except OSError as error:
        raise from_oserror(error, str(path)) from error
    return read_revocation(data, str(path))


def records(found: Iterator[Record] | Sequence[Record]) -> RevocationRecords:
    """Lists and responses, each where it belongs."""
    everything = tuple(found)
    return RevocationRecords(
        tuple(one for one in everything if isinstance(one, RevocationList)),
        tuple(one for one in everything if isinstance(one, OcspResponse)),
    )


def file_name(record: Record) -> str:
    """The name of a record's file: made of whom it speaks for and of what, not of who handed it out."""
    digest = hashlib.sha256()
    if isinstance(record, RevocationList):
        digest.update(record.issuer_der)
        for kind in (x509.AuthorityKeyIdentifier, x509.IssuingDistributionPoint, x509.DeltaCRLIndicator):
            with suppress(x509.ExtensionNotFound):
                digest.update(record.parsed.extensions.get_extension_for_class(kind).value.public_bytes())
        return f"list-{digest.hexdigest()[:32]}.crl"
    for statement in record.statements:
        digest.update(statement.issuer_name_hash + statement.issuer_key_hash + str(statement.serial).encode() + b";")
    return f"response-{digest.hexdigest()[:32]}.ocsp"


def _replace(path: Path, record: Record) -> Path | None:
    if path.exists():
        known = _stored(path)
        if known == record:
            return None
        if _age(known) > _age(record):
            raise Refused(
                f"it is older than the one kept in {path}",
                object=record.source,
                hint="get the newest one from its issuer; to go back to the old one, remove that file",
            )
    write_whole(path, record.der)
    return path


def _age(record: Record) -> tuple[int, float]:
    """What grows with each record of a kind: the number of a list where there is one, then its time."""
    if isinstance(record, RevocationList):
        return record.number or 0, record.this_update.timestamp()
    return 0, max((one.this_update.timestamp() for one in record.statements), default=0.0)


def _stored(path: Path) -> Record:
    try:
        return read_file(path)
    except RevocationProblem as problem:
        raise RevocationStoreProblem(
            problem.message, object=str(path), hint="remove the file, or put a good one in its place"
        ) from problem


def _files(directory: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 names, to be matched as text
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_oserror(error, str(directory)) from error
    return [directory / name for name in names if not name.startswith((".", "README"))]


def _clear(folder: Path) -> None:
    """Take away what a killed writer left."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        path.unlink(missing_ok=True)
    sync_folder(folder)
