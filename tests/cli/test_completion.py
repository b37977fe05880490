"""What is offered is what can be typed, and the three shells offer it where it stands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.cli.app import main
from cmakeys.cli.completing import candidates
from cmakeys.cli.nouns import NOUNS
from tests.cli.machine import Machine
from tests.cli.tree import HELP, Verb, verbs
from tests.workbench import vendor

SCRIPTS = resources.files("cmakeys") / "completions"


def offered(*words: str) -> list[str]:
    return [one.value for one in candidates(words).words]


# -- the tree ----------------------------------------------------------------------------------------------------------


def test_the_first_word_is_a_noun_or_an_option() -> None:
    assert offered("") == offered() == [noun.name for noun in NOUNS]
    assert offered("ro") == ["roots"]
    assert offered("--v") == ["--version"]


def test_behind_a_noun_stand_its_verbs_and_those_below_them() -> None:
    assert offered("roots", "ex") == ["export"]
    assert offered("roots", "bundle", "") == ["create", "sign", "verify", "import"]
    assert offered("nonsense", "") == []
    assert offered("roots", "nonsense", "") == []


@pytest.mark.parametrize("verb", verbs().values(), ids=lambda verb: verb.name)
def test_every_option_of_a_verb_is_offered_and_no_other(verb: Verb) -> None:
    found = candidates((*verb.words, "-"))
    assert {one.value for one in found.words} <= verb.spellings | HELP
    assert len(found.words) == len(verb.options) + 1
    assert all(one.help for one in found.words)


def test_an_option_that_was_given_is_offered_again_only_where_it_may_be_repeated() -> None:
    assert "--quiet" not in offered("check", "-q", "--")
    assert "--crl" in offered("check", "--crl", "a", "--")


def test_values_that_are_fixed_are_offered_behind_an_option_and_behind_its_equals_sign() -> None:
    assert offered("check", "--log", "") == ["journal", "syslog", "none"]
    assert offered("check", "--log=s") == ["--log=syslog"]
    assert offered("check", "--log", "none", "--format", "na") == ["nagios"]
    assert offered("policy", "bind-guard", "st") == ["status"]
    assert offered("emulate", "--fault", "firmware-ch") == ["firmware-changed"]
    assert offered("emulate", "--fault=twi") == ["--fault=twin"]


@pytest.mark.parametrize(
    ("words", "files", "folders"),
    [
        (("roots", "add", ""), True, False),
        (("roots", "list", "--sysroot", ""), False, True),
        (("roots", "list", "--sysroot=x"), False, True),
        (("check", "-o", ""), True, False),
        (("roots", "list", "--js"), False, False),
        (("check", "--since", ""), False, False),
    ],
)
def test_the_shell_is_asked_for_files_and_folders(words: tuple[str, ...], files: bool, folders: bool) -> None:
    found = candidates(words)
    assert (found.files, found.folders) == (files, folders)


def test_without_an_argument_to_give_the_options_are_offered() -> None:
    assert "--json" in offered("status", "")
    assert offered("status", "--", "") == []


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    machine = Machine(tmp_path, capsys)
    machine.trust(vendor())
    return machine


def test_roots_are_offered_by_name_from_the_tree_that_is_meant(machine: Machine) -> None:
    (name,) = offered("roots", "show", "--sysroot", str(machine.sysroot), "")
    assert (machine.sysroot / f"etc/cmakeys/roots/{name}.pem").exists()
    assert offered("roots", "export", f"--sysroot={machine.sysroot}", name, name[0]) == [name]
    assert offered("journal", "show", "--sysroot", str(machine.sysroot), "--root", "") == [name]
    assert offered("roots", "show", "--sysroot", str(machine.sysroot), "zz") == []


def test_a_store_or_a_register_that_cannot_be_read_offers_nothing(machine: Machine) -> None:
    for path in (machine.sysroot / "etc/cmakeys/roots").glob("*.yaml"):
        path.write_bytes(b"schema: nonsense\n")
    assert offered("roots", "show", "--sysroot", str(machine.sysroot), "") == []
    state = machine.sysroot / "var/lib/cmakeys"
    state.mkdir(parents=True, exist_ok=True)
    (state / "devices.db").write_bytes(b"no database, and longer than its header would be " * 4)
    assert offered("check", "--state-dir", str(state), "") == []


@given(st.lists(st.one_of(st.text(max_size=8), st.sampled_from(["roots", "show", "--sysroot", "--", "-", "check"]))))
def test_whatever_is_typed_there_is_an_answer(words: list[str]) -> None:
    last = words[-1] if words else ""
    assert all(one.value.startswith(last) for one in candidates(words).words)


def test_a_candidate_is_one_word_so_that_the_first_blank_ends_it() -> None:
    for verb in verbs().values():
        for one in candidates((*verb.words, "-")).words:
            assert " " not in one.value
            assert "\n" not in one.help


def test_the_line_that_the_scripts_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish", "--", "check", "--log=j"]) == 0
    assert capsys.readouterr().out == "--log=journal\n"
    assert main(["completion", "fish", "--", "roots", "export", "--output", ""]) == 0
    assert capsys.readouterr().out == "!files\n"


# -- the shells --------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a file, a folder and a `cmakeys` that is this one."""
    command = tmp_path / "bin/cmakeys"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m cmakeys "$@"\n')
    command.chmod(0o755)
    work = tmp_path / "work"
    (work / "a folder").mkdir(parents=True)
    (work / "a.pem").touch()
    return work


def run(place: Path, *command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"the shell {command[0]} is not installed")
    environment = {
        **os.environ,
        "PATH": f"{place.parent / 'bin'}:{os.environ['PATH']}",
        "HOME": str(place.parent),
        "TERM": "dumb",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rror" not in done.stderr, done.stderr
    return done.stdout


CASES = [
    ("cmakeys roo", ["roots"]),
    ("cmakeys roots exp", ["export"]),
    ("cmakeys check --log ", ["journal", "none", "syslog"]),
    ("cmakeys check --log sy", ["syslog"]),
    ("cmakeys check --unreachable-c", ["--unreachable-critical"]),
    ("cmakeys roots add a.", ["a.pem"]),
    ("cmakeys nonsense ", []),
]
each_case = pytest.mark.parametrize(("line", "expected"), CASES, ids=[line for line, _ in CASES])

BASH = """
source "$1"
COMP_LINE=$2 COMP_POINT=${#2}
compopt() { :; }
_cmakeys
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.system
def test_the_linter_has_nothing_to_say_about_the_script_for_bash() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("the linter of shell scripts, shellcheck, is not installed")
    command = ["shellcheck", "--shell", "bash", str(SCRIPTS / "cmakeys.bash")]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == ""


@pytest.mark.system
@each_case
def test_bash_offers_it(place: Path, line: str, expected: list[str]) -> None:
    assert sorted(bash(place, line)) == expected


@pytest.mark.system
def test_bash_is_given_only_what_follows_the_last_colon_or_equals_sign(place: Path) -> None:
    assert bash(place, "cmakeys check --log=sy") == ["syslog"]
    assert bash(place, "cmakeys image bake --roots=a") == ["a folder"]


def bash(place: Path, line: str) -> list[str]:
    out = run(place, "bash", "--norc", "-c", BASH, "bash", str(SCRIPTS / "cmakeys.bash"), line)
    return [word for word in out.splitlines() if word]


@pytest.mark.system
@each_case
def test_fish_offers_it(place: Path, line: str, expected: list[str]) -> None:
    script = "source $argv[1]; complete -C $argv[2]"
    out = run(place, "fish", "--no-config", "-c", script, str(SCRIPTS / "cmakeys.fish"), line)
    assert sorted(word.split("\t")[0] for word in out.splitlines()) == expected


ZSHRC = """
autoload -Uz compinit && compinit -u -D
source $CMAKEYS_SCRIPT
# What is handed to the editor is what it would show.
compadd() {
    local -a shown
    if [[ ${@[(I)-[OAD]]} == 0 ]]; then
        builtin compadd -O shown "$@"
        print -rl -- $shown >>$CMAKEYS_SHOWN
    fi
    builtin compadd "$@"
}
zle-line-init() {
    BUFFER=$CMAKEYS_LINE CURSOR=$#CMAKEYS_LINE
    zle list-choices
    exit
}
zle -N zle-line-init
"""


@pytest.mark.system
@each_case
def test_zsh_offers_it(place: Path, line: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    home, shown = place.parent, place.parent / "shown"
    (home / ".zshrc").write_text(ZSHRC)
    shown.touch()
    for name, value in {
        "CMAKEYS_SCRIPT": str(SCRIPTS / "_cmakeys"),
        "CMAKEYS_SHOWN": str(shown),
        "CMAKEYS_LINE": line,
        "ZDOTDIR": str(home),
    }.items():
        monkeypatch.setenv(name, value)
    # The line editor wants a terminal.
    run(place, "zsh", "-f", "-c", "zmodload zsh/zpty && zpty editor zsh -d -i && while zpty -r editor; do :; done")
    assert sorted(set(filter(None, shown.read_text().splitlines()))) == expected
