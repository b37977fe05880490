"""Which functions speak CMA: known, known not to, or unknown with the reason, by whoever asks."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from cmakeys.devices.functions import FunctionEntry, list_functions
from cmakeys.devices.scan import Discovery, ScannedFunction, Speaks, scan
from cmakeys.devices.sysfs import Sysfs, read_attribute
from cmakeys.errors import NotPermitted
from tests.devices.sysfs import Tree, configuration
from tests.evidence.loopback import IDENTITY


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def only(tree: Tree, discover: Discovery | None = None) -> ScannedFunction:
    (found,) = scan(tree.sysfs, list_functions(tree.sysfs), discover)
    return found


def discovered(*features: str) -> Discovery:
    return lambda entry: frozenset(features)


def test_the_kernels_list_of_features_decides(tree: Tree) -> None:
    tree.add()
    found = only(tree)
    assert found.speaks is Speaks.YES
    assert found.identity == IDENTITY
    assert found.noteworthy


def test_a_mailbox_for_something_else_is_a_no(tree: Tree) -> None:
    tree.add(features=("doe_discovery", "1e98:02"))
    found = only(tree)
    assert (found.speaks, found.noteworthy) == (Speaks.NO, False)


@pytest.mark.parametrize("content", [b"0\n", b"1\n"])
def test_a_verdict_of_the_series_shows_that_it_speaks(tree: Tree, content: bytes) -> None:
    tree.add(features=None)
    tree.authenticated(content)
    assert only(tree).speaks is Speaks.YES


def test_undetermined_stays_unknown_is_called_a_downgrade_and_is_listed(tree: Tree) -> None:
    tree.add(features=None)
    tree.authenticated(errno.ENOTTY)
    found = only(tree, discovered())
    assert (found.speaks, found.noteworthy) == (Speaks.UNKNOWN, True)
    assert "downgrade" in found.reason


def test_a_tsm_session_does_not_show_that_it_speaks(tree: Tree) -> None:
    tree.add(features=None)
    tree.authenticated(b"tsm0\n", 0o444)
    assert only(tree).speaks is Speaks.UNKNOWN


def test_no_mailbox_is_a_no(tree: Tree) -> None:
    tree.add(features=None, config=configuration(mailbox=False))
    assert only(tree).speaks is Speaks.NO


def test_a_kernel_that_lists_features_lists_all_of_them(tree: Tree) -> None:
    tree.add()
    tree.add("0000:02:00.0", features=None)
    assert [found.speaks for found in scan(tree.sysfs, list_functions(tree.sysfs))] == [Speaks.YES, Speaks.NO]


@pytest.mark.parametrize(
    ("discover", "speaks"),
    [
        (None, Speaks.UNKNOWN),
        (discovered("0001:00", "0001:01"), Speaks.YES),
        (discovered("0001:00"), Speaks.NO),
    ],
    ids=["nobody asks", "it does", "it does not"],
)
def test_an_old_kernel_leaves_it_to_discovery(tree: Tree, discover: Discovery | None, speaks: Speaks) -> None:
    tree.add(features=None)
    assert only(tree, discover).speaks is speaks


def test_a_mailbox_that_cannot_be_asked_is_unknown_and_ends_nothing(tree: Tree) -> None:
    def refuse(entry: FunctionEntry) -> frozenset[str]:
        raise NotPermitted("locked down", object=entry.url)

    tree.add(features=None)
    found = only(tree, refuse)
    assert found.speaks is Speaks.UNKNOWN
    assert "locked down" in found.reason


def test_without_root_the_reason_says_what_could_not_be_read(tree: Tree) -> None:
    tree.add(features=None)

    def first_64_bytes(path: Path, limit: int) -> bytes:
        return read_attribute(path, limit)[: 64 if path.name == "config" else limit]

    sysfs = Sysfs(tree.root, first_64_bytes)
    (found,) = scan(sysfs, list_functions(sysfs), discovered("0001:01"))
    assert found.speaks is Speaks.UNKNOWN
    assert "without root" in found.reason
    assert found.identity is None
