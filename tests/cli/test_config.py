"""`config show` tells each setting with its origin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.config import MAIN_FILE, History
from cmakeys.verify.policy import SETTINGS


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / MAIN_FILE
    path.parent.mkdir(parents=True)
    path.write_text("policy:\n  clock: ignore\n")
    return tmp_path


def test_every_setting_is_in_the_json(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--sysroot", str(tree), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["ok"]) == ("cmakeys/config-show/1", True)
    settings = {setting["key"]: setting for setting in document["data"]["settings"]}
    history = {f"history.{key}" for key in History().settings()}
    requester = {"requester.chain", "requester.key", "initrd.images", "initrd.rebuild"}
    assert set(settings) == {f"policy.{key}" for key in SETTINGS} | {"check.timeout"} | history | requester
    assert settings["policy.clock"] == {
        "key": "policy.clock",
        "value": "ignore",
        "origin": f"{tree / MAIN_FILE} line 2",
    }


def test_changed_shows_only_what_differs(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--changed", "--sysroot", str(tree)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["SETTING", "FROM", "VALUE"]
    assert len(lines) == 2
    assert lines[1].endswith("line 2  ignore")


def test_a_mistake_is_told_with_its_line(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / MAIN_FILE).write_text("policy:\n  clok: now\n")
    assert main(["config", "show", "--sysroot", str(tree)]) == 2
    assert "line 2: unknown key 'clok'" in capsys.readouterr().err
