"""The vendor catalogue: which root certificates vendors are known by, and which are public test material.

A catalogue trusts nothing. It lets `roots add` recognise a certificate by its SHA-256, name it, and know what it may
vouch for; the rules about that are in `enrolment.py`. What it lists as `known-bad` is denied on every machine. The YAML
files stand in `roots/` at the top of the source tree (their format is in `roots/README.md`) and are package data once
installed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType

from cmakeys.errors import NotFound, UsageProblem
from cmakeys.roots.deny import DenyEntry
from cmakeys.roots.document import DocumentProblem, Node, read_document
from cmakeys.roots.record import read_constraints, read_deny_entries
from cmakeys.roots.root import Constraints, check_name

SCHEMA = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Purpose(Enum):
    """What a known root is for."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One known root; `fingerprint` is the SHA-256 of its DER."""

    name: str
    fingerprint: str
    vendor: str
    title: str
    purpose: Purpose
    key: str = ""
    constraints: Constraints = field(default_factory=Constraints)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Vendor:
    """One file of the catalogue."""

    name: str
    pci_vendors: frozenset[int]
    where: str
    notes: tuple[str, ...]
    entries: tuple[CatalogueEntry, ...]
    known_bad: tuple[DenyEntry, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """All vendors, sorted by name; a name or a certificate occurs once over all of them."""

    vendors: tuple[Vendor, ...] = ()

    @cached_property
    def entries(self) -> Mapping[str, CatalogueEntry]:
        """Every known root by its fingerprint."""
        return MappingProxyType({entry.fingerprint: entry for vendor in self.vendors for entry in vendor.entries})

    @cached_property
    def test_roots(self) -> Mapping[str, str]:
        """Names of the well-known test roots by their fingerprints."""
        return MappingProxyType(
            {entry.fingerprint: entry.name for entry in self.entries.values() if entry.purpose is Purpose.TEST}
        )

    @cached_property
    def known_bad(self) -> tuple[DenyEntry, ...]:
        """What no machine shall trust: keys that are known to have leaked, certificates that were issued wrongly."""
        return tuple(entry for vendor in self.vendors for entry in vendor.known_bad)

    def match(self, fingerprint: str) -> CatalogueEntry | None:
        """The known root with exactly this SHA-256 (64 lower-case hex digits), if any."""
        return self.entries.get(fingerprint)

    def vendor(self, entry: CatalogueEntry) -> Vendor:
        """The vendor whose root `entry` is."""
        return next(vendor for vendor in self.vendors if entry in vendor.entries)


def read_vendor(data: bytes, source: str) -> Vendor:
    """One file of the catalogue.

    Raises `DocumentProblem`, naming file and line.
    """
    fields = read_document(data, source).mapping(
        frozenset({"schema", "vendor", "roots"}), frozenset({"pci-vendors", "where", "notes", "known-bad"})
    )
    if fields["schema"].number() != SCHEMA:
        raise fields["schema"].problem("this schema is not known", hint=f"it has to be {SCHEMA}")
    name = fields["vendor"].text()
    return Vendor(
        name,
        frozenset(item.number(16) for item in fields["pci-vendors"].items())
        if "pci-vendors" in fields
        else frozenset(),
        fields["where"].text() if "where" in fields else "",
        fields["notes"].texts() if "notes" in fields else (),
        tuple(_read_entry(node, name) for node in fields["roots"].items()),
        tuple(
            replace(entry, source=entry.source or f"catalogue, {name}")
            for entry in read_deny_entries(fields["known-bad"])
        )
        if "known-bad" in fields
        else (),
    )


def read_catalogue(files: Mapping[str, bytes]) -> Catalogue:
    """A catalogue from the bytes of its files by name.

    Raises `DocumentProblem`, also when two entries share a name or a certificate.
    """
    vendors = [read_vendor(data, source) for source, data in sorted(files.items())]
    names: set[str] = set()
    fingerprints: set[str] = set()
    for source, vendor in zip(sorted(files), vendors, strict=True):
        for entry in vendor.entries:
            if entry.name in names or entry.fingerprint in fingerprints:
                raise DocumentProblem(f"{entry.name} or its certificate occurs twice in the catalogue", object=source)
            names.add(entry.name)
            fingerprints.add(entry.fingerprint)
    return Catalogue(tuple(sorted(vendors, key=lambda vendor: vendor.name)))


def load_catalogue() -> Catalogue:
    """The catalogue that this cmakeys came with.

    Raises `NotFound` when the installation lacks it, `DocumentProblem` when a file of it is damaged.
    """
    folder = _folder()
    files = {f"catalogue {item.name}": item.read_bytes() for item in folder.iterdir() if item.name.endswith(".yaml")}
    return read_catalogue(files)


def _folder() -> Traversable:
    """Package data where it was installed from a wheel, the top-level folder in a checkout."""
    installed = resources.files("cmakeys.roots") / "vendors"
    if installed.is_dir():
        return installed
    checkout = Path(__file__).resolve().parents[2] / "roots"
    if any(checkout.glob("*.yaml")):
        return checkout
    raise NotFound("the vendor catalogue is missing", object=str(installed), hint="install cmakeys again")


def _read_entry(node: Node, vendor: str) -> CatalogueEntry:
    fields = node.mapping(
        frozenset({"name", "certificate", "title", "purpose"}), frozenset({"key", "constraints", "note"})
    )
    fingerprint = fields["certificate"].text()
    if not _SHA256.fullmatch(fingerprint):
        raise fields["certificate"].problem("not a SHA-256", hint="give 64 lower-case hex digits")
    try:
        name = check_name(fields["name"].text())
    except UsageProblem as error:
        raise fields["name"].problem(error.message, hint=error.hint) from None
    return CatalogueEntry(
        name=name,
        fingerprint=fingerprint,
        vendor=vendor,
        title=fields["title"].text(),
        purpose=fields["purpose"].member(Purpose),
        key=fields["key"].text() if "key" in fields else "",
        constraints=read_constraints(fields["constraints"]) if "constraints" in fields else Constraints(),
        note=fields["note"].text() if "note" in fields else "",
    )
