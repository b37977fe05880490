"""What may be baked, and that the same roots give the same image anywhere."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from cmakeys.errors import NotFound, Refused
from cmakeys.images.bake import Permission, Request, check, choose, image, objections
from cmakeys.images.cpio import Reader
from cmakeys.images.manifest import Manifest
from cmakeys.images.tree import LOADER, MANIFEST, Keyctl
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet
from cmakeys.x509.certificate import Certificate
from tests.x509.pki import issue

NOW = datetime(2040, 1, 1, tzinfo=UTC)


def root(name: str, state: LifeCycle = LifeCycle.TRUSTED, **changes: object) -> Root:
    return Root(name, issue(f"Vendor {name}", **changes).certificate, state)  # type: ignore[arg-type]


GOOD = root("good")
SET = RootSet((GOOD, root("retiring", LifeCycle.RETIRING), root("staged", LifeCycle.STAGED)))


def files(data: bytes) -> dict[str, bytes]:
    reader = Reader(io.BytesIO(data), "image")
    return {header.path: reader.data(1 << 20) for header in reader.headers() if header.is_file}


def complaints(*roots: Root, deny: Sequence[DenyEntry] = (), test: Certificate | None = None) -> list[object]:
    known = RootSet(roots, tuple(deny))
    found = objections(roots, known, now=NOW, test_roots={test.fingerprint: "of the test"} if test else {})
    return [one.permission for one in found]


def test_all_roots_that_anchor_a_chain_are_meant_unless_some_are_named() -> None:
    assert [one.name for one in choose(SET, Request())] == ["good", "retiring"]
    assert [one.name for one in choose(SET, Request(("staged", "good", "good")))] == ["good", "staged"]


def test_an_image_without_a_root_is_refused() -> None:
    with pytest.raises(NotFound):
        choose(RootSet((root("staged", LifeCycle.STAGED),)), Request())
    with pytest.raises(NotFound):
        choose(SET, Request(("nobody",)))


def test_a_good_root_meets_no_objection() -> None:
    assert complaints(GOOD) == []
    assert complaints(root("forever", not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))) == []


@pytest.mark.parametrize(
    ("bad", "permission"),
    [
        (root("staged", LifeCycle.STAGED), None),
        (root("retired", LifeCycle.RETIRED), None),
        (root("distrusted", LifeCycle.DISTRUSTED), None),
        (root("expired", not_after=NOW - timedelta(days=1)), Permission.EXPIRED),
        (root("soon", not_after=NOW + timedelta(days=89)), Permission.EXPIRED),
        (root("future", not_before=NOW + timedelta(days=1)), Permission.EXPIRED),
        (root("ed25519", kind="ed25519"), Permission.UNLOADABLE),
    ],
)
def test_what_would_not_do_as_expected_is_refused_and_may_be_allowed_by_name(
    bad: Root, permission: Permission | None
) -> None:
    assert complaints(GOOD, bad) == [permission]
    found = list(objections((bad,), RootSet((bad,)), now=NOW, test_roots={}))
    with pytest.raises(Refused) as caught:
        check(found, [other for other in Permission if other is not permission])
    assert bad.name in caught.value.message
    if permission is None:
        assert "--allow" not in caught.value.hint
    else:
        assert permission.value in caught.value.hint
        assert check(found, [permission]) == tuple(found)


def test_a_denied_root_can_not_be_allowed() -> None:
    entry = DenyEntry(DenyKind.CERTIFICATE, GOOD.fingerprint)
    assert complaints(GOOD, deny=[entry]) == [None]


def test_a_test_root_has_a_permission_of_its_own() -> None:
    assert complaints(GOOD, test=GOOD.certificate) == [Permission.TEST_ROOT]


def test_the_image_holds_the_roots_the_loader_and_a_manifest_that_says_so() -> None:
    made = image(SET, Request())
    found = files(made.cpio())
    manifest = Manifest.parse(found[MANIFEST], "image")
    assert manifest == made.manifest
    for one in made.roots:
        assert found[f"usr/lib/cmakeys/roots/{one.name}.der"] == one.certificate.der
    assert found[LOADER].startswith(b"#!/bin/sh\n")
    assert found["usr/lib/cmakeys/digest"].decode().strip() == manifest.digest
    assert "usr/lib/cmakeys/required" not in found
    assert "usr/lib/cmakeys/required" in files(image(SET, Request(required=True)).cpio())


def test_the_same_roots_give_the_same_bytes_in_any_order_and_with_any_provenance() -> None:
    other = RootSet(tuple(reversed(SET.roots)))
    assert image(SET, Request()).cpio() == image(other, Request(("retiring", "good"))).cpio()
    assert image(SET, Request()).cpio() != image(SET, Request(("good",))).cpio()


def test_a_changed_deny_list_changes_the_digest() -> None:
    denied = RootSet(SET.roots, (DenyEntry(DenyKind.KEY, "ab" * 32),))
    assert image(denied, Request()).digest != image(SET, Request()).digest


def test_keyctl_brought_along_lies_in_a_folder_of_its_own() -> None:
    made = image(SET, Request(), keyctl=Keyctl(b"program", b"loader", {"libc.so.6": b"library"}))
    found = files(made.cpio())
    assert found["usr/lib/cmakeys/keyctl"] == b"program"
    assert found["usr/lib/cmakeys/ld.so"] == b"loader"
    assert found["usr/lib/cmakeys/lib/libc.so.6"] == b"library"


def test_no_folder_is_named_that_an_initrd_may_have_as_a_link() -> None:
    """The kernel would replace the link by a folder, and what was behind it would be gone."""
    paths = [entry.path for entry in image(SET, Request()).entries()]
    assert {path.split("/")[0] for path in paths} <= {"usr", "var", "conf"}
    assert {path.split("/")[1] for path in paths if path.startswith("usr/")} == {"lib"}
