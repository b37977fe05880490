"""Evidence as one JSON file: everything that is needed to judge it again, and nothing else.

    {"schema": "cmakeys/evidence/1", "device": "emu://127.0.0.1:2323", "kind": "conversation",
     "collected_at": "2026-11-22T08:00:00Z", "tool": "cmakeys 0.1.0", "identity": null, "expected_nonce": null,
     "ending": {"kind": "complete", "message": "", "step": null, "hint": ""},
     "exchanges": [{"request": "10840000", "response": "1004…"}], "chains": [], "report": "", "certificates": []}

Bytes are lower-case hex. An exchange in a session has the session's number too, as `"session": 65536`. Reading is
strict: a field that is missing, unknown or too large refuses the file, since evidence that is only half understood
must not be judged.
"""

from __future__ import annotations

import json
from pathlib import Path

from cmakeys.errors import from_oserror
from cmakeys.evidence.fields import FieldProblem, Fields, hex_octets, read_json, time_text
from cmakeys.evidence.model import Ending, EndingKind, Evidence, EvidenceKind
from cmakeys.files import write_whole
from cmakeys.spdm.codes import NONCE_LENGTH
from cmakeys.spdm.connection import Exchange
from cmakeys.x509.certificate import MAX_CERTIFICATE_SIZE, CertificateProblem
from cmakeys.x509.identity import PciIdentity

SCHEMA = "cmakeys/evidence/1"
MAX_FILE_SIZE = 64 * 1024 * 1024
MAX_COMMAS = 1_000_000
"""In the whole file, for JSON of nothing but empty lists takes thirty times its size in memory."""

MAX_EXCHANGES = 100_000
MAX_MESSAGE_SIZE = 0x1000000
MAX_SESSION_ID = 0xFFFFFFFF
MAX_CHAINS = 64
MAX_CHAIN_SIZE = 0x100000
MAX_REPORT_SIZE = 0x1000000
MAX_CERTIFICATES = 64


def encode(evidence: Evidence) -> bytes:
    """The file's bytes; equal evidence, equal bytes."""
    document = {
        "schema": SCHEMA,
        "device": evidence.device,
        "kind": evidence.kind.value,
        "collected_at": time_text(evidence.collected_at),
        "tool": evidence.tool,
        "identity": evidence.identity.san_string() if evidence.identity else None,
        "expected_nonce": evidence.expected_nonce.hex() if evidence.expected_nonce is not None else None,
        "ending": {
            "kind": evidence.ending.kind.value,
            "message": evidence.ending.message,
            "step": evidence.ending.step,
            "hint": evidence.ending.hint,
        },
        "exchanges": [_exchange_data(exchange) for exchange in evidence.exchanges],
        "chains": [chain.hex() for chain in evidence.chains],
        "report": evidence.report.hex(),
        "certificates": [certificate.hex() for certificate in evidence.certificates],
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def decode(data: bytes, source: str) -> Evidence:
    """Read the bytes of a file named `source`. Raises `FieldProblem` for anything that `encode` does not write."""
    if len(data) > MAX_FILE_SIZE:
        raise FieldProblem(f"more than {MAX_FILE_SIZE >> 20} MiB", object=source)
    if data.count(b",") > MAX_COMMAS:
        raise FieldProblem("more values than any evidence has", object=source)
    fields = Fields(read_json(data, source), source)
    schema = fields.take("schema")
    if schema != SCHEMA:
        raise FieldProblem(
            f"this cmakeys reads evidence of schema {SCHEMA}, the file says {str(schema)[:60]!r}",
            object=source,
            hint="read it with the cmakeys that wrote it, or a newer one",
        )
    kind, collected_at = fields.member("kind", EvidenceKind), fields.time("collected_at")
    exchanges = tuple(
        _exchange(item, f"{source}, exchanges[{number}]")
        for number, item in enumerate(fields.items("exchanges", MAX_EXCHANGES))
    )
    chains = _octet_list(fields, "chains", MAX_CHAINS, MAX_CHAIN_SIZE)
    report = fields.octets("report", MAX_REPORT_SIZE)
    certificates = _octet_list(fields, "certificates", MAX_CERTIFICATES, MAX_CERTIFICATE_SIZE)
    if (report or certificates) if kind is EvidenceKind.CONVERSATION else (exchanges or chains):
        raise fields.problem("kind", f"{kind.value} evidence with the parts of the other kind")
    nonce = fields.optional_octets("expected_nonce", NONCE_LENGTH)
    if nonce is not None and len(nonce) != NONCE_LENGTH:
        raise fields.problem("expected_nonce", f"a nonce has {NONCE_LENGTH} bytes")
    evidence = Evidence(
        device=fields.text("device"),
        kind=kind,
        collected_at=collected_at,
        exchanges=exchanges,
        chains=chains,
        report=report,
        certificates=certificates,
        identity=_identity(fields),
        expected_nonce=nonce,
        ending=_ending(Fields(fields.take("ending"), f"{source}, ending")),
        tool=fields.text("tool"),
    )
    fields.finish()
    return evidence


def _exchange_data(exchange: Exchange) -> dict[str, object]:
    data: dict[str, object] = {"request": exchange.request.hex(), "response": exchange.response.hex()}
    return data if exchange.session is None else {**data, "session": exchange.session}


def _exchange(item: object, where: str) -> Exchange:
    match item:
        case {"request": request, "response": response, **others} if not others:
            return Exchange(
                hex_octets(request, where, MAX_MESSAGE_SIZE, "request"),
                hex_octets(response, where, MAX_MESSAGE_SIZE, "response"),
            )
    fields = Fields(item, where)
    messages = fields.octets("request", MAX_MESSAGE_SIZE), fields.octets("response", MAX_MESSAGE_SIZE)
    exchange = Exchange(*messages, fields.integer("session", 0, MAX_SESSION_ID))
    fields.finish()
    return exchange


def _octet_list(fields: Fields, name: str, count: int, size: int) -> tuple[bytes, ...]:
    where = f"{fields.source}, {name}"
    return tuple(hex_octets(item, f"{where}[{number}]", size) for number, item in enumerate(fields.items(name, count)))


def _identity(fields: Fields) -> PciIdentity | None:
    text = fields.optional_text("identity")
    try:
        return PciIdentity.parse(text) if text is not None else None
    except CertificateProblem as problem:
        raise fields.problem("identity", problem.message) from None


def _ending(fields: Fields) -> Ending:
    kind, message = fields.member("kind", EndingKind), fields.text("message")
    step, hint = fields.optional_integer("step", 1, 14), fields.text("hint")
    fields.finish()
    try:
        return Ending(kind, message, step, hint)
    except ValueError as error:
        raise fields.problem("step", str(error)) from None


def save(evidence: Evidence, path: Path) -> None:
    """Write the file whole or not at all."""
    try:
        write_whole(path, encode(evidence))
    except OSError as error:
        raise from_oserror(error, str(path)) from error


def load(path: Path) -> Evidence:
    """Read a file that `save` wrote. Raises `FieldProblem`, or an `EnvironmentProblem` when it cannot be opened."""
    return decode(read_file(path), str(path))


def read_file(path: Path, limit: int = MAX_FILE_SIZE) -> bytes:
    """The bytes of a file of at most `limit`. Raises `FieldProblem` for a larger one."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise from_oserror(error, str(path)) from error
    if len(data) > limit:
        raise FieldProblem(f"more than {limit >> 20} MiB", object=str(path))
    return data
