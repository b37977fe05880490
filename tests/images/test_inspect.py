"""An image is held against its own manifest, and against the roots of a machine."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from cmakeys.images.bake import Request, image
from cmakeys.images.cpio import Entry, render
from cmakeys.images.initrd import Contents, read_stream
from cmakeys.images.inspect import Difference, Inspection, deviations, inspect
from cmakeys.images.manifest import ManifestProblem
from cmakeys.images.tree import PLACE
from cmakeys.roots.deny import DenyEntry, DenyKind
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.rootset import RootSet
from tests.roots import trust

A, B, C = trust.root("a"), trust.root("b"), trust.root("c")
MADE = image(RootSet((A, B)), Request())


def contents(*more: Entry, without: str = "-") -> Contents:
    """The files of the image without some of them, and others behind it."""
    kept = [entry for entry in MADE.entries() if without not in entry.path]
    data = render(kept) + render(more)
    return read_stream(io.BytesIO(data), len(data), "test")


def ours(path: str, data: bytes) -> Entry:
    return Entry.file(f"{PLACE}/{path}", data)


def looked(*more: Entry, without: str = "-") -> Inspection:
    return inspect(contents(*more, without=without), "test")


def test_what_was_baked_is_found_without_fault() -> None:
    found = looked()
    assert found.faults == ()
    assert [(root.name, root.sha256) for root in found.roots] == [(one.name, one.fingerprint) for one in (A, B)]
    assert found.manifest == MADE.manifest
    assert found.same_loader
    assert not found.keyctl


@pytest.mark.parametrize(
    ("more", "without", "words"),
    [
        ((ours("roots/a.der", B.certificate.der),), "-", "a is another certificate"),
        ((ours("roots/a.der", b"nothing"),), "-", "a is no certificate"),
        ((ours("roots/c.der", C.certificate.der),), "-", "c is in the image and not in the manifest"),
        ((), "roots/a.der", "a is in the manifest and not in the image"),
        ((), f"{PLACE}/load", "no loader"),
        ((ours("roots.list", b""),), "-", "the loader's list"),
        ((ours("digest", b"0\n"),), "-", "the digest is not"),
        ((ours("required", b""),), "-", "disagree on whether"),
        ((), "manifest.json", "no manifest"),
    ],
)
def test_what_differs_from_the_manifest_is_a_fault(more: tuple[Entry, ...], without: str, words: str) -> None:
    assert any(words in fault for fault in looked(*more, without=without).faults)


def test_an_image_that_nothing_calls_is_at_fault() -> None:
    entries = [entry for entry in MADE.entries() if entry.path.startswith(PLACE)]
    data = render(entries)
    found = inspect(read_stream(io.BytesIO(data), len(data), "test"), "test")
    assert found.faults == ("nothing in it calls the loader",)


def test_another_loader_is_told_from_ours() -> None:
    assert not looked(ours("load", b"#!/bin/sh\n")).same_loader


def test_a_manifest_that_is_none_is_named() -> None:
    with pytest.raises(ManifestProblem):
        looked(ours("manifest.json", b"{}"))


def test_an_initrd_without_ours_has_nothing_to_say() -> None:
    data = render([Entry.file("init", b"")])
    found = inspect(read_stream(io.BytesIO(data), len(data), "test"), "test")
    assert (found.manifest, found.roots, found.faults) == (None, (), ())


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        (RootSet((A, B)), []),
        (RootSet((A, B, C)), [(Difference.MISSING, "c")]),
        (RootSet((A,)), [(Difference.EXTRA, "b")]),
        (RootSet((A, replace(B, state=LifeCycle.STAGED))), [(Difference.EXTRA, "b")]),
        (RootSet((A, replace(B, state=LifeCycle.RETIRED))), [(Difference.RETIRED, "b")]),
        (RootSet((A, replace(B, state=LifeCycle.DISTRUSTED))), [(Difference.DISTRUSTED, "b")]),
        (RootSet((A, B), (DenyEntry(DenyKind.CERTIFICATE, B.fingerprint),)), [(Difference.DISTRUSTED, "b")]),
        (RootSet((A, replace(B, state=LifeCycle.RETIRING))), []),
        (RootSet((A, replace(B, name="renamed"))), []),
    ],
)
def test_how_an_image_differs_from_a_machine(configured: RootSet, expected: list[tuple[Difference, str]]) -> None:
    assert [(one.kind, one.name) for one in deviations(looked(), configured)] == expected
