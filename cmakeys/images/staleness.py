"""Look at the initrds of this machine, or of a tree, and say whether they hold the roots that are trusted.

An initrd that cannot be read is one of which nothing is known, with the reason; it stops nobody. No initrd is ever
rebuilt from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cmakeys.errors import CmakeysError, NotPermitted
from cmakeys.files import check_inside
from cmakeys.images.boot_record import booted_digest
from cmakeys.images.current import InitrdSettings, initrds, releases
from cmakeys.images.freshness import Freshness, Initrd, Initrds, compare
from cmakeys.images.generators import Generator
from cmakeys.images.hooks import standing
from cmakeys.images.initrd import Progress
from cmakeys.images.rebuild import rebuild_command
from cmakeys.images.recollection import Recollection
from cmakeys.roots.rootset import RootSet
from cmakeys.stamped import FileState

SYSTEM = Path("/")


def look_at_initrds(
    sysroot: Path,
    configured: RootSet,
    settings: InitrdSettings,
    memory: Recollection,
    *,
    progress: Progress | None = None,
) -> Initrds:
    """How the initrds stand with the roots in which a chain may end.

    Raises `NotPermitted` where this user may not even see which there are.
    """
    paths = initrds(sysroot, releases(sysroot), settings.places)
    hooked = _hooked(sysroot)
    return Initrds(
        tuple(_look(sysroot, path, configured, memory, progress, hooked=hooked) for path in paths),
        RootSet(configured.anchors(), configured.deny).digest,
        settings.rebuild or rebuild_command(sysroot, paths),
        booted_digest() if sysroot == SYSTEM else "",
    )


def _look(
    sysroot: Path, path: Path, configured: RootSet, memory: Recollection, progress: Progress | None, *, hooked: bool
) -> Initrd:
    try:
        if sysroot != SYSTEM:
            check_inside(path, sysroot)
        return compare(str(path), memory.look(path, progress=progress), configured, hooked=hooked)
    except CmakeysError as error:
        return Initrd(str(path), Freshness.UNKNOWN, reason=error.message, forbidden=isinstance(error, NotPermitted))


def _hooked(sysroot: Path) -> bool:
    """Whether a hook of ours is installed that bakes the roots into each initrd."""
    return any(state is not FileState.ABSENT for state in _hook_states(sysroot))


def _hook_states(sysroot: Path) -> Iterator[FileState]:
    for generator in Generator:
        if generator is Generator.SYSTEMD:
            continue  # calls the loader, and bakes nothing
        try:
            yield standing(sysroot, generator).state
        except CmakeysError:
            continue  # a file of somebody else's in its place
