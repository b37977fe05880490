"""The strict JSON reader: what is read can be read in one way only, and anything else is the clean error."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.roots.document import MAX_DEPTH, DocumentProblem, Node
from cmakeys.roots.json_document import base64_of, base64_text, read_json, render_json


def read(data: bytes) -> Node:
    return read_json(data, "x.json", max_size=2000, max_nodes=100)


def plain(node: Node) -> object:
    match node.value:
        case str():
            return node.value
        case tuple():
            return [plain(item) for item in node.value]
    return {key: plain(item) for key, item in node.value.items()}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1, "a": 1}', "a key occurs twice"),
        (b'{"b": {"a": 1, "a": 2}}', "a key occurs twice"),
        (b"1.0", "1.0 is not a whole number"),
        (b"1e3", "1e3 is not a whole number"),
        (b"[NaN]", "NaN is not a whole number"),
        (b"null", "null is not a value here"),
        (b'"\\ud800"', "a lone surrogate"),
        (b'{"\\ud800": 1}', "a lone surrogate"),
        (b'"\xff"', "not UTF-8"),
        (b"{} {}", "not JSON"),
        (b"", "it is empty"),
        (b"[" * 900 + b"]" * 900, "nested deeper"),
        (b"[[[[[[[[[[]]]]]]]]]]", "nested deeper"),
        (b"[" + b"1," * 100 + b"1]", "too many values"),
        (b" " * 2001, "2001 bytes, more than 2000"),
    ],
)
def test_what_could_be_misread_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(DocumentProblem, match=message) as caught:
        read(data)
    assert caught.value.object.startswith("x.json")


def test_an_error_names_the_path_to_the_value() -> None:
    node = read(b'{"roots": [{"name": 1}, {"nam": 2}]}')
    item = node.mapping(frozenset({"roots"}))["roots"].items()[1]
    with pytest.raises(DocumentProblem) as caught:
        item.mapping(frozenset({"name"}))
    assert caught.value.object == "x.json.roots[1].nam"


@pytest.mark.parametrize("text", ["YQ", "YQ==\n", "YR==", "Y Q==", "ü", "YQ==YQ=="])
def test_bytes_have_one_spelling_in_base64(text: str) -> None:
    with pytest.raises(DocumentProblem, match="base64"):
        base64_of(Node(text, "x", 0))


@given(st.binary())
def test_bytes_come_back_out_of_base64(data: bytes) -> None:
    assert base64_of(Node(base64_text(data), "x", 0)) == data


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_are_the_clean_error(data: bytes) -> None:
    with suppress(DocumentProblem):
        assert read(data).source == "x.json"


def depth(content: object) -> int:
    match content:
        case list():
            return 1 + max(map(depth, content), default=-1)
        case dict():
            return 1 + max(map(depth, content.values()), default=-1)
    return 0


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


@given(
    st.recursive(
        texts, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=9
    )
)
def test_what_is_written_reads_back(content: object) -> None:
    data = render_json(content)
    if depth(content) > MAX_DEPTH:
        with pytest.raises(DocumentProblem, match="nested deeper"):
            read_json(data, "x", max_size=10_000, max_nodes=500)
    else:
        assert plain(read_json(data, "x", max_size=10_000, max_nodes=500)) == content
