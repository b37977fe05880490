"""The history answers what is asked of it, and lets go of what it is told to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cmakeys.devices.chronicle import Question, beyond, checks, runs, size, vacuum
from cmakeys.devices.enrolled import CheckRecord
from cmakeys.devices.register import Register
from cmakeys.devices.retention import Retention
from tests.devices.samples import ENROLLED_AT, checked, sample

NIGHT = timedelta(days=1)
NAMES = ("gpu0", "gpu1", "nvme2")


def entry(name: str, night: int, outcome: str = "trusted", *, news: bool = False) -> CheckRecord:
    return replace(checked(name, outcome=outcome), checked_at=ENROLLED_AT + night * NIGHT, news=news)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three devices and ten nights; `gpu0` is rejected in the last five, `nvme2` was away in night 3."""
    register = Register(tmp_path)
    for number, name in enumerate(NAMES):
        register.enroll(sample(name, address=f"emu://{number}:1"))
    for night in range(10):
        bad = "rejected" if night >= 5 else "trusted"
        away = "unreachable" if night == 3 else "trusted"
        register.record(
            [
                entry("gpu0", night, bad, news=night == 5),
                entry("gpu1", night),
                entry("nvme2", night, away),
            ]
        )
    return register.path


def found(path: Path, question: Question) -> list[tuple[str, int, str]]:
    return [(one.device, (one.checked_at - ENROLLED_AT).days, one.outcome) for one in checks(path, question)]


def test_the_newest_checks_of_all_come_first(path: Path) -> None:
    assert found(path, Question(limit=4)) == [
        ("nvme2", 9, "trusted"),
        ("gpu1", 9, "trusted"),
        ("gpu0", 9, "rejected"),
        ("nvme2", 8, "trusted"),
    ]


def test_a_question_is_narrowed_by_device_outcome_news_and_time(path: Path) -> None:
    assert [night for _, night, _ in found(path, Question(("gpu0",), outcomes=("rejected",)))] == [9, 8, 7, 6, 5]
    assert found(path, Question(news=True)) == [("gpu0", 5, "rejected")]
    assert found(path, Question(outcomes=("unreachable", "degraded"))) == [("nvme2", 3, "unreachable")]
    between = Question(("gpu1", "nvme2"), since=ENROLLED_AT + 2 * NIGHT, until=ENROLLED_AT + 4 * NIGHT)
    assert sorted(found(path, between)) == [
        ("gpu1", 2, "trusted"),
        ("gpu1", 3, "trusted"),
        ("nvme2", 2, "trusted"),
        ("nvme2", 3, "unreachable"),
    ]


def test_runs_are_counted_by_outcome_and_news(path: Path) -> None:
    newest, *_, fifth = runs(path, Question(limit=5))
    assert (newest.devices, newest.outcomes, newest.news) == (3, {"trusted": 2, "rejected": 1}, 0)
    assert (fifth.outcomes, fifth.news) == ({"trusted": 2, "rejected": 1}, 1)
    assert [run.devices for run in runs(path, Question(("gpu1",), limit=3))] == [1, 1, 1]


def test_without_a_register_there_is_no_history(tmp_path: Path) -> None:
    assert checks(tmp_path / "devices.db", Question()) == ()
    assert runs(tmp_path / "devices.db", Question()) == ()
    assert size(tmp_path / "devices.db").entries == 0
    assert not (tmp_path / "devices.db").exists()


@pytest.mark.parametrize(
    ("retention", "left"), [(Retention(4), 12), (Retention(500, 3), 12), (Retention(1), 3), (Retention(500), 30)]
)
def test_vacuum_lets_go_of_what_is_kept_no_longer(path: Path, retention: Retention, left: int) -> None:
    now = ENROLLED_AT + 9 * NIGHT
    assert beyond(path, retention, now) == 30 - left
    assert size(path).entries == 30
    assert vacuum(path, retention, now) == 30 - left
    assert size(path).entries == left


def test_the_newest_check_of_each_device_outlives_every_limit(path: Path) -> None:
    vacuum(path, Retention(1, 1), ENROLLED_AT + 1000 * NIGHT)
    assert [name for name, _, _ in found(path, Question())] == ["nvme2", "gpu1", "gpu0"]


def test_a_clock_far_ahead_or_behind_takes_nothing_out_by_accident(path: Path) -> None:
    register = Register(path.parent)
    register.record([entry("gpu1", -20_000)], Retention(500, 36_500))
    assert size(path).entries == 31


def test_vacuum_gives_the_space_back(path: Path) -> None:
    register = Register(path.parent)
    register.record([replace(entry("gpu0", 10 + n), detail="x" * 100_000) for n in range(20)])
    before = size(path).octets
    vacuum(path, Retention(1), ENROLLED_AT + 40 * NIGHT)
    assert size(path).octets < before / 4


@pytest.mark.parametrize("index", ["history_by_time", "history_news"])
def test_what_a_fleet_is_asked_is_answered_from_an_index(path: Path, index: str) -> None:
    condition = "news = 1" if index == "history_news" else "outcome IN ('rejected')"
    with closing(sqlite3.connect(path)) as connection:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN SELECT * FROM history WHERE {condition} ORDER BY checked_at DESC, id DESC LIMIT 20"  # noqa: S608 of two
        ).fetchall()
    assert any(index in str(row) for row in plan), plan
    assert not any("TEMP B-TREE FOR ORDER BY" in str(row) and "LAST" not in str(row) for row in plan), plan
