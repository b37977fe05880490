"""`cmakeys history`, `devices move`, and what a check keeps, told by the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmakeys.evidence.keeping import Archive
from tests.cli.machine import Machine
from tests.nightly.world import World, vendor

GRACE = ("--grace", "36h")


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> World:
    """`gpu0` and `nvme1` enrolled, and the register's clock on the evening before the first night."""
    made = World(Machine(tmp_path, capsys))
    made.patched(monkeypatch)
    made.trust("acme", vendor("Acme"))
    for name in ("gpu0", "nvme1"):
        made.plug(name, vendor("Acme"))
        made.enroll(name)
    return made


def sleep(world: World, nights: int = 1) -> None:
    world.now = world.now.replace(day=world.now.day + nights)


def archive(world: World) -> Archive:
    return Archive(world.machine.register.parent / "evidence")


def configure(world: World, text: str) -> None:
    place = world.machine.sysroot / "etc/cmakeys"
    place.mkdir(parents=True, exist_ok=True)
    (place / "cmakeys.yaml").write_text(text)


def test_the_story_of_a_fleet_is_its_news(world: World) -> None:
    for night in range(4):
        sleep(world)
        if night == 2:
            world.cards["gpu0"].device.hardware.change_firmware(b"other")
        world.run("check", "--all")
    said = world.run("history", "show", "--news")
    assert said.code == 0
    newest = said.out.splitlines()[0]
    assert newest.startswith("2040-01-04 03:00 * gpu0")
    assert "rejected: " in newest
    assert [line[17] for line in said.out.splitlines() if line.startswith("2040")] == ["*", "*", "*"]
    assert max(map(len, said.out.splitlines())) <= 80
    table = world.run("history", "runs", "--limit", "2").out.splitlines()
    assert table[0].split("  ")[-3:] == ["UNREACHABLE", "NO SPDM", "NEWS"]
    assert max(map(len, table)) <= 80
    assert [row.split() for row in table[1:]] == [
        ["2040-01-05", "03:00", "2", "1", "-", "1", "-", "-", "-"],
        ["2040-01-04", "03:00", "2", "1", "-", "1", "-", "-", "1"],
    ]
    assert world.run("history", "show", "nvme1", "--outcome", "rejected").out == "no such check\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [(("show", "nobody"), 3), (("show", "--outcome", "fine"), 2), (("runs", "--since", "yesterday"), 2)],
)
def test_a_question_about_what_does_not_exist_is_refused(world: World, words: tuple[str, ...], code: int) -> None:
    assert world.run("history", *words).code == code


def test_a_machine_that_never_checked_has_no_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, capsys)
    assert machine.run("history", "show").out == "no such check\n"
    assert machine.run("history", "runs", "--json").data == {"runs": []}
    assert machine.run("history", "vacuum").code == 0
    assert not machine.register.exists()


def test_vacuum_says_what_it_would_do_and_then_does_it(world: World) -> None:
    for _ in range(3):
        sleep(world)
        world.run("check", "--all")
    would = world.run("history", "vacuum", "--checks", "1", "--dry-run")
    assert would.out == "would let go of 6 of 8 checks and 0 files of evidence\n"
    done = world.run("history", "vacuum", "--checks", "1", "--detailed-exitcode")
    assert (done.code, done.out.splitlines()[0]) == (10, "let go of 6 of 8 checks and 0 files of evidence")
    assert world.run("history", "show").out.count("2040") == 2


def test_a_check_keeps_no_more_than_the_configuration_says(world: World) -> None:
    configure(world, "history:\n  checks: 2\n")
    for _ in range(4):
        sleep(world)
        world.run("check", "--all")
    assert world.run("history", "show", "gpu0").out.count("2040") == 2


@pytest.mark.parametrize(("keep", "files"), [("none", 0), ("news", 1), ("all", 4)])
def test_what_devices_said_is_kept_as_the_configuration_says(world: World, keep: str, files: int) -> None:
    configure(world, f"history:\n  evidence: {keep}\n")
    world.cards["gpu0"].device.hardware.change_firmware(b"other")
    for _ in range(2):
        sleep(world)
        world.run("check", "--all")
    kept = archive(world).files()
    assert len(kept) == files
    if files:
        said = world.run("evidence", "verify", str(kept[-1].path))
        assert "pci:0000" in said.out or "gpu0" in said.out


def test_a_grace_in_hours_ends_after_these_hours(world: World) -> None:
    sleep(world)
    world.run("check", "--all", *GRACE)
    world.cards["gpu0"].away = 1 << 30
    codes = []
    for _ in range(4):
        sleep(world)
        codes.append(world.run("check", "--all", "--quiet", "--changed-only", *GRACE).code)
    assert codes == [0, 0, 6, 6]
    assert world.run("check", "--all", "--grace", "soon").code == 2


def test_a_device_that_moved_is_told_where_it_is(world: World) -> None:
    card = world.cards["gpu0"]
    home, card.address = card.address, world.free_place()
    sleep(world)
    said = world.run("check", "--all")
    assert said.code == 0
    assert "gpu0 was trusted, and is degraded since this check" in said.out
    assert f"moved to {card.address} from {home}" in " ".join(said.out.split())
    assert world.run("devices", "move", "gpu0", world.cards["nvme1"].address).code == 8
    assert world.run("devices", "move", "gpu0", card.address, "--dry-run").code == 0
    moved = world.run("devices", "move", "gpu0", card.address)
    assert moved.out == f"moved gpu0 from {home} to {card.address}\n"
    sleep(world)
    assert "gpu0 was degraded, and is trusted since this check" in world.run("check", "--all").out
    assert world.run("history", "show", "gpu0").out.count("2040") == 3


def test_a_device_does_not_move_into_another_one_s_place(world: World) -> None:
    said = world.run("devices", "move", "gpu0", world.cards["nvme1"].address, "--swap")
    assert said.code == 8
    assert "that is not gpu0" in said.err


def test_a_stranger_is_told_once_and_stands_in_whole_reports(world: World) -> None:
    world.plug("new", vendor("Acme"))
    place = world.cards["new"].address
    first = world.run("check", "--all", "--quiet")
    assert (first.code, first.err) == (0, "")
    assert f"{place} (" in first.out
    assert "is not enrolled; seen now for the first time" in " ".join(first.out.split())
    assert world.run("check", "--all", "--quiet").out == ""
    assert "is not enrolled; seen since 2040-01-01" in " ".join(world.run("check", "--all").out.split())
    data = world.run("check", "--all", "--json").data
    assert [(one["address"], one["news"]) for one in data["strangers"]] == [(place, False)]  # type: ignore[attr-defined]  # a list
    del world.cards["new"]
    world.run("check", "--all")
    assert world.run("check", "--all", "--json").data["strangers"] == []
