"""Enrolled devices for people and for programs: a list, one in full, and what enrolling one has fixed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cmakeys.devices.enrolled import CheckRecord, EnrolledDevice, Negotiated
from cmakeys.devices.pin import meaning
from cmakeys.reports.layout import Line, wrap
from cmakeys.reports.terminal import Tone
from cmakeys.reports.text import OUTCOME_TONES
from cmakeys.verify.comparison import kind_name, shorten
from cmakeys.verify.verdict import Outcome

HEADER = ("DEVICE", "VERDICT", "CHECKED", "PIN", "ADDRESS")
_TONES = {outcome.value: tone for outcome, tone in OUTCOME_TONES.items()}
_MAX_MEASUREMENTS = 16


def list_row(device: EnrolledDevice, verdict: CheckRecord | None, latest: CheckRecord | None) -> tuple[str, ...]:
    """One line of the list. A device that could not be reached keeps its last verdict, with a remark."""
    word = verdict.outcome if verdict else "none yet"
    if latest is not None and not latest.is_verdict:
        word += f", now {Outcome.UNREACHABLE.value}"
    return (device.name, word, _minute(verdict.checked_at) if verdict else "", device.pin.kind.value, device.address)


def device_report(device: EnrolledDevice, history: Sequence[CheckRecord]) -> list[Line]:
    """One enrolled device in full, with its newest checks."""
    facts = [
        ("address", device.address),
        ("enrolled", _minute(device.enrolled_at)),
        ("pin", f"{device.pin.kind.value} {device.pin.value}"),
        ("", meaning(device.pin.kind)),
        ("root", f"{device.root_name} {device.root_fingerprint}".strip()),
        ("identity", device.identity.san_string() if device.identity else ""),
        ("slot", "" if device.slot is None else str(device.slot)),
        ("protocol", _negotiated(device.at_enrolment)),
        ("last", _negotiated(device.last) if device.last != device.at_enrolment else ""),
        ("note", device.note),
    ]
    lines = [Line(device.name)]
    for label, value in facts:
        if value:
            lines += [Line(text) for text in wrap(value, f"  {label:<10}", " " * 12)]
    lines.append(Line("  chain" if device.key is None else "  chain     none: it is known by a public key"))
    for number, certificate in enumerate(device.chain):
        lines += [Line(text) for text in wrap(certificate.label, f"    {number}  ", " " * 7)]
        lines.append(Line(f"       {certificate.fingerprint}"))
    lines += _measurements(device)
    lines.append(Line("  checks" if history else "  checks    none yet"))
    for record in history:
        first, *following = wrap(f"{record.outcome}: {record.reason}", f"    {_minute(record.checked_at)}  ", " " * 27)
        lines += [Line(first, _TONES.get(record.outcome, Tone.NOTE)), *(Line(text) for text in following)]
    return lines


def _measurements(device: EnrolledDevice) -> list[Line]:
    if not device.measurements:
        return [Line("  measured  nothing: a change of firmware would go unnoticed", Tone.WARNING)]
    lines = [Line(f"  measured  {len(device.measurements)} values, which every check compares")]
    for block in device.measurements[:_MAX_MEASUREMENTS]:
        lines += [
            Line(text)
            for text in wrap(f"{kind_name(block)}: {shorten(block.value)}", f"    {block.index:<3} ", "        ")
        ]
    left = len(device.measurements) - _MAX_MEASUREMENTS
    return [*lines, Line(f"    and {left} more; --json shows all")] if left > 0 else lines


def enrolled_report(device: EnrolledDevice, pin_reason: str) -> list[Line]:
    """What an enrolment has fixed, and what to do next."""
    lines = [Line(text) for text in wrap(pin_reason, f"  pin       {device.pin.kind.value}: ", " " * 12)]
    lines.append(Line(f"            {device.pin.value}"))
    root = "none, and no certificates" if device.key is not None else f"{device.root_name} {device.root_fingerprint}"
    lines += [Line(text) for text in wrap(root, "  root      ", " " * 12)]
    if device.identity:
        lines += [Line(text) for text in wrap(device.identity.san_string(), "  identity  ", " " * 12)]
    if device.measurements:
        lines.append(Line(f"  measured  {len(device.measurements)} values, which every check will compare"))
    else:
        lines += _measurements(device)
    return [*lines, Line(f"next: cmakeys check {device.name}")]


def device_data(device: EnrolledDevice) -> dict[str, object]:
    """One enrolled device for a program."""
    return {
        "name": device.name,
        "address": device.address,
        "enrolled_at": device.enrolled_at,
        "pin": {"kind": device.pin.kind, "sha256": device.pin.value},
        "root": {"name": device.root_name, "sha256": device.root_fingerprint} if device.key is None else None,
        "identity": device.identity.san_string() if device.identity else None,
        "slot": device.slot,
        "negotiated": _negotiated_data(device.at_enrolment),
        "last_negotiated": _negotiated_data(device.last),
        "note": device.note,
        "chain": [{"subject": one.subject, "sha256": one.fingerprint} for one in device.chain],
        "measurements": [
            {
                "index": block.index,
                "specification": block.specification,
                "value_type": block.value_type,
                "value": block.value,
            }
            for block in device.measurements
        ],
    }


def record_data(record: CheckRecord | None) -> dict[str, object] | None:
    """One check of a history for a program."""
    if record is None:
        return None
    return {"checked_at": record.checked_at, "outcome": record.outcome, "reason": record.reason}


def _negotiated(negotiated: Negotiated) -> str:
    version = f"SPDM {negotiated.version}" if negotiated.version else ""
    return ", ".join(text for text in (version, negotiated.asymmetric, negotiated.hash) if text)


def _negotiated_data(negotiated: Negotiated) -> dict[str, object]:
    return {
        "version": negotiated.version or None,
        "asym": negotiated.asymmetric or None,
        "hash": negotiated.hash or None,
    }


def _minute(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
