"""Step 13: the measurements against reference values, index by index and by the policy's rule for each.

It passes only where something was compared: without a reference, or where the policy ignores every index, it says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cmakeys.verify.case import Case, failed, not_checked, passed
from cmakeys.verify.comparison import Comparison, Match
from cmakeys.verify.measurement_rules import rules_for
from cmakeys.verify.reference import ReferenceValues
from cmakeys.verify.verdict import Step

MAX_DIFFERENCES_SHOWN = 4


def step_13(case: Case) -> Step:
    """The measurements are those of the reference, index by index; none at all where there were some is a change."""
    if case.reference is None:
        return not_checked(13, "no reference values are known for this device")
    if not case.facts.measurements:
        return _none_measured(case, case.reference)
    rules = rules_for(case.policy.measurements, case.root.name if case.root else None)
    lines = case.reference.compare(case.facts.blocks, rules)
    differences = [line.difference for line in lines if not line.match.good]
    differences += case.reference.tcb_differences(case.facts.certificates, rules)
    if differences:
        more = len(differences) - MAX_DIFFERENCES_SHOWN
        text = "; ".join(differences[:MAX_DIFFERENCES_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        return failed(
            13,
            f"not as at {case.reference.origin}: {text}",
            "if the firmware was updated on purpose: cmakeys measure accept; if not, do not trust it",
        )
    if all(line.match is Match.IGNORED for line in lines):
        return not_checked(13, "the policy ignores every measurement, so none was compared")
    return passed(13, _agreement(lines, case.reference))


def _agreement(lines: Sequence[Comparison], reference: ReferenceValues) -> str:
    if all(line.match is Match.SAME for line in lines):
        return f"all {len(lines)} measurements are as at {reference.origin}"
    counts = Counter(line.match for line in lines)
    parts = ", ".join(f"{counts[match]} {match.value}" for match in Match if counts[match])
    return f"{len(lines)} measurements against those at {reference.origin}: {parts}"


def _none_measured(case: Case, reference: ReferenceValues) -> Step:
    if not reference.blocks:
        return not_checked(13, f"there were no signed measurements at {reference.origin} either")
    return failed(
        13,
        f"{len(reference.blocks)} measurements are known from {reference.origin}, now there are none:"
        f" {case.facts.no_measurements}",
        "firmware that hides its measurements must not pass for unchanged; enrol again if the feature was taken out",
    )
