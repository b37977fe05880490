"""The conversation of `roots add`: what a person is shown of a certificate, and what has to be answered.

The rules are in `cmakeys.roots.enrolment`; here they are put into words, and a person is asked where only a person can
answer.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cmakeys.cli.constraints import leaf_name_rule
from cmakeys.cli.dates import root_dates
from cmakeys.cli.options import SYSTEM, state_directory
from cmakeys.cli.output import Output
from cmakeys.errors import Refused, UsageProblem
from cmakeys.keyring.trial import objections
from cmakeys.reports.findings import TONES, finding_data, finding_line
from cmakeys.reports.roots import (
    certificate_data,
    certificate_lines,
    limits,
    root_data,
)
from cmakeys.reports.terminal import Tone
from cmakeys.roots.catalogue import load_catalogue
from cmakeys.roots.enrolment import Confirmation, Enrolment, Wishes, propose, select
from cmakeys.roots.ledger import Ledger
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Provenance
from cmakeys.roots.store import RootStore
from cmakeys.roots.transaction import Transaction, Transition
from cmakeys.x509.certificate import Certificate

if TYPE_CHECKING:
    from cmakeys.roots.catalogue import CatalogueEntry


def wishes(
    name: str | None,
    pci_vendors: list[str] | None,
    leaf_name: str | None,
    fingerprint: str | None,
    *,
    allow_test_root: bool,
) -> Wishes:
    """The options of the command line as values; `UsageProblem` for one that makes no sense."""
    try:
        vendors = None if pci_vendors is None else frozenset(int(text, 16) for text in pci_vendors)
    except ValueError:
        raise UsageProblem("a PCI vendor id is four hex digits", object="--pci-vendor", hint="as 10de") from None
    return Wishes(name, vendors, leaf_name_rule(leaf_name), fingerprint, allow_test_root)


def choose(out: Output, certificates: Sequence[Certificate], fingerprint: str | None) -> Certificate:
    """The certificate that is meant; where that is not clear, all of them are shown before the refusal."""
    try:
        return select(certificates, fingerprint)
    except Refused:
        out.data = {"certificates": [certificate_data(certificate) for certificate in certificates]}
        for certificate in certificates:
            out.show(*certificate_lines(certificate), "")
        raise


def present(out: Output, enrolment: Enrolment, *, dry_run: bool) -> None:
    """Show everything that a person has to see before saying yes."""
    root = enrolment.root
    out.data = {
        **root_data(root),
        "findings": finding_data(enrolment.findings),
        "confirmed_by": enrolment.confirmation,
        "catalogue": enrolment.entry and enrolment.entry.name,
        "dry_run": dry_run,
    }
    out.show(f"name         {root.name}", *certificate_lines(root.certificate))
    out.show(*(f"only for     {limit}" for limit in limits(root.constraints)))
    out.show(f"leaf name    {root.constraints.leaf_name.value}", f"known as     {_known_as(enrolment.entry)}")
    for finding in enrolment.findings:
        out.show(finding_line(finding), tone=TONES[finding.severity])


def confirmed(out: Output, enrolment: Enrolment, *, dry_run: bool) -> bool:
    """Whether there is anything to add. Asks where only a person can answer.

    Raises `Refused` when nobody can answer, or somebody says no.
    """
    name = enrolment.root.name
    match enrolment.confirmation:
        case Confirmation.KNOWN:
            out.show(f"{name} is there already; nothing was changed", tone=Tone.GOOD)
            return False
        case Confirmation.FINGERPRINT:
            out.show("its fingerprint is the one given", tone=Tone.GOOD)
        case Confirmation.CATALOGUE:
            out.show("its fingerprint is the one in the vendor catalogue", tone=Tone.GOOD)
        case Confirmation.PERSON:
            if dry_run and not out.json and sys.stdin.isatty():
                out.show("would ask whether the fingerprint is the vendor's", tone=Tone.NOTE)
            else:
                out.confirm(
                    f"is this the fingerprint that the vendor publishes? Add {name}?",
                    hint="compare it with the vendor's, and give that one: --fingerprint SHA256",
                )
    return True


def enrol(
    out: Output,
    certificates: Sequence[Certificate],
    wanted: Wishes,
    provenance: Provenance,
    sysroot: Path,
    state_dir: Path | None,
    *,
    dry_run: bool,
) -> bool:
    """Show a root, have it confirmed, and add it in the state that is wished; whether it was added.

    Raises what `propose`, `Enrolment.check` and `confirmed` raise, and what writing raises.
    """
    certificate = choose(out, certificates, wanted.fingerprint)
    store = RootStore(sysroot)
    now = datetime.now(UTC)
    expiry, fault = root_dates(sysroot, state_dir, now)
    enrolment = propose(
        certificate,
        wanted,
        known=store.load(),
        catalogue=load_catalogue(),
        now=now,
        provenance=replace(provenance, added_at=now.replace(microsecond=0)),
        expiry=expiry,
        clock_fault=fault,
    )
    if sysroot == SYSTEM:
        enrolment = replace(enrolment, findings=(*enrolment.findings, *objections(certificate)))
    present(out, enrolment, dry_run=dry_run)
    enrolment.check()
    if not confirmed(out, enrolment, dry_run=dry_run):
        return False
    root = enrolment.root
    word = "stage" if root.state is LifeCycle.STAGED else "add"
    if dry_run:
        store.check_writable()
        out.show(f"would {word} {root.name}", tone=Tone.NOTE)
        return False
    detail = {"confirmed_by": enrolment.confirmation.value, "source": root.provenance.source}
    ledger = Ledger(store, state_directory(sysroot, state_dir))
    change = (Transition(None, root),)
    ledger.commit(
        Transaction(f"roots-{word}", root.name, change, now, provenance.added_by, provenance.reason, detail=detail)
    )
    if ledger.recovered:
        out.warn(ledger.recovered)
    out.changed = True
    out.show(f"{word}{'d' if word == 'stage' else 'ed'} {root.name}", tone=Tone.GOOD)
    return True


def _known_as(entry: CatalogueEntry | None) -> str:
    if entry is None:
        return "nothing: it is not in the vendor catalogue"
    return f"{entry.vendor}: {entry.title}, {entry.purpose.value}" + (f" ({entry.note})" if entry.note else "")
