"""`cmakeys roots rotate`: one root takes another's place, with the plan shown before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.effect import NoApply, take_effect
from cmakeys.cli.initrd_update import UpdateInitrd, updating_initrd
from cmakeys.cli.options import (
    SYSTEM,
    DetailedExitcode,
    DryRun,
    Json,
    StateDir,
    Sysroot,
    TimeoutOption,
    state_directory,
)
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.roots.rotation import RotationPlan


def register(app: typer.Typer) -> None:
    """Add the verb to the noun."""
    app.command("rotate")(rotate)


def rotate(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The root that is to go: a name or a fingerprint.")],
    new: Annotated[
        str | None, typer.Argument(metavar="[NEW|FILE]", help="The root that replaces it, or a file that holds it.")
    ] = None,
    overlap: Annotated[
        str | None, typer.Option("--overlap", metavar="TIME", help="Keep both so long, as 30d (the default) or 12h.")
    ] = None,
    cross_signed: Annotated[
        Path | None,
        typer.Option("--cross-signed", metavar="FILE", help="A certificate of NEW's key, signed by OLD's key."),
    ] = None,
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", metavar="SHA256", help="NEW's fingerprint as the vendor publishes it."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Call the root in FILE so.")] = None,
    finish: Annotated[bool, typer.Option("--finish", help="Retire OLD, if no enrolled device needs it.")] = False,
    early: Annotated[bool, typer.Option("--early", help="Finish before the overlap is over.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Go back to what was before the rotation.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Ask the enrolled devices, instead of going by what they were enrolled with.")
    ] = False,
    timeout: TimeoutOption = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal.")] = "",
    no_apply: NoApply = False,
    update_initrd: UpdateInitrd = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Let NEW take the place of OLD: both are trusted for a while, then OLD is retired by --finish.

    NEW has to be vouched for: by OLD's key, by the catalogue, or by its fingerprint. The plan is shown first; what
    forbids it is all named, and then nothing is changed (exit code 8). The same command again continues.
    """
    with (
        verb("roots", "rotate", json=json, detailed_exitcode=detailed_exitcode) as out,
        updating_initrd(out, sysroot, wanted=update_initrd, dry_run=dry_run),
    ):
        from cmakeys.cli.conditions import conditions
        from cmakeys.cli.rotating import Request, asked, carry_out, enrolled, moment_of, overlap_of, settle
        from cmakeys.reports.rotation import done_words, rotation_data, rotation_report
        from cmakeys.roots.store import RootStore

        moment = moment_of(new, finish=finish, early=early, abort=abort)
        state = state_directory(sysroot, state_dir)
        request = Request(moment, state, old, new, overlap_of(overlap), cross_signed, fingerprint, name, early, reason)
        recovered = "" if dry_run else settle(sysroot, state)
        if recovered:
            out.warn(recovered)
        held_against = conditions(sysroot, state_dir, timeout)
        plan = request.plan(held_against, enrolled(state), out)
        if live:
            plan = request.plan(held_against, asked(state, held_against, plan), out)
        data = rotation_data(plan, dry_run=dry_run)
        out.data = {**data, "effect": None}
        for line in rotation_report(plan):
            out.show(line.text, tone=line.tone)
        for block in plan.blocks:
            out.problem(block.problem)
        if plan.blocks:
            return
        if not plan.changes:
            out.show("", "there is nothing to do", tone=Tone.NOTE)
        elif dry_run:
            RootStore(sysroot).check_writable()
            out.show("", "nothing was changed", tone=Tone.NOTE)
        else:
            roots = carry_out(plan, sysroot, state, held_against.now, reason)
            out.changed = True
            out.show("", done_words(plan), tone=Tone.GOOD)
            out.data = {**data, "effect": take_effect(out, roots, sysroot, wanted=not no_apply)}
            _next_step(out, plan)


def _next_step(out: Output, plan: RotationPlan) -> None:
    from cmakeys.roots.rotation import Moment

    if plan.moment is Moment.START and plan.rotation is not None:
        end = f"{plan.rotation.overlap_until:%Y-%m-%d}"
        out.show(f"from {end} on: cmakeys roots rotate {plan.old.name} --finish", tone=Tone.NOTE)
