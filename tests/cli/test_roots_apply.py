"""A file in Git is what a machine trusts: applied wholly or not at all, checked without a change, twice like once."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.roots.journal import Journal
from cmakeys.roots.record import render_pem
from cmakeys.roots.root import LifeCycle
from cmakeys.roots.rootset import DenyEntry, DenyKind
from cmakeys.roots.store import RootStore, StoreWriter
from tests.cli.machine import Machine, Said
from tests.roots.trust import root

A, B, C = root("a"), root("b"), root("c")


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    return Machine(tmp_path / "root", capsys)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder with a declaration of two roots, one as a file beside it and one as text."""
    folder = tmp_path / "repository"
    (folder / "certificates").mkdir(parents=True)
    (folder / "certificates/a.pem").write_bytes(render_pem(A.certificate))
    inline = "".join(f"      {line}\n" for line in render_pem(B.certificate).decode().splitlines())
    (folder / "roots.yaml").write_text(
        f"schema: 1\nprune: true\nroots:\n"
        f"  - name: a\n    fingerprint: {A.fingerprint}\n    certificate: certificates/a.pem\n"
        f"  - name: b\n    fingerprint: {B.fingerprint}\n    state: staged\n    certificate: |\n{inline}"
        f"deny:\n  - key: {'ab' * 32}\n    reason: leaked\n"
    )
    return folder


def apply(machine: Machine, repository: Path, *words: str) -> Said:
    return machine.run("roots", "apply", "-f", str(repository / "roots.yaml"), *words)


def held(machine: Machine) -> dict[str, str]:
    return {each.name: each.state.value for each in RootStore(machine.sysroot).load().roots}


def entries(machine: Machine) -> list[str]:
    return [entry.action for entry in Journal(machine.sysroot / "var/lib/cmakeys").verify().entries]


def test_the_file_becomes_true_in_one_entry_of_the_journal_and_a_second_time_nothing_happens(
    machine: Machine, repository: Path
) -> None:
    RootStore(machine.sysroot).add(C)
    said = apply(machine, repository, "--detailed-exitcode")
    assert said.code == 10
    assert held(machine) == {"a": "trusted", "b": "staged"}
    assert said.out.splitlines()[:4] == [
        f"+ a {A.fingerprint} trusted",
        f"+ b {B.fingerprint} staged",
        f"- c {C.fingerprint}",
        f"+ deny key {'ab' * 32}",
    ]
    (entry,) = Journal(machine.sysroot / "var/lib/cmakeys").verify().entries
    assert entry.detail["declaration"] == hashlib.sha256((repository / "roots.yaml").read_bytes()).hexdigest()
    again = apply(machine, repository, "--detailed-exitcode")
    assert again.code == 0
    assert "all is as" in again.out
    assert entries(machine) == ["roots-apply"]


def test_a_check_says_what_would_be_and_changes_nothing(machine: Machine, repository: Path) -> None:
    said = apply(machine, repository, "--check", "--json", "--detailed-exitcode")
    assert said.code == 10
    assert said.envelope["changed"] is True
    assert said.data["check"] is True
    assert not machine.sysroot.exists()
    assert apply(machine, repository).code == 0
    done = apply(machine, repository, "--check", "--json", "--detailed-exitcode")
    assert (done.code, done.envelope["changed"], done.data["changes"]) == (0, False, [])
    assert done.data["digest_before"] == done.data["digest_after"] == said.data["digest_after"]


def test_the_difference_is_shown_as_git_would(machine: Machine, repository: Path) -> None:
    apply(machine, repository)
    path = repository / "roots.yaml"
    path.write_text(path.read_text().replace("state: staged", "state: trusted"))
    said = apply(machine, repository, "--check", "--diff")
    assert said.out.splitlines()[:2] == ["--- in effect", f"+++ {path}"]
    assert "-  state: staged\n+  state: trusted\n" in said.out
    assert said.out.endswith("1 change to make; nothing was changed\n")


def test_anything_wrong_refuses_all_of_it_and_every_reason_is_said(machine: Machine, repository: Path) -> None:
    RootStore(machine.sysroot).add(replace(C, state=LifeCycle.DISTRUSTED))
    path = repository / "roots.yaml"
    path.write_text(path.read_text().replace(f"    fingerprint: {A.fingerprint}\n", "") + "")
    lines = path.read_text().replace("roots:\n", "roots:\n  - {name: c}\n")
    path.write_text(lines)
    said = apply(machine, repository, "--json")
    assert said.code == 8
    errors = said.envelope["errors"]
    assert isinstance(errors, list)
    assert [error["object"] for error in errors] == [f"{path} line 4", f"{path} line 5"]
    assert held(machine) == {"c": "distrusted"}
    assert entries(machine) == []


def test_a_declaration_comes_from_stdin_too(
    machine: Machine, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    data = (repository / "roots.yaml").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert machine.run("roots", "apply", "-f", "-").code == 0
    assert held(machine) == {"a": "trusted", "b": "staged"}


@pytest.mark.parametrize("kind", ["fifo", "folder", "missing", "endless"])
def test_a_certificate_that_is_no_file_ends_in_words_with_its_line(
    machine: Machine, repository: Path, kind: str
) -> None:
    path = repository / "certificates/a.pem"
    path.unlink()
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "endless":
            path.symlink_to("/dev/zero")
    said = apply(machine, repository)
    assert said.code == 2
    assert f"{repository / 'roots.yaml'} line 6" in said.err
    assert str(path) in said.err


def test_what_was_exported_makes_another_machine_the_same(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = RootStore(machine.sysroot)
    for each in (A, replace(B, state=LifeCycle.RETIRING), replace(C, state=LifeCycle.DISTRUSTED)):
        store.add(each)
    store.deny(DenyEntry(DenyKind.KEY, "cd" * 32, "leaked"))
    file = tmp_path / "all.yaml"
    assert machine.run("roots", "export", "--format", "declaration", "-o", str(file)).code == 0
    text = file.read_text()
    assert text.startswith("schema: 1\nprune: true\nroots:\n")
    assert "    -----BEGIN CERTIFICATE-----\n    MII" in text  # as a person would paste it
    other = Machine(tmp_path / "other", capsys)
    assert other.run("roots", "apply", "-f", str(file)).code == 0
    assert RootStore(other.sysroot).load().digest == store.load().digest
    for one in (machine, other):
        assert one.run("roots", "apply", "-f", str(file), "--check", "--detailed-exitcode").code == 0


def test_a_declaration_of_some_roots_is_not_written(machine: Machine) -> None:
    RootStore(machine.sysroot).add(A)
    said = machine.run("roots", "export", "a", "--format", "declaration")
    assert said.code == 2
    assert "a declaration is of all roots" in said.err


def test_a_file_that_must_be_named_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["roots", "apply", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "cmakeys/roots-apply/1"


def test_what_a_killed_run_left_is_shown_and_finished_by_the_next_one(
    machine: Machine, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "put", killed)
        assert apply(machine, repository).code == 130
    assert held(machine) == {}
    assert "a change was interrupted" in machine.run("status").out
    said = apply(machine, repository)
    assert said.code == 0
    assert "has been finished" in said.err
    assert held(machine) == {"a": "trusted", "b": "staged"}
    assert entries(machine) == ["roots-apply"]


@pytest.mark.system
def test_several_admins_at_once_lose_nothing(machine: Machine, tmp_path: Path) -> None:
    roots = [root(f"admin-{number}") for number in range(6)]
    runs = []
    for one in roots:
        file = tmp_path / f"{one.name}.yaml"
        (tmp_path / f"{one.name}.pem").write_bytes(render_pem(one.certificate))
        file.write_text(
            f"schema: 1\nroots:\n- name: {one.name}\n  fingerprint: {one.fingerprint}\n  certificate: {one.name}.pem\n"
        )
        words = ["roots", "apply", "-f", str(file), "--sysroot", str(machine.sysroot)]
        runs.append(subprocess.Popen([sys.executable, "-m", "cmakeys", *words], stdout=subprocess.DEVNULL))
    assert [run.wait(60) for run in runs] == [0] * len(runs)
    assert held(machine) == {one.name: "trusted" for one in roots}
    assert entries(machine) == ["roots-apply"] * len(roots)


def test_a_set_that_changed_since_it_was_read_is_not_overwritten(
    machine: Machine, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(machine, repository)
    store = RootStore(machine.sysroot)
    stale = store.load()
    store.remove("b")
    (repository / "roots.yaml").write_text("schema: 1\nroots: [{name: a}, {name: b, state: trusted}]\n")
    with monkeypatch.context() as patch:
        patch.setattr(RootStore, "load", lambda _self: stale)
        said = apply(machine, repository)
    assert said.code == 6
    assert "changed meanwhile" in said.err
    assert held(machine) == {"a": "trusted"}
