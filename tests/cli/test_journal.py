"""`cmakeys journal show | verify`: the record in 80 columns, chosen by root, day and action; tampering ends with 1."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.roots.journal import Journal
from tests.cli.machine import Said

Run = Callable[..., Said]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path)
    detail = {"roots": [{"name": "beta", "certificate": "ab" * 32}]}
    made.append("roots-add", "acme", {"reason": "new"}, at=datetime(2040, 1, 1, tzinfo=UTC), by="ada")
    made.append("roots-apply", "roots.yaml", detail, at=datetime(2040, 1, 2, tzinfo=UTC), by="bob")
    made.append("roots-remove", "acme", {}, at=datetime(2040, 1, 3, tzinfo=UTC), by="ada")
    return made


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def said(*words: str) -> Said:
        code = main(["journal", *words, "--state-dir", str(tmp_path)])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return said


def numbers(run: Run, *words: str) -> list[int]:
    return [entry["number"] for entry in json.loads(run("show", *words, "--json").out)["data"]["entries"]]


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), [1, 2, 3]),
        (("--root", "acme"), [1, 3]),
        (("--root", "beta"), [2]),
        (("--root", "ABAB"), [2]),
        (("--root", "ab"), []),
        (("--since", "2040-01-02"), [2, 3]),
        (("--since", "2040-01-02T00:00:01Z"), [3]),
        (("--action", "roots-add"), [1]),
        (("--action", "roots"), []),
        (("--root", "acme", "--since", "2040-01-02"), [3]),
    ],
)
def test_entries_are_chosen_by_root_day_and_action(run: Run, words: tuple[str, ...], expected: list[int]) -> None:
    assert numbers(run, *words) == expected
    assert run("show", *words).code == 0


def test_a_row_fits_80_columns_whatever_it_says(run: Run, journal: Journal) -> None:
    journal.append("roots-" + "x" * 50, "o" * 300, {}, at=datetime(2040, 1, 4, tzinfo=UTC), by="w\x1b" * 90)
    said = run("show")
    assert said.code == 0
    assert "\x1b" not in said.out
    assert max(map(len, said.out.splitlines())) <= 80


def test_a_day_that_is_none_is_refused(run: Run) -> None:
    assert run("show", "--since", "soon").code == 2


def test_a_journal_that_is_not_there_is_empty_and_whole(run: Run) -> None:
    assert run("show").out == "nothing is recorded\n"
    assert run("verify").out == "intact, 0 entries\n"


def test_a_whole_journal_shows_the_hash_to_keep(run: Run, journal: Journal) -> None:
    said = run("verify")
    assert (said.code, said.out) == (
        0,
        f"intact, 3 entries\nthe last hash is {journal.verify().entries[-1].sha256}\n",
    )


def test_an_end_that_is_not_noted_is_not_called_checked(run: Run, journal: Journal) -> None:
    journal.head_path.unlink()
    said = run("verify")
    assert said.code == 0
    assert "was not checked" in said.out


TAMPERED: dict[str, tuple[int, Callable[[list[bytes]], list[bytes]]]] = {
    "edited": (2, lambda lines: [lines[0].replace(b"ada", b"eve"), *lines[1:]]),
    "reordered": (1, lambda lines: [lines[1], lines[0], lines[2]]),
    "taken out": (2, lambda lines: [lines[0], lines[2]]),
    "cut off": (3, lambda lines: lines[:2]),
    "last edited": (3, lambda lines: [*lines[:2], lines[2].replace(b"ada", b"eve")]),
    "emptied": (1, lambda _: []),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_named_by_its_first_line_and_ends_with_1(run: Run, journal: Journal, how: str) -> None:
    line, edit = TAMPERED[how]
    journal.path.write_bytes(b"".join(edit(journal.path.read_bytes().splitlines(keepends=True))))
    said = run("verify")
    assert said.code == 1
    assert f"journal.jsonl line {line}: " in said.err
    data = json.loads(run("verify", "--json").out)["data"]
    assert (data["intact"], data["faults"][0]["line"]) == (False, line)
    assert "does not hold" in run("show").err


def test_a_torn_line_is_reported_and_is_no_fault(run: Run, journal: Journal) -> None:
    with journal.path.open("ab") as file:
        file.write(b'{"schema":1,"num')
    said = run("verify")
    assert said.code == 0
    assert "line 4: torn by a crash" in said.out


@pytest.mark.parametrize("kind", ["fifo", "directory", "link"])
@pytest.mark.parametrize("name", ["journal.jsonl", "journal.head"])
@pytest.mark.parametrize("verb", ["show", "verify"])
def test_what_is_no_file_is_said_and_left_alone(run: Run, journal: Journal, kind: str, name: str, verb: str) -> None:
    path = journal.path.with_name(name)
    path.unlink()
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case _:
            path.symlink_to("/dev/zero")
    before = path.lstat()
    said = run(verb)
    assert said.code == (0 if (verb, name) == ("show", "journal.head") else 1)
    assert "journal" in said.err
    assert path.lstat() == before
