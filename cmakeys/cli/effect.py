"""A change of roots put into effect in the kernel, right where it was made: one swap, and the devices asked again.

The roots on disk are what counts; the kernel follows. Where it cannot be made to, the change stands all the same, and
the verb says that the kernel still believes the old set.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.options import SYSTEM
from cmakeys.cli.output import Output
from cmakeys.errors import CmakeysError, Unsupported
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.roots.rootset import RootSet

RECHECK_SECONDS = 30.0
SYSFS = Path("/sys")

NoApply = Annotated[
    bool, typer.Option("--no-apply", help="Leave the kernel's keyring alone; keyring apply puts the change there.")
]


def take_effect(out: Output, roots: RootSet, sysroot: Path, *, wanted: bool) -> dict[str, object] | None:
    """Make the kernel believe `roots`, and have it authenticate the devices again that it refused.

    Only on this machine's own roots. Returns what was done, None where nothing was to be done; a problem is reported
    to `out` and never raised.
    """
    if sysroot != SYSTEM:
        return None
    if not wanted:
        out.show("next: cmakeys keyring apply puts this into effect in the kernel", tone=Tone.NOTE)
        return None
    from cmakeys.cli.rechecking import Recheck, recheck_devices
    from cmakeys.keyring.cma import open_keyring
    from cmakeys.keyring.managed import apply

    try:
        result = apply(roots.anchors(), open_keyring(".cma"))
    except Unsupported as problem:
        out.show(f"not in the kernel: {problem.message}", tone=Tone.NOTE)
        return None
    except CmakeysError as problem:
        out.problem(problem)
        out.warn("the roots are changed, and the kernel still believes the old ones", hint="cmakeys keyring apply")
        return None
    added, removed = [one.name for one in result.added], [one.name for one in result.removed]
    words = [f"+{name}" for name in added] + [f"-{name}" for name in removed]
    out.show(f"in the kernel: {' '.join(words) or 'nothing to change'}", tone=Tone.GOOD)
    rechecked: dict[str, object] = {}
    if result.changed:
        rechecked = recheck_devices(out, Recheck.FAILED, RECHECK_SECONDS, SYSFS, dry_run=False)
    return {"added": added, "removed": removed, "recheck": rechecked or None}
