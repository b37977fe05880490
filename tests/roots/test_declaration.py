"""A file that declares the set of roots is read strictly, and one that was written asks for exactly what was there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import CmakeysError, NotFound, Refused
from cmakeys.roots.declaration import DeclaredRoot, outline, read_declaration, render_declaration
from cmakeys.roots.document import DocumentProblem
from cmakeys.roots.record import render_pem
from cmakeys.roots.root import Constraints, LeafNameRule, LifeCycle, Provenance
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet
from tests.roots.trust import root

A, B = root("a"), root("b")
WHEN = datetime(2027, 1, 1, tzinfo=UTC)
FILES = {"a.pem": render_pem(A.certificate), "both.pem": render_pem(A.certificate) + render_pem(B.certificate)}


def fetch(name: str) -> bytes:
    if name not in FILES:
        raise NotFound("no such file", object=name)
    return FILES[name]


def read(text: str) -> tuple[DeclaredRoot, ...]:
    return read_declaration(text.encode(), "roots.yaml", fetch).roots


ENTRY = f"""\
schema: 1
prune: true
roots:
  - name: a
    fingerprint: "{A.fingerprint.upper()}"
    certificate: both.pem
    state: staged
    constraints: {{pci-vendors: [10de], leaf-name: either}}
    distrust-after: 2027-01-01T00:00:00Z
    reason: rack 3
    allow-test-root: true
deny:
  - key: {"ab" * 32}
"""


def test_everything_that_a_file_can_say_is_read() -> None:
    found = read_declaration(ENTRY.encode(), "roots.yaml", fetch)
    assert found.prune
    assert found.deny == (DenyEntry(DenyKind.KEY, "ab" * 32),)
    assert found.roots == (
        DeclaredRoot(
            "a",
            "roots.yaml line 4",
            A.fingerprint,
            A.certificate,
            LifeCycle.STAGED,
            Constraints(pci_vendors=frozenset({0x10DE}), leaf_name=LeafNameRule.EITHER),
            WHEN,
            False,
            "rack 3",
            True,
        ),
    )


def test_what_is_left_out_is_told_from_what_is_cleared() -> None:
    plain, cleared = read("schema: 1\nroots: [{name: a}, {name: b, distrust-after: none, constraints: {}}]\n")
    assert plain == DeclaredRoot("a", "roots.yaml line 2")
    assert cleared == DeclaredRoot("b", "roots.yaml line 2", constraints=Constraints(), keeps_distrust=False)
    assert read_declaration(b"schema: 1\nroots: []\n", "x", fetch).deny is None


@pytest.mark.parametrize(
    "text", ["certificate: a.pem", "certificate: |\n      " + "\n      ".join(FILES["a.pem"].decode().split("\n"))]
)
def test_a_certificate_is_a_file_or_the_text_itself(text: str) -> None:
    (found,) = read(f"schema: 1\nroots:\n  - name: a\n    {text}\n")
    assert found.certificate == A.certificate


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("roots: []", 1, "schema missing"),
        ("schema: 2\nroots: []", 1, "schema 2 is not known"),
        ("schema: 1\nroots: {}", 2, "a list is expected"),
        ("schema: 1\nroots:\n- name: a\n  sate: trusted", 4, "unknown key 'sate'"),
        ("schema: 1\nroots:\n- state: trusted", 3, "name missing"),
        ("schema: 1\nroots:\n- name: ../a", 3, "cannot name a root"),
        ("schema: 1\nroots:\n- name: a\n  fingerprint: 12ab", 4, "not a whole SHA-256"),
        ("schema: 1\nroots:\n- name: a\n  state: believed", 4, "not known here"),
        ("schema: 1\nroots:\n- name: a\n  certificate: none.pem", 4, "no such file"),
        ("schema: 1\nroots:\n- name: a\n  certificate: |\n    -----BEGIN CERTIFICATE-----\n    AAAA", 4, "the text"),
        ("schema: 1\nroots:\n- name: a\n  constraints: {pci-vendor: [1]}", 4, "unknown key"),
        ("schema: 1\nroots:\n- name: a\n  distrust-after: soon", 4, "not a time"),
        ("schema: 1\nroots:\n- name: a\n  allow-test-root: yes", 4, "neither true nor false"),
        ("schema: 1\nprune: yes\nroots: []", 2, "neither true nor false"),
        ("schema: 1\nroots:\n- name: a\n- name: a", 4, "the same name as a, x line 3"),
        ("schema: 1\nroots:\n- {name: a, certificate: a.pem}\n- {name: b, certificate: a.pem}", 4, "same certificate"),
        ("schema: 1\nroots: []\ndeny: [{odd: 1}]", 3, "unknown key"),
    ],
)
def test_what_is_not_understood_is_named_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(DocumentProblem, match=words) as refusal:
        read_declaration(text.encode(), "x", fetch)
    assert refusal.value.object == f"x line {line}"
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("fields", ["certificate: both.pem", f"certificate: a.pem\n  fingerprint: {B.fingerprint}"])
def test_a_certificate_that_may_not_be_the_one_meant_is_refused(fields: str) -> None:
    with pytest.raises(Refused) as refusal:
        read(f"schema: 1\nroots:\n- name: a\n  {fields}\n")
    assert refusal.value.object == "roots.yaml line 4"
    assert refusal.value.exit_code == 8


ROUND = RootSet(
    (
        replace(A, state=LifeCycle.STAGED, distrust_after=WHEN, provenance=Provenance(reason="rack: 3\n#")),
        replace(B, constraints=Constraints(classes=frozenset({"03"}), versions=frozenset({"1.2"}))),
        root("c", state=LifeCycle.DISTRUSTED),
    ),
    (
        DenyEntry(DenyKind.KEY, "ab" * 32, "leaked", after=WHEN),
        DenyEntry(DenyKind.ISSUER_SERIAL, "cd" * 32, serial=0x1A2B),
    ),
)


def test_what_was_written_asks_for_what_was_there() -> None:
    found = read_declaration(render_declaration(ROUND, {B.fingerprint: "a sample"}), "x", fetch)
    assert found.prune
    assert found.deny == ROUND.deny
    for declared, one in zip(found.roots, ROUND.roots, strict=True):
        assert (declared.name, declared.fingerprint, declared.certificate) == (
            one.name,
            one.fingerprint,
            one.certificate,
        )
        assert (declared.state, declared.constraints) == (one.state, one.constraints)
        assert declared.distrust_after == one.distrust_after
        assert declared.reason == one.provenance.reason
    assert [declared.allow_test_root for declared in found.roots] == [False, True, False]


def test_the_outline_of_a_set_shows_what_decides_and_no_certificate() -> None:
    text = "\n".join(outline(ROUND))
    assert all(one.fingerprint in text for one in ROUND.roots)
    assert "BEGIN CERTIFICATE" not in text
    assert outline(ROUND) != outline(RootSet(ROUND.roots))


LINES = st.sampled_from([*ENTRY.splitlines(), "- name: b", "  certificate: a.pem", "roots: []", "  state: [x]", "{"])


@given(st.lists(LINES, max_size=14).map("\n".join) | st.text(max_size=60))
def test_any_text_is_a_declaration_or_a_clean_refusal(text: str) -> None:
    try:
        found = read_declaration(text.encode("utf-8", "surrogatepass"), "x", fetch)
    except CmakeysError:
        return
    assert len({declared.name for declared in found.roots}) == len(found.roots)


def test_the_bytes_of_a_declaration_are_bounded() -> None:
    with pytest.raises(DocumentProblem, match="more than"):
        read_declaration(b" " * (17 * 1024 * 1024), "x", fetch)
