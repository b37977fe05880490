"""How the initrds stand with the roots, in words and as data."""

from __future__ import annotations

import shlex

from cmakeys.images.freshness import Freshness, Initrd, Initrds
from cmakeys.reports.terminal import Tone

TONES = {
    Freshness.STALE: Tone.WARNING,
    Freshness.UNKNOWN: Tone.WARNING,
    Freshness.CURRENT: Tone.GOOD,
    Freshness.NOTHING: Tone.NOTE,
}


def initrds_sentence(found: Initrds) -> tuple[str, Tone]:
    """All of them in a few words."""
    freshness = found.freshness
    if freshness is None:
        started = f"; this system was started with {'these roots' if found.booted == found.digest else 'another set'}"
        return f"no initrd found{started if found.booted else ''}", Tone.NOTE
    count = len(found.found)
    if freshness is Freshness.STALE:
        of = f"{len(found.stale)} of {count} initrds" if count > 1 else "the initrd"
        return f"{of} not in step: {found.stale[0].words}", Tone.WARNING
    if freshness is Freshness.UNKNOWN:
        if all(one.forbidden for one in found.found if one.freshness is Freshness.UNKNOWN):
            return "not looked at, this user may not", Tone.NOTE
        return "could not be looked at", Tone.WARNING
    if freshness is Freshness.CURRENT:
        newer = found.booted and all(one.baked.digest != found.booted for one in found.found)
        since = ", from the next boot on" if newer else ""
        return f"{'the initrd' if count == 1 else 'initrds'} in step with the roots{since}", Tone.GOOD
    return "nothing is baked into the initrd", Tone.NOTE


def rebuild_words(found: Initrds) -> str:
    """The command that makes them anew, empty where none is known."""
    return shlex.join(found.rebuild)


def stale_text(found: Initrds) -> str:
    """What a check has to say of them; empty where there is nothing to say."""
    if not found.stale:
        return ""
    return "; ".join(f"{one.path} is not in step with the roots: {one.words}" for one in found.stale[:2])


def initrds_data(found: Initrds) -> dict[str, object]:
    """The same for a program."""
    return {
        "freshness": found.freshness,
        "digest": found.digest,
        "booted": found.booted or None,
        "rebuild": list(found.rebuild) or None,
        "initrds": [_initrd(one) for one in found.found],
    }


def _initrd(one: Initrd) -> dict[str, object]:
    return {
        "path": one.path,
        "freshness": one.freshness,
        "digest": one.baked.digest or None,
        "version": one.baked.version or None,
        "roots": [{"name": name, "sha256": sha256} for name, sha256 in one.baked.roots],
        "differences": [{"kind": kind, "name": name} for kind, name in one.differences],
        "faults": list(one.baked.faults),
        "reason": one.reason or None,
    }
