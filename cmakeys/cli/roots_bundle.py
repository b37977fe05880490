"""`cmakeys roots bundle`: files in which somebody vouches for roots with signatures, made, signed, judged, imported."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.actor import actor
from cmakeys.cli.initrd_update import UpdateInitrd, updating_initrd
from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.roots.bundle_acceptance import Acceptance, Named, Remembered
    from cmakeys.roots.bundle_import import BundleImport
    from cmakeys.roots.signed_bundle import SignedBundle
    from cmakeys.roots.signer import PrivateKey

MAX_PEM_SIZE = 64 * 1024

FilesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="The bundle; where keys were exchanged since, those between first."),
]
KeyOption = Annotated[
    list[Path] | None,
    typer.Option("--key", metavar="FILE", help="A signer's public key, for the first bundle of a name. Repeatable."),
]
FingerprintOption = Annotated[
    list[str] | None,
    typer.Option("--fingerprint", metavar="SHA256", help="The same by the SHA-256 of the key. Repeatable."),
]
ThresholdOption = Annotated[
    int | None,
    typer.Option("--threshold", metavar="N", help="So many of the keys named must have signed; default: all."),
]

bundle = noun_app("Bundles of roots, signed by those who vouch for them: create, sign, verify, import.")


def register(app: typer.Typer) -> None:
    """Add the verbs to the noun."""
    app.add_typer(bundle, name="bundle")


@bundle.command("create")
def create(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the bundle.")],
    name: Annotated[str, typer.Option("--name", help="What it is called; the next one is called the same.")],
    version: Annotated[int, typer.Option("--version", metavar="N", help="Higher than that of the last one.")],
    key: Annotated[
        list[Path], typer.Option("--key", metavar="FILE", help="Sign with this private key, in PEM. Repeatable.")
    ],
    roots: Annotated[
        list[str] | None, typer.Argument(metavar="[ROOT]...", help="Default: all that a chain may end in.")
    ] = None,
    expires: Annotated[str, typer.Option("--expires", metavar="TIME", help="How long it holds, as 90d.")] = "90d",
    threshold: Annotated[
        int | None,
        typer.Option("--threshold", metavar="N", help="So many must sign the next one, and this one; default: all."),
    ] = None,
    next_key: Annotated[
        list[Path] | None,
        typer.Option(
            "--next-key", metavar="FILE", help="A public key that signs the next one; default: those of --key."
        ),
    ] = None,
    sysroot: Sysroot = SYSTEM,
    json: Json = False,
) -> None:
    """Write roots of this machine, and what /etc denies, into a bundle, and sign it."""
    with verb("roots", "bundle-create", json=json) as out:
        from cmakeys.errors import NotFound
        from cmakeys.roots.signed_bundle import Bundle, bundled, pack
        from cmakeys.roots.signer import SignerKey, Signers
        from cmakeys.roots.store import RootStore

        store = RootStore(sysroot)
        known = store.load()
        chosen = tuple(dict.fromkeys(known.find(text) for text in roots or ())) or known.anchors()
        if not chosen:
            raise NotFound("there is no trusted root to bundle", object=str(sysroot), hint="cmakeys roots add FILE")
        keys = _private_keys(key)
        signers = [SignerKey.from_pem(_read(path, MAX_PEM_SIZE), str(path)) for path in next_key or ()]
        signers = signers or [each.public for each in keys]
        now = datetime.now(UTC).replace(microsecond=0)
        content = Bundle(
            name,
            version,
            now,
            now + _duration(expires),
            Signers(len(signers) if threshold is None else threshold, tuple(signers)),
            tuple(bundled(root) for root in chosen),
            store.own_denials(),
        )
        _write(out, pack(content, str(output)).signed_by(*keys), output)


@bundle.command("sign")
def sign(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The bundle.")],
    key: Annotated[
        list[Path], typer.Option("--key", metavar="FILE", help="Sign with this private key, in PEM. Repeatable.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write; default: the same file.")
    ] = None,
    json: Json = False,
) -> None:
    """Add a signature to a bundle, where its key is: what the bundle says is shown and does not change."""
    with verb("roots", "bundle-sign", json=json) as out:
        signed = _bundle(file)
        keys = _private_keys(key)
        listed = {each.id for each in signed.bundle.signers.keys}
        for each in keys:
            if each.public.id not in listed:
                out.warn(
                    f"key {each.public.id} is not one of its signers",
                    object=str(file),
                    hint="it counts only where the bundle before this one names it",
                )
        _write(out, signed.signed_by(*keys), output or file)


@bundle.command("verify")
def verify(
    files: FilesArgument,
    key: KeyOption = None,
    fingerprint: FingerprintOption = None,
    threshold: ThresholdOption = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    """Say whether a bundle holds: signed by enough keys, not older than the last one, not expired."""
    with verb("roots", "bundle-verify", json=json) as out:
        from cmakeys.reports.bundle import acceptance_data, acceptance_report

        found, _ = _accepted(files, _named(key, fingerprint, threshold), sysroot, state_dir)
        out.data = acceptance_data(found)
        for line in acceptance_report(found):
            out.show(line.text, tone=line.tone)


@bundle.command("import")
def import_(
    files: FilesArgument,
    key: KeyOption = None,
    fingerprint: FingerprintOption = None,
    threshold: ThresholdOption = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Let go of roots that an earlier version brought and this one lacks.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. Never names a key.")] = False,
    update_initrd: UpdateInitrd = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Trust the roots of a bundle that holds, and deny what it denies, after showing what changes."""
    with (
        verb("roots", "bundle-import", json=json, detailed_exitcode=detailed_exitcode) as out,
        updating_initrd(out, sysroot, wanted=update_initrd, dry_run=dry_run),
    ):
        from cmakeys.config import load_config
        from cmakeys.reports.bundle import import_data, import_report
        from cmakeys.roots.bundle_import import Import, plan_import
        from cmakeys.roots.catalogue import load_catalogue
        from cmakeys.roots.ledger import Ledger
        from cmakeys.roots.store import RootStore

        found, remembered = _accepted(files, _named(key, fingerprint, threshold), sysroot, state_dir)
        store = RootStore(sysroot)
        how = Import(
            datetime.now(UTC),
            actor(),
            str(files[-1]),
            load_catalogue(),
            reason,
            prune,
            Ledger(store, state_directory(sysroot, state_dir)).removals(),
            load_config(sysroot).policy.root_expiry,
        )
        plan = plan_import(found, store.load(), remembered, how)
        out.data = import_data(plan, dry_run=dry_run)
        for line in import_report(plan):
            out.show(line.text, tone=line.tone)
        if dry_run:
            store.check_writable()
            out.show("would import it", tone=Tone.NOTE)
            return
        if plan.changes and not yes:
            out.confirm(f"import version {found.bundle.version} of {found.bundle.name}?", hint="--yes does not ask")
        _carry_out(out, plan, store.sysroot, state_dir)
        said = f"{found.bundle.name}, version {found.bundle.version}"
        out.show(f"imported {said}" if out.changed else f"{said}, is imported already", tone=Tone.GOOD)
        if plan.changes and sysroot == SYSTEM:
            out.show("next: cmakeys keyring apply puts this into effect in the kernel", tone=Tone.NOTE)


def _carry_out(out: Output, plan: BundleImport, sysroot: Path, state_dir: Path | None) -> None:
    """Remember the bundle, then make the change: whoever is killed in between imports the same bundle again."""
    from cmakeys.roots.bundle_state import save_state
    from cmakeys.roots.ledger import Ledger
    from cmakeys.roots.store import RootStore

    state = state_directory(sysroot, state_dir)
    if plan.newer:
        save_state(state, plan.state, instead_of=plan.remembered)
    if plan.changes:
        ledger = Ledger(RootStore(sysroot), state)
        ledger.commit(plan.transaction)
        if ledger.recovered:
            out.warn(ledger.recovered)
    out.changed = plan.newer or plan.changes


def _accepted(
    files: list[Path], named: Named | None, sysroot: Path, state_dir: Path | None
) -> tuple[Acceptance, Remembered | None]:
    """The bundle, if it holds, and what was remembered of the one before it."""
    from cmakeys.clock import newest_record
    from cmakeys.roots.bundle_acceptance import accept
    from cmakeys.roots.bundle_state import load_state
    from cmakeys.verify.clock import clock_fault

    signed = [_bundle(path) for path in files]
    state = state_directory(sysroot, state_dir)
    remembered = load_state(state, signed[-1].bundle.name)
    now = datetime.now(UTC)
    fault = clock_fault(now, newest_record(state))
    return accept(signed, now, remembered=remembered, named=named, clock_fault=fault), remembered


def _named(keys: list[Path] | None, fingerprints: list[str] | None, threshold: int | None) -> Named | None:
    """The keys that the command line names; None where it names none."""
    from cmakeys.errors import UsageProblem
    from cmakeys.roots.bundle_acceptance import Named
    from cmakeys.roots.signer import SignerKey, check_key_id

    named = {SignerKey.from_pem(_read(path, MAX_PEM_SIZE), str(path)).id for path in keys or ()}
    named |= {check_key_id(text) for text in fingerprints or ()}
    if not named and threshold is None:
        return None
    wanted = len(named) if threshold is None else threshold
    if not 1 <= wanted <= len(named):
        raise UsageProblem(f"a threshold of {wanted} with {len(named)} keys named", object="--threshold")
    return Named(frozenset(named), wanted)


def _private_keys(paths: list[Path]) -> list[PrivateKey]:
    from cmakeys.roots.signer import PrivateKey

    return [PrivateKey(_read(path, MAX_PEM_SIZE), str(path)) for path in paths]


def _bundle(path: Path) -> SignedBundle:
    from cmakeys.roots.signed_bundle import MAX_BUNDLE_SIZE, read_bundle

    return read_bundle(_read(path, MAX_BUNDLE_SIZE), str(path))


def _read(path: Path, limit: int) -> bytes:
    """The bytes of a file, one more than it may have at most. It may be anything, also one that never ends."""
    from cmakeys.errors import UsageProblem, from_oserror

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UsageProblem("not a regular file", object=str(path))
            return stream.read(limit + 1)
    except OSError as error:
        raise from_oserror(error, str(path)) from error


def _write(out: Output, signed: SignedBundle, path: Path) -> None:
    from cmakeys.errors import UsageProblem
    from cmakeys.files import write_whole
    from cmakeys.reports.bundle import signed_data, signed_report
    from cmakeys.roots.signed_bundle import render_bundle

    if path.exists() and not path.is_file():
        raise UsageProblem("not a regular file", object=str(path))
    write_whole(path, render_bundle(signed))
    out.changed = True
    out.data = {**signed_data(signed), "output": path}
    for line in signed_report(signed):
        out.show(line.text, tone=line.tone)
    out.show(f"wrote {path}", tone=Tone.GOOD)


def _duration(text: str) -> timedelta:
    from cmakeys.errors import UsageProblem
    from cmakeys.x509.horizon import Horizon

    horizon = Horizon.parse(text)
    if horizon.percent or not horizon.duration:
        raise UsageProblem(f"{text} is no time to hold for", object="--expires", hint="write it as 12h, 90d or 13w")
    return horizon.duration
