r"""The record of every change of trust: JSON lines, append-only, each carrying the SHA-256 of the line before it.

An entry is one line, written by one `write`, fsynced before `append` returns:

    {"schema":1,"number":7,"time":"…Z","actor":"ada","action":"roots-add","object":"nvidia","detail":{…},
     "previous":"<SHA-256 of the previous line without its line end>"}

The first entry's `previous` is 64 zeros. A line that a crash tore (no line end, or not JSON) is never an entry and is
never removed either: the next `append` ends it with `#torn` and a line end, so that even a line that lacked only its
end is none, chains to these bytes, and says `"after_torn":true`.
So `verify` can tell a crash (reported) from an edit (a fault). The chain shows that lines were changed, taken out or
put in; that lines are missing at the *end* shows by `journal.head` beside it, see `journal_head.py`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from cmakeys.errors import EnvironmentProblem, UsageProblem, from_oserror
from cmakeys.lock import WAIT, exclusive
from cmakeys.roots import journal_head
from cmakeys.roots.journal_head import JournalHead, read_head, write_head

SCHEMA = 1
FILE_NAME: Final = "journal.jsonl"
MAX_LINE = 64 * 1024
"""Bytes of one line; a longer one is not written, and read as torn."""

FIRST_PREVIOUS = "0" * 64
_TORN_MARK = b"#torn"

_WORD = re.compile(r"[a-z][a-z0-9-]{0,63}")
_KEYS = frozenset({"schema", "number", "time", "actor", "action", "object", "detail", "previous"})


class JournalProblem(EnvironmentProblem):
    """The journal is not one, or it was changed behind its own back."""

    code = "journal"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One change of trust. `subject` is the line's `object`: what was changed. `line` is its line number in the file,
    from 1; `sha256` is over its bytes.
    """

    number: int
    time: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, object]
    previous: str
    after_torn: bool
    line: int
    sha256: str


@dataclass(frozen=True, slots=True)
class JournalFault:
    """A line at which the journal does not hold; `torn` when it looks like a crash and not like an edit. Line 0 is none
    of the journal's: the file that notes its end is not one.
    """

    line: int
    message: str
    torn: bool = False


@dataclass(frozen=True, slots=True)
class JournalReading:
    """All entries that could be read, in order, and what is wrong between them.

    `noted` is how many lines `journal.head` vouches for; None where there is none, and a cut end would not show.
    """

    entries: tuple[JournalEntry, ...] = ()
    faults: tuple[JournalFault, ...] = ()
    noted: int | None = None

    @property
    def intact(self) -> bool:
        """No fault but torn lines of a crash."""
        return all(fault.torn for fault in self.faults)


class Journal:
    """The journal in a state directory, normally `/var/lib/cmakeys`; both are made when first needed."""

    def __init__(self, state_dir: Path, *, wait: float = WAIT) -> None:
        self.path = state_dir / FILE_NAME
        self.head_path = state_dir / journal_head.FILE_NAME
        self._wait = wait

    def append(self, action: str, subject: str, detail: Mapping[str, object], *, at: datetime, by: str) -> JournalEntry:
        """Write one entry and return it once it is on the disk; where that fails, nothing of it is left.

        The end is noted afterwards. Where that fails, the entry is there all the same, and the note lags behind.
        Raises `UsageProblem` for an action that is not a word, a time without zone or a detail too long or not JSON;
        `Locked`, `NotPermitted` and other `EnvironmentProblem`s of the file system.
        """
        if not _WORD.fullmatch(action):
            raise UsageProblem(f"{action!r} is not the name of an action", object=str(self.path))
        if at.tzinfo is None:
            raise UsageProblem("the time of an entry needs a zone", object=str(self.path))
        with self._writing() as file:
            line, previous, number, ended, torn, fits = self._tail(file)
            content: dict[str, object] = {
                "schema": SCHEMA,
                "number": number + 1,
                "time": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
                "actor": by,
                "action": action,
                "object": subject,
                "detail": dict(detail),
                "previous": previous,
            }
            if torn:
                content["after_torn"] = True
            try:
                text = json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")
            except (TypeError, ValueError) as error:
                raise UsageProblem(f"the detail of {action} is not JSON: {error}", object=str(self.path)) from None
            if len(text) >= MAX_LINE:
                raise UsageProblem(f"an entry of {len(text)} bytes, more than {MAX_LINE}", object=str(self.path))
            _write_all(file, (b"" if ended else _TORN_MARK + b"\n") + text + b"\n")
            entry = _parse(text, line + 1)
            if fits:
                with suppress(OSError):
                    write_head(self.head_path, JournalHead(entry.line, entry.sha256))
        return entry

    def read(self) -> JournalReading:
        """All entries and all faults; a journal that does not exist yet is empty.

        Raises `EnvironmentProblem` when the file cannot be read.
        """
        try:
            head, unread = read_head(self.head_path), ""  # before the journal, which may grow meanwhile
        except ValueError as error:
            head, unread = None, f"not the note of the journal's end: {error}"
        except OSError as error:
            head, unread = None, f"the note of the journal's end cannot be read: {error.strerror}"
        try:
            with self._open(os.O_RDONLY) as file:
                reading = read_journal(file, head)
        except FileNotFoundError:
            reading = read_journal(io.BytesIO(), head)
        except OSError as error:
            raise from_oserror(error, str(self.path)) from error
        return replace(reading, faults=(*reading.faults, JournalFault(0, unread))) if unread else reading

    def verify(self) -> JournalReading:
        """Read the journal and insist on its chain.

        Raises `JournalProblem` naming the first line that does not hold; a line torn by a crash is left to the
        caller to report.
        """
        reading = self.read()
        self.check(reading)
        return reading

    def check(self, reading: JournalReading) -> None:
        """Insist on the chain of what was read; raises as `verify` does."""
        for fault in reading.faults:
            if not fault.torn:
                raise JournalProblem(
                    fault.message,
                    object=f"{self.path} line {fault.line}" if fault.line else str(self.head_path),
                    hint="the file was edited or damaged; keep a copy, and compare with a backup",
                )

    def _tail(self, file: BinaryIO) -> tuple[int, str, int, bool, bool, bool]:
        """Where a new entry goes: lines so far, hash to chain to, number of the last entry, last line ended, and torn;
        and whether the head fits, or is not there.
        """
        lines, previous, number, ended, torn = 0, FIRST_PREVIOUS, 0, True, False
        hashes: list[str] = []
        for lines, data, ended in _lines(file):
            previous = hashlib.sha256(data if ended else data + _TORN_MARK).hexdigest()
            torn = not ended or data.endswith(_TORN_MARK)
            if ended:
                hashes.append(previous)
            with suppress(ValueError):
                number = number if torn else _parse(data, lines).number
        try:
            head = read_head(self.head_path)
        except (ValueError, OSError):
            return lines, previous, number, ended, torn, False
        return lines, previous, number, ended, torn, head is None or head.fault(hashes) is None

    @contextmanager
    def _open(self, flags: int) -> Iterator[BinaryIO]:
        descriptor = os.open(self.path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise JournalProblem("not a regular file", object=str(self.path))
            with open(descriptor, "rb", buffering=1 << 16, closefd=False) as file:
                yield file
        finally:
            os.close(descriptor)

    @contextmanager
    def _writing(self) -> Iterator[BinaryIO]:
        try:
            self._make(self.path.parent)
            exists = self.path.exists()
            with (
                self._open(os.O_RDWR | os.O_APPEND | os.O_CREAT) as file,
                exclusive(file.fileno(), str(self.path), wait=self._wait),
            ):
                if not exists:
                    _sync(self.path.parent)
                yield file
        except OSError as error:
            raise from_oserror(error, str(error.filename or self.path)) from error

    def _make(self, directory: Path) -> None:
        if directory.is_dir():
            return
        if directory != directory.parent:
            self._make(directory.parent)
        with suppress(FileExistsError):
            os.mkdir(directory, 0o755)  # noqa: PTH102 os calls throughout: the crash tests count them
        _sync(directory.parent)


def read_journal(file: BinaryIO, head: JournalHead | None = None) -> JournalReading:
    """All entries and all faults in a journal's bytes; raises nothing for what they say.

    With the head that was noted, a cut end is a fault too.
    """
    hashes: list[str] = []
    entries: list[JournalEntry] = []
    faults: list[JournalFault] = []
    torn: list[JournalFault] = []
    previous = FIRST_PREVIOUS
    number = 0
    for line, data, ended in _lines(file):
        if not ended or data.endswith(_TORN_MARK):
            torn.append(JournalFault(line, "torn by a crash; it is not an entry", torn=True))
        else:
            try:
                entry = _parse(data, line)
            except ValueError as error:
                faults.append(JournalFault(line, f"not an entry: {error}"))
            else:
                faults.extend(torn if entry.after_torn else [replace(fault, torn=False) for fault in torn])
                faults.extend(JournalFault(line, message) for message in _breaks(entry, previous, number, bool(torn)))
                number = entry.number
                entries.append(entry)
                torn = []
        previous = hashlib.sha256(data).hexdigest()
        if ended:
            hashes.append(previous)
    cut = head.fault(hashes) if head else None
    if cut is not None:
        faults.append(JournalFault(*cut))
    faults = sorted((*faults, *torn), key=lambda fault: fault.line)
    return JournalReading(tuple(entries), tuple(faults), head.lines if head else None)


def _breaks(entry: JournalEntry, previous: str, number: int, torn: bool) -> Iterator[str]:
    """How an entry fails to continue what stands before it."""
    if entry.after_torn and not torn:
        yield "it says that it follows a torn line, and it does not"
    if entry.previous != previous:
        yield "it does not carry the hash of the line before it"
    if entry.number != number + 1:
        yield f"number {entry.number} follows {number}"


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """Line number, bytes without the line end, and whether there was one; an endless line comes in pieces."""
    line = 0
    file.seek(0)
    while data := file.readline(MAX_LINE + 1):
        line += 1
        ended = data.endswith(b"\n")
        yield line, data.removesuffix(b"\n"), ended


def _parse(data: bytes, line: int) -> JournalEntry:
    """One line as an entry; `ValueError` says why it is none."""
    try:
        content = json.loads(data.decode("ascii"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(content, dict) or not content.keys() >= _KEYS or content.keys() - _KEYS - {"after_torn"}:
        raise ValueError("not with the keys of an entry")
    texts = [content[key] for key in ("time", "actor", "action", "object", "previous")]
    after_torn = content.get("after_torn", False)
    if (
        content["schema"] != SCHEMA
        or type(content["number"]) is not int
        or not all(isinstance(text, str) for text in texts)
        or not isinstance(content["detail"], dict)
        or not isinstance(after_torn, bool)
    ):
        raise ValueError("not with the values of an entry")
    time = datetime.fromisoformat(content["time"])
    if time.tzinfo is None:
        raise ValueError("a time without zone")
    return JournalEntry(
        content["number"],
        time,
        content["actor"],
        content["action"],
        content["object"],
        content["detail"],
        content["previous"],
        after_torn,
        line,
        hashlib.sha256(data).hexdigest(),
    )


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Append and sync, or leave the file as it was: what its writer was told has failed must not count later."""
    before = os.fstat(file.fileno()).st_size
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file.fileno(), rest) :]
        os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            os.ftruncate(file.fileno(), before)
        raise


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
