"""Revocation lists, OCSP responses and the places that publish them, for a reader: as data and as lines."""

from __future__ import annotations

from datetime import datetime
from textwrap import wrap

from cmakeys.revocation.sources import Source, SourceKind
from cmakeys.roots.deny import serial_text
from cmakeys.x509.crl import RevocationList
from cmakeys.x509.ocsp import OcspResponse


def record_data(record: RevocationList | OcspResponse, now: datetime) -> dict[str, object]:
    """A list or response as data; `fresh`: the next one is not due yet; `entries` is null for a list refused."""
    due = _due(record)
    data: dict[str, object] = {
        "sha256": record.sha256,
        "this_update": _made(record),
        "next_update": due,
        "fresh": due is not None and now <= due,
        "refusal": record.refusal,
    }
    if isinstance(record, RevocationList):
        entries = None if record.refusal else len(record.entries)
        return {"kind": "crl", **data, "issuer": record.issuer, "number": record.number, "entries": entries}
    return {
        "kind": "ocsp",
        **data,
        "answers": [{"serial": serial_text(one.serial), "answer": one.answer} for one in record.statements],
    }


def record_lines(record: RevocationList | OcspResponse, now: datetime) -> list[str]:
    """A list or response for a person."""
    made, due = _made(record), _due(record)
    dates = f"of {made:%Y-%m-%d}" if made else "without a date"
    if due is None:
        dates += ", does not say when the next one is due"
    else:
        dates += f", the next one {'is' if now <= due else 'was'} due on {due:%Y-%m-%d}"
    if isinstance(record, RevocationList):
        count = "" if record.refusal else f"{len(record.entries)} revoked; "
        lines = [f"list by {record.issuer or 'an empty name'}", count + dates]
    else:
        answers = [f"{serial_text(one.serial)} is {one.answer.value}" for one in record.statements[:4]]
        lines = [f"OCSP response: {', '.join(answers)}", dates]
    return [*lines, *wrap(f"of no use: {record.refusal}", 78)] if record.refusal else lines


def source_data(source: Source) -> dict[str, object]:
    """A place as data."""
    return {
        "kind": source.kind,
        "url": source.url,
        "issuer": source.issuer.label,
        "certificate": source.certificate.label,
    }


def source_line(source: Source) -> str:
    """A place for a person who has to decide whether to connect to it."""
    about = source.issuer.label if source.kind is SourceKind.LIST else source.certificate.label
    return f"{source.kind.value:<4}  {source.url}  ({'list by' if source.kind is SourceKind.LIST else 'about'} {about})"


def _made(record: RevocationList | OcspResponse) -> datetime | None:
    if isinstance(record, RevocationList):
        return record.this_update
    return min((one.this_update for one in record.statements), default=None)


def _due(record: RevocationList | OcspResponse) -> datetime | None:
    if isinstance(record, RevocationList):
        return record.next_update
    dates = [one.next_update for one in record.statements]
    return min((date for date in dates if date is not None), default=None) if None not in dates else None
