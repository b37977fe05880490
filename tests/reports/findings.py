"""Findings of every kind, made by hand, for reports to print."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cmakeys.check import Judgement
from cmakeys.devices.enrolled import Memory
from cmakeys.standing import Finding, Standing
from cmakeys.verify.verdict import Outcome
from tests.reports.verdicts import CHECKED_AT, DEGRADED, REJECTED, TRUSTED, UNREACHABLE, UNSUPPORTED

EARLIER = CHECKED_AT - timedelta(days=3)
EXPIRES = datetime(2050, 1, 1, tzinfo=UTC)
WELL = Standing(Outcome.TRUSTED, EARLIER, Outcome.TRUSTED, news=False, passed_at=CHECKED_AT, expires=EXPIRES)
BAD = replace(WELL, outcome=Outcome.REJECTED, passed_at=EARLIER)
CHANGES = (
    "negotiated version went down from SPDM 1.3 to 1.2",
    "measurement index 3 (mutable firmware) is 0202020202020202…, it was 0101010101010101…",
)


def made(name: str, judgement: Judgement, standing: Standing, *, enrolled: bool = True) -> Finding:
    return Finding(name, judgement, standing, Memory("", standing.began), enrolled)


FINDINGS = (
    made("well0", Judgement(TRUSTED), WELL),
    made("reissued1", Judgement(TRUSTED), replace(WELL, news=True, changes=("slot 1 is newly provisioned",))),
    made("recovered2", Judgement(TRUSTED), replace(WELL, before=Outcome.UNREACHABLE, began=CHECKED_AT, news=True)),
    made("expiring3", Judgement(DEGRADED), replace(WELL, outcome=Outcome.DEGRADED, before=Outcome.DEGRADED)),
    made("drifted4", Judgement(REJECTED), replace(BAD, began=CHECKED_AT, news=True, changes=CHANGES)),
    made("standing5", Judgement(REJECTED), replace(BAD, before=Outcome.REJECTED, changes=CHANGES)),
    made("otherwise6", Judgement(REJECTED), replace(BAD, before=Outcome.REJECTED, began=CHECKED_AT, news=True)),
    made(
        "excused7",
        Judgement(UNREACHABLE),
        replace(WELL, silent=1, passed_at=EARLIER, remark="not reached, 1 of 3 times that are allowed"),
    ),
    made("away8", Judgement(UNREACHABLE), Standing(Outcome.UNREACHABLE, CHECKED_AT, Outcome.TRUSTED, silent=4)),
    made("emu://x", Judgement(UNSUPPORTED), Standing(Outcome.UNSUPPORTED, CHECKED_AT), enrolled=False),
)
