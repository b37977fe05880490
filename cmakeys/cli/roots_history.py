"""`cmakeys roots history | undo`: what was changed by whom, and the way back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from cmakeys.cli.actor import actor
from cmakeys.cli.effect import NoApply, take_effect
from cmakeys.cli.initrd_update import UpdateInitrd, updating_initrd
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import verb
from cmakeys.reports.terminal import Tone


def register(app: typer.Typer) -> None:
    """Add the verbs to the noun."""
    app.command("history")(history)
    app.command("undo")(undo)


def history(
    root: Annotated[str | None, typer.Argument(metavar="[ROOT]", help="Only changes of this root.")] = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    """List the changes of roots and deny entries, newest first, with the numbers by which they can be undone."""
    with verb("roots", "history", json=json) as out:
        from cmakeys.reports.lifecycle import history_data, history_report, undone
        from cmakeys.roots.ledger import Ledger
        from cmakeys.roots.store import RootStore

        known = Ledger(RootStore(sysroot), state_directory(sysroot, state_dir)).transactions()
        back = undone(known)
        chosen = [
            recorded
            for recorded in reversed(known)
            if root is None
            or any(
                root == transition.root.name or transition.root.fingerprint.startswith(root.lower())
                for transition in recorded.transaction.transitions
            )
        ]
        out.data = {"changes": [history_data(one, undone_by=back.get(one.number)) for one in chosen]}
        for line in history_report(chosen, back):
            out.show(line.text, tone=line.tone)
        if not chosen:
            out.show("no change is recorded" + (f" of {root}" if root else ""), tone=Tone.NOTE)


def undo(
    entry: Annotated[
        int | None,
        typer.Option("--entry", min=1, metavar="NO", help="The change to take back; default: the last one."),
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
    """Take a change of roots back, if nothing later is about the same roots. That is a change too, and recorded."""
    with (
        verb("roots", "undo", json=json, detailed_exitcode=detailed_exitcode) as out,
        updating_initrd(out, sysroot, wanted=update_initrd, dry_run=dry_run),
    ):
        from cmakeys.cli.rotating import settle
        from cmakeys.reports.lifecycle import transaction_report, transition_data
        from cmakeys.roots.ledger import Ledger
        from cmakeys.roots.store import RootStore

        state = state_directory(sysroot, state_dir)
        recovered = "" if dry_run else settle(sysroot, state)
        if recovered:
            out.warn(recovered)
        store = RootStore(sysroot)
        ledger = Ledger(store, state)
        back = ledger.undoing(entry, at=datetime.now(UTC), by=actor(), reason=reason)
        back.apply_to(store.load())
        data = {"undoes": back.undoes, "roots": [transition_data(one) for one in back.effective], "dry_run": dry_run}
        out.data = {**data, "kernel": None}
        out.show(f"change {back.undoes} is taken back:")
        for line in transaction_report(back):
            out.show(line.text, tone=line.tone)
        if dry_run:
            store.check_writable()
            out.show("nothing was changed", tone=Tone.NOTE)
            return
        if not yes:
            out.confirm("take it back?", hint="--yes does it without asking")
        roots = ledger.commit(back)
        out.changed = True
        out.show("done", tone=Tone.GOOD)
        out.data = {**data, "kernel": take_effect(out, roots, sysroot, wanted=not no_apply)}
