"""What a device speaks, on one screen and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, Flag
from itertools import pairwise

from cmakeys.reports.layout import WIDTH, Line, shorten, wrap
from cmakeys.reports.terminal import Tone
from cmakeys.spdm.agreement import SUPPORTED_DHE, SUPPORTED_KEM
from cmakeys.spdm.algorithms import (
    SUPPORTED_BASE_ASYM,
    SUPPORTED_BASE_HASH,
    SUPPORTED_PQC_ASYM,
    PqcAsym,
    algorithm_name,
)
from cmakeys.spdm.codes import Capability, CertificateModel, KeyUsage
from cmakeys.spdm.messages.key_pairs import KeyPairAsym
from cmakeys.spdm.secured import SUPPORTED_AEAD
from cmakeys.spdm.survey import SlotFacts, Survey, VersionFacts
from cmakeys.verify.tcb_comparison import known_tcb
from cmakeys.x509.certificate import Certificate

_LABEL = 15

_GROUPS: tuple[tuple[str, tuple[tuple[Capability, str], ...]], ...] = (
    (
        "proves",
        (
            (Capability.CHAL, "answers CHALLENGE"),
            (Capability.MEAS_SIGNED, "signs measurements"),
            (Capability.MEAS_UNSIGNED, "gives measurements unsigned"),
            (Capability.MEAS_FRESH, "measures anew"),
            (Capability.EP_INFO_SIGNED, "signs endpoint information"),
            (Capability.EP_INFO_UNSIGNED, "gives endpoint information unsigned"),
            (Capability.MEL, "keeps a measurement log"),
        ),
    ),
    (
        "identity",
        (
            (Capability.CERT, "certificates"),
            (Capability.ALIAS_CERT, "alias certificates, which change with firmware"),
            (Capability.PUB_KEY_ID, "a provisioned public key"),
            (Capability.MULTI_KEY_ONLY, "only multi-key connections"),
            (Capability.MULTI_KEY_NEGOTIABLE, "multi-key connections"),
            (Capability.GET_KEY_PAIR_INFO, "tells its key pairs"),
        ),
    ),
    (
        "sessions",
        (
            (Capability.KEY_EX, "by key exchange"),
            (Capability.PSK, "by pre-shared key"),
            (Capability.PSK_WITH_CONTEXT, "by pre-shared key with context"),
            (Capability.ENCRYPT, "encrypted"),
            (Capability.MAC, "authenticated"),
            (Capability.HANDSHAKE_IN_THE_CLEAR, "handshake in the clear where both can"),
            (Capability.MUT_AUTH, "may ask who we are"),
            (Capability.ENCAP, "asks questions of its own"),
            (Capability.HBEAT, "heartbeat"),
            (Capability.KEY_UPD, "key update"),
            (Capability.EVENT, "reports events"),
        ),
    ),
    (
        "provisioning",
        (
            (Capability.CSR, "gives certificate requests"),
            (Capability.SET_CERT, "takes certificates"),
            (Capability.CERT_INSTALL_RESET, "which needs a reset"),
            (Capability.SET_KEY_PAIR_INFO, "changes key pairs"),
            (Capability.SET_KEY_PAIR_RESET, "which needs a reset"),
        ),
    ),
    (
        "messages",
        (
            (Capability.CACHE, "keeps what was negotiated"),
            (Capability.CHUNK, "cuts large ones into chunks"),
            (Capability.LARGE_RESP, "long certificate chains"),
        ),
    ),
)
"""Every capability in words, by what a person wants to know. A test holds it complete."""


@dataclass(frozen=True, slots=True)
class SlotView:
    """A slot with its certificates, as far as they could be read; `fault` says what is wrong with the rest."""

    facts: SlotFacts
    certificates: tuple[Certificate, ...]
    fault: str = ""


def capability_words(flags: Capability) -> dict[str, list[str]]:
    """A device's capabilities in words, by group; groups without any are left out."""
    found = {group: [words for flag, words in rows if flags & flag] for group, rows in _GROUPS}
    return {group: words for group, words in found.items() if words}


def _sized(facts: VersionFacts) -> str:
    if not facts.data_transfer_size:
        return ""
    whole = f", {facts.max_message_size} in all" if facts.max_message_size != facts.data_transfer_size else ""
    return f"{facts.data_transfer_size} bytes at once{whole}"


def _patience(facts: VersionFacts) -> str:
    """How long a cryptographic answer may take: 2^CTExponent microseconds."""
    seconds = 2.0**facts.ct_exponent / 1e6
    return f"{seconds:.2g} s" if seconds >= 1e-3 else "no time worth mentioning"


def _algorithms(survey: Survey) -> Iterator[tuple[str, str]]:
    all_of, chosen = survey.algorithms, survey.chosen
    rows: tuple[tuple[str, tuple[tuple[Flag, Flag, Flag], ...]], ...] = (
        (
            "signatures",
            ((all_of.asym, chosen.asym, SUPPORTED_BASE_ASYM), (all_of.pqc, chosen.pqc, SUPPORTED_PQC_ASYM)),
        ),
        ("hashes", ((all_of.hashes, chosen.hashes, SUPPORTED_BASE_HASH),)),
        ("key exchange", ((all_of.dhe, chosen.dhe, SUPPORTED_DHE), (all_of.kem, chosen.kem, SUPPORTED_KEM))),
        ("ciphers", ((all_of.aead, chosen.aead, SUPPORTED_AEAD),)),
    )
    for label, kinds in rows:
        words = [
            _one(member, chose, ours)
            for found, chose, ours in kinds
            for member in type(found)
            if member.value & (found | chose).value
        ]
        if words:
            yield label, ", ".join(words)
    if chosen.measurement_hash is not None:
        yield "measured with", algorithm_name(chosen.measurement_hash)


def _one(member: Flag, chosen: Flag, supported: Flag) -> str:
    name = algorithm_name(member)
    if not member.value & supported.value:
        return f"{name} (not supported here)"
    return f"{name} (its choice)" if member.value & chosen.value else name


def _labelled(label: str, text: str) -> Iterator[Line]:
    head = f"  {label:<{_LABEL}}"
    for line in wrap(text, head, " " * len(head)):
        yield Line(line)


def survey_lines(device: str, survey: Survey, slots: tuple[SlotView, ...]) -> Iterator[Line]:
    """The screen."""
    yield Line(shorten(device, WIDTH))
    yield from _labelled("versions", ", ".join(map(str, survey.versions)))
    highest = max(survey.facts)
    facts = survey.facts[highest]
    for group, words in capability_words(facts.flags).items():
        yield from _labelled(group, ", ".join(words))
    yield from _labelled("sizes and time", "; ".join(filter(None, (_sized(facts), f"answers in {_patience(facts)}"))))
    for newer, version in pairwise(sorted(survey.facts, reverse=True)):
        missing = _missing(survey.facts[newer], survey.facts[version])
        if missing:
            yield from _labelled(f"new in {newer}", missing)
    for label, text in _algorithms(survey):
        yield from _labelled(label, text)
    for slot in slots:
        yield from slot_lines(slot, multi_key=survey.multi_key)
    if survey.measurements is not None:
        yield from _labelled("measurements", str(survey.measurements))
    if survey.log is not None:
        yield from _labelled("log", f"{len(survey.log)} entries")
    for identifier in survey.endpoint or ():
        parts = " ".join(octets.hex() for octets in (identifier.vendor, *identifier.parts) if octets)
        yield from _labelled("device class", f"registry {identifier.registry}: {parts}")
    if survey.key_pairs is not None:
        yield from _labelled("key pairs", _key_pairs(survey))
    for what, reason in survey.troubles.items():
        for line in wrap(f"{what}: {reason}", "  not told       ", " " * 17):
            yield Line(line, Tone.WARNING)


def _missing(newer: VersionFacts, older: VersionFacts) -> str:
    """The capabilities that an older version lacks."""
    words = capability_words(newer.flags & ~older.flags)
    return ", ".join(word for group in words.values() for word in group)


def _key_pairs(survey: Survey) -> str:
    pairs = survey.key_pairs or ()
    kinds = [algorithm_of(pair.asym, pair.pqc) for pair in pairs]
    return f"{len(pairs)}: {', '.join(dict.fromkeys(kinds))}" if pairs else "none"


def algorithm_of(asym: int, pqc: int) -> str:
    """The name of a key pair's algorithm."""
    if asym:
        return str(KeyPairAsym(asym).name or f"{asym:#x}")
    return algorithm_name(PqcAsym(pqc)) if pqc else "not generated"


def slot_lines(slot: SlotView, *, multi_key: bool) -> Iterator[Line]:
    """One slot on the screen."""
    label = f"slot {slot.facts.slot}"
    if slot.fault:
        yield from _labelled(label, slot.fault)
    if not slot.certificates:
        return
    leaf, top = slot.certificates[-1], slot.certificates[0]
    until = "without expiry" if leaf.never_expires else f"until {leaf.not_after:%Y-%m-%d}"
    kind = f"{len(slot.certificates)} certificates, {leaf.key_description}, {until}"
    if multi_key and slot.facts.info is not None:
        info = slot.facts.info
        usage = (KeyUsage(info.key_usage).name or "nothing").lower().replace("|", ", ").replace("_", " ")
        model = CertificateModel(info.certificate_info & 3).name.lower()
        kind += f", key pair {info.key_pair_id} ({model}) for {usage}"
    yield from _labelled(label, kind)
    yield from _labelled("", f"leaf {leaf.label}")
    above = f"root {top.label}" if top.self_issued else f"issued by {top.issuer}"
    yield from _labelled("", above)
    for place in known_tcb(slot.certificates):
        yield from _labelled("", f"TcbInfo of {place.name}: {', '.join(place.info.words())}")


def survey_data(device: str, survey: Survey, slots: tuple[SlotView, ...]) -> dict[str, object]:
    """The same for programs, with the specification's names."""
    return {
        "device": device,
        "versions": [str(version) for version in survey.versions],
        "capabilities": {str(version): _facts_data(facts) for version, facts in sorted(survey.facts.items())},
        "algorithms": {name: _names(value) for name, value in _fields(survey.algorithms).items()},
        "chosen": {name: _names(value) for name, value in _fields(survey.chosen).items()},
        "slots": [slot_data(slot) for slot in slots],
        "measurements": survey.measurements,
        "log_entries": None if survey.log is None else len(survey.log),
        "endpoint": [
            {"registry": one.registry, "vendor": one.vendor, "parts": list(one.parts)} for one in survey.endpoint or ()
        ],
        "key_pairs": [
            {
                "key_pair": pair.key_pair,
                "algorithm": algorithm_of(pair.asym, pair.pqc),
                "slots": [slot for slot in range(8) if pair.slot_mask >> slot & 1],
            }
            for pair in survey.key_pairs or ()
        ],
        "troubles": dict(survey.troubles),
    }


def slot_data(slot: SlotView) -> dict[str, object]:
    """One slot for programs."""
    return {
        "slot": slot.facts.slot,
        "digest": slot.facts.digest,
        "fault": slot.fault,
        "certificates": [
            {
                "subject": certificate.subject,
                "issuer": certificate.issuer,
                "fingerprint": certificate.fingerprint,
                "key": certificate.key_description,
                "not_before": certificate.not_before,
                "not_after": certificate.not_after,
            }
            for certificate in slot.certificates
        ],
    }


def _facts_data(facts: VersionFacts) -> dict[str, object]:
    return {
        "flags": [str(flag.name) for flag in Capability if facts.flags & flag],
        "ct_exponent": facts.ct_exponent,
        "data_transfer_size": facts.data_transfer_size,
        "max_message_size": facts.max_message_size,
    }


def _fields(value: object) -> Mapping[str, Enum | None]:
    return {name: getattr(value, name) for name in ("asym", "pqc", "hashes", "measurement_hash", "dhe", "kem", "aead")}


def _names(value: Enum | None) -> list[str]:
    if not isinstance(value, Flag):
        return []
    return [algorithm_name(member) for member in type(value) if member.value & value.value]
