"""`--update-initrd`: a change of roots is followed by the command that makes the initrds, and never undone by it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cmakeys.cli import initrd_update
from cmakeys.cli.app import main
from cmakeys.config import MAIN_FILE
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.store import RootStore
from tests.cli.machine import Said
from tests.cli.roots_runner import save
from tests.cli.tree import verbs
from tests.roots.trust import certificate

Run = Callable[..., Said]
CHANGING = (
    *(f"roots {name}" for name in ("add", "remove", "apply", "rotate", "import-tree", "trust", "retire", "distrust")),
    *("roots restore", "roots undo", "roots bundle import", "deny add", "deny remove"),
)


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Verbs on a tree that is taken for the machine."""
    monkeypatch.setattr(initrd_update, "SYSTEM", tmp_path)

    def run_verb(*words: str) -> Said:
        capfd.readouterr()
        code = main([*words, "--sysroot", str(tmp_path)])
        captured = capfd.readouterr()
        return Said(code, captured.out, captured.err)

    return run_verb


def configure(tree: Path, *command: str) -> None:
    path = tree / MAIN_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"initrd:\n  rebuild: {json.dumps(list(command))}\n")


def counting(tree: Path, then: str = "") -> Callable[[], int]:
    """A command that counts how often it is run."""
    configure(tree, "sh", "-c", f"echo x >>{tree}/count; echo said by the command; {then}")
    count = tree / "count"
    return lambda: len(count.read_text().split()) if count.exists() else 0


def add(run: Run, tree: Path, *words: str) -> Said:
    file = save(tree, "acme.pem", certificate("acme"))
    return run("roots", "add", file, "--fingerprint", certificate("acme").fingerprint, "--name", "acme", *words)


def test_every_verb_that_changes_what_is_loaded_has_it_and_no_other() -> None:
    having = {" ".join(words) for words, verb in verbs().items() if "--update-initrd" in verb.spellings}
    assert having == set(CHANGING)


def test_each_change_is_followed_by_the_command(run: Run, tmp_path: Path) -> None:
    runs = counting(tmp_path)
    said = add(run, tmp_path, "--update-initrd")
    assert (said.code, runs()) == (0, 1), said.err
    assert "said by the command" in said.err
    assert "the initrds were made anew" in said.out
    other = certificate("other")
    declaration = tmp_path / "declaration.yaml"
    steps: tuple[tuple[str, ...], ...] = (
        ("roots", "retire", "acme"),
        ("roots", "restore", "acme"),
        ("roots", "distrust", "acme", "--yes"),
        ("roots", "undo", "--yes"),
        ("deny", "add", "--certificate", "ab" * 32),
        ("deny", "remove", "ab" * 32, "--yes"),
        ("roots", "rotate", "acme", save(tmp_path, "o.pem", other), "--fingerprint", other.fingerprint),
        ("roots", "rotate", "acme", "--abort"),
        ("roots", "import-tree", str(tmp_path / "voa"), "--os", "debian", "--fingerprint", other.fingerprint),
        ("roots", "apply", "-f", str(declaration), "--allow-empty"),
    )
    assert run("roots", "export", "--format", "declaration", "-o", str(declaration)).code == 0
    place = tmp_path / "voa/debian/kernel-keyring/cma/x509"
    place.mkdir(parents=True)
    save(place, "other.pem", other)
    for number, words in enumerate(steps, 2):
        said = run(*words, "--update-initrd")
        assert (said.code, runs()) == (0, number), (words, said.err, said.out)


def test_the_command_makes_an_initrd_with_the_new_roots(run: Run, tmp_path: Path) -> None:
    initrd = tmp_path / "usr/lib/modules/6.1/initrd"
    initrd.parent.mkdir(parents=True)
    bake = ("image", "bake", "-o", str(initrd), "--sysroot", str(tmp_path))
    configure(tmp_path, sys.executable, "-m", "cmakeys", *bake)
    assert add(run, tmp_path).code == 0
    assert run(*bake[:-2]).code == 0
    assert "in step with the roots" in run("status").out
    file = save(tmp_path, "b.pem", certificate("b"))
    new = ("roots", "add", file, "--fingerprint", certificate("b").fingerprint, "--name", "b")
    assert run(*new).code == 0
    status = run("status")
    assert "image     the initrd not in step: missing: b" in status.out
    assert status.code == 0
    said = run(*new, "--update-initrd")
    assert said.code == 0, said.err
    assert "in step with the roots" in run("status").out
    assert "need not be made anew" in run(*new, "--update-initrd").out


@pytest.mark.parametrize(
    ("then", "words"), [("exit 3", "left with 3"), ("kill -9 $$", "killed by signal 9")], ids=["failed", "killed"]
)
def test_its_failure_has_a_code_of_its_own_and_takes_nothing_back(
    then: str, words: str, run: Run, tmp_path: Path
) -> None:
    counting(tmp_path, then)
    said = add(run, tmp_path, "--update-initrd", "--json")
    assert said.code == 9
    assert (said.envelope["ok"], said.envelope["changed"]) == (False, True)
    assert said.error["code"] == "initrd-not-rebuilt"
    assert words in said.error["message"]
    assert RootStore(tmp_path).load().find("acme").state is LifeCycle.TRUSTED


def test_what_it_says_does_not_get_into_the_json(run: Run, tmp_path: Path) -> None:
    counting(tmp_path)
    said = add(run, tmp_path, "--update-initrd", "--json")
    assert said.envelope["changed"] is True
    assert "said by the command" in said.err


def test_nothing_is_run_unless_asked_nor_for_nothing(run: Run, tmp_path: Path) -> None:
    runs = counting(tmp_path)
    assert add(run, tmp_path).code == 0
    assert add(run, tmp_path, "--update-initrd").code == 0
    said = run("roots", "retire", "acme", "--dry-run", "--update-initrd")
    assert "would run: sh -c" in said.out
    assert run("roots", "retire", "nobody", "--update-initrd").code == 3
    assert run("roots", "remove", "acme", "--update-initrd").code == 8, "nobody answers"
    assert runs() == 0


def test_what_is_refused_is_followed_by_nothing_not_even_where_an_initrd_is_out_of_step(
    run: Run, tmp_path: Path
) -> None:
    runs = counting(tmp_path)
    add(run, tmp_path)
    initrd = tmp_path / "usr/lib/modules/6.1/initrd"
    initrd.parent.mkdir(parents=True)
    assert run("image", "bake", "-o", str(initrd)).code == 0
    file = save(tmp_path, "b.pem", certificate("b"))
    run("roots", "add", file, "--fingerprint", certificate("b").fingerprint, "--name", "b")
    assert "missing: b" in run("status").out
    for dry_run in ((), ("--dry-run",)):
        said = run("roots", "rotate", "acme", save(tmp_path, "c.pem", certificate("c")), "--update-initrd", *dry_run)
        assert said.code == 8, "nobody vouches for it"
        assert "would run" not in said.out
    assert runs() == 0


def test_a_check_of_a_declaration_runs_nothing(run: Run, tmp_path: Path) -> None:
    runs = counting(tmp_path)
    add(run, tmp_path)
    declaration = tmp_path / "declaration.yaml"
    run("roots", "export", "--format", "declaration", "-o", str(declaration))
    run("roots", "retire", "acme")
    said = run("roots", "apply", "-f", str(declaration), "--check", "--update-initrd")
    assert (said.code, runs()) == (0, 0), said.err
    assert "would run" in said.out


def test_in_a_tree_and_without_a_command_it_is_refused_before_anything_is_changed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = add(run, tmp_path, "--update-initrd")
    assert said.code == 3
    assert "nothing that makes initrds is known" in said.err
    monkeypatch.setattr(initrd_update, "SYSTEM", Path("/"))
    said = add(run, tmp_path, "--update-initrd")
    assert said.code == 2
    assert RootStore(tmp_path).load().roots == ()
