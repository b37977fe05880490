"""The list of what was baked, written for programs and for a shell."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.images.manifest import BakedRoot, Manifest, ManifestProblem

ROOTS = st.builds(
    BakedRoot,
    st.from_regex(r"[a-z0-9][a-z0-9_-]{0,10}", fullmatch=True),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.sampled_from(["trusted", "retiring"]),
)
MANIFESTS = st.builds(
    Manifest,
    st.lists(ROOTS, max_size=4, unique_by=lambda root: root.name).map(tuple),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.just("0.1.0"),
    st.booleans(),
)
ONE = Manifest((BakedRoot("acme", "ab" * 32, "trusted"),), "cd" * 32, "0.1.0")


@given(MANIFESTS)
def test_what_was_written_is_read(manifest: Manifest) -> None:
    assert Manifest.parse(manifest.render(), "test") == manifest


def test_a_line_of_the_list_has_two_words_for_the_loader() -> None:
    assert ONE.render_list() == f"cmakeys:acme:{'ab' * 32} roots/acme.der\n".encode()


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "cmakeys/image-manifest/2"},
        {"digest": "short"},
        {"digest": 5},
        {"version": "1\n2"},
        {"roots": {}},
        {"roots": [1]},
        {"roots": [{"name": "../x", "sha256": "ab" * 32, "state": "trusted"}]},
        {"roots": [{"name": "x", "sha256": "AB" * 32, "state": "trusted"}]},
        {"roots": [{"name": "x", "sha256": "ab" * 32, "state": "trusted"}] * 2},
        {"roots": [{"name": "x"}] * 5000},
    ],
)
def test_a_strange_manifest_is_refused(change: dict[str, object]) -> None:
    document = json.loads(ONE.render()) | change
    with pytest.raises(ManifestProblem):
        Manifest.parse(json.dumps(document).encode(), "test")


@given(st.binary(max_size=100) | st.recursive(st.none() | st.text(), st.lists).map(lambda j: json.dumps(j).encode()))
def test_any_bytes_give_a_manifest_or_the_clean_error(data: bytes) -> None:
    with pytest.raises(ManifestProblem):
        Manifest.parse(data, "test")


def test_a_deep_or_huge_one_is_refused() -> None:
    for data in (b"[" * 100_000, b" " * (1 << 21)):
        with pytest.raises(ManifestProblem):
            Manifest.parse(data, "test")
