"""Where the devices are now: one that moved, one that is gone, and one that nobody enrolled.

A bus numbers its functions anew when a card is added, so a device that is not found in its place may sit in another.
It is the same one only if it proves so: the chain has the pin of the enrolment (step 10) and the device the key of the
chain (step 11), exactly as in its own place. Then its verdict is the one of where it is now, with a warning until the
register is told. A pin on the root cannot say that: every device of the vendor has it.

Whatever else speaks SPDM on the bus and is not enrolled is a stranger: news once, and no part of any exit code. One
that has the identity of an enrolled device which answers in its own place is named so; functions of one card share an
identity, and so do a device and its clone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cmakeys.check import CheckResult, Conditions, Judge, Judgement, Target, check, judge
from cmakeys.devices.address import DeviceAddress
from cmakeys.devices.enrolled import EnrolledDevice
from cmakeys.devices.strangers import Stranger
from cmakeys.errors import CmakeysError, Refused, Temporary
from cmakeys.evidence.model import Evidence
from cmakeys.verify.review import review
from cmakeys.verify.verdict import Outcome, Step, StepOutcome, Verdict
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.pin import Pin, PinKind, compute_pin, device_certificate

_SAME_DEVICE = 10
_PROOF = 11


@dataclass(frozen=True, slots=True)
class Sighting:
    """A stranger, and whether that is news."""

    stranger: Stranger
    news: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The results of a run, those of devices that moved from where they are now, and the strangers by address.

    `sightings` is None where nobody looked.
    """

    results: tuple[CheckResult, ...]
    sightings: tuple[Sighting, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """What answered somewhere else than the device it may be: its place, what it said, and its chain."""

    address: str
    evidence: Evidence
    chain: tuple[Certificate, ...]

    def pins(self) -> Iterator[Pin]:
        """All that it could be enrolled by."""
        for kind in (PinKind.DEVICE_CERTIFICATE, PinKind.LEAF, PinKind.CHAIN):
            try:
                yield compute_pin(kind, self.chain)
            except CertificateProblem:
                return


def look_around(
    bus: Sequence[str],
    results: Sequence[CheckResult],
    enrolled: Sequence[EnrolledDevice],
    known: Mapping[str, Stranger],
    conditions: Conditions,
    *,
    jobs: int,
    judge: Judge = judge,
) -> Surroundings:
    """Look for devices that were not found in their places, at the addresses of the `bus` and in each other's.

    `known` are the strangers of the run before, which are asked again only when a device is missing.
    """
    places = {device.address for device in enrolled}
    strange = [address for address in dict.fromkeys(bus) if _place(address) not in places]
    missing = {result.target.name: result for result in results if _missing(result)}
    asked = [address for address in strange if missing or address not in known]
    answers = check([Target(address, address) for address in asked], conditions, jobs=jobs, judge=judge)
    candidates = [one for one in map(_candidate, [*answers, *missing.values()]) if one is not None]
    homes, twins = _homes(candidates, missing, enrolled, conditions, judge)
    taken = {result.target.address for result in homes.values()}
    shown = {one.address: one for one in candidates}
    found = [
        _sighting(address, shown.get(address), twins.get(address, ""), known.get(address), conditions.now)
        for address in strange
        if address not in taken
    ]
    return Surroundings(tuple(homes.get(result.target.name, result) for result in results), tuple(found))


def _place(address: str) -> str:
    try:
        return DeviceAddress.parse(address).place
    except CmakeysError:
        return address


def _missing(result: CheckResult) -> bool:
    """Whether an enrolled device was not found in its place: nothing answers there, or something else does."""
    verdict = result.verdict
    return (
        result.target.enrolled is not None
        and not verdict.outcome.healthy
        and verdict.step(_SAME_DEVICE).outcome is not StepOutcome.PASSED
    )


def _candidate(result: CheckResult) -> _Candidate | None:
    if result.evidence is None or result.verdict.outcome in (Outcome.UNREACHABLE, Outcome.UNSUPPORTED):
        return None
    chain = review(result.evidence).certificates
    return _Candidate(result.target.address, result.evidence, chain) if chain else None


def _homes(
    candidates: Sequence[_Candidate],
    missing: Mapping[str, CheckResult],
    enrolled: Sequence[EnrolledDevice],
    conditions: Conditions,
    judge: Judge,
) -> tuple[dict[str, CheckResult], dict[str, str]]:
    """Results of missing devices from where they are now, by name; by address, whose identity else is shown there."""
    by_pin = {device.pin: device for device in enrolled if device.pin.kind is not PinKind.ROOT}
    homes: dict[str, CheckResult] = {}
    twins: dict[str, str] = {}
    for one in candidates:
        device = next((by_pin[pin] for pin in one.pins() if pin in by_pin), None)
        if device is None or one.address == device.address:
            continue
        result = missing.get(device.name)
        judgement = judge(one.evidence, device, conditions) if result and device.name not in homes else None
        if result is not None and judgement is not None and _proven(judgement.verdict):
            target = replace(result.target, address=one.address)
            homes[device.name] = CheckResult(target, _moved(judgement, device, one.address), one.evidence)
        else:
            twins[one.address] = device.name
    return homes, twins


def _proven(verdict: Verdict) -> bool:
    return all(verdict.step(number).outcome is StepOutcome.PASSED for number in (_SAME_DEVICE, _PROOF))


def require_same(verdict: Verdict, name: str) -> None:
    """Raise what keeps a device in one place from being taken for the one that is enrolled as `name`."""
    if verdict.outcome in (Outcome.UNREACHABLE, Outcome.UNSUPPORTED):
        raise Temporary(verdict.summary, object=verdict.device, hint=verdict.steps[0].hint)
    for number in (_SAME_DEVICE, _PROOF):
        step = verdict.step(number)
        if step.outcome is not StepOutcome.PASSED:
            raise Refused(f"that is not {name}: {step.reason}", object=verdict.device, hint=step.hint)


def _moved(judgement: Judgement, device: EnrolledDevice, address: str) -> Judgement:
    """The judgement of a device in another place than its own: a warning, and all else as it is."""
    verdict = judgement.verdict
    reason = f"the same device, but at {address}; it is enrolled at {device.address}"
    warning = Step(_SAME_DEVICE, StepOutcome.WARNED, reason, f"cmakeys devices move {device.name} {address}")
    steps = tuple(warning if step.number == _SAME_DEVICE else step for step in verdict.steps)
    if verdict.outcome is Outcome.TRUSTED:
        summary = f"moved to {address} from {device.address}"
        return replace(judgement, verdict=replace(verdict, steps=steps, outcome=Outcome.DEGRADED, summary=summary))
    return replace(judgement, verdict=replace(verdict, steps=steps))


def _sighting(address: str, shown: _Candidate | None, twin: str, known: Stranger | None, now: datetime) -> Sighting:
    if shown is None:
        seen = replace(known, last_seen=now) if known else Stranger(address, now, now)
        return Sighting(seen, known is None)
    key, label = _identity(shown.chain)
    another = known is not None and known.device_key not in ("", key)
    first = known.first_seen if known and not another else now
    revealed = bool(twin) and known is not None and known.twin != twin
    return Sighting(Stranger(address, first, now, key, label, twin), known is None or another or revealed)


def _identity(chain: Sequence[Certificate]) -> tuple[str, str]:
    try:
        return chain[device_certificate(chain).index].spki_fingerprint, chain[-1].label
    except CertificateProblem:
        return "", chain[-1].label
