"""Whether an initrd holds the roots that are trusted now: what it was baked from, against the roots on disk.

What is loaded at the next boot is what counts, so roots are compared by name and certificate. A digest that differs
with the same roots (another deny entry, a root that is retiring now) is none of that: rebuilding would load the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from cmakeys.images.inspect import Difference, Inspection
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.rootset import RootSet

_PRINTABLE = re.compile(r"[^\x20-\x7e]")
MAX_FAULT = 200


@dataclass(frozen=True, slots=True)
class Baked:
    """What was baked into an initrd, in short. `digest` and `version` are empty where there is no manifest.

    `roots` are the certificates in it: name and SHA-256. `faults` are what is wrong with it in itself.
    """

    digest: str = ""
    version: str = ""
    roots: tuple[tuple[str, str], ...] = ()
    faults: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: Inspection) -> Baked:
        """The short form of what an inspection found."""
        manifest = found.manifest
        return cls(
            manifest.digest if manifest else "",
            manifest.version if manifest else "",
            tuple((root.name, root.sha256) for root in found.roots if root.certificate is not None),
            tuple(_PRINTABLE.sub("?", fault)[:MAX_FAULT] for fault in found.faults[:8]),
        )

    @property
    def anything(self) -> bool:
        """Whether anything of ours is in it."""
        return bool(self.digest or self.roots or self.faults)


class Freshness(Enum):
    """How an initrd stands with the roots that are trusted."""

    CURRENT = "current"
    STALE = "stale"
    NOTHING = "nothing"
    """Nothing was baked into it, and nobody asked for it: no hook is installed."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Initrd:
    """One initrd. `differences` are roots by kind, sorted; `reason` says why nothing is known of it.

    `forbidden` says that another user might see more.
    """

    path: str
    freshness: Freshness
    baked: Baked = Baked()
    differences: tuple[tuple[Difference, str], ...] = ()
    reason: str = ""
    forbidden: bool = False

    @property
    def words(self) -> str:
        """How it differs, in one sentence; empty where it does not."""
        if self.freshness is Freshness.UNKNOWN:
            return self.reason
        if self.freshness is not Freshness.STALE:
            return ""
        if not self.baked.anything:
            return "no roots are in it"
        named = [f"{kind.value}: {', '.join(_few(names))}" for kind, names in _by_kind(self.differences)]
        return "; ".join([*named, *self.baked.faults[:1]])


@dataclass(frozen=True, slots=True)
class Initrds:
    """The initrds that the kernel may be started with. `digest` is that of the roots which belong into them.

    `booted` is the digest that the loader logged when this system was started, empty where it is not known; `rebuild`
    the command that makes them anew, empty where none is known.
    """

    found: tuple[Initrd, ...]
    digest: str
    rebuild: tuple[str, ...] = ()
    booted: str = ""

    @property
    def stale(self) -> tuple[Initrd, ...]:
        """Those that would load other roots than are trusted."""
        return tuple(one for one in self.found if one.freshness is Freshness.STALE)

    @property
    def freshness(self) -> Freshness | None:
        """All of them together: the worst; None where there is none."""
        order = (Freshness.STALE, Freshness.UNKNOWN, Freshness.CURRENT, Freshness.NOTHING)
        return next((each for each in order if any(one.freshness is each for one in self.found)), None)


def compare(path: str, baked: Baked, configured: RootSet, *, hooked: bool) -> Initrd:
    """How one initrd stands; `hooked` says that a hook is there to bake the roots into each."""
    if not baked.anything:
        wanted = hooked and bool(configured.anchors())
        return Initrd(path, Freshness.STALE if wanted else Freshness.NOTHING, baked)
    differences = tuple(sorted(_differences(baked, configured), key=lambda one: (one[0].value, one[1])))
    return Initrd(path, Freshness.STALE if differences or baked.faults else Freshness.CURRENT, baked, differences)


def _differences(baked: Baked, configured: RootSet) -> Iterator[tuple[Difference, str]]:
    inside = set(baked.roots)
    anchors = {(root.name, root.fingerprint) for root in configured.anchors()}
    states = {root.fingerprint: root for root in configured.roots}
    yield from ((Difference.MISSING, name) for name, _ in anchors - inside)
    for name, sha256 in inside - anchors:
        known = states.get(sha256)
        if known is None or (known.name, sha256) in anchors:
            yield Difference.EXTRA, name
        elif known.state is LifeCycle.DISTRUSTED or configured.denied(known.certificate) is not None:
            yield Difference.DISTRUSTED, name
        else:
            yield (Difference.RETIRED if known.state is LifeCycle.RETIRED else Difference.EXTRA), name


def _by_kind(differences: Sequence[tuple[Difference, str]]) -> list[tuple[Difference, list[str]]]:
    order = (Difference.DISTRUSTED, Difference.RETIRED, Difference.MISSING, Difference.EXTRA)
    found = [(kind, [name for each, name in differences if each is kind]) for kind in order]
    return [(kind, names) for kind, names in found if names]


def _few(names: Sequence[str]) -> list[str]:
    more = len(names) - 3
    return [*names[:3], *([f"{more} more"] if more > 0 else [])]
