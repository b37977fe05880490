"""`cmakeys image hooks`: have the roots baked whenever an initrd is made, by whatever makes it on this system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, Sysroot
from cmakeys.cli.output import Output, verb
from cmakeys.images.generators import Generator
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.images.hooks import Standing

ForOption = Annotated[
    list[Generator] | None,
    typer.Option("--for", help="What makes the initrd. Repeatable; default: every one that has a hook of ours."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace or remove files that were edited by hand.")]

hooks = noun_app("Have the roots baked whenever an initrd is made: install, status, remove.")


def register(app: typer.Typer) -> None:
    """Add the verbs to the noun."""
    app.add_typer(hooks, name="hooks")


@hooks.command("install")
def install(
    generators: Annotated[
        list[Generator], typer.Option("--for", help="What makes the initrd. Repeatable.", show_default=False)
    ],
    required: Annotated[
        bool, typer.Option("--required", help="Let making the initrd fail without the roots, and booting it, too.")
    ] = False,
    allow_expired: Annotated[
        bool, typer.Option("--allow-expired", help="Also bake what has expired, or will within 90 days.")
    ] = False,
    allow_unloadable: Annotated[
        bool, typer.Option("--allow-unloadable", help="Also bake what no kernel loads.")
    ] = False,
    allow_test_root: Annotated[
        bool, typer.Option("--allow-test-root", help="Also bake roots whose private keys are public.")
    ] = False,
    force: ForceOption = False,
    sysroot: Sysroot = SYSTEM,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Write the hook by which what makes initrds bakes the roots into each of them."""
    with verb("image", "hooks-install", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.images.bake import Permission
        from cmakeys.images.generators import HOOKS
        from cmakeys.images.hooks import install as write
        from cmakeys.images.hooks import is_there, options_of

        given = (
            (Permission.EXPIRED, allow_expired),
            (Permission.UNLOADABLE, allow_unloadable),
            (Permission.TEST_ROOT, allow_test_root),
        )
        options = options_of(required=required, allowed=[one for one, allowed in given if allowed])
        chosen = tuple(dict.fromkeys(generators))
        # Whatever one of them would be refused for is known before the first is written.
        paths = {one: write(sysroot, one, options, force=force, dry_run=True) for one in chosen}
        if not dry_run:
            for one in chosen:
                write(sysroot, one, options, force=force, dry_run=False)
        _report(out, "install", "write", [path for one in chosen for path in paths[one]], dry_run=dry_run)
        for one in chosen:
            if not is_there(sysroot, one):
                out.warn("is not installed in this tree", object=one.value, hint="its hook does nothing until it is")
            out.show(f"in every initrd from the next: {HOOKS[one].rebuild}", tone=Tone.NOTE)


@hooks.command("remove")
def remove(
    generators: ForOption = None,
    force: ForceOption = False,
    sysroot: Sysroot = SYSTEM,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Take the hooks away; initrds that were made stay as they are."""
    with verb("image", "hooks-remove", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.images.hooks import remove as take_away

        chosen = tuple(dict.fromkeys(generators or Generator))
        paths = [path for one in chosen for path in take_away(sysroot, one, force=force, dry_run=True)]
        if not dry_run:
            for one in chosen:
                take_away(sysroot, one, force=force, dry_run=False)
        _report(out, "remove", "remove", paths, dry_run=dry_run)


@hooks.command("status")
def status(
    generators: ForOption = None,
    sysroot: Sysroot = SYSTEM,
    json: Json = False,
) -> None:
    """Say which hooks there are, and whether they are as this version writes them."""
    with verb("image", "hooks-status", json=json) as out:
        from cmakeys.images.hooks import standing

        found = [standing(sysroot, one) for one in dict.fromkeys(generators or Generator)]
        out.data = {"hooks": [_data(one) for one in found]}
        for one in found:
            _show(out, one)


def _report(out: Output, action: str, word: str, paths: list[Path], *, dry_run: bool) -> None:
    out.changed = bool(paths) and not dry_run
    out.data = {"action": action, "files": paths, "dry_run": dry_run}
    for path in paths:
        out.show(f"{'would ' if dry_run else ''}{word} {path}", tone=Tone.NOTE if dry_run else Tone.GOOD)
    if not paths:
        out.show("nothing to do", tone=Tone.GOOD)


def _data(one: Standing) -> dict[str, object]:
    return {
        "generator": one.generator.value,
        "present": one.present,
        "state": one.state,
        "options": one.options,
        "files": [{"path": file.path, "state": file.state, "version": file.version or None} for file in one.files],
    }


def _show(out: Output, one: Standing) -> None:
    """One generator for a person; what is neither there nor hooked in one line."""
    from cmakeys.images.generators import HOOKS
    from cmakeys.stamped import FileState

    words = {
        FileState.ABSENT: ("no hook", Tone.NOTE if one.present else Tone.PLAIN),
        FileState.CURRENT: ("hook installed", Tone.GOOD),
        FileState.OUTDATED: ("hook incomplete or of another version", Tone.WARNING),
        FileState.EDITED: ("hook edited by hand", Tone.WARNING),
    }
    word, tone = words[one.state]
    options = f", with {' '.join(one.options)}" if one.options else ""
    out.show(f"{one.generator.value}: {word}{options}" + ("" if one.present else "; not in this tree"), tone=tone)
    if one.state is FileState.ABSENT:
        return
    for file in one.files:
        if file.state is not FileState.CURRENT:
            version = f" by cmakeys {file.version}" if file.version else ""
            out.show(f"  {file.path}: {file.state.value}{version}")
    if one.state is FileState.OUTDATED:
        out.show(
            f"  next: {' '.join(('cmakeys image hooks install --for', one.generator.value, *(one.options or ())))}"
        )
    elif one.state is FileState.CURRENT and one.present:
        out.show(f"  made anew by: {HOOKS[one.generator].rebuild}")
