"""The files of the store as text: `<name>.yaml` and `<name>.pem` of a root, and deny entries.

`<name>.yaml` says which certificate it is about by its SHA-256, so that a pair of which only one half was exchanged can
be told from a whole one:

    schema: 1
    certificate: 102bf659…            # SHA-256 of the DER in <name>.pem
    state: trusted                    # staged trusted retiring retired distrusted
    distrust-after: 2027-01-01T00:00:00Z
    constraints:
      pci-vendors: [10de, 15b3]       # hex; also pci-devices, classes (03, 0302, 030200), slots,
      leaf-name: device-info          # algorithms (ECDSA-P384), versions (1.1); pcie device-info either none
    provenance:
      source: nvidia.pem              # also added-at, added-by, reason, catalogue
    rotation:                         # what replaces this root
      successor: 38d4ed3b…            # SHA-256 of the other root's certificate
      started: 2026-11-22T08:00:00Z
      overlap-until: 2026-12-22T08:00:00Z
      successor-was: staged           # left out: it was not there before

`deny.yaml` and every `<anything>.deny.yaml`:

    schema: 1
    deny:
      - certificate: <SHA-256 of the DER>
        reason: stolen
      - key: <SHA-256 of the SubjectPublicKeyInfo>
        after: 2027-01-01T00:00:00Z     # only what was issued later
      - issuer: <SHA-256 of the issuer's name in DER>
        serial: 1a2b3c                  # its number, in hex
        source: vendor.crl

Only `schema`, `certificate` and `state` are required of a root. Unknown keys are refused: a restriction that an older
cmakeys does not understand must not be dropped without a word.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from cmakeys.errors import EnvironmentProblem, ExitCode, UsageProblem
from cmakeys.roots.deny import DenyEntry, DenyKind, parse_serial, serial_text
from cmakeys.roots.document import (
    MAX_LIST_NODES,
    MAX_LIST_SIZE,
    DocumentProblem,
    Node,
    read_document,
    render_document,
)
from cmakeys.roots.root import Constraints, LeafNameRule, LifeCycle, Provenance, Root, Rotation
from cmakeys.x509.certificate import MAX_CERTIFICATE_SIZE, Certificate, CertificateProblem

SCHEMA = 1
MAX_PEM_SIZE = 2 * MAX_CERTIFICATE_SIZE
"""Bytes of a `.pem` file: one certificate in base64 with some text around it."""

MAX_TEXT_LENGTH = 1000
"""Characters kept of each piece of provenance: it is shown to people, and a reason is not a place for a book."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_BEGIN = b"-----BEGIN "
_BLOCK = re.compile(rb"^-----BEGIN CERTIFICATE-----[ \t]*\r?\n(.*?)^-----END CERTIFICATE-----[ \t]*\r?$", re.S | re.M)


class StoreProblem(EnvironmentProblem):
    """A file of the store is not as the store writes it; nothing can be said about the roots until it is."""

    exit_code = ExitCode.USAGE
    code = "store"


def read_pem(data: bytes, source: str) -> Certificate:
    """The one certificate in a `.pem` file of the store.

    Raises `StoreProblem` unless there is exactly one PEM block and it is a certificate.
    """
    hint = "a root's .pem file holds exactly one certificate; add it anew with: cmakeys roots add FILE"
    if len(data) > MAX_PEM_SIZE:
        raise StoreProblem(f"{len(data)} bytes, more than {MAX_PEM_SIZE}", object=source, hint=hint)
    count = data.count(_BEGIN)
    match = _BLOCK.search(data)
    if count != 1 or match is None:
        found = f"{count} PEM blocks" if count > 1 else "no certificate" if not count else "no whole certificate"
        raise StoreProblem(f"{found} in it", object=source, hint=hint)
    try:
        der = base64.b64decode(b"".join(match.group(1).split()), validate=True)
        return Certificate.from_der(der, source, match.start())
    except (ValueError, CertificateProblem) as error:
        raise StoreProblem(f"not a certificate: {error}", object=source, hint=hint) from error


def render_pem(certificate: Certificate) -> bytes:
    """The DER as one PEM block: the bytes themselves, not a re-encoding by a library."""
    text = base64.b64encode(certificate.der)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])


def read_root(name: str, record: bytes, pem: bytes, *, record_source: str, pem_source: str) -> Root:
    """The root that a pair of files describes.

    Raises `DocumentProblem` for the YAML, `StoreProblem` for the certificate or a pair that does not belong together.
    """
    document = read_document(record, record_source)
    fields = document.mapping(
        frozenset({"schema", "certificate", "state"}),
        frozenset({"distrust-after", "constraints", "provenance", "rotation"}),
    )
    _check_schema(fields["schema"])
    fingerprint = _sha256(fields["certificate"])
    certificate = read_pem(pem, pem_source)
    if certificate.fingerprint != fingerprint:
        raise StoreProblem(
            f"holds certificate {certificate.fingerprint}, but {record_source} is about {fingerprint}",
            object=pem_source,
            hint="one of the two files was exchanged by hand; remove both and add the root anew",
        )
    state = fields["state"].member(LifeCycle)
    constraints = read_constraints(fields["constraints"]) if "constraints" in fields else Constraints()
    provenance = _read_provenance(fields["provenance"]) if "provenance" in fields else Provenance()
    after = fields["distrust-after"].time() if "distrust-after" in fields else None
    try:
        rotation = _read_rotation(fields["rotation"]) if "rotation" in fields else None
        return Root(name, certificate, state, constraints, provenance, after, rotation)
    except UsageProblem as error:
        raise DocumentProblem(error.message, object=record_source, hint=error.hint) from None


def render_root(root: Root) -> bytes:
    """The YAML record of a root."""
    content: dict[str, object] = {
        "schema": SCHEMA,
        "certificate": root.fingerprint,
        "state": root.state.value,
    }
    if root.distrust_after is not None:
        content["distrust-after"] = _time_text(root.distrust_after)
    content["constraints"] = render_constraints(root.constraints)
    provenance: dict[str, object] = {
        "source": _shown(root.provenance.source),
        "added-at": _time_text(root.provenance.added_at) if root.provenance.added_at else "",
        "added-by": _shown(root.provenance.added_by),
        "reason": _shown(root.provenance.reason),
        "catalogue": _shown(root.provenance.catalogue),
    }
    content["provenance"] = {key: value for key, value in provenance.items() if value}
    if root.rotation is not None:
        content["rotation"] = _render_rotation(root.rotation)
    return render_document(content)


def read_constraints(node: Node) -> Constraints:
    """The constraints in a root's record or a catalogue entry."""
    fields = node.mapping(
        frozenset(),
        frozenset({"pci-vendors", "pci-devices", "classes", "slots", "algorithms", "versions", "leaf-name"}),
    )

    def numbers(key: str, base: int) -> frozenset[int]:
        return frozenset(item.number(base) for item in fields[key].items()) if key in fields else frozenset()

    def texts(key: str) -> frozenset[str]:
        return frozenset(fields[key].texts()) if key in fields else frozenset()

    for key in fields.keys() - {"leaf-name"}:
        if not fields[key].items():
            raise fields[key].problem(f"{key} is empty", hint="leave the key out for no restriction")
    try:
        return Constraints(
            pci_vendors=numbers("pci-vendors", 16),
            pci_devices=numbers("pci-devices", 16),
            classes=texts("classes"),
            slots=numbers("slots", 10),
            algorithms=texts("algorithms"),
            versions=texts("versions"),
            leaf_name=fields["leaf-name"].member(LeafNameRule) if "leaf-name" in fields else LeafNameRule.PCIE,
        )
    except UsageProblem as error:
        raise node.problem(error.message, hint=error.hint) from None


def render_constraints(constraints: Constraints) -> dict[str, object]:
    """The constraints as nested text, without those that restrict nothing."""
    content: dict[str, object] = {
        "pci-vendors": [f"{number:04x}" for number in sorted(constraints.pci_vendors)],
        "pci-devices": [f"{number:04x}" for number in sorted(constraints.pci_devices)],
        "classes": sorted(constraints.classes),
        "slots": sorted(constraints.slots),
        "algorithms": sorted(constraints.algorithms),
        "versions": sorted(constraints.versions),
        "leaf-name": constraints.leaf_name.value,
    }
    return {key: value for key, value in content.items() if value}


def read_deny(data: bytes, source: str) -> tuple[DenyEntry, ...]:
    """The entries of a deny file.

    Raises `DocumentProblem`; a deny file that cannot be read must never be passed over.
    """
    document = read_document(data, source, max_size=MAX_LIST_SIZE, max_nodes=MAX_LIST_NODES)
    fields = document.mapping(frozenset({"schema", "deny"}))
    _check_schema(fields["schema"])
    return read_deny_entries(fields["deny"])


def read_deny_entries(node: Node) -> tuple[DenyEntry, ...]:
    """The entries of a list of them, in a deny file or elsewhere."""
    return tuple(_read_deny_entry(item) for item in node.items())


def render_deny(entries: Sequence[DenyEntry]) -> bytes:
    """A deny file with these entries."""
    return render_document({"schema": SCHEMA, "deny": [render_deny_entry(entry) for entry in entries]})


def render_deny_entry(entry: DenyEntry) -> dict[str, object]:
    """One entry as a deny file has it."""
    content: dict[str, object] = {_DENY_KEYS[entry.kind]: entry.sha256}
    if entry.serial is not None:
        content["serial"] = serial_text(entry.serial)
    if entry.after is not None:
        content["after"] = _time_text(entry.after)
    if entry.reason:
        content["reason"] = _shown(entry.reason)
    if entry.source:
        content["source"] = _shown(entry.source)
    return content


_DENY_KEYS = {DenyKind.CERTIFICATE: "certificate", DenyKind.KEY: "key", DenyKind.ISSUER_SERIAL: "issuer"}


def _read_deny_entry(node: Node) -> DenyEntry:
    fields = node.mapping(frozenset(), frozenset({*_DENY_KEYS.values(), "serial", "after", "reason", "source"}))
    kinds = [kind for kind, key in _DENY_KEYS.items() if key in fields]
    if len(kinds) != 1:
        raise node.problem("a deny entry names either a certificate, or a key, or an issuer with a serial number")
    try:
        return DenyEntry(
            kinds[0],
            _sha256(fields[_DENY_KEYS[kinds[0]]]),
            fields["reason"].text() if "reason" in fields else "",
            parse_serial(fields["serial"].text()) if "serial" in fields else None,
            fields["after"].time() if "after" in fields else None,
            fields["source"].text() if "source" in fields else "",
        )
    except UsageProblem as error:
        raise node.problem(error.message, hint=error.hint) from None


def _read_provenance(node: Node) -> Provenance:
    fields: Mapping[str, Node] = node.mapping(
        frozenset(), frozenset({"source", "added-at", "added-by", "reason", "catalogue"})
    )
    texts = {key: field.text() for key, field in fields.items()}
    return Provenance(
        source=texts.get("source", ""),
        added_at=fields["added-at"].time() if "added-at" in fields else None,
        added_by=texts.get("added-by", ""),
        reason=texts.get("reason", ""),
        catalogue=texts.get("catalogue", ""),
    )


def _read_rotation(node: Node) -> Rotation:
    fields = node.mapping(frozenset({"successor", "started", "overlap-until"}), frozenset({"successor-was"}))
    return Rotation(
        successor=_sha256(fields["successor"]),
        started=fields["started"].time(),
        overlap_until=fields["overlap-until"].time(),
        successor_was=fields["successor-was"].member(LifeCycle) if "successor-was" in fields else None,
    )


def _render_rotation(rotation: Rotation) -> dict[str, object]:
    content: dict[str, object] = {
        "successor": rotation.successor,
        "started": _time_text(rotation.started),
        "overlap-until": _time_text(rotation.overlap_until),
    }
    if rotation.successor_was is not None:
        content["successor-was"] = rotation.successor_was.value
    return content


def _check_schema(node: Node) -> None:
    schema = node.number()
    if schema != SCHEMA:
        raise node.problem(f"schema {schema} is not known", hint="it was written by a newer cmakeys; use that one")


def _sha256(node: Node) -> str:
    text = node.text()
    if not _SHA256.fullmatch(text):
        raise node.problem(f"{text[:80]!r} is not a SHA-256", hint="give 64 lower-case hex digits")
    return text


def _time_text(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _shown(text: str) -> str:
    """Text that YAML can carry: what is not printable becomes an escape, too much of it is cut."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    return escaped if len(escaped) <= MAX_TEXT_LENGTH else escaped[: MAX_TEXT_LENGTH - 1] + "…"
