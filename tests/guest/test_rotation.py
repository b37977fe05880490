"""The walk-through of cmakeys-rotation(7), day by day and command by command, on a real `.cma` and real mailboxes.

The page is the script: its commands are run in its order, on its dates, and must leave with the exit status and print
the lines that it shows. What the page only tells is in `STORY`: what happens outside the machine before a day's
commands, and what the kernel and the devices' verdicts must be after them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmakeys.emulator.pki import DeviceCredentials
from cmakeys.roots.record import render_pem, render_root
from cmakeys.roots.root import Root
from tests.guest import inside
from tests.guest.conftest import Room
from tests.guest.machine import Done, Guest
from tests.guest.rolling import RollingVendor, device
from tests.mdoc import Page

PAGE = Page.read(Path(__file__).parents[2] / "man/cmakeys-rotation.7")
FOLDER = "/run/story"
OMISSION = "..."
_MINUTES = re.compile(r"(?<=\d\d-\d\d \d\d):\d\d")


# -- what the page says ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """A command as the page shows it: what is typed, the lines printed, and the exit status."""

    typed: str
    lines: tuple[str, ...]
    code: int

    def fits(self, done: Done) -> bool:
        """Whether a run of it is what the page shows: these lines and no others, but where lines are left out.

        How many minutes of a day its commands take is the machine's affair.
        """
        whole = [re.escape(line).replace(re.escape(OMISSION), ".*") + "\n" for line in self.lines]
        parts = ["(?:.*\n)*" if line == OMISSION else whole[number] for number, line in enumerate(self.lines)]
        printed = "".join(f"{line.rstrip()}\n" for line in (done.out + done.err).splitlines())
        printed = _MINUTES.sub(":00", printed)
        return done.code == self.code and re.fullmatch("".join(parts) + "\n*", printed) is not None


@dataclass(frozen=True, slots=True)
class Day:
    """A subsection of the walk-through."""

    date: datetime
    title: str
    commands: tuple[Shown, ...]


def read_days() -> tuple[Day, ...]:
    """The days of the walk-through, with their commands."""
    days = []
    for section in PAGE.below("WALK-THROUGH"):
        if section.subtitle:
            date, _, title = section.subtitle.partition(": ")
            on = datetime.strptime(date, "%d %B %Y").replace(hour=9, tzinfo=UTC)
            lines = Page(PAGE.path, (section,)).literals()
            days.append(Day(on, title, tuple(one for _, text in lines for one in _commands(text))))
    return tuple(days)


def _commands(text: str) -> Iterator[Shown]:
    plain = re.sub(r"\s*\\\n\s*", " ", text.replace("\\&", "").replace("\\(->", "→"))
    for part in re.split(r"^# ", plain, flags=re.MULTILINE)[1:]:
        typed, *lines = part.rstrip("\n").split("\n")
        status = re.fullmatch(r"\[(\d+)\]", lines[-1]) if lines else None
        yield Shown(typed, tuple(lines[:-1] if status else lines), int(status[1]) if status else 0)


# -- what happens, and what must hold ----------------------------------------------------------------------------------


@dataclass
class Stage:
    """The machine, the two devices in it, and their vendor."""

    room: Room
    vendor: RollingVendor = field(default_factory=RollingVendor)

    def __post_init__(self) -> None:
        self.chains = [self.vendor.credentials("0001"), self.vendor.credentials("0002")]
        for number, chain in enumerate(self.chains):
            self.put(number, chain)
        self.files = {
            "acme-2024.pem": self.vendor.old.certificate,
            "acme-2027.pem": self.vendor.new.certificate,
            "acme-cross.pem": self.vendor.cross(datetime(2027, 1, 8)),
        }
        for name, certificate in self.files.items():
            self.guest.call(inside.write_file, f"{FOLDER}/{name}", render_pem(certificate).decode())

    @property
    def guest(self) -> Guest:
        return self.room.guest

    def put(self, number: int, chain: DeviceCredentials) -> None:
        """Have a device with this chain answer at the mailbox."""
        self.room.seats[number].device = device(chain)

    def update(self, number: int, issued: datetime) -> None:
        """Give the device its chain below the new root."""
        self.chains[number] = self.vendor.renewed(self.chains[number], issued)
        self.put(number, self.chains[number])

    def run(self, typed: str) -> Done:
        """Run a command of the page where its files are, with the fingerprint that it only names."""
        placed = {name: f"{FOLDER}/{name}" for name in self.files}
        placed["SHA256"] = self.vendor.old.certificate.fingerprint
        return self.guest.run(*(placed.get(word, word) for word in shlex.split(typed)))

    def kernel(self) -> set[str]:
        """The names of the roots in the kernel's own keyring, as another program sees them."""
        shown = self.guest.run("keyctl", "show", "%:.cma").check().out
        return set(re.findall(r"asymmetric: cmakeys:([^:]+):[0-9a-f]{64}$", shown, re.MULTILINE))

    def verdicts(self) -> tuple[str, ...]:
        """What the devices are now, in the order of the mailboxes."""
        devices = self.guest.cmakeys("check", "--all", "--json").json["data"]["devices"]
        return tuple(one["verdict"]["outcome"] for one in sorted(devices, key=lambda one: str(one["name"])))


@dataclass(frozen=True, slots=True)
class Scene:
    """One day: what happens outside before the commands; the kernel's roots and the verdicts after them."""

    title: str
    before: Callable[[Stage], object]
    kernel: set[str]
    verdicts: tuple[str, str]


def nothing(_: Stage) -> None:
    """A day on which nothing happens outside the machine."""


def steal(stage: Stage, issued: datetime) -> None:
    """Somebody else's device answers in the place of the second one."""
    stage.put(1, stage.vendor.stolen("0002", issued))


OLD, NEW = "acme-2024", "acme-2027"
GOOD, DUE, BAD = "trusted", "degraded", "rejected"
STORY = (
    Scene("one root, two devices", nothing, {OLD}, (GOOD, GOOD)),
    Scene("the vendor has a new root", nothing, {OLD, NEW}, (DUE, DUE)),
    Scene("one device lags behind", lambda s: s.update(0, datetime(2027, 1, 28)), {OLD, NEW}, (GOOD, DUE)),
    Scene("the old key has leaked", nothing, {OLD, NEW}, (GOOD, DUE)),
    Scene("somebody uses the key", lambda s: steal(s, datetime(2027, 2, 20)), {OLD, NEW}, (GOOD, BAD)),
    Scene("and dates a leaf back", lambda s: steal(s, datetime(2027, 2, 1)), {OLD, NEW}, (GOOD, BAD)),
    Scene("the last device follows", lambda s: s.update(1, datetime(2027, 4, 8)), {OLD, NEW}, (GOOD, GOOD)),
    Scene("the old root goes", nothing, {NEW}, (GOOD, GOOD)),
    Scene("and stays away", nothing, {NEW}, (GOOD, GOOD)),
)


@pytest.fixture
def stage(room: Room) -> Iterator[Stage]:
    """A machine with two devices, whose clock is set back afterwards to what it was, or nearly."""
    now = room.guest.run("busybox", "date", "+%s").check().out.strip()
    room.guest.call(inside.unplug, room.dead)
    try:
        yield Stage(room)
    finally:
        room.guest.call(inside.rescan)
        room.guest.run("busybox", "date", "-s", f"@{now}").check()


def test_the_story_of_a_rotation_goes_as_its_page_says(stage: Stage) -> None:
    days = read_days()
    assert [day.title for day in days] == [scene.title for scene in STORY]
    assert [day.date for day in days] == sorted(day.date for day in days)
    for day, scene in zip(days, STORY, strict=True):
        stage.guest.run("busybox", "date", "-u", "-s", f"{day.date:%Y-%m-%d %H:%M:%S}").check()
        scene.before(stage)
        for shown in day.commands:
            done = stage.run(shown.typed)
            assert shown.fits(done), f"{day.title}: {shown.typed}\nthe page shows:\n{shown}\nbut it is:\n{done}"
        assert stage.kernel() == scene.kernel, day.title
        assert stage.verdicts() == scene.verdicts, day.title


def test_no_copy_of_a_leaked_root_comes_back(stage: Stage) -> None:
    """Neither under another name nor in another certificate of its key, once the key is denied."""
    guest = stage.guest
    guest.cmakeys("deny", "add", f"{FOLDER}/acme-2024.pem", "--by", "key").check()
    for copy in (stage.vendor.old.certificate, stage.vendor.copy()):
        guest.call(inside.write_file, f"{FOLDER}/copy.pem", render_pem(copy).decode())
        done = guest.cmakeys("roots", "add", f"{FOLDER}/copy.pem", "--fingerprint", copy.fingerprint)
        assert done.code == 8, done
        guest.call(inside.write_file, "/etc/cmakeys/roots/copy.pem", render_pem(copy).decode())
        guest.call(inside.write_file, "/etc/cmakeys/roots/copy.yaml", render_root(Root("copy", copy)).decode())
        assert "copy" in guest.cmakeys("roots", "list").check().out
        guest.cmakeys("keyring", "apply", "--allow-empty").check()
        assert stage.kernel() == set()
