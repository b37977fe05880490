"""Step 7: no certificate below the anchor is revoked, as far as lists and responses at hand say.

What says "revoked" fails the step. Otherwise the step has passed only when something fresh speaks of every certificate
that names a place where its revocation is published, and of one certificate at least: what a device issues itself, as
alias certificates are, is on nobody's list, and what is on somebody's list and not at hand is not known to be good.
"""

from __future__ import annotations

from collections.abc import Sequence

from cmakeys.verify.case import Case, failed, not_checked, passed, warned
from cmakeys.verify.clock import CLOCK_HINT
from cmakeys.verify.policy import Clock, RevocationRule
from cmakeys.verify.verdict import Step
from cmakeys.x509.revocation import RevocationStatus, Standing, check_revocation

_GET = "get lists and responses: cmakeys revocation fetch, or import FILE"


def step_7(case: Case) -> Step:
    """No certificate below the anchor is revoked."""
    policy = case.policy
    if policy.revocation is RevocationRule.OFF:
        return not_checked(7, "the policy looks at no revocation list")
    if not case.revocation:
        return not_checked(
            7, "no revocation list was given", _GET if policy.revocation is RevocationRule.REQUIRE else ""
        )
    judged = policy.clock is not Clock.IGNORE and not case.clock_fault
    statuses = check_revocation(
        case.path, case.revocation, at=case.now if judged else None, tolerance=policy.revocation_horizon
    )
    revoked = [one for one in statuses if one.standing is Standing.REVOKED]
    if revoked:
        return failed(
            7,
            "; ".join(_said(one) for one in revoked),
            "its issuer has withdrawn the certificate: do not trust this device",
        )
    if case.clock_fault:
        return not_checked(7, case.clock_fault, CLOCK_HINT)
    return _without_revoked(statuses, judged=judged)


def _without_revoked(statuses: Sequence[RevocationStatus], *, judged: bool) -> Step:
    unknown = [one for one in statuses if one.standing is Standing.UNKNOWN]
    stale = [one for one in statuses if one.standing is Standing.STALE]
    known = len(statuses) - len(unknown)
    missing = [one for one in unknown if one.published or not known]
    if missing or not known:
        good = f"; {known} of {len(statuses)} are not revoked" if known else ""
        told = "; ".join(_said(one) for one in missing[:3]) or "there is no certificate below the anchor"
        return not_checked(7, told + good, _GET)
    if stale:
        return warned(7, "; ".join(_said(one) for one in stale[:3]), _GET)
    count = "all" if not unknown else f"{known} of"
    rest = f"; {', '.join(one.certificate.label for one in unknown)} names no list" if unknown else ""
    dates = "" if judged else "; how old the lists are is not judged, for the policy ignores dates"
    return passed(7, f"{count} {len(statuses)} certificates below the anchor are not revoked{rest}{dates}")


def _said(status: RevocationStatus) -> str:
    return f"{status.certificate.label}: {status.reason}"
