"""The whole set of roots as one file: what a Git repository, Ansible or Puppet keeps, and `roots apply` makes true.

    schema: 1
    prune: true                       # roots and deny entries that are not here go; without it they stay
    roots:
      - name: nvidia
        fingerprint: 102bf659…        # of a root that is new here it is required: it confirms the certificate
        certificate: nvidia.pem       # a file beside this one, or the PEM text itself; not needed where it is known
        state: trusted                # the default; staged trusted retiring retired distrusted
        constraints: {pci-vendors: [10de]}
        distrust-after: 2027-01-01T00:00:00Z    # none: believe all leaves again
        reason: rack 3
        allow-test-root: true         # a well-known test root, whose private key is public
    deny:                             # left out: deny entries are not touched
      - key: <SHA-256 of the SubjectPublicKeyInfo>
        reason: leaked

This module reads the file and says what it asks for. Where `constraints` or `distrust-after` are left out they stay as
they are, so that a file written without them loosens nothing; a new root gets the constraints of the catalogue, as with
`roots add`. What would have to change, and whether it may, is decided in `reconciliation.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cmakeys.errors import CmakeysError, Refused, UsageProblem
from cmakeys.roots.document import MAX_LIST_NODES, MAX_LIST_SIZE, DocumentProblem, Node, read_document, render_document
from cmakeys.roots.enrolment import check_fingerprint, select
from cmakeys.roots.record import (
    MAX_TEXT_LENGTH,
    read_constraints,
    read_deny_entries,
    render_constraints,
    render_deny_entry,
    render_pem,
)
from cmakeys.roots.root import Constraints, LifeCycle, Root, check_name
from cmakeys.roots.rootset import DenyEntry, RootSet
from cmakeys.x509.bundle import read_certificates
from cmakeys.x509.certificate import Certificate

SCHEMA = 1
NONE = "none"

_PEM = "-----BEGIN "

Fetch = Callable[[str], bytes]
"""Reads the file that a declaration names; raises a `CmakeysError` when that cannot be."""


@dataclass(frozen=True, slots=True)
class DeclaredRoot:
    """One root as the file has it; None leaves what is there as it is.

    `certificate` is None where the file gives none, and the root has to be known already. `keeps_distrust` says that
    nothing is said about `distrust_after`. `where` names file and line, for messages.
    """

    name: str
    where: str
    fingerprint: str | None = None
    certificate: Certificate | None = None
    state: LifeCycle = LifeCycle.TRUSTED
    constraints: Constraints | None = None
    distrust_after: datetime | None = None
    keeps_distrust: bool = True
    reason: str = ""
    allow_test_root: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a file asks for; `deny` is None where it says nothing about deny entries."""

    source: str
    roots: tuple[DeclaredRoot, ...] = ()
    deny: tuple[DenyEntry, ...] | None = None
    prune: bool = False


def read_declaration(data: bytes, source: str, fetch: Fetch) -> Declaration:
    """The declaration in a file; `fetch` reads the certificate files that it names.

    Raises `DocumentProblem` with file and line for anything that is not understood, `Refused` for a certificate that
    is not the one of the fingerprint beside it.
    """
    document = read_document(data, source, max_size=MAX_LIST_SIZE, max_nodes=MAX_LIST_NODES)
    fields = document.mapping(frozenset({"schema", "roots"}), frozenset({"prune", "deny"}))
    if fields["schema"].number() != SCHEMA:
        raise fields["schema"].problem(f"schema {fields['schema'].text()} is not known", f"this cmakeys knows {SCHEMA}")
    roots = tuple(_root(node, fetch) for node in fields["roots"].items())
    _refuse_twice(roots)
    return Declaration(
        source,
        roots,
        read_deny_entries(fields["deny"]) if "deny" in fields else None,
        _truth(fields["prune"]) if "prune" in fields else False,
    )


def _root(node: Node, fetch: Fetch) -> DeclaredRoot:
    fields = node.mapping(
        frozenset({"name"}),
        frozenset(
            {"fingerprint", "certificate", "state", "constraints", "distrust-after", "reason", "allow-test-root"}
        ),
    )
    after = fields.get("distrust-after")
    fingerprint = _fingerprint(fields["fingerprint"]) if "fingerprint" in fields else None
    certificate = _certificate(fields["certificate"], fingerprint, fetch) if "certificate" in fields else None
    return DeclaredRoot(
        _name(fields["name"]),
        f"{node.source} line {fields['name'].line}",
        fingerprint,
        certificate,
        fields["state"].member(LifeCycle) if "state" in fields else LifeCycle.TRUSTED,
        read_constraints(fields["constraints"]) if "constraints" in fields else None,
        None if after is None or after.value == NONE else after.time(),
        after is None,
        _reason(fields["reason"]) if "reason" in fields else "",
        _truth(fields["allow-test-root"]) if "allow-test-root" in fields else False,
    )


def _name(node: Node) -> str:
    try:
        return check_name(node.text())
    except UsageProblem as problem:
        raise node.problem(problem.message, problem.hint) from None


def _fingerprint(node: Node) -> str:
    try:
        return check_fingerprint(node.text())
    except UsageProblem as problem:
        raise node.problem(problem.message, problem.hint) from None


def _certificate(node: Node, fingerprint: str | None, fetch: Fetch) -> Certificate:
    """The certificate that is meant: of several in one file the one with the fingerprint."""
    text = node.text()
    inline = text.lstrip().startswith(_PEM)
    try:
        data = text.encode() if inline else fetch(text)
        return select(read_certificates(data, "the text" if inline else text), fingerprint)
    except Refused as problem:
        raise Refused(problem.message, object=f"{node.source} line {node.line}", hint=problem.hint) from None
    except CmakeysError as problem:
        raise node.problem(str(problem), problem.hint or "give one certificate, in PEM or DER") from None


def _reason(node: Node) -> str:
    text = node.text()
    if len(text) > MAX_TEXT_LENGTH:
        raise node.problem(f"{len(text)} characters, more than {MAX_TEXT_LENGTH}")
    return text


def _truth(node: Node) -> bool:
    if node.text() not in ("true", "false"):
        raise node.problem(f"{node.text()[:40]!r} is neither true nor false")
    return node.text() == "true"


def _refuse_twice(roots: Sequence[DeclaredRoot]) -> None:
    """A name or a certificate twice would leave it to chance which of the two counts."""
    seen: dict[str, DeclaredRoot] = {}
    for root in roots:
        for what, key in (("name", root.name), ("certificate", _identity(root))):
            other = seen.setdefault(f"{what} {key}", root) if key else root
            if other is not root:
                raise DocumentProblem(f"the same {what} as {other.name}, {other.where}", object=root.where)


def _identity(root: DeclaredRoot) -> str:
    return root.certificate.fingerprint if root.certificate else root.fingerprint or ""


# --- writing one -----------------------------------------------------------------------------------------------------


def render_declaration(known: RootSet, test_roots: Mapping[str, str]) -> bytes:
    """A file that asks for exactly this set, certificates and deny entries included; `roots apply` takes it anywhere.

    `test_roots` maps the fingerprints of well-known test roots to their names.
    """
    entries = []
    for root in known.roots:
        entry = _entry(root)
        if root.fingerprint in test_roots:
            entry["allow-test-root"] = True
        entry["certificate"] = render_pem(root.certificate).decode()
        entries.append(entry)
    return render_document(
        {"schema": SCHEMA, "prune": True, "roots": entries, "deny": [render_deny_entry(one) for one in known.deny]}
    )


def outline(known: RootSet) -> list[str]:
    """The set as lines to compare with another one: what decides something, without the certificates' text."""
    document = {
        "roots": [_entry(root) for root in known.roots],
        "deny": [render_deny_entry(one) for one in sorted(known.deny, key=lambda entry: entry.target[:2])],
    }
    return render_document(document).decode().splitlines()


def _entry(root: Root) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": root.name,
        "fingerprint": root.fingerprint,
        "state": root.state.value,
        "constraints": render_constraints(root.constraints),
    }
    if root.distrust_after is not None:
        entry["distrust-after"] = root.distrust_after.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if root.provenance.reason:
        entry["reason"] = root.provenance.reason
    return entry
