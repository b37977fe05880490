"""A machine with a bus full of emulated devices and a clock of its own, on which the real command line runs.

Devices answer in this process, so that a night over fifty of them takes a fraction of a second. Everything else is
real: the registers and roots in a tree, the verbs, what they print and the code they leave with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

import cmakeys.cli.conditions
import cmakeys.cli.surroundings
from cmakeys.check import Conditions
from cmakeys.emulator.certificates import CERT_SIGN, Issuer, Profile, distinguished_name, issue
from cmakeys.emulator.device import Device
from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.pki import VendorAuthority
from cmakeys.errors import NotFound
from cmakeys.roots.root import Root
from cmakeys.roots.store import RootStore
from cmakeys.running import MARK
from cmakeys.spdm.codes import CertificateModel
from cmakeys.transports.backoff import Backoff
from cmakeys.transports.base import Deadline, Transport, TransportTimeout
from tests.cli.machine import Machine, Said

KEY = KeyType.ECDSA_P256
FIRST_NIGHT = datetime(2040, 1, 1, 3, 0, tzinfo=UTC)
CLOCK_OF_A_DEAD_BATTERY = datetime(1970, 1, 1, tzinfo=UTC)
CLOCK_THAT_RAN_AHEAD = datetime(2099, 1, 1, tzinfo=UTC)
QUICK = Backoff(attempts=2, first=0.0, longest=0.0)
ROUNDS = Backoff(attempts=3, first=0.0, longest=0.0)
HANGS = 1 << 30


@cache
def vendor(name: str) -> VendorAuthority:
    return VendorAuthority.create(name, KEY)


@cache
def ending_vendor(name: str, night: int) -> VendorAuthority:
    """A vendor whose root ends at noon after that night."""
    made = VendorAuthority.create(name, KEY)
    subject = made.certificate.parsed.subject
    ends = FIRST_NIGHT + timedelta(days=night, hours=9)
    profile = Profile(distinguished_name(name, f"{name} Test Root CA"), True, CERT_SIGN, not_after=ends)
    return replace(made, certificate=issue(profile, made.key, Issuer(subject, made.key)))


@dataclass
class Card:
    """A device in its place; `away` counts the attempts to reach it that still fail."""

    address: str
    device: Device
    away: int = 0


class Wire:
    """The way to a device in this process."""

    def __init__(self, address: str, device: Device) -> None:
        self.address = address
        self._device = device

    def exchange(self, message: bytes, _deadline: Deadline, *, secured: bool = False) -> bytes:
        answer = self._device.respond(message, secured=secured)
        assert answer is not None
        return answer

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class World:
    """The machine; `cards` are the devices on its bus by the names under which the story knows them."""

    machine: Machine
    cards: dict[str, Card] = field(default_factory=dict)
    now: datetime = FIRST_NIGHT
    serial: int = 0

    # -- what the machine sees --------------------------------------------------------------------------------------

    def reach(self, address: str, _deadline: Deadline) -> Transport:
        card = next((card for card in self.cards.values() if card.address == address), None)
        if card is None:
            raise NotFound("there is no such PCI function", object=address)
        if card.away:
            card.away -= card.away < HANGS
            raise TransportTimeout("no answer", object=address, hint="look at the device")
        return Wire(address, card.device)

    def bus(self, _sysroot: Path) -> tuple[str, ...]:
        return tuple(sorted(card.address for card in self.cards.values()))

    def patched(self, patch: pytest.MonkeyPatch) -> None:
        """Let the command line see this bus and this clock."""
        real = cmakeys.cli.conditions.conditions

        def conditions(*words: object, **options: object) -> Conditions:
            made = real(*words, **options)  # type: ignore[arg-type]  # handed on as they came
            return replace(made, now=self.now, reach=self.reach, backoff=QUICK, rounds=ROUNDS)

        patch.setattr(cmakeys.cli.conditions, "conditions", conditions)
        patch.setattr(cmakeys.cli.surroundings, "bus", self.bus)

    # -- what happens to devices --------------------------------------------------------------------------------------

    def build(self, maker: VendorAuthority) -> Device:
        self.serial += 1
        blueprint = Blueprint(f"{self.serial:04}", key_types=(KEY,), model=CertificateModel.ALIAS)
        return build_device(maker, blueprint)

    def plug(self, name: str, maker: VendorAuthority) -> None:
        self.serial += 1
        address = f"pci:0000:{self.serial:02x}:00.0"
        self.cards[name] = Card(address, self.build(maker))

    def free_place(self) -> str:
        self.serial += 1
        return f"pci:0000:{self.serial:02x}:00.0"

    # -- what people do ------------------------------------------------------------------------------------------------

    def run(self, *words: str) -> Said:
        return self.machine.run(*words)

    def succeed(self, *words: str) -> None:
        said = self.run(*words)
        assert said.code == 0, (words, said)

    def trust(self, name: str, maker: VendorAuthority) -> None:
        RootStore(self.machine.sysroot).add(Root(name, maker.certificate))

    def enroll(self, name: str, *, again: bool = False) -> None:
        self.succeed("devices", "enroll", self.cards[name].address, "--name", name, *(["--replace"] if again else []))

    def leave_mark(self) -> None:
        """What a run leaves that is killed."""
        (self.machine.register.parent / MARK).write_text('{"schema": 1, "began": null, "process": 1, "devices": 50}')

    # -- a night -------------------------------------------------------------------------------------------------------

    def night(self) -> tuple[int, list[Mapping[str, object]]]:
        """The nightly check: its exit code, and a line for each device that rings, and one for the run."""
        words = ("--quiet", "--changed-only", "--grace", "2", "--budget", "60", "--jobs", "4")
        said = self.run("check", "--all", "--format", "jsonl", *words)
        return said.code, [json.loads(line) for line in said.out.splitlines()]


def rings(lines: list[Mapping[str, object]]) -> Iterator[tuple[str, str]]:
    """Who rings, and everything that is said about it."""
    for line in lines:
        match line:
            case {"schema": "cmakeys/check-device/1", "name": str(name), "verdict": verdict, "standing": standing}:
                outcome = standing["outcome"] if isinstance(standing, dict) else "without memory"
                yield name, f"{outcome}: {json.dumps(verdict)} {json.dumps(standing)}"
            case {"schema": "cmakeys/check-stranger/1", "address": str(address), "twin": twin}:
                yield "stranger", f"{address} {f'twin of {twin}' if twin else ''}"
            case {"schema": "cmakeys/check-run/1", "unfinished": {}}:
                yield "run", "unfinished"
            case {"schema": "cmakeys/check-run/1", "clock": {"state": str(state), "news": True}}:
                yield "run", f"clock {state}"
