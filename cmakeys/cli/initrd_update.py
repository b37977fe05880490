"""`--update-initrd` of the verbs that change roots: once the change is made, have the initrds made anew.

    with verb("roots", "trust", json=json) as out, updating_initrd(out, sysroot, wanted=update_initrd, dry_run=dry_run):

What makes them is found out before anything is changed, and runs after the change, its output on stderr. A failure of
it takes nothing back: the verb leaves with 9, and the same command again makes up for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.options import SYSTEM
from cmakeys.cli.output import Output
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.images.current import InitrdSettings

UpdateInitrd = Annotated[
    bool, typer.Option("--update-initrd", help="Then make the initrds anew, with the command of this system.")
]


@contextmanager
def updating_initrd(out: Output, sysroot: Path, *, wanted: bool, dry_run: bool = False) -> Iterator[None]:
    """Around the body of a verb: if it is `wanted` and something was changed, or an initrd is out of step, make them.

    Raises `UsageProblem` for a tree, and `NotFound` where nothing is known that makes initrds.
    """
    if not wanted:
        yield
        return
    from cmakeys.config import load_config
    from cmakeys.errors import CmakeysError, UsageProblem
    from cmakeys.images.rebuild import run_rebuild

    if sysroot != SYSTEM:
        raise UsageProblem(
            "only the initrds of this machine are made anew",
            object="--update-initrd",
            hint="in a tree, by whatever makes its initrds; cmakeys image hooks bakes the roots into them",
        )
    settings = load_config(sysroot).initrd
    command = _command(settings)
    yield
    if out.errors and not out.changed:
        return
    words = " ".join(command)
    if dry_run:
        out.show(f"would run: {words}", tone=Tone.NOTE)
        return
    if not out.changed and not _stale(settings):
        out.show("the initrds need not be made anew", tone=Tone.NOTE)
        return
    out.say(f"making the initrds anew: {words}")
    try:
        run_rebuild(command)
    except CmakeysError as problem:
        out.problem(problem)
        return
    out.show("the initrds were made anew", tone=Tone.GOOD)


def _command(settings: InitrdSettings) -> tuple[str, ...]:
    from cmakeys.errors import NotPermitted
    from cmakeys.images.current import initrds, releases
    from cmakeys.images.rebuild import command_for

    try:
        paths = initrds(SYSTEM, releases(SYSTEM), settings.places)
    except NotPermitted:
        paths = ()
    return command_for(settings.rebuild, SYSTEM, paths)


def _stale(settings: InitrdSettings) -> bool:
    from cmakeys.errors import NotPermitted
    from cmakeys.images.recollection import Recollection
    from cmakeys.images.staleness import look_at_initrds
    from cmakeys.roots.store import RootStore

    memory = Recollection(SYSTEM / "var/lib/cmakeys")
    try:
        return bool(look_at_initrds(SYSTEM, RootStore(SYSTEM).load(), settings, memory).stale)
    except NotPermitted:
        return False
