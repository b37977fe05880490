"""May this certificate become a root, and has somebody vouched for it? The rules of `roots add`, without any file.

A certificate is trusted because a person compared its fingerprint: `--fingerprint`, or a yes after it was shown in
full. Only the catalogue can answer in their place, and only for a production root, or for a test root that was allowed
by name; a development root is recognised and still asks. Nothing here changes anything: `propose` says what would be.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from cmakeys.errors import Refused, UsageProblem
from cmakeys.roots.catalogue import Catalogue, CatalogueEntry, Purpose
from cmakeys.roots.root import (
    MAX_NAME_LENGTH,
    RESERVED_NAMES,
    Constraints,
    LeafNameRule,
    LifeCycle,
    Provenance,
    Root,
)
from cmakeys.roots.rootset import RootSet, normalise_fingerprint
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.horizon import ROOT_EXPIRY, Expiry
from cmakeys.x509.lint import Finding, Severity, lint_anchor

TEST_ROOT = "test-root"
"""The lint finding that `--allow-test-root` overrides; no other error can be."""


class Confirmation(Enum):
    """Who says that this is the certificate that was meant."""

    FINGERPRINT = "fingerprint"
    CATALOGUE = "catalogue"
    PERSON = "person"
    KNOWN = "already-there"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the admin asked for; None leaves it to the catalogue, or else to the default."""

    name: str | None = None
    pci_vendors: frozenset[int] | None = None
    leaf_name: LeafNameRule | None = None
    fingerprint: str | None = None
    allow_test_root: bool = False
    state: LifeCycle = LifeCycle.TRUSTED


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A root as it would be added. With `confirmation` PERSON somebody has to be asked first."""

    root: Root
    findings: tuple[Finding, ...]
    entry: CatalogueEntry | None
    confirmation: Confirmation
    refusals: tuple[Finding, ...]

    def check(self) -> None:
        """Raise `Refused` with everything that forbids this root."""
        if self.refusals:
            raise Refused(
                "; ".join(finding.message for finding in self.refusals),
                object=self.root.certificate.label,
                hint=self.refusals[0].hint,
            )


def check_fingerprint(text: str) -> str:
    """A whole SHA-256 as typed or pasted, as 64 lower-case hex digits.

    Raises `UsageProblem` for anything else: a prefix can be forged.
    """
    fingerprint = normalise_fingerprint(text)
    if not re.fullmatch(r"[0-9a-f]{64}", fingerprint):
        raise UsageProblem(
            f"{text[:120]!r} is not a whole SHA-256 fingerprint",
            hint="give all 64 hex digits, with or without colons: openssl x509 -noout -fingerprint -sha256",
        )
    return fingerprint


def select(certificates: Sequence[Certificate], fingerprint: str | None) -> Certificate:
    """The one certificate that is meant: the only one, or the one with the fingerprint given.

    Raises `Refused` when no certificate has this fingerprint or when several could be meant.
    """
    source = certificates[0].source if certificates else ""
    if fingerprint is not None:
        wanted = check_fingerprint(fingerprint)
        for certificate in certificates:
            if certificate.fingerprint == wanted:
                return certificate
        found = certificates[0].fingerprint if len(certificates) == 1 else f"{len(certificates)} others"
        raise Refused(
            f"no certificate with fingerprint {wanted} in it, but {found}",
            object=source,
            hint="this is not the certificate that was meant; get it again from the vendor",
        )
    if len(certificates) != 1:
        raise Refused(
            f"holds {len(certificates)} certificates, and only one can be the root",
            object=source,
            hint="choose one by its fingerprint: --fingerprint SHA256",
        )
    return certificates[0]


def propose(
    certificate: Certificate,
    wishes: Wishes,
    *,
    known: RootSet,
    catalogue: Catalogue,
    now: datetime,
    provenance: Provenance,
    expiry: Expiry = ROOT_EXPIRY,
    clock_fault: str = "",
) -> Enrolment:
    """What adding `certificate` would mean; dates are judged as `lint_anchor` does.

    Raises `Refused` when the set does not take it (denied, its name taken, there already but not as wished) and
    `UsageProblem` for a wish that makes no sense. Faults of the certificate itself are in `refusals`.
    """
    entry = catalogue.match(certificate.fingerprint)
    findings = lint_anchor(
        certificate, now=now, expiry=expiry, clock_fault=clock_fault, test_roots=catalogue.test_roots
    )
    present = known.holding(certificate)
    if present is not None:
        _check_present(present, wishes, known)
        return Enrolment(present, findings, entry, Confirmation.KNOWN, ())
    constraints = entry.constraints if entry else Constraints()
    if wishes.pci_vendors is not None:
        constraints = replace(constraints, pci_vendors=wishes.pci_vendors)
    if wishes.leaf_name is not None:
        constraints = replace(constraints, leaf_name=wishes.leaf_name)
    root = Root(
        wishes.name or free_name(entry.name if entry else default_name(certificate), certificate, known),
        certificate,
        state=wishes.state,
        constraints=constraints,
        provenance=replace(provenance, catalogue=entry.name if entry else ""),
    )
    known.with_root(root)
    refusals = tuple(
        finding
        for finding in findings
        if finding.severity is Severity.ERROR and not (finding.code == TEST_ROOT and wishes.allow_test_root)
    )
    return Enrolment(root, findings, entry, _confirmation(certificate, wishes, entry), refusals)


def default_name(certificate: Certificate) -> str:
    """A name made of the subject's common name, or its fingerprint when that gives none."""
    match = re.search(r"(?:^|,)CN=((?:\\.|[^,\\])*)", certificate.subject)
    words = re.findall(r"[a-z0-9]+", match.group(1).lower()) if match else []
    name = "-".join(words)[:40].strip("-")
    return name if name and name not in RESERVED_NAMES else f"root-{certificate.fingerprint[:16]}"


def free_name(name: str, certificate: Certificate, known: RootSet) -> str:
    """`name`, or with some of the fingerprint where another certificate has it: subjects do not identify."""
    if all(root.name != name for root in known.roots):
        return name
    return f"{name[: MAX_NAME_LENGTH - 17]}-{certificate.fingerprint[:16]}"


def _check_present(present: Root, wishes: Wishes, known: RootSet) -> None:
    """Raise `Refused` unless the root that is there is the one wished for."""
    problem = ""
    denied = known.denied(present.certificate)
    if denied is not None:
        problem = f"but a deny entry for its {denied.kind.value} wins over it"
    elif present.state is not wishes.state and not (wishes.state.anchors and present.state.anchors):
        problem = f"but {present.state.value}"
    elif wishes.name is not None and wishes.name != present.name:
        problem = f"but its name is not {wishes.name!r}"
    elif wishes.pci_vendors not in (None, present.constraints.pci_vendors):
        problem = "but for other PCI vendors"
    elif wishes.leaf_name not in (None, present.constraints.leaf_name):
        problem = f"but with leaf name {present.constraints.leaf_name.value}"
    if problem:
        raise Refused(
            f"the certificate is there already, {problem}",
            object=present.name,
            hint=f"see cmakeys roots show {present.name}; to add it anew, remove it first",
        )


def _confirmation(certificate: Certificate, wishes: Wishes, entry: CatalogueEntry | None) -> Confirmation:
    if wishes.fingerprint is not None:
        if check_fingerprint(wishes.fingerprint) != certificate.fingerprint:
            raise Refused(f"its fingerprint is {certificate.fingerprint}", object=certificate.label)
        return Confirmation.FINGERPRINT
    if entry is not None and (
        entry.purpose is Purpose.PRODUCTION or (entry.purpose is Purpose.TEST and wishes.allow_test_root)
    ):
        return Confirmation.CATALOGUE
    return Confirmation.PERSON
