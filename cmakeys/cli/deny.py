"""`cmakeys deny`: what must never be trusted, whatever brings it; added, listed, taken back, and told to the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.actor import actor
from cmakeys.cli.effect import NoApply, take_effect
from cmakeys.cli.initrd_update import UpdateInitrd, updating_initrd
from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.roots.deny import DenyEntry
    from cmakeys.roots.rootset import RootSet
    from cmakeys.roots.store import RootStore

app = noun_app("Say what must never be trusted, whatever brings it.")

MAX_SHOWN = 20
"""Entries that are shown before something is done to all of them."""

IssuerOption = Annotated[
    Path | None, typer.Option("--issuer", metavar="FILE", help="The issuer's certificate, for --serial and --crl.")
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the entry.")]


@app.command("add")
def add(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The certificate to deny, PEM, DER, PKCS#7 or SPDM chain.")
    ] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="KIND", help="Deny FILE by its certificate, key or issuer-serial.")
    ] = "certificate",
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", metavar="SHA256", help="Which certificate of FILE is meant.")
    ] = None,
    certificate: Annotated[
        str | None, typer.Option("--certificate", metavar="SHA256", help="Deny the certificate with this hash.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="SHA256", help="Deny the key with this hash, in any certificate.")
    ] = None,
    issuer_serial: Annotated[
        str | None,
        typer.Option("--issuer-serial", metavar="SHA256/HEX", help="Deny what this issuer numbered so."),
    ] = None,
    serial: Annotated[
        str | None, typer.Option("--serial", metavar="HEX", help="Deny what the issuer in --issuer FILE numbered so.")
    ] = None,
    crl: Annotated[
        Path | None, typer.Option("--crl", metavar="FILE", help="Deny everything on this revocation list.")
    ] = None,
    issuer: IssuerOption = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="DATE", help="Only what was issued later, as 2027-01-31 or with a time."),
    ] = None,
    reason: ReasonOption = "",
    no_apply: NoApply = False,
    update_initrd: UpdateInitrd = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Deny something, on this machine and for good, and show whom it concerns.

    An entry wins over every root, whatever brings it and whenever.
    """
    with (
        verb("deny", "add", json=json, detailed_exitcode=detailed_exitcode) as out,
        updating_initrd(out, sysroot, wanted=update_initrd, dry_run=dry_run),
    ):
        from cmakeys.cli.denying import Wanted, concerned, wanted_entries
        from cmakeys.reports.deny import deny_data
        from cmakeys.roots.store import RootStore

        store = RootStore(sysroot)
        known = store.load()
        wanted = Wanted(file, by, fingerprint, certificate, key, issuer_serial, serial, crl, issuer, after, reason)
        entries = wanted_entries(wanted, known)
        fresh = [entry for entry in entries if not known.denies(entry)]
        roots, devices = concerned(known, entries, state_directory(sysroot, state_dir))
        out.data = {
            "entries": [deny_data(entry) for entry in entries],
            "added": len(fresh),
            "roots": [root.name for root in roots],
            "devices": devices,
            "dry_run": dry_run,
            "kernel": None,
        }
        data = out.data
        _show(out, entries)
        for root in roots:
            out.show(f"no chain may end in {root.name} any more", tone=Tone.WARNING)
        for device in devices:
            out.show(f"{device} will be rejected", tone=Tone.WARNING)
        if dry_run:
            store.check_writable()
            out.show(f"would add {len(fresh)} of {len(entries)}", tone=Tone.NOTE)
            return
        if not fresh:
            out.show("denied already", tone=Tone.NOTE)
            return
        after_it = _commit(out, store, "deny-add", reason, state_directory(sysroot, state_dir), added=fresh)
        out.changed = True
        out.show(f"added {len(fresh)} of {len(entries)}", tone=Tone.GOOD)
        if roots:
            out.data = {**data, "kernel": take_effect(out, after_it, sysroot, wanted=not no_apply)}


@app.command("list")
def list_(sysroot: Sysroot = SYSTEM, json: Json = False) -> None:
    """List what is denied, with the files that say so."""
    with verb("deny", "list", json=json) as out:
        from cmakeys.reports.deny import deny_data, deny_lines
        from cmakeys.roots.store import RootStore

        report = RootStore(sysroot).inspect()
        out.data = {"entries": [{**deny_data(entry), "files": files} for entry, files in report.denials.items()]}
        for entry, files in report.denials.items():
            out.show(*deny_lines(entry, files))
        if not report.denials:
            out.show("nothing is denied", tone=Tone.NOTE)


@app.command("remove")
def remove(
    entry: Annotated[
        str | None,
        typer.Argument(metavar="[ENTRY]", help="The beginning of its SHA-256, perhaps with /SERIAL."),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="TEXT", help="Everything from this source, as list shows it.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    no_apply: NoApply = False,
    update_initrd: UpdateInitrd = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Deny something no longer. Only what this machine's own deny file says can be taken back."""
    with (
        verb("deny", "remove", json=json, detailed_exitcode=detailed_exitcode) as out,
        updating_initrd(out, sysroot, wanted=update_initrd, dry_run=dry_run),
    ):
        from cmakeys.cli.denying import chosen
        from cmakeys.reports.deny import deny_data
        from cmakeys.roots.store import RootStore

        store = RootStore(sysroot)
        found = chosen(store, entry, source)
        data = {"entries": [deny_data(each) for each in found], "dry_run": dry_run}
        out.data = {**data, "kernel": None}
        _show(out, found)
        if dry_run:
            store.check_writable()
            out.show(f"would remove {len(found)}", tone=Tone.NOTE)
            return
        if not yes:
            out.confirm(f"deny {'this' if len(found) == 1 else f'these {len(found)}'} no longer?", hint="--yes")
        before = store.load().anchors()
        roots = _commit(out, store, "deny-remove", reason, state_directory(sysroot, state_dir), removed=found)
        out.changed = True
        out.show(f"removed {len(found)}", tone=Tone.GOOD)
        if roots.anchors() != before:
            out.data = {**data, "kernel": take_effect(out, roots, sysroot, wanted=not no_apply)}
        denials = store.inspect().denials
        for each in found:
            others = denials.get(each, ())
            if others:
                out.warn(f"still denied by {', '.join(others)}", object=each.words)


@app.command("export")
def export(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Certificates at hand, besides those of roots and enrolled devices."),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="blacklist (kernel key names) or hash-list (to build in).")
    ] = "blacklist",
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: stdout.")] = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    """Say what is denied in the form of the kernel's keyring .blacklist, as far as it can be said there."""
    with verb("deny", "export", json=json) as out:
        from cmakeys.cli.denying import certificates_at_hand
        from cmakeys.errors import UsageProblem
        from cmakeys.files import write_whole
        from cmakeys.reports.deny import deny_data
        from cmakeys.reports.roots import certificate_data
        from cmakeys.roots.blacklist import blacklist, hash_list
        from cmakeys.roots.store import RootStore

        if form not in ("blacklist", "hash-list"):
            raise UsageProblem(f"{form!r} is not a format", object="--format", hint="one of: blacklist, hash-list")
        known = RootStore(sysroot).load()
        found = blacklist(known, certificates_at_hand(known, files or (), state_directory(sysroot, state_dir)))
        text = hash_list(found.lines) if form == "hash-list" else "".join(f"{line}\n" for line in found.lines)
        out.data = {
            "format": form,
            "output": output,
            "lines": found.lines,
            "certificates": [certificate_data(each) for each in found.certificates],
            "unexpressed": [deny_data(each) for each in found.unexpressed],
        }
        if output is None:
            out.show(*text.splitlines())
        else:
            write_whole(output, text.encode())
            out.show(f"wrote {len(found.lines)} lines to {output}", tone=Tone.GOOD)
        _honest_words(out, form, found.unexpressed)


def _honest_words(out: Output, form: str, unexpressed: Sequence[DenyEntry]) -> None:
    if unexpressed:
        out.warn(
            f"entries without a line: {len(unexpressed)}; the kernel knows hashes of certificates and no dates, and no"
            " certificate at hand is denied by them",
            hint="name the certificates: cmakeys deny export FILE",
        )
    if form == "blacklist":
        out.warn(
            "a running kernel takes these lines only with a PKCS#7 signature by a key that is built into it",
            hint="CONFIG_SYSTEM_BLACKLIST_AUTH_UPDATE; --format hash-list is for CONFIG_SYSTEM_BLACKLIST_HASH_LIST",
        )


def _show(out: Output, entries: Sequence[DenyEntry]) -> None:
    from cmakeys.reports.deny import deny_lines

    for entry in entries[:MAX_SHOWN]:
        out.show(*deny_lines(entry))
    if len(entries) > MAX_SHOWN:
        out.show(f"and {len(entries) - MAX_SHOWN} more")


def _commit(
    out: Output,
    store: RootStore,
    action: str,
    reason: str,
    state: Path,
    *,
    added: Sequence[DenyEntry] = (),
    removed: Sequence[DenyEntry] = (),
) -> RootSet:
    """Make the change as one transaction, which `roots undo` can take back; the roots afterwards."""
    from cmakeys.roots.ledger import Ledger
    from cmakeys.roots.transaction import Transaction

    entries = (*added, *removed)
    subject = entries[0].words if len(entries) == 1 else f"{len(entries)} entries"
    ledger = Ledger(store, state)
    afterwards = ledger.commit(
        Transaction(
            action,
            subject,
            (),
            datetime.now(UTC),
            actor(),
            reason,
            deny_added=tuple(added),
            deny_removed=tuple(removed),
        )
    )
    if ledger.recovered:
        out.warn(ledger.recovered)
    return afterwards
