"""What a declaration changes, for a person: one line a change, or a unified diff; and the same for a program."""

from __future__ import annotations

from cmakeys.reports.deny import deny_data
from cmakeys.reports.layout import Line, wrap
from cmakeys.reports.terminal import Tone
from cmakeys.roots.reconciliation import Reconciliation
from cmakeys.roots.root import Root
from cmakeys.roots.transaction import Transition
from cmakeys.wording import counted

_DIFF_TONES = {"+": Tone.GOOD, "-": Tone.BAD}


def reconciliation_report(found: Reconciliation, source: str, *, as_diff: bool, check: bool) -> list[Line]:
    """The changes, and how many there are; with `check` they are those that would be made."""
    if not found.changed:
        return [Line(f"all is as {source} declares it", Tone.GOOD)]
    lines = _diff(found, source) if as_diff else _changes(found)
    number = len(found.changes) + len(found.deny) + len(found.allow)
    count = counted(number, "change")
    return (
        [*lines, Line(f"{count} to make; nothing was changed", Tone.NOTE)]
        if check
        else [*lines, Line(f"{count} made", Tone.GOOD)]
    )


def _diff(found: Reconciliation, source: str) -> list[Line]:
    return [Line(text, _DIFF_TONES.get(text[:1], Tone.PLAIN)) for text in found.diff(source)]


def _changes(found: Reconciliation) -> list[Line]:
    return [
        *(line for one in found.changes for line in change_lines(one)),
        *(line for entry in found.deny for line in _wrapped(f"+ deny {entry.words}", Tone.GOOD)),
        *(line for entry in found.allow for line in _wrapped(f"- deny {entry.words}", Tone.BAD)),
    ]


def change_lines(change: Transition) -> list[Line]:
    """One change of a root."""
    before, after = change.before, change.after
    if before is None:
        return _wrapped(f"+ {change.root.name} {change.root.fingerprint} {change.root.state.value}", Tone.GOOD)
    if after is None:
        return _wrapped(f"- {before.name} {before.fingerprint}", Tone.BAD)
    return _wrapped(f"~ {after.name}: {'; '.join(_differences(before, after))}", Tone.WARNING)


def _wrapped(text: str, tone: Tone) -> list[Line]:
    return [Line(line, tone) for line in wrap(text, "", "  ")]


def _differences(before: Root, after: Root) -> list[str]:
    words = []
    if before.state is not after.state:
        words.append(f"{before.state.value} becomes {after.state.value}")
    if before.constraints != after.constraints:
        words.append("other constraints")
    if before.distrust_after != after.distrust_after:
        day = f"{after.distrust_after:%Y-%m-%d}" if after.distrust_after else "no date"
        words.append(f"distrusts leaves after {day}")
    return words


def reconciliation_data(found: Reconciliation, source: str, *, check: bool) -> dict[str, object]:
    """The same as data."""
    return {
        "file": source,
        "check": check,
        "changes": [change_data(change) for change in found.changes],
        "deny_added": [deny_data(entry) for entry in found.deny],
        "deny_removed": [deny_data(entry) for entry in found.allow],
        "digest_before": found.before.digest,
        "digest_after": found.after.digest,
        "diff": found.diff(source),
    }


def change_data(change: Transition) -> dict[str, object]:
    """One change of a root as data."""
    before, after = change.before, change.after
    return {
        "name": change.root.name,
        "sha256": change.root.fingerprint,
        "action": "add" if before is None else "remove" if after is None else "change",
        "state_before": before and before.state,
        "state_after": after and after.state,
    }
