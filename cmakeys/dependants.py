"""Enrolled devices as the rules about roots see them: by what the register keeps, or by what they say today.

What a device was enrolled with may be years old, so it can be asked. Its answer counts only when it is a good one: a
chain that fails the check says nothing about which root the device needs, and neither does silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cmakeys.check import CheckResult, Conditions, Target, check
from cmakeys.devices.enrolled import EnrolledDevice
from cmakeys.roots.dependants import Dependant
from cmakeys.verify.anchoring import as_dependant
from cmakeys.verify.review import review


def as_enrolled(device: EnrolledDevice) -> Dependant:
    """A device by what the register keeps of it."""
    return Dependant(
        device.name, device.chain, device.identity, device.slot, device.last.asymmetric, device.last.version
    )


def ask_all(devices: Sequence[EnrolledDevice], conditions: Conditions) -> tuple[Dependant, ...]:
    """Devices by what they say now, in the same order; one whose answer is no good stays as it was enrolled.

    Nothing of it is recorded: this is no check, and its verdicts are about roots that may not be trusted yet.
    """
    results = check([Target(device.name, device.address, device) for device in devices], conditions)
    return tuple(_answered(device, result) for device, result in zip(devices, results, strict=True))


def _answered(device: EnrolledDevice, result: CheckResult) -> Dependant:
    if result.evidence is None or not result.verdict.outcome.healthy:
        return replace(as_enrolled(device), remark=f"{result.verdict.outcome.value}: {result.verdict.summary}")
    identity = result.evidence.identity or device.identity
    return replace(as_dependant(review(result.evidence), identity), name=device.name, asked=True)
