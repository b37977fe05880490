"""Hooks are run once for each piece of news, by nobody's leave but root's, and never matter to a verdict."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys import callouts
from cmakeys.callouts import MAX_VALUE, Call, Occasion, environment, occasions
from cmakeys.check import Judgement
from cmakeys.devices.enrolled import Memory
from cmakeys.grace import Grace
from cmakeys.standing import Finding, finding, state_of, state_steps
from cmakeys.verify.verdict import Outcome
from tests.reports.findings import FINDINGS
from tests.reports.verdicts import CHECKED_AT, DEGRADED, HOSTILE, REJECTED, TRUSTED, UNREACHABLE

MANUAL = Path(__file__).parents[1] / "man/cmakeys-check.8"
REPORT = '#!/bin/sh\necho "$0 $CMAKEYS_EVENT $CMAKEYS_DEVICE $CMAKEYS_OUTCOME" >>"$(dirname "$0")/../said"\n'


def run(calls: list[Call], place: Path, **limits: float) -> tuple[str, ...]:
    return callouts.run(calls, place, lambda one: json.dumps({"name": one.name}), **limits)


def memory(state: str) -> Memory:
    return Memory(state, CHECKED_AT)


def called(one: Finding, before: Memory | None) -> list[str]:
    memories = {one.name: before} if before else {}
    return [call.occasion.value for call in occasions([one], memories)]


# -- when --------------------------------------------------------------------------------------------------------------

WELL = memory(state_of(TRUSTED))


@pytest.mark.parametrize(
    ("judgement", "before", "expected"),
    [
        (Judgement(TRUSTED), WELL, []),
        (Judgement(REJECTED), WELL, ["change", "failure"]),
        (Judgement(REJECTED), memory(state_of(REJECTED)), []),
        (Judgement(TRUSTED), memory(state_of(REJECTED)), ["change"]),
        (Judgement(UNREACHABLE), WELL, ["change", "failure"]),
        (Judgement(TRUSTED), None, []),
        (Judgement(REJECTED), None, ["change", "failure"]),
    ],
)
def test_news_is_called_about_once(judgement: Judgement, before: Memory | None, expected: list[str]) -> None:
    assert called(finding("gpu0", judgement, before), before) == expected


def test_a_device_within_its_grace_is_not_called_about() -> None:
    assert called(finding("gpu0", Judgement(UNREACHABLE), WELL, grace=Grace(1)), WELL) == []


def test_an_address_without_memory_is_not_called_about() -> None:
    assert called(finding("emu://x", Judgement(REJECTED), None, enrolled=False), None) == []


def test_dates_that_become_due_are_called_about_once_and_not_again_for_other_news() -> None:
    due = DEGRADED
    assert 6 in state_steps(state_of(due)), "the example of a degraded verdict is about dates"
    one = finding("gpu0", Judgement(due), WELL)
    assert called(one, WELL) == ["change", "expiry"]
    before = memory(f"{Outcome.DEGRADED.value} - 5,6 -")
    assert called(finding("gpu0", Judgement(due), before), before) == ["change"]


# -- which -------------------------------------------------------------------------------------------------------------


def put(folder: Path, name: str, text: str = REPORT, mode: int = 0o755) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


REJECTION = Call(Occasion.FAILURE, finding("gpu0", Judgement(REJECTED), WELL))


def said(place: Path) -> list[str]:
    path = place / "said"
    return [Path(line).name for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.system
def test_hooks_are_run_in_the_order_of_their_names_for_each_device(place: Path) -> None:
    for name in ("20-b", "10-a.sh"):
        put(place / "on-failure.d", name)
    put(place / "on-change.d", "never")
    other = Call(Occasion.FAILURE, replace(REJECTION.finding, name="nic1"))
    assert run([REJECTION, other], place) == ()
    expected = [f"{hook} failure {device} rejected" for device in ("gpu0", "nic1") for hook in ("10-a.sh", "20-b")]
    assert said(place) == expected


@pytest.mark.system
def test_without_folders_and_without_news_nothing_is_run_or_said(place: Path) -> None:
    assert run([REJECTION], place / "none") == ()
    put(place / "on-failure.d", "a", mode=0o777)
    assert run([], place) == ()


@pytest.mark.system
def test_a_hook_that_others_could_change_is_not_run_and_that_is_said(place: Path) -> None:
    folder = place / "on-failure.d"
    put(folder, "group", mode=0o775)
    put(folder, "plain", mode=0o644)
    put(folder, "good")
    (folder / "folder").mkdir()
    (folder / "gone").symlink_to("nowhere")
    problems = run([REJECTION], place)
    assert said(place) == ["good failure gpu0 rejected"]
    assert [problem.partition(": ")[0] for problem in problems] == [
        str(folder / name) for name in ("folder", "gone", "group", "plain")
    ]
    assert "can be written by others" in problems[2]
    assert "not executable" in problems[3]


@pytest.mark.system
@pytest.mark.parametrize("above", [".", ".."])
def test_in_a_folder_that_others_could_write_none_is_run(place: Path, above: str) -> None:
    hook = put(place / "hooks/on-failure.d", "good")
    (hook.parent / above).resolve().chmod(0o777)
    (problem,) = run([REJECTION], place / "hooks")
    assert "can be written by others" in problem
    assert said(place / "hooks") == []


@pytest.mark.system
@pytest.mark.parametrize("name", [".hidden", "a~", "a.dpkg-old", "a.rpmsave", "a.bak", "a.disabled", "README"])
def test_leavings_are_passed_over_without_a_word(place: Path, name: str) -> None:
    put(place / "on-failure.d", name)
    assert run([REJECTION], place) == ()
    assert said(place) == []


# -- how ---------------------------------------------------------------------------------------------------------------


@pytest.mark.system
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("#!/bin/sh\nexit 3\n", "left with 3 for gpu0"),
        ("#!/bin/sh\nkill -9 $$\n", "killed by signal 9 for gpu0"),
        ("#!/nowhere/sh\n", "cannot be run: No such file or directory for gpu0"),
        ("no program\n", "cannot be run: Exec format error for gpu0"),
    ],
)
def test_a_hook_that_fails_is_reported_and_the_next_one_runs(place: Path, text: str, problem: str) -> None:
    hook = put(place / "on-failure.d", "10-bad", text)
    put(place / "on-failure.d", "20-good")
    assert run([REJECTION], place) == (f"{hook}: {problem}",)
    assert said(place) == ["20-good failure gpu0 rejected"]


@pytest.mark.system
def test_a_hook_that_hangs_is_ended_with_what_it_started(place: Path) -> None:
    put(place / "on-failure.d", "10-hang", f"#!/bin/sh\ntrap '' TERM\nsleep 300 & echo $! >{place}/child\nwait\n")
    put(place / "on-failure.d", "20-good")
    (problem,) = run([REJECTION], place, seconds=0.5)
    assert "ended after" in problem
    child = int((place / "child").read_text())
    deadline = time.monotonic() + 20
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)
    assert said(place) == ["20-good failure gpu0 rejected"]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.system
def test_what_the_time_of_all_does_not_suffice_for_is_reported(place: Path) -> None:
    put(place / "on-failure.d", "good")
    (problem,) = run([REJECTION], place, total=0)
    assert "not run for gpu0" in problem
    assert said(place) == []


@pytest.mark.system
def test_a_hook_reads_the_facts_and_has_no_variable_of_ours_but_those_that_are_told(place: Path) -> None:
    put(place / "on-failure.d", "keep", f"#!/bin/sh\ncat >{place}/facts\nenv >{place}/env\n")
    assert run([REJECTION], place) == ()
    assert (place / "facts").read_text() == '{"name": "gpu0"}\n'
    names = {line.partition("=")[0] for line in (place / "env").read_text().splitlines() if "=" in line}
    given = {"PATH", "HOME", "LANG", "PWD", "SHLVL", "_"}
    assert names >= {"PATH", "HOME", "LANG", "CMAKEYS_EVENT"}
    assert not names & (os.environ.keys() - given)


def test_the_manual_names_every_variable() -> None:
    names = {name for one in FINDINGS for name in environment(Call(Occasion.CHANGE, one)) if "CMAKEYS" in name}
    hooks = MANUAL.read_text().partition(".Sh HOOKS")[2].partition("\n.Sh ")[0]
    lines = [line for line in hooks.splitlines() if line.startswith(".It Ev CMAKEYS")]
    assert {word for line in lines for word in line.split() if word.startswith("CMAKEYS")} == names


@given(text=st.one_of(st.just(HOSTILE), st.text()))
def test_what_a_device_says_stays_a_value(text: str) -> None:
    verdict = replace(REJECTED, summary=text, device=text)
    values = environment(Call(Occasion.CHANGE, finding("gpu0", Judgement(verdict), None)))
    for value in values.values():
        assert all(line.isprintable() for line in value.split("\n"))
        assert len(value) <= MAX_VALUE
        value.encode()
    assert "\n" not in values["CMAKEYS_SUMMARY"] + values["CMAKEYS_ADDRESS"]
