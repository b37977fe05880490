"""What a check means, seen with those before it: news or standing, and what a device counts as that was not reached.

A verdict is about one moment. Whoever is called at night wants to know something else: did anything change, since when
is it so, and does a device that was busy once matter already. The rules:

* A device that was not reached counts as what it counted as before, for a `Grace` of checks or of time, and then as
  unreachable. What was never found out counts as unreachable at once. One that is gone from its bus is not reached
  either, and that is another state: what hangs and what was taken out call for different people.
* A state is news when it begins and standing from then on. It is another one when the outcome is another, when other
  steps fail or warn, or when the device differs in another way than before (steps 9, 10 and 13 by their reasons; those
  of the others may hold what is new in every conversation, and would ring every night).
* A clock that is wrong or doubtful is one finding of the machine, and no news about each of its devices: what steps 6
  and 7 say by it is not remembered, and what they said by a clock that was believed still stands (see `_undated`). A
  device that by the dates of such a clock fails is rejected all the same; that alone is no news, and not remembered.
* What changed about a device that passes is news once: then it is what the next check compares with. Against a device
  that does not pass, the last one that did is what everything is compared with.

All of it comes from the memory that the register keeps beside the history, one entry for each device, so that a fleet
and a year of checks cost no more than a day of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cmakeys.check import CheckResult, Judgement, negotiated
from cmakeys.devices.enrolled import CheckRecord, Memory
from cmakeys.devices.register import Register
from cmakeys.errors import EvidenceProblem
from cmakeys.evidence.fields import read_json
from cmakeys.grace import Grace
from cmakeys.grace import since as silent_since
from cmakeys.verify.clock import ClockReading, ClockState
from cmakeys.verify.observation import Observation, differences
from cmakeys.verify.policy import Clock, Policy
from cmakeys.verify.verdict import Outcome, Step, StepOutcome, Verdict

NO_GRACE = Grace()

_TELLING = (9, 10, 13)
"""Steps whose reason says in which way a device is another one, the same words as long as it stays so."""

_DATED = {Clock.NOW: frozenset({6, 7}), Clock.AT_ISSUANCE: frozenset({7}), Clock.IGNORE: frozenset[int]()}
"""Steps that look at the machine's clock, by what the policy asks of it."""

_REVOCATION = 7


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why the machine's clock is no judge in a run, and the steps that look at it."""

    clock: ClockReading
    steps: frozenset[int]


def doubt_of(clock: ClockReading, policy: Policy) -> Doubt | None:
    """What is to be doubted of a run by this clock; None where it is plausible, or asked nothing."""
    steps = _DATED[policy.clock]
    return None if clock.plausible or not steps else Doubt(clock, steps)


@dataclass(frozen=True, slots=True)
class Standing:
    """See the head of this module.

    `outcome` is what the device counts as and `before` what it counted as until then, None where nothing is known.
    `began` is when that began. `news` says that something is to be reported that was not reported yet: a new state, or
    `changes` of a device that passes. `silent` counts the checks in a row that did not reach it, this one included, and
    `remark` says why it counts as something else than its verdict. `expires` is when the first certificate of its chain
    ends, as far as is known, and `passed_at` when it passed last.
    """

    outcome: Outcome
    began: datetime
    before: Outcome | None = None
    news: bool = True
    silent: int = 0
    remark: str = ""
    changes: tuple[str, ...] = ()
    passed_at: datetime | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One device of a run for a report: the verdict of this check, and how it stands with those before it.

    `enrolled` is false for an address that was checked without memory.
    """

    name: str
    judgement: Judgement
    standing: Standing
    memory: Memory
    enrolled: bool = True

    @property
    def verdict(self) -> Verdict:
        """The verdict of this check."""
        return self.judgement.verdict

    @property
    def outcome(self) -> Outcome:
        """What the device counts as."""
        return self.standing.outcome

    @property
    def counted(self) -> Verdict:
        """The verdict with the outcome that the device counts as, and the reason when that is another one."""
        if self.standing.outcome is self.verdict.outcome:
            return self.verdict
        return replace(self.verdict, outcome=self.standing.outcome, summary=self.standing.remark)

    @property
    def seen(self) -> Observation | None:
        """What was seen of the device in this check, or else when it passed last."""
        return self.judgement.observation or _read(self.memory.observed)

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to tell whoever wants to hear of trouble only."""
        return self.outcome is Outcome.TRUSTED and not self.standing.changes and not self._recovered

    @property
    def _recovered(self) -> bool:
        return self.standing.news and self.standing.before not in (None, Outcome.TRUSTED)


def findings(
    results: Sequence[CheckResult],
    memories: Mapping[str, Memory],
    *,
    grace: Grace = NO_GRACE,
    since: datetime | None = None,
    doubt: Doubt | None = None,
) -> tuple[Finding, ...]:
    """The results of a run as findings; what changed after `since` is news as well, and a clock may be in `doubt`."""
    return tuple(
        finding(
            result.target.name,
            result.judgement,
            memories.get(result.target.name) if result.target.enrolled else None,
            grace=grace,
            since=since,
            enrolled=result.target.enrolled is not None,
            doubt=doubt,
        )
        for result in results
    )


def finding(
    name: str,
    judgement: Judgement,
    memory: Memory | None,
    *,
    grace: Grace = NO_GRACE,
    since: datetime | None = None,
    enrolled: bool = True,
    doubt: Doubt | None = None,
) -> Finding:
    """How one judgement stands with the memory of the device; see the head of this module for the rules."""
    verdict, now = judgement.verdict, judgement.verdict.checked_at
    silent = (memory.silent if memory else 0) + 1 if verdict.outcome is Outcome.UNREACHABLE else 0
    quiet_since = silent_since(memory.silent_since if memory else None, now) if silent else None
    before = state_outcome(memory.state) if memory else None
    excused = before is not None and quiet_since is not None and grace.excuses(silent, quiet_since, now)
    dated = state_of(verdict, gone=judgement.gone)
    state = memory.state if memory and excused else _undated(dated, verdict, memory, doubt)
    same = memory is not None and memory.state == state
    began = memory.began if memory and same else now
    seen = judgement.observation
    last = _read(memory.observed) if memory else None
    changes = differences(last, seen) if last and seen else ()
    passed = verdict.outcome.healthy
    passed_before = memory.passed_at if memory else None
    changed_at, kept = (memory.changed_at, memory.changes) if memory else (None, ())
    if passed and changes:
        changed_at, kept = now, changes
    elif passed and since is not None and changed_at is not None and changed_at > since:
        changes = kept
    outcome = state_outcome(state) or verdict.outcome
    remark = _excuse(verdict, outcome, grace.used(silent, quiet_since or now, now), began) if excused else ""
    if doubt and not excused and state != dated:
        if doubt.clock.state is ClockState.AHEAD:  # what has expired by any clock does not pass
            outcome = verdict.outcome if verdict.outcome is Outcome.REJECTED else outcome
        if outcome is not verdict.outcome:
            remark = f"counts as {outcome.value} as since {minute(began)}: {doubt.clock.text}"
    standing = Standing(
        outcome=outcome,
        began=began,
        before=before,
        news=not same or (passed and bool(changes)) or (since is not None and began > since),
        silent=silent,
        remark=remark,
        changes=changes,
        passed_at=now if passed and doubt is None else passed_before,
        expires=(seen or last or Observation()).expires,
    )
    kept_observation = memory.observed if memory else ""
    if passed and seen:
        kept_observation = json.dumps(seen.to_json(), separators=(",", ":"))
    remembered = Memory(state, began, silent, standing.passed_at, kept_observation, changed_at, kept, quiet_since)
    return Finding(name, judgement, standing, remembered, enrolled)


def _excuse(verdict: Verdict, outcome: Outcome, used: str, began: datetime) -> str:
    return f"{used}, and counts as {outcome.value} as since {minute(began)}: {verdict.summary}"


def minute(when: datetime) -> str:
    """A moment for a person."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


# -- states ------------------------------------------------------------------------------------------------------------


def state_of(verdict: Verdict, *, gone: bool = False) -> str:
    """What tells one state of a device from another, as text: the outcome, what is wrong, and whether it is gone."""
    words = (
        verdict.outcome.value,
        _numbers(verdict.failures),
        _numbers(verdict.warnings),
        _fingerprint(step.reason for step in verdict.failures if step.number in _TELLING),
    )
    return " ".join((*words, "gone") if gone else words)


def _undated(state: str, verdict: Verdict, memory: Memory | None, doubt: Doubt | None) -> str:
    """The state of a device without what the steps in doubt say, and with what they said by a clock that was believed.

    That is known only of a device that passed or failed before; one that failed for another reason than its dates, and
    does no more, counts as what the verdict says. Steps that failed while it passed are advisory ones. A certificate
    that is revoked is so by any clock.
    """
    before = state_outcome(memory.state) if memory else None
    judged = (Outcome.TRUSTED, Outcome.DEGRADED, Outcome.REJECTED)
    if doubt is None or memory is None or before not in judged or verdict.outcome not in judged:
        return state
    blind = {number for number in doubt.steps if number != _REVOCATION or not _failed(verdict, number)}
    failed_before, warned_before = _state_numbers(memory.state)
    failing = {step.number for step in verdict.failures}
    dated_before = failed_before & blind
    failures = failing - blind | dated_before
    warnings = {step.number for step in verdict.warnings} - blind | warned_before & blind
    if before is Outcome.REJECTED:
        if verdict.outcome is not Outcome.REJECTED and not dated_before:
            return state
        outcome = Outcome.REJECTED
    elif failing - blind - failed_before or (verdict.outcome is Outcome.REJECTED and not failing & blind):
        outcome = Outcome.REJECTED
    else:
        outcome = Outcome.DEGRADED if failures or warnings else Outcome.TRUSTED
    telling = state.split(" ")[3:]
    return " ".join((outcome.value, _listed(failures), _listed(warnings), *telling))


def _failed(verdict: Verdict, number: int) -> bool:
    return verdict.step(number).outcome is StepOutcome.FAILED


def state_outcome(state: str) -> Outcome | None:
    """The outcome of a state; None for text that is none."""
    word = state.partition(" ")[0]
    return next((outcome for outcome in Outcome if outcome.value == word), None)


def state_steps(state: str) -> frozenset[int]:
    """The steps that fail or warn in a state; none for text that is no state."""
    failures, warnings = _state_numbers(state)
    return failures | warnings


def _state_numbers(state: str) -> tuple[frozenset[int], frozenset[int]]:
    """The steps that fail in a state, and those that warn."""
    words = [*state.split(" ")[1:3], "", ""]
    failures, warnings = (
        frozenset(int(number) for number in word.split(",") if number.isascii() and number.isdecimal())
        for word in words[:2]
    )
    return failures, warnings


def _numbers(steps: Iterable[Step]) -> str:
    return ",".join(str(step.number) for step in steps) or "-"


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(map(str, sorted(numbers))) or "-"


def _fingerprint(reasons: Iterable[str]) -> str:
    text = "\n".join(reasons)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16] if text else "-"


def _read(observed: str) -> Observation | None:
    """What was seen of a device when it passed last; None where that is not known, or written by a newer cmakeys."""
    if not observed:
        return None
    try:
        return Observation.from_json(read_json(observed.encode(), "register"))
    except EvidenceProblem:
        return None


def remembered(register: Register, names: Iterable[str]) -> Mapping[str, Memory]:
    """What the register remembers of the devices of these names, where one was ever checked."""
    memories = dict(register.memories())
    missing = [name for name in names if name not in memories]
    verdicts = register.latest_verdicts() if missing else {}
    for name in missing:
        memory = memory_from(verdicts[name]) if name in verdicts else None
        if memory is not None:
            memories[name] = memory
    return memories


def memory_from(record: CheckRecord) -> Memory | None:
    """What an entry of the history lets one remember, for a device that an older cmakeys checked last."""
    try:
        verdict = Verdict.from_json(read_json(record.detail.encode(), "register"))
    except EvidenceProblem:
        return None
    return Memory(state_of(verdict), record.checked_at, 0, record.checked_at if verdict.outcome.healthy else None)


# -- what is kept ------------------------------------------------------------------------------------------------------


def history(found: Iterable[Finding]) -> tuple[CheckRecord, ...]:
    """The findings about enrolled devices as entries of their history."""
    return tuple(record_of(one) for one in found if one.enrolled)


def record_of(one: Finding) -> CheckRecord:
    """One finding as an entry of the history; only a device that passed changes what the next check compares with.

    The whole verdict is kept of what is news: that of a night like the one before says nothing that one does not.
    """
    verdict, negotiation = one.verdict, one.judgement.negotiation
    told = one.standing.news and verdict.outcome is not Outcome.UNREACHABLE
    return CheckRecord(
        one.name,
        verdict.checked_at,
        verdict.outcome.value,
        verdict.summary,
        json.dumps(verdict.to_json(), separators=(",", ":")) if told else "",
        negotiated(negotiation) if verdict.outcome.healthy and negotiation else None,
        one.memory,
        one.standing.news,
    )


def first_record(name: str, judgement: Judgement) -> CheckRecord:
    """The check that a device passed when it was enrolled."""
    return record_of(finding(name, judgement, None))


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome that decides the exit code of a run: a rejection outweighs not knowing."""
    order = (Outcome.REJECTED, Outcome.UNREACHABLE, Outcome.UNSUPPORTED, Outcome.DEGRADED, Outcome.TRUSTED)
    found = set(outcomes)
    return next((outcome for outcome in order if outcome in found), Outcome.TRUSTED)
