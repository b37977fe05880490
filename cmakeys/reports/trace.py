"""A recorded conversation for people, and as JSON: one line for each message, or every field of it.

NO  TIME    SESSION      MESSAGE                         WHAT IT SAYS
 7   0.012             > GET_CERTIFICATE                 slot 0, up to 1024 bytes from 0
 8   0.013             < CERTIFICATE                     slot 0, 1024 bytes, 620 remain
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum, Flag
from typing import Any

from cmakeys.evidence.trace import Spoken
from cmakeys.reports.layout import WIDTH, Line, shorten, wrap
from cmakeys.reports.terminal import Tone
from cmakeys.spdm.algorithms import Aead, BaseAsym, BaseHash, Dhe, Kem, MeasurementHash, PqcAsym
from cmakeys.spdm.codes import Capability, KeyOperation, KeyUsage, MutualAuthentication, RequestCode, SummaryHash
from cmakeys.spdm.decoding import name_of
from cmakeys.spdm.messages.capabilities import Capabilities, GetCapabilities
from cmakeys.spdm.messages.certificates import CertificateResponse, Digests, GetCertificate
from cmakeys.spdm.messages.challenge import Challenge, ChallengeAuth
from cmakeys.spdm.messages.chunking import ChunkGet, ChunkResponse, ChunkSend, ChunkSendAck
from cmakeys.spdm.messages.encapsulated import (
    AckPayload,
    DeliverEncapsulatedResponse,
    EncapsulatedRequest,
    EncapsulatedResponseAck,
)
from cmakeys.spdm.messages.endpoint_info import EndpointInfo, GetEndpointInfo
from cmakeys.spdm.messages.error import ErrorResponse, RespondIfReady
from cmakeys.spdm.messages.events import SendEvent, SubscribeEventTypes, SupportedEventTypes
from cmakeys.spdm.messages.extension_log import GetMeasurementExtensionLog, MeasurementExtensionLog
from cmakeys.spdm.messages.finish import Finish
from cmakeys.spdm.messages.key_exchange import KeyExchange, KeyExchangeResponse
from cmakeys.spdm.messages.key_pairs import (
    GetKeyPairInfo,
    KeyPairAsym,
    KeyPairCapability,
    KeyPairInfo,
    KeyPairOperation,
    SetKeyPairInfo,
)
from cmakeys.spdm.messages.measurements import GetMeasurements, Measurements
from cmakeys.spdm.messages.negotiation import (
    TABLE_AEAD,
    TABLE_DHE,
    TABLE_KEM,
    TABLE_REQ_BASE_ASYM,
    TABLE_REQ_PQC_ASYM,
    Algorithms,
    NegotiateAlgorithms,
    StructTable,
)
from cmakeys.spdm.messages.provisioning import Csr, GetCsr, SetCertificate
from cmakeys.spdm.messages.psk import PskExchange, PskExchangeResponse
from cmakeys.spdm.messages.session_control import KeyUpdate, KeyUpdateAck
from cmakeys.spdm.messages.vendor_defined import VendorDefinedRequest, VendorDefinedResponse
from cmakeys.spdm.messages.version import VersionResponse
from cmakeys.spdm.pci_sig import PCI_SIG
from cmakeys.spdm.pci_sig import name_of as pci_sig_name

_SHOWN_BYTES = 24
_INDENT = " " * 13

_TABLES: dict[int, tuple[str, type[Flag]]] = {
    TABLE_DHE: ("DHE", Dhe),
    TABLE_AEAD: ("AEAD", Aead),
    TABLE_REQ_BASE_ASYM: ("requester signs", BaseAsym),
    TABLE_REQ_PQC_ASYM: ("requester signs", PqcAsym),
    TABLE_KEM: ("KEM", Kem),
}

_MEANINGS: dict[tuple[type, str], type[Enum]] = {
    (Algorithms, "base_asym"): BaseAsym,
    (Algorithms, "base_hash"): BaseHash,
    (Algorithms, "measurement_hash"): MeasurementHash,
    (Algorithms, "pqc_asym"): PqcAsym,
    (Challenge, "summary_hash"): SummaryHash,
    (KeyExchange, "summary_hash"): SummaryHash,
    (PskExchange, "summary_hash"): SummaryHash,
    (KeyExchangeResponse, "mutual"): MutualAuthentication,
    (KeyUpdate, "operation"): KeyOperation,
    (KeyUpdateAck, "operation"): KeyOperation,
    (RespondIfReady, "request_code"): RequestCode,
    (EncapsulatedResponseAck, "kind"): AckPayload,
    (SetKeyPairInfo, "operation"): KeyPairOperation,
    (KeyPairInfo, "capabilities"): KeyPairCapability,
    (KeyPairInfo, "asym_capabilities"): KeyPairAsym,
    (KeyPairInfo, "asym"): KeyPairAsym,
    (KeyPairInfo, "usage_capabilities"): KeyUsage,
    (KeyPairInfo, "usage"): KeyUsage,
}
"""Fields that hold a plain number on the wire, and whose names they stand for."""


def names(value: Flag | int, kind: type[Enum] | None = None) -> str:
    """The names of a number's bits or of its value; what has no name is given as a number."""
    number = int(value.value if isinstance(value, Enum) else value)
    known = kind or type(value)
    if not issubclass(known, Flag):
        found = [one.name for one in known if one.value == number] if issubclass(known, Enum) else []
        return found[0] if found else f"{number:#x}"
    members = [one for one in known.__members__.values() if int(one.value).bit_count() == 1]
    said = [str(one.name) for one in members if number & one.value]
    rest = number & ~sum(one.value for one in members)
    return ", ".join([*said, *([f"{rest:#x}"] if rest else [])]) or "none"


def _tables(tables: tuple[StructTable, ...]) -> Iterator[str]:
    for table in tables:
        if table.type in _TABLES and table.mask:
            label, kind = _TABLES[table.type]
            yield f"{label} {names(table.mask, kind)}"


def _offered(message: NegotiateAlgorithms) -> str:
    parts = [names(message.base_asym), names(message.pqc_asym) if message.pqc_asym else ""]
    return "; ".join(filter(None, (*parts, names(message.base_hash), *_tables(message.tables))))


def _selected(message: Algorithms) -> str:
    parts = [
        names(message.base_asym, BaseAsym) if message.base_asym else "",
        names(message.pqc_asym, PqcAsym) if message.pqc_asym else "",
        names(message.base_hash, BaseHash),
        f"measured {names(message.measurement_hash, MeasurementHash)}" if message.measurement_hash else "",
    ]
    return "; ".join(filter(None, (*parts, *_tables(message.tables))))


def _capabilities(message: GetCapabilities | Capabilities) -> str:
    sizes = f"; {message.data_transfer_size} bytes at once" if message.data_transfer_size else ""
    return names(message.flags, Capability) + sizes


def _measured(message: Measurements) -> str:
    signed = ", signed" if message.signature else ""
    if message.param1 and not message.block_count:
        return f"{message.param1} indices{signed}"
    return f"{message.block_count} blocks, {len(message.record)} bytes{signed}"


def _vendor(message: VendorDefinedRequest | VendorDefinedResponse) -> str:
    if message.vendor == PCI_SIG:
        return pci_sig_name(message.payload)
    number = f" {message.vendor.number.hex()}" if message.vendor.number else ""
    return f"registry {message.vendor.registry}{number}, {len(message.payload)} bytes"


def _acknowledged(message: EncapsulatedResponseAck) -> str:
    if message.kind == AckPayload.REQUEST:
        return f"and asks {name_of(message.payload)}"
    return "asks no more" if message.kind == AckPayload.ABSENT else f"chooses slot {message.payload.hex()}"


def _key_pair(message: KeyPairInfo) -> str:
    algorithm = names(message.asym, KeyPairAsym) if message.asym else names(message.pqc, PqcAsym)
    return f"{message.key_pair} of {message.total}: {algorithm}, slots {_bits(message.slot_mask)}"


def _bits(mask: int) -> str:
    return " ".join(str(bit) for bit in range(8) if mask >> bit & 1) or "none"


_SUMMARIES: dict[type, Callable[[Any], str]] = {
    VersionResponse: lambda m: " ".join(str(one) for one in sorted(m.versions)),
    GetCapabilities: _capabilities,
    Capabilities: _capabilities,
    NegotiateAlgorithms: _offered,
    Algorithms: _selected,
    Digests: lambda m: f"slots {_bits(m.provisioned)}",
    GetCertificate: lambda m: f"slot {m.slot}, up to {m.length} bytes from {m.offset}",
    CertificateResponse: lambda m: f"slot {m.slot}, {len(m.portion)} bytes, {m.remainder} remain",
    Challenge: lambda m: f"slot {m.slot}",
    ChallengeAuth: lambda m: f"slots {_bits(m.slot_mask)}, signed",
    GetMeasurements: lambda m: (
        {0: "how many", 0xFF: "all"}.get(m.operation, f"index {m.operation:#04x}") + (", signed" if m.signed else "")
    ),
    Measurements: _measured,
    KeyExchange: lambda m: f"slot {m.slot}, session half {m.session_id:#06x}",
    KeyExchangeResponse: lambda m: (
        f"session half {m.session_id:#06x}, heartbeat {m.heartbeat} s"
        + (f", mutual {names(m.mutual, MutualAuthentication)}" if m.mutual else "")
    ),
    Finish: lambda m: "signed" if m.signature else "",
    PskExchange: lambda m: f"hint {_text(m.hint)}, session half {m.session_id:#06x}",
    PskExchangeResponse: lambda m: f"session half {m.session_id:#06x}, heartbeat {m.heartbeat} s",
    KeyUpdate: lambda m: f"{names(m.operation, KeyOperation)}, tag {m.tag:#04x}",
    KeyUpdateAck: lambda m: f"{names(m.operation, KeyOperation)}, tag {m.tag:#04x}",
    EncapsulatedRequest: lambda m: f"asks {name_of(m.message)}",
    DeliverEncapsulatedResponse: lambda m: name_of(m.message),
    EncapsulatedResponseAck: _acknowledged,
    ErrorResponse: lambda m: m.name + (f", {m.extended.hex()}" if m.extended else ""),
    RespondIfReady: lambda m: names(m.request_code, RequestCode),
    ChunkSend: lambda m: f"{m.sequence}, {len(m.chunk)} bytes" + (", the last" if m.last else ""),
    ChunkGet: lambda m: str(m.sequence),
    ChunkResponse: lambda m: f"{m.sequence}, {len(m.chunk)} bytes" + (", the last" if m.last else ""),
    ChunkSendAck: lambda m: f"{m.sequence}" + (f", {name_of(m.response)}" if m.response else ""),
    GetMeasurementExtensionLog: lambda m: f"up to {m.length} bytes from {m.offset}",
    MeasurementExtensionLog: lambda m: f"{len(m.portion)} bytes, {m.remainder} remain",
    GetEndpointInfo: lambda m: f"slot {m.slot}, signed" if m.signed else "unsigned",
    EndpointInfo: lambda m: f"{len(m.information)} bytes" + (", signed" if m.signature else ""),
    GetKeyPairInfo: lambda m: f"key pair {m.key_pair}",
    KeyPairInfo: _key_pair,
    SetKeyPairInfo: lambda m: f"{names(m.operation, KeyPairOperation)} key pair {m.key_pair}",
    GetCsr: lambda m: f"key pair {m.key_pair}" if m.key_pair else "",
    Csr: lambda m: f"{len(m.request)} bytes",
    SetCertificate: lambda m: f"slot {m.slot}, " + ("erase" if m.erase else f"{len(m.chain)} bytes"),
    SupportedEventTypes: lambda m: f"{m.group_count} groups",
    SubscribeEventTypes: lambda m: f"{m.group_count} groups",
    SendEvent: lambda m: ", ".join(one.kind.name if one.kind else f"type {one.type}" for one in m.events),
    VendorDefinedRequest: _vendor,
    VendorDefinedResponse: _vendor,
}


def summary(spoken: Spoken) -> str:
    """What a message says, on one line."""
    if spoken.shut:
        return f"{len(spoken.octets)} bytes"
    if spoken.application:
        return f"{len(spoken.octets)} bytes: {_text(spoken.octets)}"
    tell = _SUMMARIES.get(type(spoken.decoded))
    return tell(spoken.decoded) if tell else ""


def _text(octets: bytes) -> str:
    """Octets as text where they are printable, else the first of them in hexadecimal."""
    text = octets.rstrip(b"\0")
    if text and text.isascii() and text.decode().isprintable():
        return repr(text.decode())
    return octets[:_SHOWN_BYTES].hex() + ("…" if len(octets) > _SHOWN_BYTES else "")


def message_fields(decoded: object) -> dict[str, object]:
    """The fields of a decoded message in the codec's order: names for numbers that have them, bytes as they are."""
    if not is_dataclass(decoded) or isinstance(decoded, type):
        return {}
    found: dict[str, object] = {}
    for field in fields(decoded):
        value = getattr(decoded, field.name)
        kind = _MEANINGS.get((type(decoded), field.name))
        found[field.name] = names(value, kind) if kind else _plain(value)
    return found


def _plain(value: object) -> object:
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return message_fields(value)
    if isinstance(value, Flag):
        return names(value)
    return str(value) if isinstance(value, Enum) else value


def trace_data(spoken: Spoken, *, octets: bool) -> dict[str, object]:
    """One message for JSON; `octets` adds what was sent."""
    return {
        "number": spoken.number,
        "time": spoken.time,
        "direction": "request" if spoken.request else "response",
        "session": spoken.session,
        "name": spoken.name,
        "put_together": spoken.whole,
        "opened": not spoken.shut,
        "size": len(spoken.octets),
        "summary": summary(spoken),
        "fields": message_fields(spoken.decoded),
        "problem": spoken.problem,
        "octets": spoken.octets if octets else None,
    }


def trace_lines(spoken: Spoken, start: float, *, details: bool) -> Iterator[Line]:
    """One message for people; times are seconds since `start`, with `details` every field follows."""
    arrow = ">" if spoken.request else "<"
    number = "  =" if spoken.whole else f"{spoken.number:>3}"
    where = f"{spoken.session:08x}" if spoken.session is not None else ""
    head = f"{number:>4} {spoken.time - start:>8.3f} {where:<8} {arrow} {spoken.name}"
    said = summary(spoken)
    tone = Tone.BAD if spoken.problem else Tone.PLAIN
    one_line = f"{head}  {said}" if said else head
    if len(one_line) <= WIDTH or not said:
        yield Line(shorten(one_line, WIDTH), tone)
    else:
        yield Line(head, tone)
        for line in wrap(said, " " * 25, " " * 25):
            yield Line(line)
    if spoken.problem:
        for line in wrap(spoken.problem, " " * 25, " " * 25):
            yield Line(line, Tone.BAD)
    if details:
        for line in _detail_lines(message_fields(spoken.decoded), 27):
            yield Line(line, Tone.NOTE)


def _detail_lines(found: dict[str, object], indent: int) -> Iterator[str]:
    for name, value in found.items():
        label = f"{' ' * indent}{name.replace('_', ' ')}: "
        if isinstance(value, dict):
            yield label.rstrip()
            yield from _detail_lines(value, indent + 2)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, one in enumerate(value):
                yield f"{' ' * indent}{name.replace('_', ' ')} {number}:"
                yield from _detail_lines(one, indent + 2)
        elif isinstance(value, bytes):
            yield from wrap(value.hex() if value else "-", label, " " * (indent + 2))
        else:
            yield from wrap(str(value), label, " " * (indent + 2))
