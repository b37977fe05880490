"""`cmakeys journal show | verify`: the record of every change of trust, and whether it still is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.roots.journal import JournalEntry

app = noun_app("Show the record of what was changed, and find out whether it is whole.")


@app.command()
def show(
    root: Annotated[
        str | None,
        typer.Option("--root", metavar="NAME", help="Only entries about this root; a name or a fingerprint's begin."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Only entries of this moment or later, as 2027-01-31.")
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="WORD", help="Only entries with this action, as roots-add.")
    ] = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    """List the entries, oldest first. A journal that does not hold is shown as far as it can be read."""
    with verb("journal", "show", json=json) as out:
        from cmakeys.cli.dates import a_date
        from cmakeys.reports.journal import HEADER, entry_data, entry_row
        from cmakeys.roots.journal import Journal

        start = None if since is None else a_date(since, "--since")
        reading = Journal(state_directory(sysroot, state_dir)).read()
        if not reading.intact:
            out.warn("the journal does not hold", hint="cmakeys journal verify says where")
        chosen = [
            entry
            for entry in reading.entries
            if (root is None or _is_about(entry, root))
            and (start is None or entry.time >= start)
            and (action is None or entry.action == action)
        ]
        out.data = {"intact": reading.intact, "entries": [entry_data(entry) for entry in chosen]}
        if chosen:
            out.table(HEADER, map(entry_row, chosen))
        else:
            out.show("no such entry" if reading.entries else "nothing is recorded", tone=Tone.NOTE)


@app.command()
def verify(sysroot: Sysroot = SYSTEM, state_dir: StateDir = None, json: Json = False) -> None:
    """Find out whether lines were changed, moved, taken out or cut off; name the first, and leave with 1."""
    with verb("journal", "verify", json=json) as out:
        from cmakeys.reports.journal import verify_data, verify_report
        from cmakeys.roots.journal import Journal

        journal = Journal(state_directory(sysroot, state_dir))
        reading = journal.read()
        out.data = verify_data(reading)
        journal.check(reading)
        for line in verify_report(reading):
            out.show(line.text, tone=line.tone)


def _is_about(entry: JournalEntry, root: str) -> bool:
    """Whether an entry is about a root, as its object or among the roots that it changed."""
    if entry.subject == root:
        return True
    roots = entry.detail.get("roots")
    return any(
        isinstance(one, dict)
        and (one.get("name") == root or (len(root) >= 4 and str(one.get("certificate")).startswith(root.lower())))
        for one in (roots if isinstance(roots, list) else ())
    )
