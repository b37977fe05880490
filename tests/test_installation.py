"""What is put beside the program comes and goes whole, and what an admin has changed stays as it is."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmakeys import installation
from cmakeys.config import Config, apply
from cmakeys.errors import NotFound, Refused, UsageProblem
from cmakeys.installation import LIST, PACKAGES, PREFIX, default_configuration, inspect, install, items, remove
from cmakeys.stamped import FileState

ROOT = Path(__file__).parents[1]
CONFIGURATION = "etc/cmakeys/cmakeys.yaml"


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred files are written again and again; that they are on the disk then is `files.py`'s business."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def places(tree: Path) -> set[str]:
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}


def put(tree: Path, prefix: str = "/usr", *, force: bool = False) -> tuple[int, int]:
    change = install(tree, prefix, force=force, dry_run=False)
    return len(change.written), len(change.removed)


def test_installing_twice_writes_once_and_removing_leaves_nothing(tmp_path: Path) -> None:
    planned = install(tmp_path, "/usr", force=False, dry_run=True)
    assert places(tmp_path) == set()
    assert put(tmp_path) == (len(planned.written), 0)
    assert places(tmp_path) == {item.place for item in items(tmp_path, "/usr")} | {f"usr/{LIST}"}
    assert put(tmp_path) == (0, 0)
    assert {one.state for one in inspect(tmp_path, "/usr")} == {FileState.CURRENT}
    remove(tmp_path, "/usr", force=False, dry_run=True)
    assert len(places(tmp_path)) > 50
    remove(tmp_path, "/usr", force=False, dry_run=False)
    assert places(tmp_path) == set()
    assert not any("cmakeys" in path.name for path in tmp_path.rglob("*"))
    assert (tmp_path / "usr/share/man/man8").is_dir(), "folders that are not ours stay"
    with pytest.raises(NotFound):
        remove(tmp_path, "/usr", force=False, dry_run=False)


def test_everything_of_the_source_tree_is_there(tmp_path: Path) -> None:
    put(tmp_path)
    there = places(tmp_path)
    assert {path.name for path in (ROOT / "man").iterdir()} <= {Path(place).name for place in there if "/man/" in place}
    for folder, place in (("roots", "vendors"), ("cmakeys/schemas", "schemas"), ("cmakeys/ansible", "ansible")):
        sources = {str(path.relative_to(ROOT / folder)) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert {f"usr/share/cmakeys/{place}/{name}" for name in sources} <= there
    assert "usr/lib/systemd/system/cmakeys-check.timer" in there
    unit = (tmp_path / "usr/lib/systemd/system/cmakeys-check.service").read_text()
    assert "ExecStart=/usr/bin/cmakeys check" in unit


def test_the_list_is_one_that_sha256sum_reads(tmp_path: Path) -> None:
    put(tmp_path)
    lines = (tmp_path / "usr" / LIST).read_text().splitlines()
    for line in lines:
        digest, _, place = line.partition("  /")
        assert hashlib.sha256((tmp_path / place).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(("debian", "prefix", "folder"), [
    (True, "/usr", "vendor-completions"),
    (True, "/usr/local", "site-functions"),
    (False, "/usr", "site-functions"),
])  # fmt: skip
def test_zsh_finds_its_script_where_the_distribution_looks(
    tmp_path: Path, debian: bool, prefix: str, folder: str
) -> None:
    if debian:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/debian_version").touch()
    put(tmp_path, prefix)
    assert (tmp_path / prefix.lstrip("/") / f"share/zsh/{folder}/_cmakeys").exists()


# -- an admin's hand ---------------------------------------------------------------------------------------------------


def test_what_is_in_etc_is_the_admins(tmp_path: Path) -> None:
    path = tmp_path / CONFIGURATION
    path.parent.mkdir(parents=True)
    path.write_text("check: {timeout: 5}\n")
    put(tmp_path)
    put(tmp_path, force=True)
    assert path.read_text() == "check: {timeout: 5}\n"
    remove(tmp_path, "/usr", force=True, dry_run=False)
    assert places(tmp_path) == {CONFIGURATION}


def test_what_somebody_edited_stays_and_so_does_everything_else(tmp_path: Path) -> None:
    put(tmp_path)
    page = tmp_path / "usr/share/man/man8/cmakeys.8"
    page.write_text("mine\n")
    before = {place: (tmp_path / place).read_bytes() for place in places(tmp_path)}
    for act in (install, remove):
        with pytest.raises(Refused, match="edited by hand"):
            act(tmp_path, "/usr", force=False, dry_run=False)
    assert {place: (tmp_path / place).read_bytes() for place in places(tmp_path)} == before
    assert put(tmp_path, force=True) == (1, 0)
    assert page.read_text() != "mine\n"


def test_a_file_that_was_there_before_is_not_ours(tmp_path: Path) -> None:
    page = tmp_path / "usr/share/man/man8/cmakeys.8"
    page.parent.mkdir(parents=True)
    page.write_text("somebody else's\n")
    with pytest.raises(Refused):
        put(tmp_path)
    assert places(tmp_path) == {"usr/share/man/man8/cmakeys.8"}


def test_a_new_version_replaces_and_removes_what_the_old_one_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = installation.items(tmp_path, "/usr")
    gone = installation.Item("usr/share/cmakeys/gone", b"of old\n")
    changed = installation.Item(old[0].place, b"of old\n")
    with monkeypatch.context() as patch:
        patch.setattr(installation, "items", lambda _sysroot, _prefix: (changed, *old[1:], gone))
        put(tmp_path)
    states = {one.path: one.state for one in inspect(tmp_path, "/usr")}
    assert states[tmp_path / gone.place] is states[tmp_path / changed.place] is FileState.OUTDATED
    assert put(tmp_path) == (1, 1)
    assert not (tmp_path / gone.place).exists()
    assert {one.state for one in inspect(tmp_path, "/usr")} == {FileState.CURRENT}


def test_what_a_package_brought_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / PACKAGES).parent.mkdir(parents=True)
    (tmp_path / PACKAGES).touch()
    with pytest.raises(Refused, match="package"):
        put(tmp_path)
    assert put(tmp_path, PREFIX)[0] > 50


def test_nothing_is_written_or_removed_through_a_link_that_leads_out_of_the_tree(tmp_path: Path) -> None:
    host, tree = tmp_path / "host", tmp_path / "tree"
    put(host)
    (tree / "usr/share").mkdir(parents=True)
    (tree / "usr/share/man").symlink_to(host / "usr/share/man")
    shutil.copytree(host / "usr/share/cmakeys", tree / "usr/share/cmakeys")
    before = places(host)
    for act in (install, remove):
        with pytest.raises(Refused, match="leads out of"):
            act(tree, "/usr", force=True, dry_run=False)
    assert places(host) == before


# -- hostile and odd input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/", "usr", "/usr/", "/usr/../etc", "/usr//local", "/a b", "/usr\n", "/%h"])
def test_a_prefix_that_is_none_is_refused(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(UsageProblem):
        items(tmp_path, prefix)


@given(lines=st.lists(st.one_of(st.text(max_size=80), st.just("0" * 64 + "  /etc/../../x"))))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_list_that_somebody_made_removes_nothing_else(
    lines: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    top = tmp_path_factory.mktemp("top")
    (top / "x").write_bytes(b"")
    listed = top / "tree/usr" / LIST
    listed.parent.mkdir(parents=True)
    listed.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    try:
        remove(top / "tree", "/usr", force=True, dry_run=False)
    except NotFound:
        assert listed.exists()
    assert (top / "x").exists()


# -- the configuration -------------------------------------------------------------------------------------------------


def test_the_configuration_says_the_defaults_and_changes_nothing() -> None:
    text = default_configuration().decode()
    assert apply(Config(), text.encode(), "cmakeys.yaml") == Config()
    first, *rest = text.splitlines()
    assert first.startswith("# ")
    settings = "\n".join(line.removeprefix("#") for line in rest).encode()
    read = apply(Config(), settings, "cmakeys.yaml")
    assert {(one.key, str(one.value)) for one in read.settings()} == {
        (one.key, str(one.value)) for one in Config().settings()
    }
    assert all("cmakeys.yaml" in one.origin for one in read.settings() if one.value is not None)


@pytest.mark.system
def test_man_finds_a_page_that_was_installed(tmp_path: Path) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc, which renders manual pages, is not installed")
    put(tmp_path)
    page = tmp_path / "usr/share/man/man8/cmakeys-setup.8"
    done = subprocess.run(["mandoc", "-T", "ascii", str(page)], capture_output=True, text=True, check=True)
    assert "installed.sha256" in done.stdout
