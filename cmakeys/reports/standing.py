"""What a run has to tell beside the verdicts: what is new, what goes on since when, and what changed, in words."""

from __future__ import annotations

from collections.abc import Sequence

from cmakeys.reports.layout import Line, wrap
from cmakeys.reports.text import OUTCOME_TONES
from cmakeys.running import Mark
from cmakeys.standing import Finding, Standing, minute
from cmakeys.verify.verdict import Outcome


def standing_notes(findings: Sequence[Finding]) -> list[Line]:
    """The lines about each device that has something to tell; none about one that is as it was and well."""
    lines: list[Line] = []
    for one in findings:
        texts = [*state_texts(one), *one.standing.changes]
        if texts:
            first, *following = wrap(f"{one.name} {texts[0]}", "", "    ")
            lines += [Line(first, OUTCOME_TONES[one.outcome]), *map(Line, following)]
            lines += [Line(line) for text in texts[1:] for line in wrap(text, "  ", "    ")]
    return lines


def state_texts(one: Finding) -> list[str]:
    """What is said behind the name of a device; nothing about one that is as it was and well."""
    standing = one.standing
    began_now = standing.began == one.verdict.checked_at
    if standing.before is None:
        return []
    if began_now and standing.before is not standing.outcome:
        return [f"was {standing.before.value}, and is {standing.outcome.value} since this check"]
    if began_now:
        return [f"is {standing.outcome.value} as before, but for another reason"]
    if standing.outcome is not Outcome.TRUSTED or (standing.news and not standing.changes):
        return [f"is {standing.outcome.value} since {minute(standing.began)}{_last_pass(standing)}"]
    return ["is trusted as before, but something about it changed:"] if standing.changes else []


def _last_pass(standing: Standing) -> str:
    if standing.outcome.healthy or standing.passed_at is None:
        return ""
    return f", and passed last on {minute(standing.passed_at)}"


def unfinished_text(mark: Mark) -> str:
    """What there is to say about a run that did not finish."""
    known = f", begun {minute(mark.began)} by process {mark.process}," if mark.began else ""
    return f"the last check{known} did not finish: none of its verdicts were kept"


def standing_data(one: Finding) -> dict[str, object] | None:
    """How a device stands, as data; null for one without memory."""
    if not one.enrolled:
        return None
    standing = one.standing
    return {
        "outcome": standing.outcome,
        "before": standing.before,
        "began": standing.began,
        "news": standing.news,
        "changes": list(standing.changes),
        "unreached": standing.silent,
        "remark": standing.remark,
        "passed_at": standing.passed_at,
        "expires": standing.expires,
    }


def unfinished_data(mark: Mark | None) -> dict[str, object] | None:
    """The run that did not finish, as data."""
    return None if mark is None else {"began": mark.began, "process": mark.process, "devices": mark.devices}
