"""What is remembered of bundles survives, is never guessed, and says which roots a bundle vouches for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import CmakeysError, Temporary, UsageProblem
from cmakeys.roots import bundle_state
from cmakeys.roots.bundle_state import BundleStateProblem, load_all, load_state, save_state, vouched
from tests.roots.bundles import DAY, NOW, after, bundle
from tests.roots.trust import root

A, B = root("a"), root("b")
FIRST = replace(after(bundle(1, "2 of a b c", (A, B))), added=frozenset({A.fingerprint}))


def test_what_is_saved_is_loaded_and_nothing_saved_is_nothing(tmp_path: Path) -> None:
    assert load_state(tmp_path, "acme") is None
    assert load_all(tmp_path / "none") == ()
    save_state(tmp_path, FIRST, instead_of=None)
    assert load_state(tmp_path, "acme") == FIRST
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["acme.json"]


def test_whoever_was_quicker_is_not_overwritten(tmp_path: Path) -> None:
    save_state(tmp_path, FIRST, instead_of=None)
    seen = load_state(tmp_path, "acme")
    second = replace(FIRST, version=2)
    save_state(tmp_path, second, instead_of=seen)
    for stale in (seen, None):
        with pytest.raises(Temporary, match="imported meanwhile"):
            save_state(tmp_path, replace(FIRST, version=3), instead_of=stale)
    loaded = load_state(tmp_path, "acme")
    assert loaded is not None
    assert loaded.version == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"version": 1', b'"version": 0.5'),
        (b'"schema": 1', b'"schema": 2'),
        (b'"name": "acme"', b'"name": "other"'),
        (b'"threshold": 2', b'"threshold": 9'),
        (b"{", b"["),
    ],
)
def test_what_cannot_be_read_is_never_taken_for_nothing(tmp_path: Path, old: bytes, new: bytes) -> None:
    save_state(tmp_path, FIRST, instead_of=None)
    path = tmp_path / "bundles/acme.json"
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    for load in (lambda: load_state(tmp_path, "acme"), lambda: vouched(tmp_path)):
        with pytest.raises(BundleStateProblem, match="cannot be read") as caught:
            load()
        assert caught.value.object == str(path)


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_is_no_file_is_never_taken_for_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bundles/acme.json"
    path.parent.mkdir()
    match kind:
        case "link":
            path.symlink_to("/dev/null")
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    with pytest.raises(CmakeysError):
        load_state(tmp_path, "acme")


def test_a_name_never_leaves_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem):
        load_state(tmp_path, "../acme")


def test_a_bundle_vouches_for_its_roots_until_it_expires(tmp_path: Path) -> None:
    save_state(tmp_path, FIRST, instead_of=None)
    save_state(tmp_path, after(bundle(1, name="brief", roots=(root("c"),), expires=DAY)), instead_of=None)
    assert vouched(tmp_path, NOW) == {
        A.fingerprint: "acme",
        B.fingerprint: "acme",
        root("c").fingerprint: "brief",
    }
    assert set(vouched(tmp_path, NOW + DAY).values()) == {"acme"}
    assert vouched(tmp_path, NOW + 30 * DAY) == {}


def test_too_many_bundles_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_state, "MAX_BUNDLES", 1)
    for name in ("a", "b"):
        save_state(tmp_path, replace(FIRST, name=name), instead_of=None)
    with pytest.raises(BundleStateProblem, match="2 bundles, more than 1"):
        load_all(tmp_path)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_are_the_clean_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("state")
    (folder / "bundles").mkdir()
    (folder / "bundles/acme.json").write_bytes(data)
    with pytest.raises(BundleStateProblem):
        load_state(folder, "acme")
