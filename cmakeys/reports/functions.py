"""PCI functions and the kernel's findings for people and for programs: a scan, an attempt, slots and signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cmakeys.devices.functions import FunctionEntry
from cmakeys.devices.kernel import Authenticated, KernelSlot, KernelVerdict, SlotState
from cmakeys.devices.names import DeviceNames
from cmakeys.devices.reauthentication import Reauthentication, RecheckOutcome
from cmakeys.devices.scan import ScannedFunction
from cmakeys.errors import EvidenceProblem
from cmakeys.evidence.kernel import LogFinding, LogOutcome
from cmakeys.reports.layout import Line, shorten, wrap
from cmakeys.reports.terminal import Tone

SCAN_HEADER = ("FUNCTION", "NAME", "CMA", "KERNEL SAYS", "ENROLLED AS")
_NAME_CELLS = 30

VERDICT_TONES: Mapping[Authenticated, Tone] = {
    Authenticated.SUCCEEDED: Tone.GOOD,
    Authenticated.FAILED: Tone.BAD,
    Authenticated.UNDETERMINED: Tone.WARNING,
    Authenticated.UNKNOWN: Tone.WARNING,
}
_LOG_TONES = {
    LogOutcome.VERIFIED: Tone.GOOD,
    LogOutcome.REFUTED: Tone.BAD,
    LogOutcome.UNREADABLE: Tone.WARNING,
}


def scan_row(found: ScannedFunction, names: DeviceNames, enrolled: str | None) -> tuple[str, ...]:
    """One line of a scan; `enrolled` is the device's name in the register, None where that could not be read."""
    entry = found.function
    said = "" if found.verdict.state is Authenticated.ABSENT else found.verdict.state.value
    name = shorten(names.name(entry.vendor, entry.device), _NAME_CELLS)
    return (str(entry.address), name, found.speaks.value, said, "?" if enrolled is None else enrolled)


def scan_data(found: ScannedFunction, names: DeviceNames, enrolled: str | None) -> dict[str, object]:
    """One function of a scan for a program."""
    entry = found.function
    return {
        **function_data(entry),
        "name": names.name(entry.vendor, entry.device),
        "speaks_cma": found.speaks,
        "reason": found.reason,
        "identity": found.identity.san_string() if found.identity else None,
        "kernel": verdict_data(found.verdict),
        "enrolled": enrolled or None,
    }


def function_data(entry: FunctionEntry) -> dict[str, object]:
    """What sysfs says of a function; numbers are hex as `lspci -n` prints them."""
    return {
        "function": str(entry.address),
        "address": entry.url,
        "vendor": _hex(entry.vendor, 4),
        "device": _hex(entry.device, 4),
        "class": _hex(entry.class_code, 6),
        "driver": entry.driver,
        "doe_features": None if entry.features is None else sorted(entry.features),
    }


def verdict_data(verdict: KernelVerdict) -> dict[str, object]:
    """The kernel's verdict for a program; `raw` is the content as text, bytes beyond ASCII escaped."""
    return {
        "state": verdict.state,
        "meaning": verdict.words,
        "mode": None if verdict.mode is None else f"{verdict.mode:04o}",
        "raw": None if verdict.mode is None else verdict.raw.decode("ascii", "backslashreplace"),
        "problem": verdict.problem or None,
    }


def recheck_report(attempt: Reauthentication) -> list[Line]:
    """What came of asking the kernel again: before, after and why."""
    cause = attempt.cause
    tone = {RecheckOutcome.AUTHENTICATED: Tone.GOOD, RecheckOutcome.REJECTED: Tone.BAD}.get(cause.outcome, Tone.WARNING)
    change = f"{attempt.before.state.value} -> {attempt.after.state.value}"
    lines = wrap(f"{attempt.function.address}  {change}: {cause.words}", "", " " * 14)
    return [Line(lines[0], tone), *map(Line, lines[1:])]


def recheck_data(attempt: Reauthentication, finding: LogFinding | None) -> dict[str, object]:
    """The same for a program; `signature` is what our own verification of the logged signature found."""
    return {
        "function": str(attempt.function.address),
        "outcome": attempt.cause.outcome,
        "reason": attempt.cause.words,
        "errno": attempt.error.errno if attempt.error else None,
        "before": verdict_data(attempt.before),
        "after": verdict_data(attempt.after),
        "changed": attempt.changed,
        "nonce": attempt.nonce,
        "signature": log_data(finding) if finding else None,
    }


def slot_report(slots: Sequence[KernelSlot]) -> list[Line]:
    """The certificate slots that the kernel has cached."""
    if not slots:
        return [Line("  slots       none shown by this kernel", Tone.NOTE)]
    lines = []
    for slot in slots:
        tone = Tone.PLAIN if slot.state in (SlotState.EMPTY, SlotState.PROVISIONED) else Tone.WARNING
        chain, problem = _chain(slot)
        state = f"{slot.state.value}: {problem}" if problem else slot.state.value
        first, *more = wrap(state, f"  slot {slot.number}      ", " " * 14)
        lines += [Line(first, Tone.WARNING if problem else tone), *map(Line, more)]
        for certificate in chain:
            lines += [Line(text) for text in wrap(certificate["subject"], " " * 14, " " * 16)]
            lines.append(Line(f"{'':14}{certificate['sha256']}"))
    return lines


def slot_data(slot: KernelSlot) -> dict[str, object]:
    """One slot for a program."""
    chain, problem = _chain(slot)
    return {"slot": slot.number, "state": slot.state, "problem": problem or None, "chain": chain}


def log_report(finding: LogFinding) -> list[Line]:
    """One entry of the signature log with what is wrong about it."""
    entry = finding.entry
    words = f"{finding.outcome.value}, received {entry.received_at:%Y-%m-%d %H:%M:%S} UTC"
    lines = [Line(f"  signature {entry.number}: {words}", _LOG_TONES[finding.outcome])]
    for text in (*finding.faults, *finding.notes):
        lines += [Line(line) for line in wrap(text, " " * 14, " " * 16)]
    return lines


def log_data(finding: LogFinding) -> dict[str, object]:
    """The same for a program; `evidence` is the digest under which it can be saved."""
    entry = finding.entry
    return {
        "number": entry.number,
        "received_at": entry.received_at,
        "kind": entry.kind,
        "slot": entry.slot,
        "outcome": finding.outcome,
        "faults": finding.faults,
        "notes": finding.notes,
        "leaf": finding.leaf.fingerprint if finding.leaf else None,
        "requester_nonce": entry.requester_nonce,
        "evidence": finding.evidence.digest if finding.evidence else None,
    }


def _chain(slot: KernelSlot) -> tuple[list[dict[str, str]], str]:
    """The certificates of a slot, and why there are none."""
    if slot.state is not SlotState.PROVISIONED:
        return [], slot.problem
    try:
        return [{"subject": one.subject, "sha256": one.fingerprint} for one in slot.certificates()], ""
    except EvidenceProblem as problem:
        return [], str(problem)


def _hex(number: int | None, digits: int) -> str | None:
    return None if number is None else f"{number:0{digits}x}"
