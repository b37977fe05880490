"""Roots out of a UAPI.11 tree are proposed like those of a file: each confirmed, all of them or none, none silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmakeys.roots.store import RootStore
from cmakeys.roots.voa import PLACE, write_hierarchy
from tests.cli.roots_runner import Run, actions, names, runner
from tests.roots.trust import root

A, B = root("a"), root("b")


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, capsys, monkeypatch)


@pytest.fixture
def tree(tmp_path: Path) -> str:
    folder = tmp_path / "voa"
    assert len(list(write_hierarchy(folder, "linux", [A, B], ["c" * 64]))) == 3
    return str(folder)


def test_nothing_is_added_without_a_word_on_each(run: Run, tree: str, tmp_path: Path) -> None:
    said = run("import-tree", tree)
    assert said.code == 8
    assert "compare it with the vendor's" in said.err
    assert run("import-tree", tree, typed="y\nn\n").code == 8
    assert names(tmp_path) == []
    assert run("import-tree", tree, "--dry-run", "--fingerprint", A.fingerprint).code == 0
    assert names(tmp_path) == []


def test_a_person_confirms_all_of_them_as_one_change(run: Run, tree: str, tmp_path: Path) -> None:
    assert run("import-tree", tree, typed="y\ny\n").code == 0
    assert names(tmp_path) == ["a-ca", "b-ca"]
    assert actions(tmp_path) == ["roots-import-tree"]
    said = run("import-tree", tree)
    assert said.code == 0
    assert "there is nothing to add" in said.out


def test_a_fingerprint_chooses_and_confirms(run: Run, tree: str, tmp_path: Path) -> None:
    assert run("import-tree", tree, "--fingerprint", B.fingerprint).code == 0
    assert names(tmp_path) == ["b-ca"]
    said = run("import-tree", tree, "--fingerprint", "c" * 64)
    assert said.code == 8
    assert "masked by" in said.err
    assert "no such certificate" in run("import-tree", tree, "--fingerprint", "d" * 64).err


def test_a_root_that_is_masked_there_and_trusted_here_is_named(run: Run, tree: str, tmp_path: Path) -> None:
    RootStore(tmp_path).add(root("c"))
    (Path(tree) / "linux" / PLACE / f"{root('c').fingerprint}.der").symlink_to("/dev/null")
    assert "c: masked by" in run("import-tree", tree, "--fingerprint", A.fingerprint).err
    assert names(tmp_path) == ["a-ca", "c"]


def test_the_system_is_read_from_its_own_load_paths_and_name(run: Run, tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("ID=debian\nVERSION_ID=13\n")
    assert run("import-tree", "--voa").code == 3
    assert len(list(write_hierarchy(tmp_path / "usr/share/voa", "debian:13", [A]))) == 1
    assert run("import-tree", "--voa", "--fingerprint", A.fingerprint).code == 0
    assert names(tmp_path) == ["a-ca"]
    assert run("export", "--format", "voa", "-o", str(tmp_path / "out")).code == 0
    assert (tmp_path / "out/debian" / PLACE / f"{A.fingerprint}.pem").is_file()
    assert run("export", "--os", "debian", "-o", str(tmp_path / "x")).code == 2


@pytest.mark.parametrize("words", [(), ("--voa", "."), ("/nonexistent",)])
def test_one_source_is_named(run: Run, words: tuple[str, ...]) -> None:
    assert run("import-tree", *words).code in (2, 3)
