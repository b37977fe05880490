"""The initrds of a machine are looked at each for itself, and none that cannot be read ends the look."""

from __future__ import annotations

from pathlib import Path

from cmakeys.images.current import InitrdSettings
from cmakeys.images.freshness import Freshness, Initrds
from cmakeys.images.generators import Generator
from cmakeys.images.hooks import install
from cmakeys.images.recollection import Recollection
from cmakeys.images.staleness import look_at_initrds
from cmakeys.roots.rootset import RootSet
from tests.images.initrds import A, B, baked, packed

SET = RootSet((A, B))


def look(tree: Path, roots: RootSet = SET, settings: InitrdSettings = InitrdSettings()) -> Initrds:  # noqa: B008 frozen
    return look_at_initrds(tree, roots, settings, Recollection(tree))


def put(tree: Path, release: str, data: bytes) -> Path:
    path = tree / "usr/lib/modules" / release / "initrd"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_tree_without_kernels_has_no_initrd(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert (found.found, found.freshness, found.booted) == ((), None, "")


def test_each_kernel_s_initrd_stands_for_itself(tmp_path: Path) -> None:
    put(tmp_path, "6.1", packed(baked(), "gzip"))
    put(tmp_path, "6.2", b"garbage")
    put(tmp_path, "6.3", baked()[:-300])
    found = look(tmp_path)
    assert [one.freshness for one in found.found] == [Freshness.CURRENT, Freshness.UNKNOWN, Freshness.UNKNOWN]
    assert "neither an archive nor packed" in found.found[1].words
    stale = look(tmp_path, RootSet((A,)))
    assert [one.path for one in stale.stale] == [str(tmp_path / "usr/lib/modules/6.1/initrd")]


def test_the_digest_is_that_of_what_bake_would_write(tmp_path: Path) -> None:
    put(tmp_path, "6.1", baked())
    found = look(tmp_path)
    assert found.digest == found.found[0].baked.digest


def test_where_a_hook_bakes_the_roots_an_initrd_without_them_is_out_of_step(tmp_path: Path) -> None:
    from cmakeys.images.cpio import Entry, render

    put(tmp_path, "6.1", render([Entry.file("init", b"")]))
    assert look(tmp_path).freshness is Freshness.NOTHING
    install(tmp_path, Generator.DRACUT, (), force=False, dry_run=False)
    assert look(tmp_path).freshness is Freshness.STALE


def test_a_link_out_of_a_tree_is_not_followed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    path = put(tree, "6.1", b"")
    path.unlink()
    (tmp_path / "elsewhere").write_bytes(baked())
    path.symlink_to(tmp_path / "elsewhere")
    (one,) = look(tree).found
    assert one.freshness is Freshness.UNKNOWN
    assert "leads out of" in one.words


def test_what_the_configuration_names_and_is_not_there_is_said(tmp_path: Path) -> None:
    put(tmp_path, "6.1", baked())
    found = look(tmp_path, settings=InitrdSettings(("/efi/{release}.efi",), ("make", "initrd")))
    assert [one.path for one in found.found] == [str(tmp_path / "efi/6.1.efi")]
    assert "No such file" in found.found[0].words
    assert found.rebuild == ("make", "initrd")
