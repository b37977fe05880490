"""`cmakeys setup`: put beside the program what a distribution's package would, and take it away again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, Sysroot
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.installation import Change

app = noun_app("Put manual pages, units, completion and more where a distribution would.")

Prefix = Annotated[str, typer.Option("--prefix", metavar="DIR", help="Below DIR, /usr/local or another.")]
Force = Annotated[bool, typer.Option("--force", help="Replace or remove files that were edited by hand.")]


@app.command("install")
def install(
    prefix: Prefix = "/usr/local",
    force: Force = False,
    sysroot: Sysroot = SYSTEM,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Write manual pages, units, completion, schemas, an Ansible role, and a configuration where there is none."""
    with verb("setup", "install", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.installation import install as write

        _show(out, write(sysroot, prefix, force=force, dry_run=dry_run), dry_run=dry_run)
        program = sysroot / prefix.removeprefix("/") / "bin/cmakeys"
        if sysroot == SYSTEM and not program.exists():
            out.warn(
                "the unit runs this program, and it is not there",
                object=str(program),
                hint="link yours there, or let cmakeys schedule install write a unit for it",
            )
        out.show("to have the checks run by themselves: cmakeys schedule install", tone=Tone.NOTE)


@app.command("remove")
def remove(
    prefix: Prefix = "/usr/local",
    force: Force = False,
    sysroot: Sysroot = SYSTEM,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Take away what `install` has written; roots, register and what was changed in /etc stay."""
    with verb("setup", "remove", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.installation import remove as take_away

        _show(out, take_away(sysroot, prefix, force=force, dry_run=dry_run), dry_run=dry_run)


@app.command("status")
def status(prefix: Prefix = "/usr/local", sysroot: Sysroot = SYSTEM, json: Json = False) -> None:
    """Show which files are there, and how they compare with what this version would write."""
    with verb("setup", "status", json=json) as out:
        from cmakeys.installation import inspect
        from cmakeys.stamped import FileState

        found = inspect(sysroot, prefix)
        counts = {state: sum(one.state is state for one in found) for state in FileState}
        out.data = {
            "prefix": prefix,
            "files": [{"path": one.path, "state": one.state, "kept": one.kept} for one in found],
        }
        for one in found:
            # What the admin changed in /etc is as it should be.
            if one.state in (FileState.OUTDATED, FileState.EDITED) and not one.kept:
                out.show(f"{one.path}: {one.state.value}", tone=Tone.WARNING)
        said = ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)
        out.show(f"below {prefix} and in /etc: {said}", tone=Tone.GOOD if counts[FileState.CURRENT] else Tone.NOTE)


def _show(out: Output, change: Change, *, dry_run: bool) -> None:
    out.changed = bool(change.written or change.removed) and not dry_run
    out.data = {"written": list(change.written), "removed": list(change.removed), "dry_run": dry_run}
    for what, paths in (("remove", change.removed), ("write", change.written)):
        for path in paths:
            out.show(f"{'would ' if dry_run else ''}{what} {path}")
    if not change.written and not change.removed:
        out.show("nothing to do", tone=Tone.GOOD)
