"""`cmakeys roots`: the vendors' roots that this machine trusts, added with their fingerprint, shown, and taken away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli import (
    roots_apply,
    roots_bundle,
    roots_constrain,
    roots_history,
    roots_lifecycle,
    roots_rotate,
    roots_tree,
)
from cmakeys.cli.actor import actor
from cmakeys.cli.initrd_update import UpdateInitrd, updating_initrd
from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, TraceOption, state_directory
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.roots.directory import StoreFinding, StoreReport
    from cmakeys.x509.certificate import Certificate

app = noun_app("Say which vendors' roots this machine trusts: add, show, remove, export them.")

FingerprintOption = Annotated[
    str | None,
    typer.Option(
        "--fingerprint",
        metavar="SHA256",
        help="The certificate's fingerprint as the vendor publishes it: 64 hex digits, colons and capitals allowed.",
    ),
]
RootArgument = Annotated[str, typer.Argument(metavar="ROOT", help="A name, or the beginning of a fingerprint.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask. Never answers for a fingerprint.")]


@app.command("add")
def add(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE|-", help="PEM, DER, PKCS#7 or an SPDM certificate chain.")
    ] = None,
    from_device: Annotated[
        str | None, typer.Option("--from-device", metavar="URL", help="Take the root that this device hands out.")
    ] = None,
    trace: TraceOption = None,
    fingerprint: FingerprintOption = None,
    name: Annotated[str | None, typer.Option("--name", help="Call the root so; default: from its subject.")] = None,
    pci_vendor: Annotated[
        list[str] | None,
        typer.Option("--pci-vendor", metavar="ID", help="Only for devices of this PCI vendor, as 10de. Repeatable."),
    ] = None,
    leaf_name: Annotated[
        str | None,
        typer.Option("--leaf-name", metavar="RULE", help="Name required in a leaf: pcie, device-info, either, none."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the root.")] = "",
    allow_test_root: Annotated[
        bool, typer.Option("--allow-test-root", help="Allow a well-known test root, whose private key is public.")
    ] = False,
    yes: Yes = False,  # every question of this verb is about the fingerprint, so it changes nothing
    update_initrd: UpdateInitrd = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Trust a vendor's root, once its fingerprint is confirmed.

    The certificate is shown in full. Its fingerprint is confirmed by --fingerprint, by the vendor catalogue, or by a
    yes on the terminal; without any of these nothing is added (exit code 8).
    """
    with (
        verb("roots", "add", json=json, detailed_exitcode=detailed_exitcode) as out,
        updating_initrd(out, sysroot, wanted=update_initrd, dry_run=dry_run),
    ):
        from cmakeys.cli.enrolment import enrol, wishes
        from cmakeys.cli.sources import certificates_from, source_of
        from cmakeys.roots.root import Provenance

        wanted = wishes(name, pci_vendor, leaf_name, fingerprint, allow_test_root=allow_test_root)
        provenance = Provenance(from_device or source_of(file), added_by=actor(), reason=reason)
        certificates = certificates_from(file, from_device, trace)
        if enrol(out, certificates, wanted, provenance, sysroot, state_dir, dry_run=dry_run):
            _next_step(out, sysroot)


@app.command("list")
def list_(sysroot: Sysroot = SYSTEM, json: Json = False) -> None:
    """List the roots with their states and fingerprints, and what in the store has no effect."""
    with verb("roots", "list", json=json) as out:
        from cmakeys.reports.roots import ROOT_COLUMNS, root_data, root_row
        from cmakeys.roots.store import RootStore

        report = RootStore(sysroot).inspect()
        roots = report.root_set.roots
        if out.json:
            out.data = {
                "roots": [root_data(root, report) for root in roots],
                "digest": report.root_set.digest,
                **_store_data(report),
            }
        if roots:
            out.table(ROOT_COLUMNS, [root_row(root, report) for root in roots])
        else:
            out.show("no roots; next: cmakeys roots add FILE", tone=Tone.NOTE)
        for masked, path in report.masks.items():
            out.show(f"{masked} is masked by {path}", tone=Tone.NOTE)
        _warn(out, report.findings)


@app.command("show")
def show(root: RootArgument, sysroot: Sysroot = SYSTEM, json: Json = False) -> None:
    """Show everything about one root: its certificate, what it may vouch for, where it came from."""
    with verb("roots", "show", json=json) as out:
        from cmakeys.reports.roots import root_data, root_lines
        from cmakeys.roots.record import render_pem
        from cmakeys.roots.store import RootStore

        report = RootStore(sysroot).inspect()
        found = report.root_set.find(root)
        out.data = {**root_data(found, report), "pem": render_pem(found.certificate).decode()}
        out.show(*root_lines(found, report))


@app.command("remove")
def remove(
    root: RootArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal.")] = "",
    yes: Yes = False,
    update_initrd: UpdateInitrd = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Trust a root no longer. One that came with the system is masked in /etc."""
    with (
        verb("roots", "remove", json=json, detailed_exitcode=detailed_exitcode) as out,
        updating_initrd(out, sysroot, wanted=update_initrd, dry_run=dry_run),
    ):
        from cmakeys.reports.roots import certificate_lines, root_data
        from cmakeys.roots.ledger import Ledger
        from cmakeys.roots.store import RootStore
        from cmakeys.roots.transaction import Transaction, Transition

        store = RootStore(sysroot)
        report = store.inspect()
        found = report.root_set.find(root)
        out.data = {**root_data(found, report), "dry_run": dry_run}
        out.show(f"{found.name} ({found.state.value})", *certificate_lines(found.certificate))
        if dry_run:
            store.check_writable()
            out.show(f"would remove {found.name}", tone=Tone.NOTE)
            return
        if not yes:
            out.confirm(f"remove {found.name}?", hint="--yes removes it without asking")
        ledger = Ledger(store, state_directory(sysroot, state_dir))
        change = (Transition(found, None),)
        ledger.commit(Transaction("roots-remove", found.name, change, datetime.now(UTC), actor(), reason))
        if ledger.recovered:
            out.warn(ledger.recovered)
        out.changed = True
        out.show(f"removed {found.name}", tone=Tone.GOOD)
        _next_step(out, sysroot)


@app.command("export")
def export(
    roots: Annotated[
        list[str] | None, typer.Argument(metavar="[ROOT]...", help="Default: all that a chain may end in.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="pem, der or voa (a folder), json, or declaration.")
    ] = "pem",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="Where to; default for all but der: stdout.")
    ] = None,
    system: Annotated[
        str | None, typer.Option("--os", metavar="ID", help="For voa: the system's name; default: by os-release.")
    ] = None,
    sysroot: Sysroot = SYSTEM,
    json: Json = False,
) -> None:
    """Write roots out for other programs: those that anchor a chain, or those named.

    As a declaration, which roots apply reads, all of them are written, with their states and the deny entries.
    """
    with verb("roots", "export", json=json) as out:
        from cmakeys.cli.export import Form, write, write_declaration
        from cmakeys.errors import NotFound, Refused
        from cmakeys.reports.roots import root_data
        from cmakeys.roots.store import RootStore

        report = RootStore(sysroot).inspect()
        if form == "declaration":
            write_declaration(out, report, roots or (), output)
            return
        anchors = report.root_set.anchors()
        chosen = list(dict.fromkeys(report.root_set.find(text) for text in roots or ())) or list(anchors)
        for root in chosen:
            if root not in anchors:
                raise Refused(
                    f"{'denied' if report.root_set.denied(root.certificate) else root.state.value}, not trusted",
                    object=root.name,
                    hint=f"cmakeys roots show {root.name} --json holds its certificate all the same",
                )
        if not chosen:
            raise NotFound("there is no trusted root to export", object=str(sysroot), hint="cmakeys roots add FILE")
        out.data = {"format": form, "output": output, "roots": [root_data(root, report) for root in chosen]}
        write(out, chosen, report, Form(form, output, system, sysroot))


@app.command("lint")
def lint(
    what: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE|-|ROOT]...", help="Default: every root of the store.")
    ] = None,
    kernel: Annotated[
        bool, typer.Option("--kernel", help="Also try whether the running kernel takes each as a key.")
    ] = False,
    sysroot: Sysroot = SYSTEM,
    json: Json = False,
) -> None:
    """Say what speaks against certificates as roots; exit code 1 when something forbids one."""
    with verb("roots", "lint", json=json) as out:
        from cmakeys.cli.dates import root_dates
        from cmakeys.cli.sources import certificates_from
        from cmakeys.errors import ExitCode
        from cmakeys.keyring.trial import try_certificate
        from cmakeys.reports.findings import TONES, finding_data, finding_line
        from cmakeys.reports.roots import certificate_data
        from cmakeys.roots.catalogue import load_catalogue
        from cmakeys.roots.store import RootStore
        from cmakeys.x509.lint import Severity, lint_anchor

        store = RootStore(sysroot)
        certificates: list[Certificate] = []
        data: dict[str, object] = {}
        for text in what or ():
            if text == "-" or Path(text).is_file():
                certificates.extend(certificates_from(text, None))
            else:
                certificates.append(store.load().find(text).certificate)
        if not what:
            report = store.inspect()
            certificates = [root.certificate for root in report.root_set.roots]
            data = _store_data(report)
            _warn(out, report.findings)
        catalogue = load_catalogue()
        now = datetime.now(UTC)
        expiry, fault = root_dates(sysroot, None, now)
        results = []
        for certificate in certificates:
            findings = lint_anchor(
                certificate, now=now, expiry=expiry, clock_fault=fault, test_roots=catalogue.test_roots
            )
            if kernel:
                findings += (try_certificate(certificate),)
            results.append({**certificate_data(certificate), "findings": finding_data(findings)})
            out.show(f"{certificate.label}  sha256 {certificate.fingerprint}")
            for finding in findings:
                out.show(f"  {finding_line(finding)}", tone=TONES[finding.severity])
            if not findings:
                out.show("  nothing speaks against it", tone=Tone.GOOD)
            if any(finding.severity is Severity.ERROR for finding in findings):
                out.exit_code = ExitCode.FAILED
        out.data = {"certificates": results, **data}


def _store_data(report: StoreReport) -> dict[str, object]:
    from cmakeys.reports.deny import deny_data

    return {
        "deny": [deny_data(entry) for entry in report.root_set.deny],
        "masks": report.masks,
        "store_findings": [{"path": f.path, "message": f.message, "hint": f.hint} for f in report.findings],
    }


def _warn(out: Output, findings: Sequence[StoreFinding]) -> None:
    for finding in findings:
        out.warn(finding.message, object=str(finding.path), hint=finding.hint)


def _next_step(out: Output, sysroot: Path) -> None:
    if sysroot == SYSTEM:
        out.show("next: cmakeys keyring apply puts this into effect in the kernel", tone=Tone.NOTE)


roots_apply.register(app)
roots_rotate.register(app)
roots_constrain.register(app)
roots_bundle.register(app)
roots_tree.register(app)
roots_lifecycle.register(app)
roots_history.register(app)
