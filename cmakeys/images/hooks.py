"""What has the roots baked whenever an initrd is made: a hook for each of the programs that make initrds.

A hook runs `cmakeys image bake` when the program runs and puts what comes out, with keyctl, into the initrd, where the
loader is called before udev starts. What bake refuses is said and left out; only a hook that was installed with
`required` ends the program. The options of bake are written into the hook, and read back from there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from cmakeys import stamped
from cmakeys.errors import UsageProblem
from cmakeys.images.bake import Permission
from cmakeys.images.generators import HOOKS, Generator, Hook
from cmakeys.images.tree import data_file
from cmakeys.stamped import FileState, FileStatus, OurFile, read_ours

REQUIRED = "--required"
_ALLOWED = frozenset({REQUIRED, *(permission.value for permission in Permission)})
_OPTIONS = re.compile(rb'^options="([a-z -]*)"$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the hook for one generator stands. `options` are those of bake, None where no file of ours says them."""

    generator: Generator
    present: bool
    files: tuple[FileStatus, ...]
    options: tuple[str, ...] | None

    @property
    def state(self) -> FileState:
        """The hook as a whole: absent if nothing of it is there, and otherwise as its worst part."""
        states = {file.state for file in self.files}
        if FileState.EDITED in states:
            return FileState.EDITED
        return states.pop() if len(states) == 1 else FileState.OUTDATED


def options_of(*, required: bool, allowed: Collection[Permission]) -> tuple[str, ...]:
    """The options of bake that a hook is installed with, in one order."""
    return (*((REQUIRED,) if required else ()), *sorted(permission.value for permission in allowed))


def standing(sysroot: Path, generator: Generator) -> Standing:
    """How a hook stands in the tree at `sysroot`.

    Raises `Refused` where one of its files leads out of the tree or is no regular file.
    """
    hook = HOOKS[generator]
    options = _installed_options(sysroot, hook)
    files = stamped.inspect(sysroot, tuple(_files(hook, options or ())), hook.links)
    return Standing(generator, is_there(sysroot, generator), files, options)


def is_there(sysroot: Path, generator: Generator) -> bool:
    """Whether the tree has the generator."""
    return any(os.path.lexists(sysroot / place) for place in HOOKS[generator].signs)


def install(
    sysroot: Path, generator: Generator, options: tuple[str, ...], *, force: bool, dry_run: bool
) -> tuple[Path, ...]:
    """Write what of the hook is missing or different; the paths that were, or would be, written.

    Raises `Refused` for a file that somebody edited, unless `force`; `UsageProblem` for options where nothing is baked.
    """
    hook = HOOKS[generator]
    if options and not any(_OPTIONS.search(data_file(template.source)) for template in hook.templates):
        raise UsageProblem(
            f"the hook for {generator.value} bakes nothing, so it takes no {' '.join(options)}",
            object=generator.value,
            hint="give them to cmakeys image bake",
        )
    return stamped.install(sysroot, tuple(_files(hook, options)), hook.links, force=force, dry_run=dry_run)


def remove(sysroot: Path, generator: Generator, *, force: bool, dry_run: bool) -> tuple[Path, ...]:
    """Take the hook away; the paths that were, or would be, removed. Raises as `install` does."""
    hook = HOOKS[generator]
    files = tuple(_files(hook, _installed_options(sysroot, hook) or ()))
    return stamped.remove(sysroot, files, hook.links, force=force, dry_run=dry_run)


def _files(hook: Hook, options: tuple[str, ...]) -> Iterator[OurFile]:
    line = b'options="' + " ".join(options).encode() + b'"'
    for template in hook.templates:
        body = _OPTIONS.sub(line, data_file(template.source), count=1)
        yield OurFile(template.place, body, template.executable)


def _installed_options(sysroot: Path, hook: Hook) -> tuple[str, ...] | None:
    for template in hook.templates:
        found = read_ours(sysroot, template.place)
        line = _OPTIONS.search(found.body) if found else None
        if line is not None:
            words = tuple(line[1].decode().split())
            return words if _ALLOWED.issuperset(words) else None
    return None
