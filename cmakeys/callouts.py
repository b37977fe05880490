"""What the admin put into `on-change.d`, `on-failure.d` and `on-expiry.d`, run when a check has news of a device.

A hook is an executable that root alone, or whoever checks, can change: what a check runs at night as root must not be
a way in. It gets the facts in its environment, with nothing in them that a terminal or a shell's `echo` could take for
a command, and as JSON on standard input. What a hook does, prints or leaves behind never changes a verdict: a hook that
fails or takes too long is reported and the others run.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cmakeys.devices.enrolled import Memory
from cmakeys.errors import EnvironmentProblem, from_oserror
from cmakeys.evidence.fields import time_text
from cmakeys.ownership import changeable_by_others
from cmakeys.reports.events import device_fields
from cmakeys.reports.terminal import printable
from cmakeys.standing import Finding, state_steps
from cmakeys.verify.verdict import Outcome

PLACE = Path("/etc/cmakeys/hooks")
SECONDS = 30.0
"""That one hook may take for one device."""

ALL_SECONDS = 300.0
"""That all hooks of a check may take together."""

MAX_VALUE = 4096
"""Characters of one variable; a device chooses how much there is to say about it."""

MAX_ENTRIES = 1024

_PASSED_OVER = re.compile(
    r"\..*|.*~|README.*|.*\.(bak|disabled|md|off|orig|rej|swp|tmp|dpkg-\w+|rpm\w+|pacnew|pacsave|ucf-\w+)"
)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VALIDITY = 6
_TERM_SECONDS = 2.0


class Occasion(Enum):
    """Why a hook is run; the value is in the name of its folder."""

    CHANGE = "change"
    FAILURE = "failure"
    EXPIRY = "expiry"

    @property
    def folder(self) -> str:
        """The name of the folder with the hooks for it."""
        return f"on-{self.value}.d"


@dataclass(frozen=True, slots=True)
class Call:
    """One occasion, and the device that it is about."""

    occasion: Occasion
    finding: Finding


def occasions(findings: Sequence[Finding], memories: Mapping[str, Memory]) -> tuple[Call, ...]:
    """What there is to call about after a run, by device; `memories` are those before it.

    A *change* is news of an enrolled device, whichever way; a *failure* is news of one that now fails; an *expiry* is
    news that the dates of its chain are due, or past. What was news once is none the next night.
    """
    return tuple(Call(occasion, one) for one in findings for occasion in _occasions(one, memories.get(one.name)))


def _occasions(one: Finding, before: Memory | None) -> Iterator[Occasion]:
    if not one.enrolled or not one.standing.news:
        return
    if before is None and one.outcome is Outcome.TRUSTED:
        return
    yield Occasion.CHANGE
    if not one.outcome.healthy:
        yield Occasion.FAILURE
    due = _VALIDITY in state_steps(one.memory.state)
    if due and not (before is not None and _VALIDITY in state_steps(before.state)):
        yield Occasion.EXPIRY


def run(
    calls: Sequence[Call],
    place: Path,
    facts: Callable[[Finding], str],
    *,
    seconds: float = SECONDS,
    total: float = ALL_SECONDS,
) -> tuple[str, ...]:
    """Run the hooks under `place` for each call, in the order of their names; what went wrong, a line for each.

    Each reads what `facts` says about the device. No more than `seconds` for one and `total` for all of them; what is
    left over then is reported.
    """
    problems: list[str] = []
    hooks = {occasion: _hooks(place / occasion.folder, problems) for occasion in _in_use(calls)}
    deadline = time.monotonic() + total
    for call in calls:
        for hook in hooks[call.occasion]:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                problems.append(f"{hook}: not run for {call.finding.name}: the hooks had their {total:g} s")
                continue
            problem = _run(hook, call, facts(call.finding), min(seconds, remaining))
            if problem:
                problems.append(f"{hook}: {problem} for {call.finding.name}")
    return tuple(problems)


def _in_use(calls: Sequence[Call]) -> tuple[Occasion, ...]:
    used = {call.occasion for call in calls}
    return tuple(occasion for occasion in Occasion if occasion in used)


def _hooks(folder: Path, problems: list[str]) -> tuple[Path, ...]:
    """The executables of a folder that may be run, sorted; why others may not goes to `problems`."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        return ()
    except OSError as error:
        problems.append(f"no hook there is run: {from_oserror(error, str(folder))}")
        return ()
    paths = [folder / name for name in names[:MAX_ENTRIES] if not _PASSED_OVER.fullmatch(name)]
    allowed = []
    for path in paths:
        reason = _objection(path)
        if reason:
            problems.append(f"{path}: not run: {reason}")
        else:
            allowed.append(path)
    return tuple(allowed)


def _objection(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return "not a regular file"
        if not os.access(path, os.X_OK):
            return "not executable"
        return changeable_by_others(path)
    except (OSError, EnvironmentProblem) as error:
        return str(error)


def environment(call: Call) -> dict[str, str]:
    """What a hook gets as its environment; a variable with several values has one in each line."""
    standing = call.finding.standing
    values: dict[str, list[str]] = {"CMAKEYS_EVENT": [call.occasion.value]}
    for name, value in device_fields(call.finding):
        values.setdefault(name, []).append(value)
    for name in ("CMAKEYS_BEFORE", "CMAKEYS_STEP", "CMAKEYS_REASON", "CMAKEYS_CHANGE", "CMAKEYS_ROOT"):
        values.setdefault(name, [])
    values["CMAKEYS_CHECKED"] = [time_text(call.finding.verdict.checked_at)]
    values["CMAKEYS_EXPIRES"] = [time_text(standing.expires)] if standing.expires else []
    values["CMAKEYS_SUMMARY"] = [call.finding.counted.summary]
    facts = {name: "\n".join(map(printable, lines))[:MAX_VALUE] for name, lines in values.items()}
    return {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": "/", **facts}


def _run(hook: Path, call: Call, text: str, seconds: float) -> str:
    """Run one hook; what went wrong, or nothing."""
    with tempfile.TemporaryFile() as facts:
        facts.write(text.encode() + b"\n")
        facts.seek(0)
        try:
            variables = {name.encode(): value.encode() for name, value in environment(call).items()}
            process = subprocess.Popen([hook], stdin=facts, stdout=2, cwd="/", env=variables, start_new_session=True)
        except OSError as error:
            return f"cannot be run: {error.strerror}"
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"ended after {seconds:.0f} s"
    except BaseException:
        _end(process)
        raise
    if code < 0:
        return f"killed by signal {-code}"
    return f"left with {code}" if code else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a hook and whatever it started that stayed with it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_TERM_SECONDS)
