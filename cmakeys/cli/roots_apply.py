"""`cmakeys roots apply`: make a declared set of roots true, for Ansible, Puppet or a Git hook."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.actor import actor
from cmakeys.cli.effect import NoApply, take_effect
from cmakeys.cli.initrd_update import UpdateInitrd, updating_initrd
from cmakeys.cli.options import SYSTEM, DetailedExitcode, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import Output, verb

if TYPE_CHECKING:
    from cmakeys.reports.layout import Line
    from cmakeys.roots.reconciliation import Bounds

STDIN = "-"


def register(app: typer.Typer) -> None:
    """Add the verb to the noun."""
    app.command("apply")(apply)


def apply(
    file: Annotated[
        str, typer.Option("--file", "-f", metavar="FILE|-", help="The declaration: a YAML file, or - for stdin.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Say what would change, as if it were done, and change nothing.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show before and after as a unified diff.")] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Go on although no trusted root would be left.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal.")] = "",
    no_apply: NoApply = False,
    update_initrd: UpdateInitrd = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Make the roots and deny entries be as a file declares them: all of it, or nothing.

    A root that is new needs its fingerprint in the file: that confirms it, and nobody is asked. A second run changes
    nothing.
    """
    with (
        verb("roots", "apply", json=json, detailed_exitcode=detailed_exitcode) as out,
        updating_initrd(out, sysroot, wanted=update_initrd, dry_run=check),
    ):
        from hashlib import sha256

        from cmakeys.cli.rotating import settle
        from cmakeys.reports.declaration import reconciliation_data, reconciliation_report
        from cmakeys.roots.declaration import read_declaration
        from cmakeys.roots.ledger import Ledger
        from cmakeys.roots.reconciliation import reconcile
        from cmakeys.roots.store import RootStore
        from cmakeys.roots.transaction import Transaction

        source, folder = ("stdin", Path()) if file == STDIN else (file, Path(file).parent)
        document = _document(file)
        declaration = read_declaration(document, source, lambda name: _certificate(folder / name))
        recovered = "" if check else settle(sysroot, state_directory(sysroot, state_dir))
        if recovered:
            out.warn(recovered)
        store = RootStore(sysroot)
        bounds = _bounds(source, reason, sysroot, state_dir)
        found = reconcile(declaration, store.load(), bounds, own_denials=store.own_denials(), allow_empty=allow_empty)
        # The difference between two large sets costs more than all the rest.
        data = {**reconciliation_data(found, source, check=check), "effect": None} if out.json else {}
        out.data = data or None
        for problem in found.problems:
            out.problem(problem)
        if found.problems:
            return
        lines = reconciliation_report(found, source, as_diff=diff, check=check)
        if not found.changed or check:
            out.changed = found.changed
            _show(out, lines)
            return
        detail = {"declaration": sha256(document).hexdigest()}
        changes = (found.changes, bounds.now, actor(), reason, found.deny, found.allow)
        ledger = Ledger(store, state_directory(sysroot, state_dir))
        roots = ledger.commit(Transaction("roots-apply", source, *changes, detail))
        out.changed = True
        _show(out, lines)
        out.data = {**data, "effect": take_effect(out, roots, sysroot, wanted=not no_apply)}


def _show(out: Output, lines: Sequence[Line]) -> None:
    for line in lines:
        out.show(line.text, tone=line.tone)


def _document(file: str) -> bytes:
    """The bytes of the declaration, one more than it may have at most."""
    from cmakeys.errors import from_oserror
    from cmakeys.roots.document import MAX_LIST_SIZE

    if file == STDIN:
        return sys.stdin.buffer.read(MAX_LIST_SIZE + 1)
    try:
        with Path(file).open("rb") as stream:
            return stream.read(MAX_LIST_SIZE + 1)
    except OSError as error:
        raise from_oserror(error, file) from error


def _certificate(path: Path) -> bytes:
    """The bytes of a file that the declaration names. It may be anything, also one that never ends or never begins."""
    from cmakeys.errors import UsageProblem, from_oserror
    from cmakeys.x509.bundle import MAX_INPUT_SIZE

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UsageProblem("not a regular file", object=str(path))
            return stream.read(MAX_INPUT_SIZE + 1)
    except OSError as error:
        raise from_oserror(error, str(path)) from error


def _bounds(source: str, reason: str, sysroot: Path, state_dir: Path | None) -> Bounds:
    from cmakeys.cli.dates import root_dates
    from cmakeys.roots.catalogue import load_catalogue
    from cmakeys.roots.reconciliation import Bounds
    from cmakeys.roots.root import Provenance

    now = datetime.now(UTC)
    provenance = Provenance(source, now.replace(microsecond=0), actor(), reason)
    return Bounds(load_catalogue(), now, provenance, *root_dates(sysroot, state_dir, now))
