"""What a check of all devices says of the initrds: whether they hold the roots that the devices were held against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmakeys.cli.audience import Log
from cmakeys.cli.eventlogging import log_initrds
from cmakeys.cli.output import Output
from cmakeys.errors import CmakeysError, NotPermitted
from cmakeys.images.recollection import Recollection
from cmakeys.images.staleness import look_at_initrds
from cmakeys.reports.initrds import rebuild_words, stale_text

if TYPE_CHECKING:
    from cmakeys.images.current import InitrdSettings
    from cmakeys.images.freshness import Initrds
    from cmakeys.roots.rootset import RootSet


@dataclass(frozen=True, slots=True)
class Night:
    """A check of all devices: where it logs, whether it `keeps` what it learns, and whether it tells `news_only`."""

    sysroot: Path
    state: Path
    log: Log
    keeps: bool
    news_only: bool


def look_and_say(out: Output, night: Night, roots: RootSet, settings: InitrdSettings) -> Initrds | None:
    """Warn of initrds that are out of step, on stderr and in the log; None where this user may not see them.

    What the last check warned of already is no news.
    """
    memory = Recollection(night.state)
    try:
        found = look_at_initrds(night.sysroot, roots, settings, memory)
    except NotPermitted:
        return None
    text = stale_text(found)
    news = text != memory.told
    if text and (news or not night.news_only):
        out.warn(text, hint=rebuild_words(found) or "make it anew with what makes it, after cmakeys image bake")
    problem = memory.keep(text) if night.keeps else None
    if problem is not None:
        out.problem(problem)
    try:
        log_initrds(night.log, night.sysroot, found, news=news)
    except CmakeysError as error:
        out.problem(error)
    return found
