"""A year of nightly checks over fifty devices: the alarms of the table below ring, each once, and no others.

The table is the whole specification. In a night of the table things happen, then the check runs; in all other nights
nothing happens but the check. `who rings` is exact: whoever rings without standing there fails the test, and so does
whoever stands there and is silent. Behind a name stands what must be said. The exit code holds from its night on, until
a later row has another one.

The check is the one that cron runs: `check --all --quiet --changed-only --grace 2 --budget 60`. Devices d00-d44 are
of Acme, e45-e49 of Ender, whose root ends in the summer, and then of Ender Two, which ends in 2094.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from cmakeys.emulator.device import Device
from cmakeys.emulator.hardware import Hardware
from tests.cli.machine import Machine
from tests.nightly.world import (
    CLOCK_OF_A_DEAD_BATTERY,
    CLOCK_THAT_RAN_AHEAD,
    FIRST_NIGHT,
    HANGS,
    Card,
    World,
    ending_vendor,
    rings,
    vendor,
)

NIGHTS = 365
ENDER_ENDS = 200
ENDER_TWO_ENDS = 20_000
"""In the year 2094, before the clock that runs ahead."""

YEAR = """
night | what happens before the check          | who rings, and what is said                      | exit
------+----------------------------------------+--------------------------------------------------+-----
    1 | -                                      | -                                                | 0
    8 | update d01, re-enrol d01               | -                                                | 0
   15 | update d02                             | d02 rejected: measurement                        | 1
   18 | re-enrol d02                           | -                                                | 0
   25 | busy d00-d29 for 3 attempts            | -                                                | 0
   26 | busy d00-d29 for 5 attempts            | -                                                | 0
   30 | hang d00-d19                           | -                                                | 0
   31 | -                                      | -                                                | 0
   32 | wake d00-d19                           | -                                                | 0
   40 | hang d03                               | -                                                | 0
   42 | -                                      | d03 unreachable: no answer                       | 6
   50 | wake d03                               | d03 trusted                                      | 0
   60 | hang d04                               | -                                                | 0
   62 | wake d04                               | -                                                | 0
   63 | hang d04                               | -                                                | 0
   65 | wake d04                               | -                                                | 0
   70 | swap card of d05                       | d05 rejected: another device                     | 1
   75 | put back card of d05                   | d05 trusted                                      | 0
   80 | move d06                               | d06 degraded: moved to                           | 0
   85 | tell where d06 is                      | d06 trusted                                      | 0
   90 | change places of d07 and d08           | d07 degraded: moved to, d08 degraded: moved to   | 0
   93 | tell where d07 is swapped              | d07 trusted, d08 trusted                         | 0
  100 | unplug d09                             | -                                                | 0
  102 | -                                      | d09 unreachable: no such PCI function            | 6
  110 | forget d09                             | -                                                | 0
  120 | plug n50                               | stranger                                         | 0
  125 | enrol n50                              | -                                                | 0
  130 | kill the check                         | run unfinished                                   | 0
  140 | deny key of d10                        | d10 rejected: denied                             | 1
  145 | replace d10                            | -                                                | 0
  150 | clone d11                              | stranger: twin of d11                            | 0
  151 | unplug clone                           | -                                                | 0
  160 | hang d12, update d12                   | -                                                | 0
  162 | -                                      | d12 unreachable                                  | 6
  165 | wake d12                               | d12 rejected: measurement                        | 1
  166 | re-enrol d12                           | -                                                | 0
  171 | -                                      | e45-e49 degraded: expires                        | 0
  180 | lose clock                             | run clock behind                                 | 0
  181 | -                                      | -                                                | 0
  182 | set clock                              | -                                                | 0
  201 | -                                      | e45-e49 rejected: expired                        | 1
  210 | renew e45-e49                          | -                                                | 0
  220 | update d13, hang d14, swap card of d15 | d13 rejected: measurement, d15 rejected: another | 1
  222 | -                                      | d14 unreachable                                  | 1
  225 | wake d14                               | d14 trusted                                      | 1
  230 | re-enrol d13, replace d15              | -                                                | 0
  240 | update d16                             | d16 rejected: measurement                        | 1
  245 | update d16                             | d16 rejected: measurement                        | 1
  250 | re-enrol d16                           | -                                                | 0
  260 | clock runs ahead                       | run clock ahead                                  | 1
  261 | set clock                              | -                                                | 0
  300 | busy d10-d39 for 5 attempts            | -                                                | 0
  365 | -                                      | -                                                | 0
"""


@dataclass(frozen=True)
class Row:
    """One row of the table; `rings` are names with what must be said of them; `all` stands for all on the bus."""

    night: int
    deeds: tuple[str, ...]
    rings: dict[str, str]
    exit: int


def rows(table: str) -> dict[int, Row]:
    found = {}
    for line in table.strip().splitlines()[2:]:
        night, deeds, ringing, code = (cell.strip() for cell in line.split("|"))
        words = [one.partition(" ") for one in ringing.split(", ") if one != "-"]
        spoken = {name: what for group, _, what in words for name in names_of(group.rstrip(":"))}
        found[int(night)] = Row(int(night), tuple(deeds.split(", ")) if deeds != "-" else (), spoken, int(code))
    return found


def names_of(group: str) -> list[str]:
    """`e45-e49`, or one name."""
    first, _, last = group.partition("-")
    return [f"{first[0]}{number:02}" for number in range(int(first[1:]), int(last[1:]) + 1)] if last else [first]


class Story:
    """What the words of the table do."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.drawer: dict[str, Device] = {}
        self.clock: datetime | None = None

    def tell(self, deed: str) -> None:
        for pattern, act in self.WORDS.items():
            found = re.fullmatch(pattern, deed)
            if found:
                act(self, *found.groups())
                return
        raise AssertionError(f"nobody knows what it means to {deed}")

    def update(self, name: str) -> None:
        hardware = self.world.cards[name].device.hardware
        hardware.change_firmware(f"firmware {hardware.updates + 2}".encode())

    def re_enrol(self, name: str) -> None:
        self.world.enroll(name, again=True)

    def enrol(self, name: str) -> None:
        self.world.enroll(name)

    def busy(self, names: str, attempts: str) -> None:
        for name in names_of(names):
            self.world.cards[name].away = int(attempts)

    def hang(self, names: str) -> None:
        for name in names_of(names):
            self.world.cards[name].away = HANGS

    def wake(self, names: str) -> None:
        for name in names_of(names):
            self.world.cards[name].away = 0

    def swap_card(self, name: str) -> None:
        card = self.world.cards[name]
        self.drawer[name] = card.device
        card.device = self.world.build(vendor("Acme"))

    def put_back(self, name: str) -> None:
        self.world.cards[name].device = self.drawer.pop(name)

    def replace_card(self, name: str) -> None:
        self.world.cards[name].device = self.world.build(vendor("Acme"))
        self.world.enroll(name, again=True)

    def move(self, name: str) -> None:
        self.world.cards[name].address = self.world.free_place()

    def change_places(self, one: str, other: str) -> None:
        first, second = self.world.cards[one], self.world.cards[other]
        first.address, second.address = second.address, first.address

    def tell_where(self, name: str, swapped: str) -> None:
        words = ["--swap"] if swapped else []
        self.world.succeed("devices", "move", name, self.world.cards[name].address, *words)

    def unplug(self, name: str) -> None:
        del self.world.cards[name]

    def forget(self, name: str) -> None:
        self.world.succeed("devices", "forget", name, "--yes")

    def plug(self, name: str) -> None:
        self.world.plug(name, vendor("Acme"))

    def kill(self) -> None:
        self.world.leave_mark()

    def deny(self, name: str) -> None:
        (credentials,) = self.world.cards[name].device.hardware.slots[0]
        key = credentials.device_certificate.spki_fingerprint
        self.world.succeed("deny", "add", "--key", key, "--reason", "stolen")

    def clone(self, name: str) -> None:
        card = self.world.cards[name]
        hardware = card.device.hardware
        copy = Device(Hardware(hardware.slots, hardware.settings, hardware.measurements))
        self.world.cards["clone"] = Card(self.world.free_place(), copy)

    def lose_clock(self) -> None:
        self.clock = CLOCK_OF_A_DEAD_BATTERY

    def run_ahead(self) -> None:
        self.clock = CLOCK_THAT_RAN_AHEAD

    def set_clock(self) -> None:
        self.clock = None

    def renew(self, names: str) -> None:
        maker = ending_vendor("Ender Two", ENDER_TWO_ENDS)
        self.world.trust("ender-2", maker)
        for name in names_of(names):
            self.world.cards[name].device = self.world.build(maker)
            self.world.enroll(name, again=True)

    WORDS: ClassVar[dict[str, Callable[..., None]]] = {
        r"update (\w+)": update,
        r"re-enrol (\w+)": re_enrol,
        r"enrol (\w+)": enrol,
        r"busy (\w+-\w+) for (\d+) attempts": busy,
        r"hang (\w+(?:-\w+)?)": hang,
        r"wake (\w+(?:-\w+)?)": wake,
        r"swap card of (\w+)": swap_card,
        r"put back card of (\w+)": put_back,
        r"replace (\w+)": replace_card,
        r"move (\w+)": move,
        r"change places of (\w+) and (\w+)": change_places,
        r"tell where (\w+) is( swapped)?": tell_where,
        r"unplug (\w+)": unplug,
        r"forget (\w+)": forget,
        r"plug (\w+)": plug,
        r"kill the check": kill,
        r"deny key of (\w+)": deny,
        r"clone (\w+)": clone,
        r"lose clock": lose_clock,
        r"clock runs ahead": run_ahead,
        r"set clock": set_clock,
        r"renew (\w+-\w+)": renew,
    }


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> World:
    """Fifty enrolled devices on the evening before the first night."""
    made = World(Machine(tmp_path, capsys), now=FIRST_NIGHT)
    made.patched(monkeypatch)
    made.trust("acme", vendor("Acme"))
    made.trust("ender", ending_vendor("Ender", ENDER_ENDS))
    for number in range(50):
        name = f"d{number:02}" if number < 45 else f"e{number:02}"
        made.plug(name, vendor("Acme") if number < 45 else ending_vendor("Ender", ENDER_ENDS))
        made.enroll(name)
    return made


def differences(expected: dict[str, str], heard: list[tuple[str, str]], names: set[str]) -> list[str]:
    """What of a night is not as the table has it."""
    wanted = dict.fromkeys(names, expected["all"]) if "all" in expected else expected
    told = [name for name, _ in heard]
    wrong = [f"{name} rings, {text[:300]}" for name, text in heard if name not in wanted]
    wrong += [f"{name} rings {told.count(name)} times" for name in sorted(set(told)) if told.count(name) > 1]
    wrong += [f"{name} is silent" for name in wanted if name not in told]
    for name, text in heard:
        wrong += [
            f"{name} says nothing of {word!r}: {text}" for word in _words(wanted.get(name, "")) if word not in text
        ]
    return wrong


def _words(what: str) -> list[str]:
    return [word.strip() for word in what.replace("again", "").split(":") if word.strip()]


def test_a_year_of_nights_rings_as_the_table_says(world: World) -> None:
    table, story, code = rows(YEAR), Story(world), 0
    wrong = []
    for night in range(1, NIGHTS + 1):
        row = table.get(night, Row(night, (), {}, code))
        code = row.exit
        world.now = FIRST_NIGHT + timedelta(days=night)
        for deed in row.deeds:
            story.tell(deed)
        world.now = story.clock or world.now
        left, lines = world.night()
        names = set(world.cards)
        wrong += [f"night {night}: {one}" for one in differences(row.rings, list(rings(lines)), names)]
        if left != code:
            wrong.append(f"night {night}: left with {left}, not {code}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("heard", "complaint"),
    [
        ([], "d02 is silent"),
        ([("d02", "rejected: measurement 3")] * 2, "d02 rings 2 times"),
        ([("d02", "rejected: measurement 3"), ("d03", "trusted: ")], "d03 rings, trusted: "),
        ([("d02", "degraded: measurement 3")], "d02 says nothing of 'rejected': degraded: measurement 3"),
        ([("d02", "rejected: dates")], "d02 says nothing of 'measurement': rejected: dates"),
    ],
)
def test_an_alarm_that_is_missing_doubled_or_another_one_is_noticed(
    heard: list[tuple[str, str]], complaint: str
) -> None:
    expected = rows(YEAR)[15].rings
    assert differences(expected, [("d02", "rejected: measurement 3")], set()) == []
    assert differences(expected, heard, set()) == [complaint]
