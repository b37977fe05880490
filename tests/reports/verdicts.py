"""Verdicts of every outcome, made by hand, for reports to print."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from cmakeys.verify.verdict import STEP_TITLES, Outcome, Step, StepOutcome, Verdict

CHECKED_AT = datetime(2040, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
REASONS = {
    1: "SPDM 1.2, ECDSA-P384, SHA-384",
    2: "slot 0 has 4 certificates, leaf CN=Acme CMA-EMULATOR 0001 firmware 1,O=Acme",
    3: "all 4 certificates are signed by their issuers",
    4: "CN=Acme Root is acme (102bf659d5419614…)",
    5: "acme is trusted and its constraints hold",
    6: "all certificates are valid, the first to expire on 2090-01-01",
    8: "the leaf (ECDSA P-384) is one for an SPDM responder",
    9: "the leaf names the function, Vendor=1b36:Device=0010:CC=010802:REV=02:SSVID=1af4:SSID=1100:0123456789abcdef",
    10: "the device's own certificate is the enrolled one",
    11: "CHALLENGE_AUTH over its requester's nonce is signed with the leaf's ECDSA-P384 key",
    12: "9 measurements are signed with the leaf's key",
    13: "all 9 measurements are as at enrolment",
}
NOT_CHECKED = {7: "no revocation list was given", 14: "the kernel was not asked about the device"}

TRUSTED = Verdict(
    device="emu://127.0.0.1:2323?transport=doe",
    outcome=Outcome.TRUSTED,
    steps=tuple(
        Step(
            number,
            StepOutcome.PASSED if number in REASONS else StepOutcome.NOT_CHECKED,
            {**REASONS, **NOT_CHECKED}[number],
        )
        for number in STEP_TITLES
    ),
    summary="anchored in acme, SPDM 1.2, ECDSA-P384, SHA-384",
    checked_at=CHECKED_AT,
    evidence_digest="e" * 64,
    rootset_digest="d" * 64,
    root="acme",
    root_fingerprint="102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48",
    slot=0,
    version="1.2",
    algorithm="ECDSA-P384",
    leaf_fingerprint="ab" * 32,
)


def with_step(verdict: Verdict, outcome: Outcome, summary: str, *steps: Step) -> Verdict:
    changed = {step.number: step for step in steps}
    return replace(
        verdict,
        outcome=outcome,
        summary=summary,
        steps=tuple(changed.get(step.number, step) for step in verdict.steps),
    )


EXPIRING = Step(
    6,
    StepOutcome.WARNED,
    "CN=Acme Intermediate expires on 2040-01-20, in 18 days",
    "plan the vendor's update, or the check will fail from then on",
)
DEGRADED = with_step(TRUSTED, Outcome.DEGRADED, "anchored in acme, but CN=Acme Intermediate expires (step 6)", EXPIRING)
OTHER_DEVICE = Step(
    10,
    StepOutcome.FAILED,
    "the device's own certificate has the key 5e0f…, enrolled was 91ac…",
    "another device answers here; if it was replaced on purpose, enrol it again",
)
OTHER_FIRMWARE = Step(
    13,
    StepOutcome.FAILED,
    "not as at enrolment: index 1 (mutable firmware) is 00112233…, it was 44556677…",
    "if the firmware was updated on purpose, enrol the device again; if not, do not trust it",
)
REJECTED = with_step(
    TRUSTED,
    Outcome.REJECTED,
    f"step 10, same device as enrolled: {OTHER_DEVICE.reason} (and 1 more)",
    OTHER_DEVICE,
    OTHER_FIRMWARE,
)


def none_checked(outcome: Outcome, reason: str, hint: str = "") -> Verdict:
    return replace(
        TRUSTED,
        outcome=outcome,
        summary=reason,
        steps=tuple(Step(number, StepOutcome.NOT_CHECKED, reason, hint) for number in STEP_TITLES),
        root=None,
        root_fingerprint=None,
        slot=None,
        version=None,
        algorithm=None,
        leaf_fingerprint=None,
    )


UNREACHABLE = none_checked(
    Outcome.UNREACHABLE,
    "could not find out: no complete answer within 30 s",
    "the device may be busy; try again, or allow more time",
)
UNSUPPORTED = none_checked(Outcome.UNSUPPORTED, "the device announces no CHAL capability, which CMA needs")
ALL = {
    "trusted": TRUSTED,
    "degraded": DEGRADED,
    "rejected": REJECTED,
    "unreachable": UNREACHABLE,
    "unsupported": UNSUPPORTED,
}
HOSTILE = "a|b\x1b[2J\r\n\u202edeb"
