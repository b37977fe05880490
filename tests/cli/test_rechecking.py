"""After a change of roots devices are authenticated again, and nothing of that undoes or hides the change.

The keyring is the real one of a session; the devices stand in a tree like /sys with a kernel behind it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.cli.rechecking import Recheck, choice
from cmakeys.keyring.cma import Keyring, open_keyring
from cmakeys.roots.store import RootStore
from tests.cli.machine import Said
from tests.devices.sysfs import FUNCTION, Tree
from tests.keyring.kernel import fresh_session, require_rsa, root

pytestmark = pytest.mark.system

SECOND, THIRD = "0000:02:00.0", "0000:03:00.0"
Run = Callable[..., Said]


@pytest.fixture
def ring() -> Keyring:
    keyctl = fresh_session()
    ring = open_keyring("@s", keyctl=keyctl)
    require_rsa(keyctl, ring.serial)
    return ring


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    tree = Tree(tmp_path / "sys")
    tree.root.mkdir()
    monkeypatch.setattr("cmakeys.devices.sysfs.Sysfs", lambda _root: tree.sysfs)
    return tree


@pytest.fixture
def run(ring: Keyring, tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Apply one trusted root to the keyring of the session."""
    del ring
    RootStore(tmp_path).add(root("a"))
    where = ["--keyring", "@s", "--sysroot", str(tmp_path), "--sysfs", str(tree.root)]

    def run(*words: str) -> Said:
        capsys.readouterr()
        code = main(["keyring", "apply", *words, *where])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


def device(tree: Tree, name: str, content: bytes | int, answer: bytes | int, mode: int = 0o644) -> None:
    tree.add(name)
    tree.authenticated(content, mode, name)
    tree.on_recheck(answer, name)


def attempts(said: Said) -> Mapping[object, Mapping[str, object]]:
    recheck = said.data["recheck"]
    assert isinstance(recheck, dict)
    assert isinstance(recheck["attempts"], list)
    return {one["function"]: one for one in recheck["attempts"]}


def asked(tree: Tree) -> list[str]:
    return sorted(path.split("/")[-2] for path, _data in tree.written if path.endswith("/authenticated"))


def test_failed_devices_are_asked_again_and_before_and_after_are_said(run: Run, tree: Tree) -> None:
    device(tree, FUNCTION, b"0\n", b"1\n")
    device(tree, SECOND, b"1\n", b"1\n")
    said = run("--recheck", "failed", "--json")
    assert (said.code, said.envelope["changed"]) == (0, True)
    assert asked(tree) == [FUNCTION]
    (attempt,) = attempts(said).values()
    assert (attempt["changed"], attempt["outcome"]) == (True, "authenticated")


def test_all_finds_the_device_that_lost_its_root(run: Run, tree: Tree) -> None:
    device(tree, FUNCTION, b"1\n", errno.ENOKEY)
    said = run("--recheck", "all")
    assert said.code == 0
    assert f"{FUNCTION}  authenticated -> failed: " in said.out
    assert "now holds 1 trusted root" in said.out
    assert f"warning: {FUNCTION}: not authenticated" in said.err


def test_a_recheck_that_fails_does_not_hide_that_the_roots_changed(run: Run, tree: Tree) -> None:
    device(tree, FUNCTION, b"0\n", errno.EKEYREJECTED)
    device(tree, SECOND, errno.ENOTTY, errno.ENOTTY)
    said = run("--recheck", "failed", "--json", "--detailed-exitcode")
    assert (said.code, said.envelope["ok"], said.envelope["errors"]) == (10, True, [])
    found = attempts(said)
    assert (found[FUNCTION]["outcome"], found[SECOND]["outcome"]) == ("rejected", "unreachable")
    assert "possibly a downgrade" in str(found[SECOND]["reason"])


def test_files_of_a_tsm_are_left_alone_and_nothing_is_said_without_devices(run: Run, tree: Tree) -> None:
    device(tree, FUNCTION, b"tsm0\n", b"", 0o444)
    tree.add(THIRD)
    said = run("--recheck", "all")
    assert (said.code, said.err, tree.written) == (0, "", [])
    assert FUNCTION not in said.out
    assert THIRD not in said.out


def test_nothing_is_asked_when_nothing_changed_or_nobody_wants_it(run: Run, tree: Tree) -> None:
    device(tree, FUNCTION, b"0\n", b"1\n")
    said = run("--json", "--recheck", "failed", "--dry-run")
    assert said.data["recheck"] == {"which": "failed", "functions": [FUNCTION], "attempts": []}
    assert run("--json", "--recheck", "none").envelope["changed"] is True
    assert run("--recheck", "all", "--json").data["recheck"] is None
    assert tree.written == []


def test_devices_follow_the_keyring_of_the_kernel_and_no_other_unless_told(ring: Keyring) -> None:
    assert choice(None, ring) is Recheck.NONE
    assert choice(None, replace(ring, info=replace(ring.info, description=".cma"))) is Recheck.FAILED
    assert choice(Recheck.ALL, ring) is Recheck.ALL


def test_a_tree_that_cannot_be_listed_is_a_warning(run: Run, tree: Tree) -> None:
    folder = tree.root / "bus/pci"
    folder.mkdir(parents=True)
    (folder / "devices").symlink_to("devices")
    said = run("--recheck", "failed")
    assert said.code == 0
    assert "no device was authenticated again" in said.err
