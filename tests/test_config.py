"""Settings come from files by a fixed order, each remembers its line, and nothing unknown passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.config import DIRECTORY, MAIN_FILE, Config, apply, load_config
from cmakeys.errors import UsageProblem
from cmakeys.roots.document import DocumentProblem
from cmakeys.verify.policy import Clock, Policy


def put(tree: Path, name: str, text: str) -> Path:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_any_file_everything_is_the_default(tmp_path: Path) -> None:
    config = load_config(tmp_path)
    assert config == Config()
    assert {setting.origin for setting in config.settings()} == {"default"}


def test_a_later_file_wins_setting_by_setting_and_each_names_its_line(tmp_path: Path) -> None:
    main = put(tmp_path, MAIN_FILE, "# ours\npolicy:\n  clock: ignore\n  expiry: {warn: 10d, fail: 5%}\n")
    late = put(tmp_path, f"{DIRECTORY}/20-late.yaml", "policy: {clock: at-issuance}\ncheck: {timeout: 5}\n")
    early = put(tmp_path, f"{DIRECTORY}/10-early.yaml", "policy:\n\n  clock: now\n  advisory-steps: [13]\n")
    config = load_config(tmp_path)
    assert config.policy.clock is Clock.AT_ISSUANCE
    assert str(config.policy.expiry.warn) == "10d"
    assert config.timeout == 5.0
    origins = {setting.key: setting.origin for setting in config.settings()}
    assert origins["policy.clock"] == f"{late} line 1"
    assert origins["policy.expiry"] == f"{main} line 4"
    assert origins["policy.advisory-steps"] == f"{early} line 4"
    assert origins["check.timeout"] == f"{late} line 2"
    assert origins["policy.versions"] == "default"


def test_only_yaml_files_that_are_not_hidden_are_read(tmp_path: Path) -> None:
    for name in (".10.yaml", "10.yaml~", "README", "10.yml"):
        put(tmp_path, f"{DIRECTORY}/{name}", "nonsense: [")
    assert load_config(tmp_path) == Config()


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing here\n  # nor here\n"])
def test_a_file_of_comments_changes_nothing(tmp_path: Path, text: str) -> None:
    put(tmp_path, MAIN_FILE, text)
    assert load_config(tmp_path) == Config()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("policy:\n  clok: now\n", 2),
        ("polisy: {}\n", 1),
        ("policy:\n  clock: now\npolicy:\n  clock: now\n", 3),
        ("check:\n  timeout: 0\n", 2),
        ("check:\n  timeout: 100000\n", 2),
        ("check:\n  timeout: soon\n", 2),
        ("check: 5\n", 1),
        ("policy: [\n", 2),
    ],
)
def test_a_mistake_refuses_the_whole_configuration_with_file_and_line(tmp_path: Path, text: str, line: int) -> None:
    path = put(tmp_path, MAIN_FILE, text)
    with pytest.raises(DocumentProblem) as caught:
        load_config(tmp_path)
    assert caught.value.object == f"{path} line {line}"


def test_two_files_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    put(tmp_path, MAIN_FILE, "policy: {required-steps: [13]}")
    late = put(tmp_path, f"{DIRECTORY}/a.yaml", "policy: {advisory-steps: [13]}")
    with pytest.raises(DocumentProblem, match="cannot be advisory") as caught:
        load_config(tmp_path)
    assert str(late) in caught.value.object


@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_one_clean_error(data: bytes) -> None:
    try:
        assert isinstance(apply(Config(), data, "c.yaml").policy, Policy)
    except DocumentProblem as problem:
        assert "c.yaml" in problem.object  # noqa: PT017 the problem is what is tested


def test_too_many_files_are_refused_and_not_cut_off(tmp_path: Path) -> None:
    directory = tmp_path / "etc/cmakeys/cmakeys.d"
    directory.mkdir(parents=True)
    for number in range(257):
        (directory / f"{number:03}.yaml").write_text("check: {timeout: 5}\n")
    with pytest.raises(UsageProblem, match="257 files, more than 256"):
        load_config(tmp_path)
