"""The state of a machine fits one screen of 80 by 24, whatever state it is in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cmakeys.cli.output import plain
from cmakeys.images.freshness import Baked, Freshness, Initrd, Initrds
from cmakeys.images.inspect import Difference
from cmakeys.reports.layout import Line
from cmakeys.reports.status import SCREEN, status_data, status_report
from cmakeys.reports.terminal import Terminal, Tone, width
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.status.advice import next_step
from cmakeys.status.model import Devices, Gap, JournalState, Kernel, RootEnd, Roots, Status
from cmakeys.verify.clock import Recorded
from cmakeys.verify.verdict import Outcome
from cmakeys.x509.horizon import Nearness
from tests.reports.golden import assert_golden
from tests.status import machines
from tests.status.machines import MACHINES

LONG = "n" * 64
MANY = Roots(
    tuple((state, 10**6) for state in LifeCycle),
    10**6,
    10**6,
    (LONG,) * 9,
    tuple(RootEnd(LONG, machines.NOW, kind) for kind in (Nearness.OVER, Nearness.FAIL, Nearness.WARN) * 9),
    (LONG,) * 9,
    ((LONG, machines.NOW),) * 9,
    10**6,
    True,
)
CROWDED = Status(
    machines.NOW,
    "Linux 6.12.1-" + "x" * 90,
    MANY,
    Kernel(LONG, 10**6, 10**6, 10**6, True, 10**6, 10**6),
    Devices(10**6, tuple((one, 10**6) for one in Outcome), (LONG,) * 9, (LONG,) * 9, 10**6, machines.NOW),
    JournalState(10**6, "f" * 200, 9),
    config=Gap("document", "d" * 200),
    image=Initrds(
        tuple(
            Initrd(
                f"/{LONG}{number}",
                Freshness.STALE,
                Baked("ab" * 32, "1" * 64, faults=("f" * 200,) * 8),
                tuple((kind, LONG) for kind in Difference for _ in range(9)),
            )
            for number in range(8)
        ),
        "ab" * 32,
        (LONG,) * 9,
        "cd" * 32,
    ),
)
TIMELESS = replace(
    CROWDED,
    roots=replace(MANY, ends=(RootEnd(LONG, machines.NOW, Nearness.FAR),)),
    newest=Recorded(machines.NOW, "c" * 200),
    clock_fault="c" * 200,
)
GAP = Gap("store", "/etc/cmakeys/" + "x/" * 60 + ": Not a directory (ENOTDIR)")
BLIND = Status(machines.NOW, "Linux", GAP, GAP, GAP, GAP, Recorded(machines.NOW, "x"), "c" * 200, GAP, GAP)

GOLDEN = (
    *("fresh", "healthy", "drift", "foreign", "ends-soon", "rejected", "wrong-clock", "plain-user", "rotating"),
    *("tampered", "misconfigured", "tree", "overlap-over", "stale"),
)


def screen(status: Status) -> list[Line]:
    step = next_step(status)
    return status_report(status, step, step.command() if step else "")


@pytest.mark.parametrize("name", GOLDEN)
def test_a_machine_in_one_look(name: str) -> None:
    assert_golden(f"status-{name}", [line.text for line in screen(MACHINES[name])])


def test_the_screen_in_the_readme_is_one() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert "".join(f"    {line.text}\n" for line in screen(machines.DRIFT)) in readme


def test_on_a_terminal_every_part_has_its_mark() -> None:
    terminal = Terminal(interactive=True)
    assert_golden("status-terminal", [terminal.line(line.text, line.tone) for line in screen(machines.REJECTED)])


@pytest.mark.parametrize(
    "status", [*MACHINES.values(), CROWDED, TIMELESS, BLIND], ids=[*MACHINES, "crowded", "timeless", "blind"]
)
def test_it_is_one_screen(status: Status) -> None:
    terminal = Terminal(interactive=True)
    shown = [terminal.line(line.text, line.tone) for line in screen(status)]
    assert max(map(width, shown)) <= 80
    assert len(shown) + 2 <= SCREEN, "with the line that points at --help, and the shell's prompt"


def test_a_reason_behind_a_long_path_is_not_cut_off() -> None:
    path = "/var/tmp/a-rather-long-name-of-a-tree-somebody-made/var/lib/cmakeys/journal.jsonl"
    status = replace(machines.TREE, journal=Gap("journal", f"{path}: not a regular file"))
    assert any("not a regular file" in line.text for line in screen(status))


def test_foreign_names_are_harmless() -> None:
    hostile = replace(machines.HEALTHY, devices=Devices(1, ((Outcome.REJECTED, 1),), ("a\x1b[2Jb",)))
    assert "\x1b" not in "".join(line.text for line in screen(hostile))


@pytest.mark.parametrize("status", MACHINES.values(), ids=MACHINES)
def test_what_is_wrong_stands_out_and_nothing_else_does(status: Status) -> None:
    marked = any(line.tone is Tone.BAD for line in screen(status))
    assert marked == bool(status.bad or status.clock_fault)


@pytest.mark.parametrize("status", MACHINES.values(), ids=MACHINES)
def test_a_program_learns_what_is_unknown_and_why(status: Status) -> None:
    data = json.loads(json.dumps(plain(status_data(status, next_step(status), "x"))))
    unknown = {gap["part"] for gap in data["unknown"]}
    for part in ("roots", "image", "devices", "journal"):
        assert (data[part] is None) == (part in unknown)
    assert data["healthy"] == (not data["bad"])
