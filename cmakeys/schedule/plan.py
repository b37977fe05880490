"""When and how checks run by themselves, and the files that say so to systemd or to cron.

There is one plan: installing it takes the files of the other kind away, so that no device is asked twice a night. What
comes from the command line goes into files that root's programs read, so every value is held to a narrow form first.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from pathlib import Path

from cmakeys import __version__
from cmakeys.errors import Refused, UsageProblem
from cmakeys.grace import Grace
from cmakeys.ownership import changeable_by_others
from cmakeys.stamped import FileState, FileStatus, OurFile, OurLink, inspect, install, read_ours, remove

UNITS = "etc/systemd/system"
SERVICE, TIMER = "cmakeys-check.service", "cmakeys-check.timer"
CRON = "etc/cron.d/cmakeys"
DEVICES = "/sys/devices"
"""The folder under which every PCI function's configuration space and switches really are."""

SEARCHED = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin")
HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108 named because they are refused
"""Folders that a service in its sandbox does not have."""

BUDGET, MAX_BUDGET = 1800, 86400
"""Seconds that one check of all devices takes at most, where nothing else is said, and where much is."""

TO_FINISH = 900
"""Seconds that systemd leaves a check beyond its budget: to judge what was said, to write it down, to run the hooks."""

CRON_WORDS = {"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 0"}

_CALENDAR = re.compile(r"[A-Za-z0-9*][A-Za-z0-9 *:./,~+_-]{0,127}")
_CALENDAR_WORD = re.compile(
    r"[0-9*]|\b(minutely|hourly|daily|weekly|monthly|quarterly|(semi)?annually|yearly)\b|\b(mon|tue|wed|thu|fri|sat|sun)"
)
"""What one of these is in may be a time of systemd's; whether it is, only systemd knows."""

_CRON_FIELDS = (
    (0, 59, ""),
    (0, 23, ""),
    (1, 31, ""),
    (1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    (0, 7, "sun mon tue wed thu fri sat"),
)
"""The lowest and the highest number of each field of crontab(5), and the names that stand for numbers."""

_CRON_ITEM = re.compile(r"(?:\*|([0-9a-z]{1,3})(?:-([0-9a-z]{1,3}))?)(?:/([0-9]{1,3}))?")
_PATH = re.compile(r"/[A-Za-z0-9._/+@-]{1,255}")


class Reach(Enum):
    """What the sandbox is opened for, because a device is asked by that way; configuration space always is."""

    NETWORK = "network"
    MCTP = "mctp"
    NVME = "nvme"


_BY_SCHEME = {"emu": Reach.NETWORK, "tcp": Reach.NETWORK, "mctp": Reach.MCTP, "nvme": Reach.NVME}


def reach_of(address: str) -> frozenset[Reach]:
    """What a device at this address needs."""
    found = _BY_SCHEME.get(address.partition(":")[0])
    return frozenset({found} if found else ())


class Kind(Enum):
    """Who starts the checks."""

    SYSTEMD = "systemd"
    CRON = "cron"


def _is_cron_field(text: str, field: tuple[int, int, str]) -> bool:
    """Whether cron runs anything at such a time; a line that it does not understand it leaves out without a word."""
    low, high, names = field
    numbers = dict(zip(names.split(), range(low, high + 1), strict=False))

    def fits(word: str | None) -> bool:
        if word is None:
            return True
        number = int(word) if word.isdecimal() else numbers.get(word)
        return number is not None and low <= number <= high

    for item in text.lower().split(","):
        found = _CRON_ITEM.fullmatch(item)
        if found is None or not fits(found[1]) or not fits(found[2]) or found[3] in ("0", "00", "000"):
            return False
        if found[1] and found[2] and found[1].isdecimal() and found[2].isdecimal() and int(found[1]) > int(found[2]):
            return False
    return True


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run and when: `when` in systemd's or cron's own words, `delay` the most minutes that are waited besides.

    `grace` and `budget`, in seconds, are those of `cmakeys check`. Into `metrics` each check puts its report for
    Prometheus. `reach` is what the sandbox is opened for.
    """

    kind: Kind = Kind.SYSTEMD
    when: str = "daily"
    delay: int = 60
    grace: str = "3"
    budget: int = BUDGET
    metrics: Path | None = None
    reach: frozenset[Reach] = frozenset()
    program: str = "cmakeys"

    def __post_init__(self) -> None:
        Grace.parse(self.grace)
        if not 1 <= self.budget <= MAX_BUDGET:
            raise UsageProblem(f"a check cannot have {self.budget} s", hint=f"1 to {MAX_BUDGET} seconds")
        if self.kind is Kind.CRON:
            fields = CRON_WORDS.get(self.when, self.when).split(" ")
            if len(fields) != len(_CRON_FIELDS) or not all(map(_is_cron_field, fields, _CRON_FIELDS)):
                hint = "hourly, daily, weekly, or cron's five fields: '30 2 * * *'"
                raise UsageProblem("not a time for cron", object=self.when, hint=hint)
        elif not _CALENDAR.fullmatch(self.when) or not _CALENDAR_WORD.search(self.when.lower()):
            hint = "an expression of systemd.time(7): daily, or '*-*-* 02:30'"
            raise UsageProblem("not a time for systemd", object=self.when, hint=hint)
        if self.metrics is not None and (not _PATH.fullmatch(str(self.metrics)) or ".." in self.metrics.parts):
            hint = "an absolute path of letters, digits and . _ + @ -"
            raise UsageProblem("not a path that can stand in a unit", object=str(self.metrics), hint=hint)
        if self.program != "cmakeys" and not _PATH.fullmatch(self.program):
            raise UsageProblem("not a path that can stand in a unit", object=self.program)

    @property
    def command(self) -> str:
        """The command line that is run. Cron mails what it prints, so that is news only."""
        log = "journal" if self.kind is Kind.SYSTEMD else "syslog"
        words = [self.program, "check", "--all", "--log", log, "--grace", self.grace]
        words += ["--budget", str(self.budget)]
        if self.metrics is not None:
            words += ["--format", "prometheus", "--output", str(self.metrics)]
        elif self.kind is Kind.CRON:
            words += ["--quiet", "--changed-only"]
        return " ".join(words)


_OPENED = {Reach.NETWORK: "AF_INET AF_INET6", Reach.MCTP: "AF_MCTP", Reach.NVME: "DeviceAllow=char-nvme rw"}
"""The words in the unit by which each is known again."""


def reach_in(sysroot: Path) -> frozenset[Reach] | None:
    """What the sandbox of the installed service is opened for; None where there is none of ours, unedited."""
    found = read_ours(sysroot, f"{UNITS}/{SERVICE}")
    return None if found is None else frozenset(reach for reach in Reach if _OPENED[reach].encode() in found.body)


def files(plan: Plan) -> tuple[OurFile, ...]:
    """The files of a plan."""
    if plan.kind is Kind.CRON:
        seconds = str(max(plan.delay * 60, 1))
        when = CRON_WORDS.get(plan.when, plan.when)
        return (OurFile(CRON, _filled("cron", WHEN=when, SECONDS=seconds, COMMAND=plan.command)),)
    writable = DEVICES if plan.metrics is None else f"{DEVICES} {plan.metrics.parent}"
    opened = {reach: _OPENED[reach] for reach in Reach if reach in plan.reach}
    network = ["PrivateNetwork=no" if opened.keys() & {Reach.NETWORK, Reach.MCTP} else "PrivateNetwork=yes"]
    network += [] if Reach.NETWORK in opened else ["IPAddressDeny=any"]
    service = _filled(
        SERVICE,
        COMMAND=plan.command,
        TIMEOUT=str(plan.budget + TO_FINISH),
        WRITABLE=writable,
        FAMILIES=" ".join(("AF_UNIX", *(words for words in opened.values() if words.startswith("AF_")))),
        NETWORK="\n".join(network),
        DEVICES=f"PrivateDevices=no\n{opened[Reach.NVME]}" if Reach.NVME in opened else "PrivateDevices=yes",
    )
    timer = _filled(TIMER, WHEN=plan.when, DELAY=str(plan.delay))
    return OurFile(f"{UNITS}/{SERVICE}", service), OurFile(f"{UNITS}/{TIMER}", timer)


LINK = OurLink(f"{UNITS}/timers.target.wants/{TIMER}", f"../{TIMER}")
_ANY = {
    Kind.SYSTEMD: ((OurFile(f"{UNITS}/{SERVICE}", None), OurFile(f"{UNITS}/{TIMER}", None)), (LINK,)),
    Kind.CRON: ((OurFile(CRON, None),), ()),
}
"""The files and links of each kind, whatever is in them."""


@dataclass(frozen=True, slots=True)
class Change:
    """The files that were, or would be, written and removed."""

    written: tuple[Path, ...] = ()
    removed: tuple[Path, ...] = ()


def install_plan(sysroot: Path, plan: Plan, *, force: bool, dry_run: bool) -> Change:
    """Write what is missing or another, and take away what is of the other kind.

    Raises `Refused` for a file that somebody edited, unless `force`; then nothing was changed.
    """
    other = Kind.CRON if plan.kind is Kind.SYSTEMD else Kind.SYSTEMD
    links = (LINK,) if plan.kind is Kind.SYSTEMD else ()
    if not dry_run:
        install(sysroot, files(plan), links, force=force, dry_run=True)
        remove(sysroot, *_ANY[other], force=force, dry_run=True)
    removed = remove(sysroot, *_ANY[other], force=force, dry_run=dry_run)
    return Change(install(sysroot, files(plan), links, force=force, dry_run=dry_run), removed)


def remove_plan(sysroot: Path, *, force: bool, dry_run: bool) -> Change:
    """Take the files of both kinds away. Raises as `install_plan` does."""
    everything = tuple(file for kind in Kind for file in _ANY[kind][0])
    return Change(removed=remove(sysroot, everything, (LINK,), force=force, dry_run=dry_run))


def inspect_plan(sysroot: Path) -> tuple[FileStatus, ...]:
    """How the files of both kinds stand; one that another version wrote is out of date."""
    everything = tuple(file for kind in Kind for file in _ANY[kind][0])
    return tuple(map(_of_this_version, inspect(sysroot, everything, (LINK,))))


def _of_this_version(one: FileStatus) -> FileStatus:
    if one.state is FileState.OUTDATED and one.version == __version__:
        return FileStatus(one.path, FileState.CURRENT, one.version)
    return one


def find_program(sysroot: Path, own: Path) -> str:
    """The `cmakeys` that is run: that of the tree where systemd and cron look, else, on the machine itself, `own`.

    In a tree that has none yet, it is the name alone. Raises `Refused` for one that somebody else than root can change,
    since root runs it, or that the sandbox hides.
    """
    for folder in SEARCHED:
        if (sysroot / folder / "cmakeys").exists():
            return f"/{folder}/cmakeys"
    return "cmakeys" if sysroot.resolve() != Path("/") else check_program(own)


def check_program(own: Path) -> str:
    """A program of this machine that root may run from a service. Raises as `find_program` does."""
    place = Path(os.path.abspath(own))  # noqa: PTH100 resolving would leave a virtual environment
    hint = "install cmakeys for the whole system, or name another one with --program"
    if str(place).startswith(HIDDEN):
        raise Refused("a service does not see what is in this folder", object=str(place), hint=hint)
    reason = changeable_by_others(place)
    if reason:
        raise Refused(f"root would run it, and {reason}", object=str(place), hint=hint)
    return str(place)


def _filled(name: str, **values: str) -> bytes:
    text = (resources.files("cmakeys.schedule") / "data" / name).read_text("utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text.encode()
