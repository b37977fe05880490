"""Every fault that an emulated device can have, by name.

The names are what `cmakeys emulate --fault` takes. Each fault brings what a careful requester must conclude
(`Fault.outcome` and `Fault.step`), so one test can iterate over all of them and none can be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from cmakeys.emulator.lies import (
    agreement,
    certificates,
    challenge,
    chunking,
    measurements,
    negotiation,
    parameters,
    patience,
    records,
    sessions,
)
from cmakeys.emulator.lies.fault import Fault as Fault
from cmakeys.emulator.lies.fault import LineFault as LineFault
from cmakeys.emulator.lies.fault import Outcome as Outcome
from cmakeys.emulator.lies.fault import Substitution as Substitution
from cmakeys.emulator.lies.fault import Where as Where
from cmakeys.errors import NotFound

_MODULES = (
    negotiation,
    certificates,
    challenge,
    measurements,
    chunking,
    patience,
    sessions,
    parameters,
    agreement,
    records,
)

FAULTS: Mapping[str, Fault] = MappingProxyType({fault.name: fault for module in _MODULES for fault in module.FAULTS})


def find_faults(names: Iterable[str]) -> tuple[Fault, ...]:
    """The faults of these names. Raises `NotFound` for an unknown one."""
    found = []
    for name in names:
        if name not in FAULTS:
            raise NotFound(f"no fault of the name {name}", object="emulate", hint="--list-faults names them all")
        found.append(FAULTS[name])
    return tuple(found)
