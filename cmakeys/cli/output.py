"""How every verb speaks: results, problems, the JSON envelope and the exit code, from one place.

A verb is a function whose whole body stands inside `with verb(...)`:

    @app.command("remove")
    def remove(name: str, json: Json = False, detailed_exitcode: DetailedExitcode = False) -> None:
        \"\"\"Take a root out of the store.\"\"\"
        with verb("roots", "remove", json=json, detailed_exitcode=detailed_exitcode) as out:
            from cmakeys.roots.store import RootStore

            root = RootStore().remove(name)
            out.changed = True
            out.data = {"name": root.name, "sha256": root.certificate.fingerprint}
            out.show(f"removed {root.name}", tone=Tone.GOOD)

* `out.data` is what `--json` prints; `out.show()` and `out.table()` are the same for a person and print nothing under
  `--json`. Both go to stdout, one call per line; foreign text in them is escaped here, so pass names as they are.
* `out.say()` (progress, prose) and `out.warn()` go to stderr, under `--json` too.
* Raise a `CmakeysError` to end the verb; `out.problem(error)` reports one and goes on to the next object. An `OSError`
  that escapes becomes the member of the error family that fits. All of them land in the envelope's `errors`.
* The exit code is the error's (with several problems, the first one's), unless the verb sets `out.exit_code`; a verb
  that changed something leaves with 10 under `--detailed-exitcode`. `ok` is true when that code is 0 or 10.
* A closed pipe on stdout silences the rest of the output and lets the verb finish its work; it then leaves with 141
  (as if by SIGPIPE) where it would have left with 0. So does a full disk, which is told on stderr, with 1.

The envelope is `{"schema": "cmakeys/<noun>-<verb>/1", "ok", "changed", "data", "errors": [{code, message, object,
hint}]}`, one object on stdout, on failure as well. In `data`, bytes become lower-case hex, times RFC 3339 in UTC,
enumerations their values, sets sorted lists, paths text; anything else must be plain JSON already.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path, PurePath
from typing import TextIO

import typer

from cmakeys.errors import CmakeysError, ExitCode, Refused, UsageProblem, from_oserror
from cmakeys.files import write_whole
from cmakeys.reports.terminal import Terminal, Tone, columns

INTERRUPTED = 130
READER_GONE = 141


def plain(value: object) -> object:
    """Turn a verb's data into what JSON knows; `TypeError` on a value that has no fixed form there."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, str | int):
        return value
    return _plain_collection(value) if isinstance(value, Iterable) else _plain_scalar(value)


def _plain_collection(value: Iterable[object]) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=str)
    return [plain(item) for item in value]


def _plain_scalar(value: object) -> object:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError("a time without a zone has no place in JSON output")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no fixed form in JSON output")


def envelope(schema: str, *, ok: bool, changed: bool, data: object, errors: Sequence[CmakeysError]) -> str:
    """The JSON object of one verb, as text without a final line end. ASCII only, so safe on any terminal."""
    import json

    document = {
        "schema": schema,
        "ok": ok,
        "changed": changed,
        "data": plain(data),
        "errors": [
            {"code": error.code, "message": error.message, "object": error.object, "hint": error.hint}
            for error in errors
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False)


class Output:
    """What one verb has to say; `verb` makes it and finishes it."""

    def __init__(self, noun: str, name: str, *, json: bool, detailed_exitcode: bool) -> None:
        self.schema = f"cmakeys/{noun}-{name}/1" if name else f"cmakeys/{noun}/1"
        self.json = json
        self.data: object = None
        self.changed = False
        self.exit_code: int | None = None
        self._detailed_exitcode = detailed_exitcode
        self._errors: list[CmakeysError] = []
        self._stdout = Terminal.of(sys.stdout, os.environ)
        self._stderr = Terminal.of(sys.stderr, os.environ)
        self._file: Path | None = None
        self._kept: list[str] = []

    @property
    def errors(self) -> tuple[CmakeysError, ...]:
        """The problems reported so far."""
        return tuple(self._errors)

    def into(self, file: Path) -> None:
        """From now on, keep what goes to stdout, and put it into `file` in one piece when the verb ends.

        A verb that fails before it has anything to show leaves the file as it is. Raises `UsageProblem` for a place
        where no file can be put.
        """
        if os.path.lexists(file) and not stat.S_ISREG(file.lstat().st_mode):
            raise UsageProblem("not a regular file", object=str(file), hint="leave --output out to write to stdout")
        if not file.parent.is_dir():
            raise UsageProblem("there is no such directory", object=str(file.parent), hint="make it first")
        self._file = file
        self._stdout = Terminal()

    def show(self, *lines: str, tone: Tone = Tone.PLAIN) -> None:
        """Print a part of the result for a person, one argument per line; nothing under `--json`."""
        if not self.json:
            self._print("".join(self._stdout.line(line, tone) + "\n" for line in lines))

    def _print(self, text: str) -> None:
        if self._file is None:
            write(sys.stdout, text)
        else:
            self._kept.append(text)

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print rows in columns under a header; nothing under `--json`."""
        self.show(*columns(header, rows))

    def say(self, text: str, *, tone: Tone = Tone.PLAIN) -> None:
        """Tell a person what is going on, on stderr."""
        write(sys.stderr, self._stderr.line(text, tone) + "\n")

    def warn(self, message: str, *, object: str = "", hint: str = "") -> None:  # noqa: A002 the field's name in errors
        """Warn on stderr, without any effect on the exit code."""
        subject = f"{object}: " if object else ""
        self.say(f"cmakeys: warning: {subject}{message}", tone=Tone.WARNING)
        if hint:
            self.say(f"  hint: {hint}")

    def problem(self, error: CmakeysError) -> None:
        """Report a problem with one object; the verb goes on with the others and fails at its end."""
        self._errors.append(error)
        self.say(f"cmakeys: {error}", tone=Tone.BAD)
        if error.hint:
            self.say(f"  hint: {error.hint}")

    def confirm(self, question: str, *, hint: str) -> None:
        """Ask for a yes on the terminal; `Refused` without one, or without a person to ask.

        `hint` says how to answer on the command line.
        """
        if self.json or not sys.stdin.isatty():
            raise Refused("this needs a confirmation and there is no terminal to ask on", hint=hint)
        write(sys.stderr, self._stderr.line(f"{question} [y/N] "))
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Refused("not confirmed; nothing was changed", hint=hint)

    def finish(self) -> int:
        """Write the envelope, where one is asked for, and return the exit code."""
        code = self._code()
        if self.json:
            ok = code in (ExitCode.OK, ExitCode.CHANGED)
            text = envelope(self.schema, ok=ok, changed=self.changed, data=self.data, errors=self._errors)
            self._print(text + "\n")
        if self._file is not None and (self._kept or not self._errors) and not self._put(self._file):
            return self._code()
        return code

    def _put(self, file: Path) -> bool:
        try:
            write_whole(file, "".join(self._kept).encode())
        except OSError as error:
            self.exit_code = self.exit_code or None
            self.problem(from_oserror(error, str(file)))
            return False
        return True

    def _code(self) -> int:
        if self.exit_code is None and self._errors:
            return int(self._errors[0].exit_code)
        if self.exit_code in (None, ExitCode.OK):
            return int(ExitCode.CHANGED if self.changed and self._detailed_exitcode else ExitCode.OK)
        return int(self.exit_code or 0)


class _Internal(CmakeysError):
    code = "internal"


class _Interrupted(CmakeysError):
    code = "interrupted"


@contextmanager
def verb(noun: str, name: str = "", *, json: bool = False, detailed_exitcode: bool = False) -> Iterator[Output]:
    """Run the body of one verb; see the head of this module. Leaves by `typer.Exit` unless the code is 0."""
    out = Output(noun, name, json=json, detailed_exitcode=detailed_exitcode)
    try:
        yield out
    except CmakeysError as error:
        out.problem(error)
    except OSError as error:
        out.problem(from_oserror(error, str(error.filename or "")))
    except typer.Abort:
        out.problem(Refused("not confirmed; nothing was changed"))
    except typer.Exit as leaving:
        out.exit_code = leaving.exit_code
    except KeyboardInterrupt:
        out.problem(_Interrupted("interrupted"))
        out.exit_code = INTERRUPTED
    except Exception as error:
        out.problem(_Internal(f"{type(error).__name__}: {error}", hint="this is a bug in cmakeys; please report it"))
        out.finish()
        raise
    code = out.finish()
    lost = _lost.pop(1, None)
    if lost is not None:
        reason = from_oserror(lost, "the answer", hint=_LOST_HINT)
        out.say(f"cmakeys: {reason}", tone=Tone.BAD)
        out.say(f"  hint: {reason.hint}")
        code = code or int(ExitCode.FAILED)
    elif not code and _reader_gone():
        code = READER_GONE
    if code:
        raise typer.Exit(code)


_LOST_HINT = "it could not be written where standard output goes; what was to be done was done all the same"


def write(stream: TextIO, text: str) -> None:
    """Write and flush; once the reader has gone, or there is no room, what follows is dropped."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _silence(stream)
    except OSError as error:
        _lost[stream.fileno()] = error
        _silence(stream)


_silenced: set[int] = set()
_lost: dict[int, OSError] = {}
"""Why a descriptor took no more, for those that could say so."""


def _silence(stream: TextIO) -> None:
    """Point the stream's descriptor at /dev/null, so that neither later writes nor the exit flush fail."""
    descriptor = stream.fileno()
    _silenced.add(descriptor)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def _reader_gone() -> bool:
    """Whether whoever read our stdout has closed it."""
    return 1 in _silenced
