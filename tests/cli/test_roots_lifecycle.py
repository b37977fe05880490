"""`cmakeys roots stage … undo`: a root is led through its life, each step is recorded, and the way back is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.store import RootStore
from tests.cli.roots_runner import Run, actions, runner, save
from tests.roots.trust import certificate


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, capsys, monkeypatch)


def state(tree: Path) -> LifeCycle:
    return RootStore(tree).load().find("acme").state


def test_a_whole_life_and_the_way_back_are_one_entry_for_each_step(run: Run, tmp_path: Path) -> None:
    fingerprint = certificate("acme").fingerprint
    file = save(tmp_path, "acme.pem", certificate("acme"))
    for words, expected in (
        (("stage", file, "--fingerprint", fingerprint, "--name", "acme"), LifeCycle.STAGED),
        (("trust", "acme"), LifeCycle.TRUSTED),
        (("retire", "acme"), LifeCycle.RETIRING),
        (("retire", "acme", "--finish"), LifeCycle.RETIRED),
        (("restore", "acme"), LifeCycle.RETIRING),
        (("distrust", "acme", "--yes", "--reason", "leaked"), LifeCycle.DISTRUSTED),
        (("restore", "acme", "--fingerprint", fingerprint), LifeCycle.STAGED),
        (("undo", "--yes"), LifeCycle.DISTRUSTED),
        (("undo", "--yes"), LifeCycle.RETIRING),
    ):
        before = len(actions(tmp_path)) if (tmp_path / "var").exists() else 0
        said = run(*words)
        assert said.code == 0, said.err
        assert state(tmp_path) is expected, words
        assert len(actions(tmp_path)) == before + 1
    said = run("history", "acme")
    assert said.code == 0
    assert max(map(len, said.out.splitlines())) <= 80
    changes = json.loads(run("history", "--json").out)["data"]["changes"]
    assert [one["number"] for one in changes] == list(range(9, 0, -1))
    assert [one["reason"] for one in changes if one["reason"]] == ["leaked"]


def test_a_dry_run_changes_and_records_nothing(run: Run, tmp_path: Path) -> None:
    file = save(tmp_path, "acme.pem", certificate("acme"))
    run("add", file, "--fingerprint", certificate("acme").fingerprint, "--name", "acme")
    for words in (("retire", "acme"), ("distrust", "acme"), ("undo",)):
        assert run(*words, "--dry-run").code == 0
    assert state(tmp_path) is LifeCycle.TRUSTED
    assert len(actions(tmp_path)) == 1


def test_a_change_is_told_by_the_exit_code_where_that_is_asked(run: Run, tmp_path: Path) -> None:
    file = save(tmp_path, "acme.pem", certificate("acme"))
    run("add", file, "--fingerprint", certificate("acme").fingerprint, "--name", "acme")
    assert run("retire", "acme", "--detailed-exitcode").code == 10
    assert run("retire", "acme", "--detailed-exitcode").code == 0
