"""What a check of all devices says of the initrds: whether they hold the roots that the devices were held against."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cmakeys.cli.output import Output
from cmakeys.errors import NotPermitted
from cmakeys.images.recollection import Recollection
from cmakeys.images.staleness import look_at_initrds
from cmakeys.reports.initrds import rebuild_words, stale_text

if TYPE_CHECKING:
    from cmakeys.images.current import InitrdSettings
    from cmakeys.images.freshness import Initrds
    from cmakeys.roots.rootset import RootSet


def look_and_say(
    out: Output,
    sysroot: Path,
    state: Path,
    roots: RootSet,
    settings: InitrdSettings,
    *,
    keeps: bool,
    news_only: bool,
) -> Initrds | None:
    """Warn of initrds that are out of step, on stderr; with `news_only` not of what the last check warned of already.

    What was looked at is remembered if this run `keeps` anything. None where this user may not see the initrds.
    """
    memory = Recollection(state)
    try:
        found = look_at_initrds(sysroot, roots, settings, memory)
    except NotPermitted:
        return None
    text = stale_text(found)
    if text and not (news_only and text == memory.told):
        command = rebuild_words(found)
        out.warn(text, hint=command or "make it anew with what makes it, after cmakeys image bake")
    problem = memory.keep(text) if keeps else None
    if problem is not None:
        out.problem(problem)
    return found
