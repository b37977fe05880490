"""A signed bundle: the roots that somebody vouches for, in one file that says who signed it and until when it holds.

The file is JSON and carries the payload as base64, so that what is signed is bytes and not a way to write JSON:

    {"schema": 1, "payload": "…", "signatures": [{"key": "<SHA-256 of the SPKI>", "signature": "…"}]}

Signed is `DSSEv1 <length> <type> <length> <payload>` (DSSE's pre-authentication encoding), where the type keeps a
signature for something else from being one for a bundle. The payload is JSON too:

    {"schema": 1, "name": "acme", "version": 3, "issued": "2026-11-23T00:00:00Z", "expires": "…",
     "signers": {"threshold": 2, "keys": ["<SPKI>", …]},
     "roots": [{"name": "acme-g2", "certificate": "<DER>", "constraints": {…}, "distrust-after": "…"}],
     "deny": [{"key": "<SHA-256>", "reason": "leaked"}]}

`signers` are those who sign the next bundle; they have to sign this one too, or nobody would know that they can.
Whether a bundle is to be believed is decided in `bundle_acceptance.py`; here it is only read and written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from cmakeys.errors import UsageProblem
from cmakeys.roots.deny import DenyEntry
from cmakeys.roots.document import MAX_LIST_NODES, Node
from cmakeys.roots.json_document import base64_of, base64_text, read_json, render_json
from cmakeys.roots.record import read_constraints, read_deny_entries, render_constraints, render_deny_entry
from cmakeys.roots.root import Constraints, Root, check_name
from cmakeys.roots.signer import PrivateKey, Signers, check_key_id, read_signers, render_signers
from cmakeys.x509.certificate import Certificate, CertificateProblem

SCHEMA = 1
PAYLOAD_TYPE = "application/vnd.cmakeys.bundle+json"
MAX_BUNDLE_SIZE = 16 * 1024 * 1024
MAX_ROOTS = 1024
MAX_SIGNATURES = 64
MAX_SIGNATURE_SIZE = 8192
"""Bytes of one signature; that of ML-DSA-87, the largest, has 4,627."""


@dataclass(frozen=True, slots=True)
class BundledRoot:
    """A root as a bundle has it: without the state, which is the machine's own affair."""

    name: str
    certificate: Certificate
    constraints: Constraints = field(default_factory=Constraints)
    distrust_after: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate's DER."""
        return self.certificate.fingerprint


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle says. `signers` sign the next one. Raises `UsageProblem` for what contradicts itself."""

    name: str
    version: int
    issued: datetime
    expires: datetime
    signers: Signers
    roots: tuple[BundledRoot, ...] = ()
    deny: tuple[DenyEntry, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what would leave it to chance which of two things counts."""
        check_name(self.name)
        if not 1 <= self.version <= 999_999_999:
            raise UsageProblem(f"{self.version} is not a version", hint="1 to 999999999")
        if self.issued.tzinfo is None or self.expires.tzinfo is None:
            raise UsageProblem("a date of a bundle needs a time zone", hint="end it with Z")
        if self.expires <= self.issued:
            raise UsageProblem("it expires before it is issued")
        if len(self.roots) > MAX_ROOTS:
            raise UsageProblem(f"{len(self.roots)} roots, more than {MAX_ROOTS}")
        for what, values in (
            ("name", [root.name for root in self.roots]),
            ("certificate", [root.fingerprint for root in self.roots]),
        ):
            if len(set(values)) != len(values):
                raise UsageProblem(f"the {what} of a root occurs twice")


@dataclass(frozen=True, slots=True)
class SignedBundle:
    """A bundle with the bytes that were signed, and the signatures by the ids of keys. Nothing is verified yet."""

    bundle: Bundle
    payload: bytes
    signatures: Mapping[str, bytes]
    source: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the payload: who has signed is not part of what the bundle says."""
        return hashlib.sha256(self.payload).hexdigest()

    @property
    def message(self) -> bytes:
        """The bytes under every signature."""
        return signed_message(self.payload)

    def signed_by(self, *keys: PrivateKey) -> SignedBundle:
        """This with the signatures of these keys, which replace what those keys signed before."""
        fresh = {key.public.id: key.sign(self.message) for key in keys}
        return replace(self, signatures={**self.signatures, **fresh})


def signed_message(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding, whose lengths leave no two readings."""
    kind = PAYLOAD_TYPE.encode("ascii")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def bundled(root: Root) -> BundledRoot:
    """What of a root of this machine goes into a bundle."""
    return BundledRoot(root.name, root.certificate, root.constraints, root.distrust_after)


def pack(bundle: Bundle, source: str = "") -> SignedBundle:
    """A bundle as bytes to sign, with no signature yet."""
    return SignedBundle(bundle, _render(bundle), {}, source)


def render_bundle(signed: SignedBundle) -> bytes:
    """The file."""
    signatures = [
        {"key": key, "signature": base64_text(signature)} for key, signature in sorted(signed.signatures.items())
    ]
    return render_json({"schema": SCHEMA, "payload": base64_text(signed.payload), "signatures": signatures})


def read_bundle(data: bytes, source: str) -> SignedBundle:
    """The bundle in a file. Raises `DocumentProblem` for anything that is not understood."""
    outer = read_json(data, source, max_size=MAX_BUNDLE_SIZE, max_nodes=4 * MAX_SIGNATURES)
    fields = outer.mapping(frozenset({"schema", "payload", "signatures"}))
    _check_schema(fields["schema"])
    signatures: dict[str, bytes] = {}
    items = fields["signatures"].items()
    if len(items) > MAX_SIGNATURES:
        raise fields["signatures"].problem(f"{len(items)} signatures, more than {MAX_SIGNATURES}")
    for item in items:
        one = item.mapping(frozenset({"key", "signature"}))
        key = _key_id(one["key"])
        if key in signatures:
            raise item.problem("the same key has signed twice")
        signatures[key] = base64_of(one["signature"])
        if len(signatures[key]) > MAX_SIGNATURE_SIZE:
            raise item.problem(f"a signature of more than {MAX_SIGNATURE_SIZE} bytes")
    payload = base64_of(fields["payload"])
    return SignedBundle(read_payload(payload, f"{source}: payload"), payload, signatures, source)


def read_payload(payload: bytes, source: str) -> Bundle:
    """What the signed bytes say. Raises `DocumentProblem`."""
    node = read_json(payload, source, max_size=MAX_BUNDLE_SIZE, max_nodes=MAX_LIST_NODES)
    fields = node.mapping(
        frozenset({"schema", "name", "version", "issued", "expires", "signers", "roots"}), frozenset({"deny"})
    )
    _check_schema(fields["schema"])
    roots = fields["roots"].items()
    if len(roots) > MAX_ROOTS:
        raise fields["roots"].problem(f"{len(roots)} roots, more than {MAX_ROOTS}")
    try:
        return Bundle(
            fields["name"].text(),
            fields["version"].number(),
            fields["issued"].time(),
            fields["expires"].time(),
            read_signers(fields["signers"]),
            tuple(_read_root(item) for item in roots),
            read_deny_entries(fields["deny"]) if "deny" in fields else (),
        )
    except UsageProblem as error:
        raise node.problem(error.message, hint=error.hint) from None


def _read_root(node: Node) -> BundledRoot:
    fields = node.mapping(frozenset({"name", "certificate"}), frozenset({"constraints", "distrust-after"}))
    try:
        return BundledRoot(
            check_name(fields["name"].text()),
            Certificate.from_der(base64_of(fields["certificate"]), node.source),
            read_constraints(fields["constraints"]) if "constraints" in fields else Constraints(),
            fields["distrust-after"].time() if "distrust-after" in fields else None,
        )
    except CertificateProblem as error:
        raise fields["certificate"].problem(f"not a certificate: {error.message}") from None
    except UsageProblem as error:
        raise node.problem(error.message, hint=error.hint) from None


def _render(bundle: Bundle) -> bytes:
    return render_json(
        {
            "schema": SCHEMA,
            "name": bundle.name,
            "version": bundle.version,
            "issued": time_text(bundle.issued),
            "expires": time_text(bundle.expires),
            "signers": render_signers(bundle.signers),
            "roots": [_render_root(root) for root in sorted(bundle.roots, key=lambda root: root.name)],
            "deny": _sorted(bundle.deny),
        }
    )


def _sorted(entries: Sequence[DenyEntry]) -> list[dict[str, object]]:
    return [render_deny_entry(entry) for entry in sorted(entries, key=lambda entry: str(entry.target))]


def _render_root(root: BundledRoot) -> dict[str, object]:
    content: dict[str, object] = {"name": root.name, "certificate": base64_text(root.certificate.der)}
    content["constraints"] = render_constraints(root.constraints)
    if root.distrust_after is not None:
        content["distrust-after"] = time_text(root.distrust_after)
    return content


def time_text(when: datetime) -> str:
    """A time as it stands in a bundle."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _check_schema(node: Node) -> None:
    if node.number() != SCHEMA:
        raise node.problem(
            f"schema {node.text()} is not known", hint="it was written for a newer cmakeys; use that one"
        )


def _key_id(node: Node) -> str:
    try:
        text = check_key_id(node.text())
    except UsageProblem as error:
        raise node.problem(error.message, hint=error.hint) from None
    if text != node.text():
        raise node.problem("the id of a key is 64 lower-case hex digits")
    return text
