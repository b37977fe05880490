"""The register's SQLite file: opened, created, migrated and protected; what is in it is `register`'s business.

Three promises. A writer's work is one transaction: killed at any instruction, the next run finds the old state or the
new one. A reader creates nothing, so it works for any user on a read-only file, and the `-wal` and `-shm` files that
SQLite keeps beside an open database appear only while somebody writes. A file of another kind, a damaged one or one
of a newer cmakeys is refused and named, never reset.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from cmakeys.errors import EnvironmentProblem, Locked, NotPermitted, Refused, from_oserror
from cmakeys.files import make_folder, sync_folder

T = TypeVar("T")

APPLICATION_ID = 0x434D414B
"""`CMAK` in the file's header, so that another program's database is not taken for ours."""

BUSY_SECONDS = 10.0
"""How long a writer waits for another one."""

_READ_ATTEMPTS = 5

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE device (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            address TEXT NOT NULL UNIQUE,
            slot INTEGER,
            pin_kind TEXT NOT NULL,
            pin_value TEXT NOT NULL,
            identity TEXT,
            enrolled_version TEXT NOT NULL,
            enrolled_asymmetric TEXT NOT NULL,
            enrolled_hash TEXT NOT NULL,
            last_version TEXT NOT NULL,
            last_asymmetric TEXT NOT NULL,
            last_hash TEXT NOT NULL,
            root_name TEXT NOT NULL,
            root_sha256 TEXT NOT NULL,
            note TEXT NOT NULL,
            enrolled_at TEXT NOT NULL
        ) STRICT""",
        """CREATE TABLE certificate (
            device INTEGER NOT NULL REFERENCES device (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            der BLOB NOT NULL,
            PRIMARY KEY (device, position)
        ) STRICT""",
        """CREATE TABLE measurement (
            device INTEGER NOT NULL REFERENCES device (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            specification INTEGER NOT NULL,
            value_type INTEGER NOT NULL,
            value BLOB NOT NULL,
            PRIMARY KEY (device, position)
        ) STRICT""",
        """CREATE TABLE history (
            id INTEGER PRIMARY KEY,
            device INTEGER NOT NULL REFERENCES device (id) ON DELETE CASCADE,
            checked_at TEXT NOT NULL,
            outcome TEXT NOT NULL,
            reason TEXT NOT NULL,
            detail TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX history_of_device ON history (device, id)",
    ),
    (
        """CREATE TABLE memory (
            device INTEGER PRIMARY KEY REFERENCES device (id) ON DELETE CASCADE,
            state TEXT NOT NULL,
            began TEXT NOT NULL,
            silent INTEGER NOT NULL,
            passed_at TEXT,
            observed TEXT NOT NULL,
            changed_at TEXT,
            changes TEXT NOT NULL
        ) STRICT""",
    ),
    (
        "ALTER TABLE memory ADD COLUMN silent_since TEXT",
        "ALTER TABLE history ADD COLUMN news INTEGER NOT NULL DEFAULT 0",
        """UPDATE history SET news = 1 WHERE outcome IS NOT (
            SELECT earlier.outcome FROM history AS earlier
            WHERE earlier.device = history.device AND earlier.id < history.id ORDER BY earlier.id DESC LIMIT 1
        )""",
        "CREATE INDEX history_by_time ON history (checked_at, outcome, news)",
        "CREATE INDEX history_news ON history (checked_at) WHERE news = 1",
        """CREATE TABLE stranger (
            address TEXT PRIMARY KEY,
            first_seen TEXT NOT NULL,
            last_seen TEXT NOT NULL,
            device_key TEXT NOT NULL,
            label TEXT NOT NULL,
            twin TEXT NOT NULL
        ) STRICT""",
    ),
    ("ALTER TABLE device ADD COLUMN public_key BLOB",),
)
"""Statements that lead from each schema version to the next; the first ones make version 1 out of an empty file."""


class RegisterDamaged(EnvironmentProblem):
    """The register is no database, not ours, or broken."""

    code = "register-damaged"


def read(path: Path, query: Callable[[sqlite3.Connection], T], empty: T) -> T:
    """Run `query` on one consistent state of the register; `empty` is the answer when there is no register yet.

    Without a `-wal` file nobody is writing, and the file is read as immutable, which needs no lock and creates no
    file. Should a writer have come and gone meanwhile, the file is another than before, and the query runs again.
    """
    with _in_words(path):
        for _ in range(_READ_ATTEMPTS):
            before = _state(path)
            if before is None:
                return empty
            try:
                return _read_once(path, query, empty, before)
            except (sqlite3.DatabaseError, RegisterDamaged):
                if _state(path) == before:
                    raise
            except _Changed:
                continue
    raise Locked("it is being written all the time", object=str(path), hint="try again")


class _Changed(Exception):
    """A writer finished while an immutable file was read."""


_State = tuple[bool, int, int, int]


def _state(path: Path) -> _State | None:
    """What tells one state of the file from another; None when there is no register yet.

    A file of no bytes is what a run that was killed at the very start has left.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise RegisterDamaged("the register is not a regular file", object=str(path), hint="move it away")
    journal = _write_ahead_log(path).exists()
    return None if found.st_size == 0 and not journal else (journal, found.st_ino, found.st_size, found.st_mtime_ns)


def _write_ahead_log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _read_once(path: Path, query: Callable[[sqlite3.Connection], T], empty: T, before: _State) -> T:
    immutable = not before[0]
    with closing(_connect(path, "mode=ro&immutable=1" if immutable else "mode=ro")) as connection:
        connection.execute("BEGIN")
        version = _schema_version(connection, path)
        if version == 0:
            return empty
        _refuse_newer(version, path)
        with closing(_current(connection, version)) as current:
            answer = query(current)
    if immutable and _state(path) != before:
        raise _Changed
    return answer


def _current(connection: sqlite3.Connection, version: int) -> sqlite3.Connection:
    """The register in this program's schema: itself, or a copy in memory of an older one, migrated."""
    if version == len(MIGRATIONS):
        return connection
    copy = sqlite3.connect(":memory:", isolation_level=None)
    connection.backup(copy)
    for statement in _statements(MIGRATIONS[version:]):
        copy.execute(statement)
    return copy


def shrink(path: Path) -> None:
    """Give the space of what was taken out back to the file system. Raises `Locked` while another run is writing."""
    with _in_words(path), closing(_connect(path, "mode=rw")) as connection:
        _refuse_newer(_schema_version(connection, path), path)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("VACUUM")


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction on the register, made or migrated first where needed; rolled back when the body raises.

    Raises `Locked` when another run is writing for longer than `BUSY_SECONDS`.
    """
    with _in_words(path):
        _create(path)
        with closing(_connect(path, "mode=rw")) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
            _refuse_newer(_schema_version(connection, path), path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                _migrate(connection, path)
                yield connection
            except BaseException:
                if connection.in_transaction:  # SQLite has rolled back by itself when the disk is full
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


def _connect(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{options}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
    )


def _create(path: Path) -> None:
    """Make sure that there is a file, for its owner's eyes only, and that its name lasts."""
    if path.exists():
        return
    make_folder(path.parent)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    sync_folder(path.parent)


def _number(connection: sqlite3.Connection, question: str) -> int:
    (number,) = connection.execute(question).fetchone()
    return int(number)


def _schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version, 0 for an empty database; `RegisterDamaged` for somebody else's."""
    application = _number(connection, "PRAGMA application_id")
    version = _number(connection, "PRAGMA user_version")
    if application == APPLICATION_ID:
        return version
    if application or version or _number(connection, "SELECT count(*) FROM sqlite_master"):
        raise RegisterDamaged(
            "a database, but not a register of devices",
            object=str(path),
            hint="it was left alone; move it away or choose another place with --state-dir",
        )
    return 0


def _refuse_newer(version: int, path: Path) -> None:
    if version > len(MIGRATIONS):
        raise Refused(
            f"written by a newer cmakeys: schema {version}, this program knows {len(MIGRATIONS)}",
            object=str(path),
            hint=f"upgrade cmakeys, or put back the copy kept as {_backup(path, len(MIGRATIONS)).name}",
        )


def _backup(path: Path, version: int) -> Path:
    return path.with_name(f"{path.name}.schema-{version}")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = _schema_version(connection, path)
    _refuse_newer(version, path)
    if version == len(MIGRATIONS):
        return
    if version:
        _keep_copy(path, _backup(path, version))
    for statement in _statements(MIGRATIONS[version:]):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _statements(migrations: Sequence[Sequence[str]]) -> Iterator[str]:
    for migration in migrations:
        yield from migration


def _keep_copy(path: Path, copy: Path) -> None:
    """Copy the register as it is before a migration; the caller holds the write lock, so nothing changes meanwhile."""
    unfinished = copy.with_name(f"{copy.name}.new")
    os.close(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC, 0o600))
    with closing(_connect(path, "mode=ro")) as source, closing(sqlite3.connect(unfinished)) as target:
        source.backup(target)
    with unfinished.open("rb") as stream:
        os.fsync(stream.fileno())
    unfinished.replace(copy)
    sync_folder(copy.parent)


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into the error family, with the file's name and the next step."""
    try:
        yield
    except sqlite3.Error as error:
        raise _problem(error, path) from error
    except UnicodeDecodeError as error:  # SQLite's message quoted what stands in a damaged file
        raise _damaged("its text is not UTF-8", path) from error
    except OSError as error:
        raise from_oserror(error, str(path)) from error


def _problem(error: sqlite3.Error, path: Path) -> EnvironmentProblem:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    name = str(path)
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            hint = f"waited {BUSY_SECONDS:.0f} s; let that run finish, then try again"
            return Locked("another run is writing to the register", object=name, hint=hint)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            hint = "run as root, or choose another place with --state-dir"
            return NotPermitted("the register is read-only for this user", object=name, hint=hint)
        case sqlite3.SQLITE_CANTOPEN:
            hint = "the file and its folder must be readable, for an unfinished write also its -wal and -shm files"
            return NotPermitted("the register cannot be opened", object=name, hint=hint)
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            hint = "look at free space and at the kernel's log; nothing was changed"
            return EnvironmentProblem(f"the register cannot be read or written: {error}", object=name, hint=hint)
    return _damaged(str(error), path)


def _damaged(what: str, path: Path) -> RegisterDamaged:
    return RegisterDamaged(
        f"the register is damaged: {what}",
        object=str(path),
        hint=f"it was left alone; put back a copy of it, or move it away ({path}.damaged) and enrol the devices again",
    )
