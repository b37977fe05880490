"""A device that moved is found where it is, if it proves that it is the same; what nobody enrolled is told once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from cmakeys.check import CheckResult, Conditions, Target, check
from cmakeys.devices.enrolled import EnrolledDevice
from cmakeys.devices.strangers import Stranger
from cmakeys.emulator.device import Device
from cmakeys.emulator.faults import FAULTS
from cmakeys.enrolling import Wish, candidate
from cmakeys.errors import NotFound, Refused, Temporary
from cmakeys.transports.base import Deadline, Transport, TransportTimeout
from cmakeys.verify.verdict import Outcome, StepOutcome
from cmakeys.whereabouts import Sighting, Surroundings, look_around, require_same
from cmakeys.x509.pin import PinKind
from tests.nightly.world import Wire
from tests.workbench import NOW, conditions, faulty, honest

HOME, AWAY, OTHER = "pci:0000:01:00.0", "pci:0000:02:00.0", "pci:0000:03:00.0"


@dataclass
class Bus:
    """Devices by their addresses; None is one that says nothing."""

    places: dict[str, Device | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def conditions(self) -> Conditions:
        return replace(conditions(), reach=self.reach)

    def reach(self, address: str, _deadline: Deadline) -> Transport:
        self.asked.append(address)
        if address not in self.places:
            raise NotFound("there is no such PCI function", object=address)
        device = self.places[address]
        if device is None:
            raise TransportTimeout("no answer", object=address)
        return Wire(address, device)

    def enrol(self, name: str, address: str, pin: PinKind | None = None) -> EnrolledDevice:
        return candidate(Wish(address, name, pin), self.conditions()).device

    def look(self, *enrolled: EnrolledDevice, known: Mapping[str, Stranger] | None = None) -> Surroundings:
        results = check([Target(one.name, one.address, one) for one in enrolled], self.conditions())
        self.asked.clear()
        return look_around(tuple(self.places), results, enrolled, known or {}, self.conditions(), jobs=4)


@pytest.fixture
def bus() -> Bus:
    return Bus({HOME: honest("0001")})


def only(around: Surroundings) -> CheckResult:
    (result,) = around.results
    return result


def seen(around: Surroundings) -> list[tuple[str, bool, str]]:
    return [(one.stranger.address, one.news, one.stranger.twin) for one in around.sightings or ()]


def test_a_device_in_its_place_is_left_alone(bus: Bus) -> None:
    around = bus.look(bus.enrol("gpu0", HOME))
    assert only(around).verdict.outcome is Outcome.TRUSTED
    assert around.sightings == ()
    assert bus.asked == []


def test_a_device_that_moved_is_degraded_where_it_is(bus: Bus) -> None:
    gpu = bus.enrol("gpu0", HOME)
    bus.places = {AWAY: honest("0001")}
    result = only(bus.look(gpu))
    assert result.verdict.outcome is Outcome.DEGRADED
    assert result.verdict.summary == f"moved to {AWAY} from {HOME}"
    assert result.verdict.step(10).outcome is StepOutcome.WARNED
    assert result.verdict.step(10).hint == f"cmakeys devices move gpu0 {AWAY}"
    assert result.target.address == AWAY
    assert bus.look(gpu).sightings == ()


def test_a_device_that_moved_and_changed_is_still_rejected(bus: Bus) -> None:
    gpu = bus.enrol("gpu0", HOME)
    bus.places = {AWAY: faulty(FAULTS["firmware-changed"])}
    verdict = only(bus.look(gpu)).verdict
    assert (verdict.outcome, verdict.device) == (Outcome.REJECTED, AWAY)
    assert [step.number for step in verdict.failures] == [13]
    assert verdict.step(10).outcome is StepOutcome.WARNED


@pytest.mark.parametrize("fault", ["stolen-chain", "bad-signature"])
def test_whoever_only_shows_its_chain_is_not_the_device(bus: Bus, fault: str) -> None:
    gpu = bus.enrol("gpu0", HOME)
    bus.places = {AWAY: faulty(FAULTS[fault])}
    around = bus.look(gpu)
    assert only(around).verdict.outcome is Outcome.UNREACHABLE
    assert seen(around) == [(AWAY, True, "gpu0")]


def test_another_device_of_the_vendor_is_a_stranger(bus: Bus) -> None:
    gpu = bus.enrol("gpu0", HOME)
    bus.places = {AWAY: honest("0002")}
    around = bus.look(gpu)
    assert only(around).judgement.gone
    assert seen(around) == [(AWAY, True, "")]


def test_a_pin_on_the_root_finds_nobody(bus: Bus) -> None:
    gpu = bus.enrol("gpu0", HOME, PinKind.ROOT)
    bus.places = {AWAY: honest("0001")}
    assert only(bus.look(gpu)).verdict.outcome is Outcome.UNREACHABLE


def test_two_cards_that_changed_places_are_both_found(bus: Bus) -> None:
    bus.places[AWAY] = honest("0002")
    gpu, nvme = bus.enrol("gpu0", HOME), bus.enrol("nvme1", AWAY)
    bus.places = {HOME: honest("0002"), AWAY: honest("0001")}
    around = bus.look(gpu, nvme)
    assert [result.target.address for result in around.results] == [AWAY, HOME]
    assert {result.verdict.outcome for result in around.results} == {Outcome.DEGRADED}
    assert around.sightings == ()


def test_a_clone_beside_the_device_is_named_so(bus: Bus) -> None:
    gpu = bus.enrol("gpu0", HOME)
    bus.places[AWAY] = faulty()
    around = bus.look(gpu)
    assert only(around).verdict.outcome is Outcome.TRUSTED
    assert seen(around) == [(AWAY, True, "gpu0")]


def test_of_two_that_could_be_the_device_one_is_and_the_other_is_named(bus: Bus) -> None:
    gpu = bus.enrol("gpu0", HOME)
    bus.places = {AWAY: honest("0001"), OTHER: faulty()}
    around = bus.look(gpu)
    assert only(around).target.address == AWAY
    assert seen(around) == [(OTHER, True, "gpu0")]


def test_a_stranger_is_news_once_and_then_left_alone(bus: Bus) -> None:
    gpu = bus.enrol("gpu0", HOME)
    bus.places |= {AWAY: honest("0002"), OTHER: None}
    around = bus.look(gpu)
    assert seen(around) == [(AWAY, True, ""), (OTHER, True, "")]
    known = remembered(around)
    again = bus.look(gpu, known=known)
    assert seen(again) == [(AWAY, False, ""), (OTHER, False, "")]
    assert bus.asked == []
    assert remembered(again) == known


def remembered(around: Surroundings) -> dict[str, Stranger]:
    return {one.stranger.address: one.stranger for one in around.sightings or ()}


@pytest.mark.parametrize(
    ("key", "twin", "news"), [("", "", False), ("0" * 64, "", True), ("same", "", False), ("same", "gpu7", False)]
)
def test_another_device_in_a_stranger_s_place_is_news(bus: Bus, key: str, twin: str, news: bool) -> None:
    gpu = bus.enrol("gpu0", HOME)
    bus.places = {AWAY: honest("0002")}
    (first,) = bus.look(gpu).sightings or ()
    before = replace(first.stranger, device_key=first.stranger.device_key if key == "same" else key, twin=twin)
    assert seen(bus.look(gpu, known={AWAY: before})) == [(AWAY, news, "")]


def test_when_a_stranger_was_seen_first_is_kept() -> None:
    before = Stranger(AWAY, NOW.replace(year=2030), NOW.replace(year=2031))
    bus = Bus({HOME: honest("0001")})
    gpu = bus.enrol("gpu0", HOME)
    bus.places[AWAY] = None
    assert bus.look(gpu, known={AWAY: before}).sightings == (Sighting(replace(before, last_seen=NOW), False),)


def test_a_move_needs_the_same_device(bus: Bus) -> None:
    gpu = bus.enrol("gpu0", HOME)
    bus.places |= {AWAY: honest("0002"), OTHER: None}

    def verdict_at(address: str) -> CheckResult:
        (result,) = check([Target("gpu0", address, gpu)], bus.conditions())
        return result

    require_same(verdict_at(HOME).verdict, "gpu0")
    with pytest.raises(Refused, match="that is not gpu0"):
        require_same(verdict_at(AWAY).verdict, "gpu0")
    with pytest.raises(Temporary):
        require_same(verdict_at(OTHER).verdict, "gpu0")
