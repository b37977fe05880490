"""The strict YAML reader: plain documents come through as they are written, everything else is one clean error."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.roots.document import (
    MAX_DEPTH,
    MAX_DOCUMENT_SIZE,
    MAX_NODES,
    DocumentProblem,
    Node,
    read_document,
    render_document,
)
from cmakeys.roots.root import LifeCycle


def plain(node: Node) -> object:
    if isinstance(node.value, str):
        return node.value
    if isinstance(node.value, tuple):
        return [plain(item) for item in node.value]
    return {key: plain(item) for key, item in node.value.items()}


def problem_of(data: bytes) -> DocumentProblem | None:
    try:
        read_document(data, "some file")
    except DocumentProblem as problem:
        return problem
    return None


text = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")), max_size=30)
documents = st.dictionaries(
    text, st.recursive(text, lambda inner: st.lists(inner, max_size=3), max_leaves=6), max_size=5
)


@given(documents)
def test_what_is_rendered_is_read_back(content: dict[str, object]) -> None:
    assert plain(read_document(render_document(content), "x")) == content


@given(st.binary(max_size=300))
def test_any_bytes_are_a_document_or_one_clean_error(data: bytes) -> None:
    problem = problem_of(data)
    assert problem is None or problem.object.startswith("some file")


@given(st.text(alphabet="a1:-[]{}&*!?|>'\"\\#%@,\n\t ", max_size=60))
def test_anything_that_looks_like_yaml_is_a_document_or_one_clean_error(source: str) -> None:
    problem = problem_of(source.encode())
    assert problem is None or problem.object.startswith("some file")


def test_without_the_c_library_the_same_documents_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert plain(read_document(b"a: [1, {b: 'no'}]", "x")) == {"a": ["1", {"b": "no"}]}
    for bad in (b'a: "\\udc80"', b'a: "\\U00110000"', b"a: &x 1", b"a: 1\na: 2", b"[" * 60_000):
        with pytest.raises(DocumentProblem):
            read_document(bad, "x")


@pytest.mark.parametrize("written", ["10e5", "0010", "no", "1.10", "0x10", "~", "null", "2026-11-22", "15b3"])
def test_plain_text_is_never_turned_into_anything_else(written: str) -> None:
    assert read_document(f"id: {written}".encode(), "x").mapping(frozenset({"id"}))["id"].text() == written


@pytest.mark.parametrize(
    ("source", "line", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' occurs twice"),
        ("a:\n  - &x 1\n  - *x\n", 2, "anchors and aliases"),
        ("a: 1\nb: *x\n", 2, "anchors and aliases"),
        ("a: 1\nb: !!python/object/apply:os.system [id]\n", 2, "tags"),
        ("a: 1\n? [b]\n: 2\n", 2, "a key must be plain text"),
        ("a: 1\nb: [\n", 3, "not YAML"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
    ],
)
def test_a_complaint_names_the_line(source: str, line: int, says: str) -> None:
    with pytest.raises(DocumentProblem, match=says) as caught:
        read_document(source.encode(), "x.yaml")
    assert caught.value.object == f"x.yaml line {line}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"# only a comment\n",
        b"--- a\n--- b\n",
        b"a: \xff\n",
        b"a: \x07\n",
        b"a" * (MAX_DOCUMENT_SIZE + 1),
        b"[" * 60_000,
        b"{a: " * 10_000,
        b"- " * 10_000,
        b"a:\n" + b"- x\n" * (MAX_NODES + 1),
        b"x: " + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
    ],
)
def test_a_document_out_of_bounds_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentProblem):
        read_document(data, "x")


def field(source: str) -> Node:
    return read_document(f"k: {source}".encode(), "x").mapping(frozenset({"k"}))["k"]


def test_unknown_and_missing_keys_are_named_with_what_is_known() -> None:
    with pytest.raises(DocumentProblem, match="unknown key 'b'") as caught:
        read_document(b"a: 1\nb: 2\n", "x").mapping(frozenset({"a"}), frozenset({"c"}))
    assert caught.value.object == "x line 2"
    assert "a, c" in caught.value.hint
    with pytest.raises(DocumentProblem, match="b and c missing"):
        read_document(b"a: 1", "x").mapping(frozenset({"a", "b", "c"}))


@pytest.mark.parametrize("bad", ["", "-1", "1.5", "0x10", "1_0", "١", "9" * 10, "[1]"])
def test_a_number_is_plain_digits(bad: str) -> None:
    with pytest.raises(DocumentProblem):
        field(bad).number()


def test_numbers_are_read_in_their_base() -> None:
    assert (field("10").number(), field("10de").number(16)) == (10, 0x10DE)


@pytest.mark.parametrize(
    "bad", ["2026-11-22", "2026-11-22T08:00:00", "2026-13-22T08:00:00Z", "now", "0001-01-01T00:00:00+14:00"]
)
def test_a_time_has_a_zone_and_exists(bad: str) -> None:
    with pytest.raises(DocumentProblem, match="is not a time"):
        field(bad).time()


def test_a_member_is_known_by_its_value() -> None:
    assert field("retiring").member(LifeCycle) is LifeCycle.RETIRING
    with pytest.raises(DocumentProblem) as caught:
        field("RETIRING").member(LifeCycle)
    assert "retiring" in caught.value.hint


@pytest.mark.parametrize("bad", ["x", "[x]"])
def test_a_mapping_is_not_a_list_nor_text(bad: str) -> None:
    with pytest.raises(DocumentProblem):
        field(bad).mapping(frozenset())
    with pytest.raises(DocumentProblem):
        field("{a: b}").items()
