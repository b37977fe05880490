"""`cmakeys roots import-tree`: propose the roots that a distribution laid out for `.cma` in a UAPI.11 hierarchy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.actor import actor
from cmakeys.cli.initrd_update import UpdateInitrd, updating_initrd
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmakeys.roots.enrolment import Enrolment
    from cmakeys.roots.rootset import RootSet
    from cmakeys.roots.voa import VerifierTree
    from cmakeys.x509.certificate import Certificate


def register(app: typer.Typer) -> None:
    """Add the verb to the noun."""
    app.command("import-tree")(import_tree)


def import_tree(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="A load path, such as /usr/share/voa, or a copy of one.")
    ] = None,
    voa: Annotated[bool, typer.Option("--voa", help="All load paths of the system instead of one folder.")] = False,
    system: Annotated[
        list[str] | None,
        typer.Option("--os", metavar="ID", help="The system's name in the tree; default: by os-release. Repeatable."),
    ] = None,
    fingerprint: Annotated[
        list[str] | None,
        typer.Option("--fingerprint", metavar="SHA256", help="Add the root with this fingerprint. Repeatable."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the roots.")] = "",
    update_initrd: UpdateInitrd = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Trust roots out of a UAPI.11 (VOA) tree, each once its fingerprint is confirmed: all of them, or none."""
    with (
        verb("roots", "import-tree", json=json, detailed_exitcode=detailed_exitcode) as out,
        updating_initrd(out, sysroot, wanted=update_initrd, dry_run=dry_run),
    ):
        from cmakeys.roots.store import RootStore

        tree = _tree(folder, sysroot, system, voa=voa)
        store = RootStore(sysroot)
        known = store.load()
        out.data = _data(tree, (), dry_run=dry_run)
        _tell(out, tree, known)
        enrolments = _proposals(out, _chosen(tree, fingerprint), known, fingerprint, reason)
        out.data = _data(tree, enrolments, dry_run=dry_run)
        if out.errors:
            return
        fresh = _confirmed(out, enrolments, dry_run=dry_run)
        if not fresh:
            out.show("there is nothing to add", tone=Tone.GOOD)
        elif dry_run:
            store.check_writable()
            out.show(*(f"would add {each.root.name}" for each in fresh), tone=Tone.NOTE)
        else:
            _commit(out, fresh, str(folder or "voa"), reason, sysroot, state_dir)


def _tree(folder: Path | None, sysroot: Path, systems: list[str] | None, *, voa: bool) -> VerifierTree:
    from cmakeys.errors import NotFound, UsageProblem
    from cmakeys.roots.voa import LOAD_PATHS, read_hierarchy, system_identifiers

    if (folder is None) != voa:
        raise UsageProblem("name one source: a folder, or --voa", hint="cmakeys roots import-tree --help")
    if folder is not None and not folder.is_dir():
        raise NotFound("no such folder", object=str(folder))
    names = tuple(systems or system_identifiers(sysroot))
    paths = [sysroot / path for path in LOAD_PATHS] if folder is None else [folder]
    tree = read_hierarchy(paths, names, root=sysroot)
    if not (tree.certificates or tree.masks or tree.findings):
        raise NotFound(
            f"nothing for {', '.join(names)} in it",
            object=str(folder or "voa"),
            hint="the files are in OS/kernel-keyring/cma/x509/; another OS is named by --os",
        )
    return tree


def _tell(out: Output, tree: VerifierTree, known: RootSet) -> None:
    """What does not count, and what is masked there and trusted here."""
    for finding in tree.findings:
        out.warn(f"does not count: {finding.message}", object=str(finding.path))
    for root in known.anchors():
        mask = tree.masked(root.fingerprint)
        if mask is not None:
            out.warn(
                f"masked by {mask}, and trusted here",
                object=root.name,
                hint="if the mask is right: cmakeys roots remove, or cmakeys deny add",
            )


def _chosen(tree: VerifierTree, fingerprints: list[str] | None) -> Sequence[Certificate]:
    from cmakeys.errors import Refused
    from cmakeys.roots.enrolment import check_fingerprint

    if not fingerprints:
        return tree.certificates
    wanted = list(dict.fromkeys(check_fingerprint(text) for text in fingerprints))
    found = {certificate.fingerprint: certificate for certificate in tree.certificates}
    for one in wanted:
        if one not in found:
            mask = tree.masked(one)
            raise Refused(f"masked by {mask}" if mask else "no such certificate in the tree", object=one)
    return [found[one] for one in wanted]


def _proposals(
    out: Output, certificates: Sequence[Certificate], known: RootSet, fingerprints: list[str] | None, reason: str
) -> tuple[Enrolment, ...]:
    """What adding each would mean; every reason against one is reported."""
    from cmakeys.errors import CmakeysError
    from cmakeys.roots.catalogue import load_catalogue
    from cmakeys.roots.enrolment import Confirmation, Wishes, propose
    from cmakeys.roots.root import Provenance

    catalogue = load_catalogue()
    now = datetime.now(UTC)
    found = []
    for certificate in certificates:
        wishes = Wishes(fingerprint=certificate.fingerprint if fingerprints else None)
        origin = Provenance(certificate.source, now.replace(microsecond=0), actor(), reason)
        try:
            one = propose(certificate, wishes, known=known, catalogue=catalogue, now=now, provenance=origin)
            one.check()
        except CmakeysError as problem:
            out.problem(problem)
            continue
        found.append(one)
        if one.confirmation is not Confirmation.KNOWN:
            known = known.with_root(one.root)
    return tuple(found)


def _confirmed(out: Output, enrolments: Sequence[Enrolment], *, dry_run: bool) -> list[Enrolment]:
    """Those that are new, each shown and confirmed as by `roots add`."""
    from cmakeys.cli.enrolment import confirmed, present

    data = out.data
    fresh = []
    for each in enrolments:
        present(out, each, dry_run=dry_run)
        out.data = data
        if confirmed(out, each, dry_run=dry_run):
            fresh.append(each)
        out.show("")
    return fresh


def _commit(
    out: Output, fresh: Sequence[Enrolment], source: str, reason: str, sysroot: Path, state_dir: Path | None
) -> None:
    from cmakeys.roots.ledger import Ledger
    from cmakeys.roots.store import RootStore
    from cmakeys.roots.transaction import Transaction, Transition

    ledger = Ledger(RootStore(sysroot), state_directory(sysroot, state_dir))
    transitions = tuple(Transition(None, each.root) for each in fresh)
    detail = {"confirmed_by": {each.root.name: each.confirmation.value for each in fresh}}
    ledger.commit(
        Transaction("roots-import-tree", source, transitions, datetime.now(UTC), actor(), reason, detail=detail)
    )
    if ledger.recovered:
        out.warn(ledger.recovered)
    out.changed = True
    out.show(*(f"added {each.root.name}" for each in fresh), tone=Tone.GOOD)
    if sysroot == SYSTEM:
        out.show("next: cmakeys keyring apply puts this into effect in the kernel", tone=Tone.NOTE)


def _data(tree: VerifierTree, enrolments: Sequence[Enrolment], *, dry_run: bool) -> dict[str, object]:
    return {
        "certificates": [
            {"sha256": each.fingerprint, "subject": each.subject, "path": each.source} for each in tree.certificates
        ],
        "roots": [
            {"name": each.root.name, "sha256": each.root.fingerprint, "confirmed_by": each.confirmation}
            for each in enrolments
        ],
        "masks": [{"name": name, "path": path} for name, path in sorted(tree.masks.items())],
        "findings": [{"path": each.path, "message": each.message} for each in tree.findings],
        "dry_run": dry_run,
    }
