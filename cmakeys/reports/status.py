"""The state of a machine on one screen of 80 by 24, and the same for a program.

Every part begins with its name and one sentence; what follows it is cut, never wrapped, so that the screen stays one
screen whatever is found. Only the command to type next is never cut. Names come from files and devices and are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from cmakeys.images.freshness import Initrds
from cmakeys.reports.initrds import initrds_data, initrds_sentence
from cmakeys.reports.layout import WIDTH, Line, shorten, wrap
from cmakeys.reports.terminal import Tone, printable
from cmakeys.status.advice import Step
from cmakeys.status.model import ENDING, Devices, Gap, JournalState, Kernel, RootEnd, Roots, Status
from cmakeys.verify.verdict import Outcome
from cmakeys.wording import counted
from cmakeys.x509.horizon import Nearness

SCREEN = 24
"""Lines of a terminal; the report leaves the last one to the shell's prompt."""

_SHOWN = 3
_LABEL = 10


def status_report(status: Status, step: Step | None, command: str) -> list[Line]:
    """The screen; `command` is the line that carries out `step`, empty without one."""
    lines = [Line(f"{shorten(status.machine, 50):<58}{_moment(status.now):>20}")]
    if status.clock_fault:
        lines += _part("clock", f"wrong: {_newer(status)}", Tone.BAD)
    if status.clock_doubt:
        lines += _part("clock", f"doubtful: {_newer(status)}", Tone.WARNING)
    if status.config and status.config.harmless:
        lines += _gap("config", status.config)
    elif status.config:
        lines += _part("config", f"not understood: {status.config.message}", Tone.BAD)
    lines += [
        *(_gap("roots", status.roots) if isinstance(status.roots, Gap) else _roots(status.roots, status)),
        *_kernel_lines(status),
        *(_gap("image", status.image) if isinstance(status.image, Gap) else _image(status.image)),
        *(_gap("devices", status.devices) if isinstance(status.devices, Gap) else _devices(status.devices)),
        *(_gap("journal", status.journal) if isinstance(status.journal, Gap) else _journal(status.journal)),
    ]
    if step is None:
        return [*lines, Line("nothing to do", Tone.GOOD)]
    return [*lines, Line(f"next: {printable(command)}"), Line(f"      {shorten(step.reason, WIDTH - 6)}")]


def _part(name: str, sentence: str, tone: Tone, details: Iterable[str] = ()) -> list[Line]:
    texts = [f"{name:<{_LABEL}}{sentence}", *(f"{'':<{_LABEL}}{text}" for text in details)]
    return [Line(shorten(texts[0], WIDTH), tone), *(Line(shorten(text, WIDTH), Tone.NOTE) for text in texts[1:])]


def _gap(name: str, gap: Gap) -> list[Line]:
    if gap.forbidden:
        return _part(name, "not looked at, this user may not", Tone.NOTE, _in_two(gap.message))
    tone = Tone.WARNING if gap.harmless else Tone.BAD
    return _part(name, "could not be looked at", tone, _in_two(gap.message))


def _in_two(message: str) -> list[str]:
    """A reason that is longer than a line gets a second one: it begins with a path and ends with what matters."""
    first, *following = (line.strip() for line in wrap(message, " " * _LABEL, " " * _LABEL))
    return [first, " ".join(following)] if following else [first]


def _newer(status: Status) -> str:
    return f"{status.newest.what} is of {_moment(status.newest.at)}"


def _roots(roots: Roots, status: Status) -> list[Line]:
    if not roots.total:
        return [*_part("roots", "none" + _deny(roots), Tone.WARNING), *_pending(roots, status.now)]
    counts = ", ".join(f"{count} {state.value}" for state, count in roots.states)
    ended, soon = roots.ending(*ENDING), roots.ending(Nearness.WARN)
    tone = Tone.BAD if ended else Tone.GOOD if roots.anchors and not soon else Tone.WARNING
    return [
        *_part("roots", counts + _deny(roots), tone, _ends(roots, ended, soon, status)),
        *_pending(roots, status.now),
    ]


def _deny(roots: Roots) -> str:
    return f"; {counted(roots.deny_entries, 'deny entry', 'deny entries')}" if roots.deny_entries else ""


def _ends(roots: Roots, ended: tuple[RootEnd, ...], soon: tuple[RootEnd, ...], status: Status) -> Iterator[str]:
    if roots.denied:
        yield f"denied all the same: {_names(roots.denied)}"
    if ended:
        yield "no longer valid: " + _names(f"{end.name} ({end.not_after:%Y-%m-%d})" for end in ended)
    if soon:
        yield "ends soon: " + _names(f"{end.name} ({end.not_after:%Y-%m-%d})" for end in soon)
    elif not ended and roots.ends:
        end = roots.ends[0]
        left = "" if status.clock_fault else f", in {(end.not_after - status.now).days} days"
        yield f"the next to end is {end.name}, on {end.not_after:%Y-%m-%d}{left}"
    elif roots.anchors and not roots.ends:
        yield "none of them ends (year 9999)"
    if roots.findings:
        yield f"{counted(roots.findings, 'file')} without effect: see cmakeys roots list"


def _pending(roots: Roots, now: datetime) -> list[Line]:
    texts = [f"{_names(roots.staged)} staged, not trusted yet"] if roots.staged else []
    if roots.retiring:
        texts.append("retiring: " + _names(f"{name}{_until(until, now)}" for name, until in roots.retiring))
    if roots.unfinished:
        texts.append("a change was interrupted: the next one finishes it first")
    return _part("pending", texts[0], Tone.WARNING, texts[1:]) if texts else []


def _until(until: datetime | None, now: datetime) -> str:
    if until is None:
        return ""
    return f" until {until:%Y-%m-%d}" if now < until else f", to be finished since {until:%Y-%m-%d}"


def _kernel_lines(status: Status) -> list[Line]:
    kernel = status.kernel
    if kernel is None:
        return _part("kernel", "not looked at: this is a tree", Tone.NOTE)
    if isinstance(kernel, Gap):
        if kernel.unsupported:
            return _part(
                "kernel", "authenticates no device; cmakeys check does without it", Tone.NOTE, _in_two(kernel.message)
            )
        return _gap("kernel", kernel)
    return _kernel(kernel)


def _kernel(kernel: Kernel) -> list[Line]:
    if kernel.in_step:
        sentence, tone = f"{kernel.name} in step with the roots: {kernel.keep} there", Tone.GOOD
    else:
        parts = ((kernel.add, "to add"), (kernel.remove, "to remove"))
        work = ", ".join(f"{number} {what}" for number, what in parts if number) or "to be made anew"
        sentence, tone = f"{kernel.name} not in step: {work}, {kernel.keep} there", Tone.WARNING
    details = []
    if kernel.foreign:
        tone = Tone.BAD
        details.append(f"{counted(kernel.foreign, 'key')} in it that cmakeys did not put there")
    if kernel.fixed:
        lying = counted(kernel.fixed, "key lies", "keys lie")
        details.append(f"{lying} in it and not in our ring: only a reboot takes that out")
    return _part("kernel", sentence, tone, details)


def _image(image: Initrds) -> list[Line]:
    return _part("image", *initrds_sentence(image))


def _devices(devices: Devices) -> list[Line]:
    if not devices.total:
        return _part("devices", "none enrolled", Tone.NOTE)
    counts = [f"{count} {outcome.value}" for outcome, count in devices.verdicts]
    if devices.never:
        counts.append(f"{devices.never} without a verdict")
    sentence = ", ".join(counts)
    details = [f"oldest verdict {_moment(devices.oldest)}"] if devices.oldest else []
    if details and _LABEL + len(sentence) + 2 + len(details[0]) <= WIDTH:
        sentence += f"; {details.pop()}"
    fine = devices.verdicts == ((Outcome.TRUSTED, devices.total),) and not devices.unreachable
    tone = Tone.BAD if devices.rejected else Tone.GOOD if fine else Tone.WARNING
    if devices.rejected:
        details.append(f"rejected: {_names(devices.rejected)}")
    if devices.unreachable:
        details.append(f"not reached the last time: {_names(devices.unreachable)}")
    return _part("devices", sentence, tone, details)


def _journal(journal: JournalState) -> list[Line]:
    count = counted(journal.entries, "entry", "entries")
    if journal.fault:
        return _part("journal", f"changed behind its own back; {count}", Tone.BAD, [journal.fault])
    torn = [f"{counted(journal.torn, 'line')} torn by a crash, which is no entry"] if journal.torn else []
    return _part("journal", f"intact, {count}" if journal.entries else "empty", Tone.GOOD, torn)


def _names(names: Iterable[str]) -> str:
    shown = list(names)
    more = len(shown) - _SHOWN
    return ", ".join(shown[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}Z"


# --- for a program ---------------------------------------------------------------------------------------------------


def status_data(status: Status, step: Step | None, command: str) -> dict[str, object]:
    """The same as data; a part that could not be looked at is null and stands among `unknown` with the reason."""
    return {
        "machine": status.machine,
        "now": status.now,
        "clock_fault": status.clock_fault or None,
        "clock_doubt": status.clock_doubt or None,
        "newest_record": {"at": status.newest.at, "what": status.newest.what},
        "healthy": not status.bad,
        "bad": status.bad,
        "roots": _roots_data(status.roots) if isinstance(status.roots, Roots) else None,
        "kernel": _kernel_data(status.kernel) if isinstance(status.kernel, Kernel) else None,
        "image": initrds_data(status.image) if isinstance(status.image, Initrds) else None,
        "devices": _devices_data(status.devices) if isinstance(status.devices, Devices) else None,
        "journal": _journal_data(status.journal) if isinstance(status.journal, JournalState) else None,
        "unknown": [
            {"part": name, "code": gap.code, "message": gap.message, "hint": gap.hint} for name, gap in status.gaps
        ],
        "next": {"command": command, "reason": step.reason} if step else None,
    }


def _roots_data(roots: Roots) -> dict[str, object]:
    return {
        "states": {state.value: count for state, count in roots.states},
        "anchors": roots.anchors,
        "deny_entries": roots.deny_entries,
        "denied": roots.denied,
        "ends": [{"name": end.name, "not_after": end.not_after, "nearness": end.nearness} for end in roots.ends],
        "staged": roots.staged,
        "retiring": [{"name": name, "until": until} for name, until in roots.retiring],
        "findings": roots.findings,
        "unfinished": roots.unfinished,
    }


def _kernel_data(kernel: Kernel) -> dict[str, object]:
    return {
        "keyring": kernel.name,
        "in_step": kernel.in_step,
        "add": kernel.add,
        "remove": kernel.remove,
        "keep": kernel.keep,
        "rebuild": kernel.rebuild,
        "foreign": kernel.foreign,
        "reboot_needed": bool(kernel.fixed),
    }


def _devices_data(devices: Devices) -> dict[str, object]:
    return {
        "total": devices.total,
        "verdicts": {outcome.value: count for outcome, count in devices.verdicts},
        "rejected": devices.rejected,
        "unreachable": devices.unreachable,
        "never": devices.never,
        "oldest": devices.oldest,
    }


def _journal_data(journal: JournalState) -> dict[str, object]:
    return {
        "entries": journal.entries,
        "intact": not journal.fault,
        "fault": journal.fault or None,
        "torn": journal.torn,
    }
