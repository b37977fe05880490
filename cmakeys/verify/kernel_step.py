"""Step 14: the kernel's view agrees with ours.

A disagreement is a warning and no failure: the evidence is as good or bad as it was. But whoever trusts a device that
the kernel refuses will look for its driver, and one that we refuse and the kernel accepts may have its driver bound.

Opinions are about different things, a chain's anchor, the chain, or the device, and each is held against what the steps
before say of that (`Scope`): a kernel that finds our root above the chain of an impostor agrees with us about the root.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cmakeys.verify.case import Case, not_checked, passed, warned
from cmakeys.verify.kernelview import Answer, KernelView, Scope, simulate
from cmakeys.verify.policy import KernelViewRule
from cmakeys.verify.verdict import Step, StepOutcome

_WE_REFUSE = "a driver may be bound to it: unbind it; cmakeys keyring diff says whether the kernel has our roots"
_GOOD = (StepOutcome.PASSED, StepOutcome.WARNED)
_SAYS = {Answer.ACCEPTS: "accepts it", Answer.REFUSES: "refuses it"}


def step_14(case: Case, before: Sequence[Step], *, healthy: Callable[[], bool]) -> Step:
    """Every opinion of a kernel that there is says what we say.

    `before` are the steps 1 to 13, `healthy` finds out whether the device passes by them.
    """
    certificates = case.facts.certificates
    if case.policy.kernel_view is KernelViewRule.OFF:
        return not_checked(14, "the kernel was not asked about the device")
    if not certificates:
        return not_checked(14, case.facts.chain_problem or case.facts.no_chain)
    anchors = [root.certificate for root in case.rootset.anchors()]
    simulated = simulate(certificates, anchors, slot=case.facts.slot, identity=case.identity)
    views = (*case.kernel, simulated)
    for view in views:
        against = _objection(case, before, view.scope, healthy=healthy)
        if view.answer is (Answer.REFUSES if against is None else Answer.ACCEPTS):
            return _disagreement(view, against)
    silent = [view for view in views if view.answer is Answer.UNKNOWN]
    if silent:
        return not_checked(14, f"{silent[0].source} gave no answer: {silent[0].reason}", silent[0].hint)
    return passed(14, "; ".join(f"{view.source} {_SAYS[view.answer]}: {view.reason}" for view in views))


def _objection(case: Case, before: Sequence[Step], scope: Scope, *, healthy: Callable[[], bool]) -> str | None:
    """What we have against what the opinion is about; None for nothing."""
    failures = [
        step
        for step in before
        if step.number in scope.value and step.outcome is StepOutcome.FAILED and step.number not in case.policy.advisory
    ]
    if failures:
        return f"at step {failures[0].number}"
    if scope is Scope.DEVICE:
        return None if healthy() else "as a whole"
    return None if before[3].outcome in _GOOD else "at step 4"


def _disagreement(view: KernelView, against: str | None) -> Step:
    what = "the device" if view.scope is Scope.DEVICE else "the chain"
    if against is None:
        return warned(14, f"we accept {what}, {view.source} would not: {view.reason}", view.hint)
    return warned(14, f"we refuse it {against}, {view.source} accepts {what}: {view.reason}", _WE_REFUSE)
