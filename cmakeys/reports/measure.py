"""Measurements for people and for programs: what each block says in words, and how it stands to its reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cmakeys.measuring import Measured, Proof
from cmakeys.references import Reference, Stored
from cmakeys.reports.corim import stated_data, stated_lines, stated_tcb_data, stated_tcb_lines
from cmakeys.reports.layout import Line, wrap
from cmakeys.reports.terminal import Tone
from cmakeys.spdm.codes import MeasurementType
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.verify.comparison import Comparison, kind_name, shorten
from cmakeys.verify.measurement_rules import RuleKind, secure_version
from cmakeys.verify.statement import Stated
from cmakeys.verify.tcb_comparison import known_tcb
from cmakeys.x509.tcb import ChainTcb

PROOF_TONES = {
    Proof.TRUSTED: Tone.GOOD,
    Proof.KEY: Tone.WARNING,
    Proof.SIGNED: Tone.WARNING,
    Proof.BROKEN: Tone.BAD,
    Proof.UNSIGNED: Tone.WARNING,
    Proof.NONE: Tone.NOTE,
}
COMPARE_HEADER = ("INDEX", "TYPE", "REFERENCE", "NOW", "RULE", "RESULT")
MAX_RAW_SHOWN = 64
"""Bytes of a raw value on the screen; JSON has all."""

_INDENT = " " * 6

DEVICE_MODE_SIZE = 16
OPERATIONAL_MODES = ("manufacturing", "validation", "normal", "recovery", "returned (RMA)", "decommissioned")
DEVICE_MODES = (
    "non-invasive debug active",
    "invasive debug active",
    "non-invasive debug was active since reset",
    "invasive debug was active since reset",
    "invasive debug was active since it left manufacturing",
)
"""The bits of a device mode, from bit 0 up (DSP0274 1.3 §10.11.1.3)."""


def flag_words(value: int, names: Sequence[str]) -> list[str]:
    """The bits that are set, in words; one without a name by its number."""
    return [names[bit] if bit < len(names) else f"bit {bit}" for bit in range(32) if value >> bit & 1]


def device_mode(block: MeasurementBlock) -> dict[str, list[str]] | None:
    """The four fields of a device mode in words; None for any other block and for one of another size."""
    if block.kind is not MeasurementType.DEVICE_MODE or not block.raw or len(block.value) != DEVICE_MODE_SIZE:
        return None
    fields = [int.from_bytes(block.value[at : at + 4], "little") for at in range(0, DEVICE_MODE_SIZE, 4)]
    return {
        "operational_modes": flag_words(fields[0], OPERATIONAL_MODES),
        "operational_state": flag_words(fields[1], OPERATIONAL_MODES),
        "device_modes": flag_words(fields[2], DEVICE_MODES),
        "device_state": flag_words(fields[3], DEVICE_MODES),
    }


def svn(block: MeasurementBlock) -> int | None:
    """The secure version number; None for any other block."""
    return secure_version(block) if block.kind is MeasurementType.SECURE_VERSION_NUMBER else None


def text_of(block: MeasurementBlock) -> str | None:
    """A raw value that is nothing but printable ASCII, as text."""
    if not block.raw or not block.value or not block.value.isascii():
        return None
    text = block.value.decode("ascii").rstrip("\0")
    return text if text and text.isprintable() else None


def tcb_data(places: Sequence[ChainTcb] | None) -> list[dict[str, object]] | None:
    """What certificates say of firmware, for a program."""
    if places is None:
        return None
    return [
        {
            "depth": place.depth,
            "vendor": place.info.vendor,
            "model": place.info.model,
            "version": place.info.version,
            "svn": place.info.svn,
            "layer": place.info.layer,
            "index": place.info.index,
            "type": place.info.type,
            "fwids": [{"algorithm": one.algorithm, "digest": one.digest} for one in place.info.fwids],
            "flags": None if place.info.flags is None else list(place.info.flags),
        }
        for place in places
    ]


def tcb_lines(places: Sequence[ChainTcb] | None) -> Iterator[Line]:
    """What certificates say of firmware, for a person."""
    for place in places or ():
        for text in wrap(f"TcbInfo of {place.name}", " tcb  ", _INDENT):
            yield Line(text)
        for word in place.info.words():
            for text in wrap(word, _INDENT, _INDENT):
                yield Line(text)


def block_data(block: MeasurementBlock) -> dict[str, object]:
    """One block for a program; what it is not is null."""
    kind = block.kind
    return {
        "index": block.index,
        "specification": block.specification,
        "type": kind.name.lower().replace("_", "-") if isinstance(kind, MeasurementType) else f"{kind:#04x}",
        "value_type": block.value_type,
        "raw": block.raw,
        "value": block.value,
        "svn": svn(block),
        "device_mode": device_mode(block),
        "text": text_of(block),
    }


def measured_data(found: Measured) -> dict[str, object]:
    """All measurements for a program."""
    return {
        "device": found.evidence.device,
        "collected_at": found.evidence.collected_at,
        "proof": found.proof.name.lower(),
        "reason": found.reason,
        "slot": found.facts.slot,
        "evidence": found.evidence.digest,
        "measurements": [block_data(block) for block in found.blocks],
        "tcb": tcb_data(known_tcb(found.facts.certificates)),
    }


def measured_lines(found: Measured) -> Iterator[Line]:
    """All measurements for a person."""
    for text in wrap(f"{found.evidence.device}: {found.proof.value}", "", "  "):
        yield Line(text, PROOF_TONES[found.proof])
    if found.reason:
        for text in wrap(found.reason, "  ", "  "):
            yield Line(text)
    for block in found.blocks:
        yield from block_lines(block)
    yield from tcb_lines(known_tcb(found.facts.certificates))


def block_lines(block: MeasurementBlock) -> Iterator[Line]:
    """One block for a person."""
    yield Line(f"{block.index:>4}  {kind_name(block) if block.raw else f'{kind_name(block)}, digest'}")
    mode, number, text = device_mode(block), svn(block), text_of(block)
    if mode is not None:
        for label, key in (
            ("mode", "operational_state"),
            ("may be", "operational_modes"),
            ("debug", "device_state"),
            ("debug may be", "device_modes"),
        ):
            for line in wrap(", ".join(mode[key]) or "none", f"{_INDENT}{label}: ", _INDENT * 2):
                yield Line(line)
        return
    if number is not None:
        yield Line(f"{_INDENT}{number}")
        return
    if text is not None:
        for line in wrap(f'"{text[:MAX_RAW_SHOWN]}"', _INDENT, _INDENT):
            yield Line(line)
        return
    shown = block.value[:MAX_RAW_SHOWN].hex()
    for line in wrap(shown or "empty", _INDENT, _INDENT):
        yield Line(line)
    if len(block.value) > MAX_RAW_SHOWN:
        yield Line(f"{_INDENT}… {len(block.value)} bytes in all; --json has them")


def comparison_data(lines: Sequence[Comparison]) -> list[dict[str, object]]:
    """A comparison for a program."""
    return [
        {
            "index": line.index,
            "result": line.match,
            "good": line.match.good,
            "rule": line.rule.kind,
            "allowed": list(line.rule.values),
            "reference": block_data(line.expected) if line.expected else None,
            "measured": block_data(line.actual) if line.actual else None,
            "stated": line.stated.to_json() if line.stated else None,
            "difference": line.difference,
        }
        for line in lines
    ]


def comparison_rows(lines: Sequence[Comparison]) -> list[tuple[str, ...]]:
    """A comparison for a person, a row for each index."""
    return [
        (
            str(line.index),
            _kind(line)[:24],
            _statement(line.stated) if line.stated else _cell(line.expected),
            _cell(line.actual),
            line.rule.kind.value if line.rule.kind is not RuleKind.FIXED else "",
            line.match.value,
        )
        for line in lines
    ]


def _kind(line: Comparison) -> str:
    block = line.actual or line.expected
    return kind_name(block).removesuffix(", raw") if block else "?"


def _statement(stated: Stated) -> str:
    if len(stated.alternatives) > 1:
        return f"one of {len(stated.alternatives)}"
    return stated.alternatives[0].words[:20]


def _cell(block: MeasurementBlock | None) -> str:
    if block is None:
        return "none"
    number = svn(block)
    return str(number) if number is not None else shorten(block.value[:5]) + ("…" if len(block.value) > 5 else "")


def provenance_data(reference: Reference) -> dict[str, object]:
    """Where a reference is from, for a program."""
    origin = reference.provenance
    return {
        "action": origin.action,
        "at": origin.at,
        "by": origin.by,
        "reason": origin.reason,
        "evidence": origin.evidence or None,
        "source": origin.source or None,
    }


def provenance_lines(reference: Reference) -> Iterator[Line]:
    """Where a reference is from, for a person."""
    origin = reference.provenance
    by = f" by {origin.by}" if origin.by else ""
    for text in wrap(f"{origin.action} of {origin.at:%Y-%m-%d %H:%M} UTC{by}", "reference  ", " " * 11):
        yield Line(text)
    digest = "file" if origin.source else "evidence"
    for label, value in (("source", origin.source), ("reason", origin.reason), (digest, origin.evidence)):
        if value:
            for text in wrap(value, f"{label:<11}", " " * 11):
                yield Line(text)


def reference_data(name: str, reference: Reference, stored: Stored | None) -> dict[str, object]:
    """A device's reference for a program."""
    return {
        "device": name,
        "provenance": provenance_data(reference),
        "previous": [provenance_data(one) for one in stored.previous] if stored else [],
        "measurements": [block_data(block) for block in reference.values.blocks],
        "stated": stated_data(reference.values.stated),
        "stated_tcb": stated_tcb_data(reference.values.stated_tcb),
        "tcb": tcb_data(reference.values.tcb),
    }


def reference_lines(reference: Reference, stored: Stored | None) -> Iterator[Line]:
    """A device's reference for a person."""
    yield from provenance_lines(reference)
    for one in stored.previous if stored else ():
        yield Line(f"{'before':<11}{one.provenance.action} of {one.provenance.at:%Y-%m-%d %H:%M} UTC")
    yield from stated_lines(reference.values.stated)
    yield from stated_tcb_lines(reference.values.stated_tcb)
    stated = {one.index for one in reference.values.stated}
    for block in reference.values.blocks:
        if block.index not in stated:
            yield from block_lines(block)
    yield from tcb_lines(reference.values.tcb)
