"""The command tree loads nothing that is not used, and says what is wrong with a command line."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module

import pytest
import typer

from cmakeys import __version__
from cmakeys.cli import nouns
from cmakeys.cli.app import main
from cmakeys.cli.completing import candidates
from cmakeys.cli.nouns import NOUNS, LazyNoun, Noun, noun_app
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import verb
from cmakeys.errors import NotFound

LOADED = """
import sys
from cmakeys.cli.app import main
code = main(sys.argv[1:])
heavy = {"cryptography", "yaml", "rich", "cmakeys.spdm", "cmakeys.x509", "cmakeys.verify", "cmakeys.keyring", "sqlite3"}
print(sorted(heavy & set(sys.modules)), code, file=sys.stderr)
"""

app = noun_app("Sample noun.")


@app.command("show")
def show(
    name: str,
    json: Json = False,
    dry_run: DryRun = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Show a sample."""
    with verb("sample", "show", json=json, detailed_exitcode=detailed_exitcode) as out:
        if name == "absent":
            raise NotFound("no such sample", object=name)
        out.changed = not dry_run
        out.data = {"name": name, "state": state_directory(sysroot, state_dir)}
        out.show(name)


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nouns, "NOUNS", (Noun("sample", __name__, "Sample noun."),))


def test_help_loads_neither_protocol_nor_cryptography() -> None:
    run = subprocess.run([sys.executable, "-c", LOADED, "--help"], capture_output=True, text=True, check=True)
    assert "Usage: cmakeys" in run.stdout
    assert run.stderr == "[] 0\n"


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cmakeys {__version__}\n"


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.name)
def test_every_noun_of_the_table_exists_and_has_the_help_it_promises(noun: Noun) -> None:
    module = import_module(noun.module)
    assert isinstance(module.app, typer.Typer)
    command = LazyNoun(noun).load()
    assert command.name == noun.name
    if noun.verbs:
        assert command.help == noun.help


def test_the_table_has_no_noun_twice() -> None:
    assert len({noun.name for noun in NOUNS}) == len(NOUNS)


@pytest.mark.usefixtures("sample")
def test_a_noun_runs_with_the_shared_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "show", "x", "--json", "--sysroot", "/image", "--detailed-exitcode"]) == 10
    assert json.loads(capsys.readouterr().out)["data"] == {"name": "x", "state": "/image/var/lib/cmakeys"}
    assert main(["sample", "show", "x", "--state-dir", "/state", "--dry-run", "--detailed-exitcode"]) == 0
    assert capsys.readouterr().out == "x\n"


@pytest.mark.usefixtures("sample")
def test_an_error_of_a_verb_becomes_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "show", "absent"]) == 3
    assert capsys.readouterr().err == "cmakeys: absent: no such sample\n"


@pytest.mark.usefixtures("sample")
def test_help_lists_the_nouns_without_loading_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(nouns, "NOUNS", (Noun("ghost", "cmakeys.cli.no_such_module", "Never loaded."),))
    assert main(["--help"]) == 0
    assert "ghost  Never loaded." in capsys.readouterr().out


def test_an_option_without_a_verb_is_refused_and_not_taken_for_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["ok"]) == ("cmakeys/usage/1", False)
    assert "No such option" in document["errors"][0]["message"]


@pytest.mark.usefixtures("sample")
@pytest.mark.parametrize(
    ("words", "schema", "message"),
    [
        (["no-such-noun"], "cmakeys/usage/1", "No such command"),
        (["sampel"], "cmakeys/usage/1", "Did you mean 'sample'"),
        (["sample", "show"], "cmakeys/sample-show/1", "Missing argument"),
        (["sample", "show", "x", "--no-such-option"], "cmakeys/sample-show/1", "No such option"),
        (["sample"], "cmakeys/sample/1", "No such option"),
    ],
)
def test_a_wrong_command_line_is_2_with_an_envelope_where_asked(
    capsys: pytest.CaptureFixture[str], words: list[str], schema: str, message: str
) -> None:
    assert main(words) == 2
    assert capsys.readouterr().out == ""
    assert main([*words, "--json"]) == 2
    streams = capsys.readouterr()
    document = json.loads(streams.out)
    assert (document["schema"], document["ok"]) == (schema, False)
    assert document["errors"][0]["code"] == "usage"
    assert message in document["errors"][0]["message"]
    assert message in streams.err


def test_control_characters_of_the_command_line_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a\x1b[31mb"]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.usefixtures("sample")
@pytest.mark.parametrize(
    ("line", "offered"),
    [("cmakeys sam", "sample"), ("cmakeys sample sh", "show"), ("cmakeys sample show --js", "--json")],
)
def test_completion_reaches_nouns_verbs_and_options(line: str, offered: str) -> None:
    assert [one.value for one in candidates(line.split()[1:]).words] == [offered]
