"""Step 14: the kernel's view agrees with ours.

A disagreement is a warning and no failure: the evidence is as good or bad as it was. But whoever trusts a device that
the kernel refuses will look for its driver, and one that we refuse and the kernel accepts may have its driver bound.
"""

from __future__ import annotations

from cmakeys.verify.case import Case, not_checked, passed, warned
from cmakeys.verify.kernelview import Answer, KernelView, simulate
from cmakeys.verify.policy import KernelViewRule
from cmakeys.verify.verdict import Step
from cmakeys.x509.chain import check_signatures

_WE_REFUSE = "a driver may be bound to it: unbind the device, and see which root in the kernel vouches for it"


def step_14(case: Case) -> Step:
    """Every opinion of a kernel that there is says of the chain what we say."""
    certificates = case.facts.certificates
    if case.policy.kernel_view is KernelViewRule.OFF:
        return not_checked(14, "the kernel was not asked about the device")
    if not certificates:
        return not_checked(14, case.facts.chain_problem or case.facts.no_chain)
    anchors = [root.certificate for root in case.rootset.anchors()]
    simulated = simulate(certificates, anchors, slot=case.facts.slot, identity=case.identity)
    views = (*case.kernel, simulated)
    trusted = case.root is not None and not check_signatures(certificates)
    ours = Answer.ACCEPTS if trusted else Answer.REFUSES
    for view in views:
        if view.answer not in (ours, Answer.UNKNOWN):
            return _disagreement(view, trusted=trusted)
    silent = [view for view in case.kernel if view.answer is Answer.UNKNOWN]
    spoken = [view for view in views if view.answer is ours]
    if silent and case.policy.kernel_view is KernelViewRule.ORACLE:
        return not_checked(14, f"{silent[0].source} could not be asked: {silent[0].reason}", silent[0].hint)
    verb = "accepts" if trusted else "refuses"
    return passed(14, "; ".join(f"{view.source} {verb} it: {view.reason}" for view in spoken))


def _disagreement(view: KernelView, *, trusted: bool) -> Step:
    if trusted:
        return warned(14, f"we accept the chain, {view.source} would not: {view.reason}", view.hint)
    return warned(14, f"we refuse the chain, {view.source} accepts it: {view.reason}", _WE_REFUSE)
