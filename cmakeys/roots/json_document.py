"""A strict reader for JSON that a program wrote and another one must not misread: signed payloads and saved state.

What comes out is the `Node` of the YAML reader, so the rules of what may stand where are the same for both. There are
no fractions, no null, no key twice and nothing after the value; numbers and truth values become the text they are
written as. Size, depth and number of values are bounded, and every complaint names the path to the value.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence

from cmakeys.roots.document import MAX_DEPTH, DocumentProblem, Node


def read_json(data: bytes, source: str, *, max_size: int, max_nodes: int) -> Node:
    """The one JSON value in `data`; `source` is the name for messages.

    Raises `DocumentProblem` for anything but such a document within these bounds.
    """
    if len(data) > max_size:
        raise DocumentProblem(f"{len(data)} bytes, more than {max_size}", object=source)
    if not data.strip():
        raise DocumentProblem("it is empty", object=source)
    try:
        value: object = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_pairs,
            parse_int=str,
            parse_float=_refuse,
            parse_constant=_refuse,
        )
    except UnicodeDecodeError:
        raise DocumentProblem("not UTF-8", object=source) from None
    except RecursionError:
        raise DocumentProblem(f"nested deeper than {MAX_DEPTH}", object=source) from None
    except ValueError as error:
        raise DocumentProblem(f"not JSON as it is needed here: {error}", object=source) from None
    return _Builder(max_nodes).node(value, source, 0)


def render_json(content: object) -> bytes:
    """JSON of nested mappings, lists, text and whole numbers; the same content gives the same bytes."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True).encode("ascii") + b"\n"


def base64_of(node: Node) -> bytes:
    """The bytes that a node has in base64, in the one spelling that they have."""
    text = node.text()
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise node.problem("this is not base64") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise node.problem("this base64 has another spelling than its bytes")
    return data


def base64_text(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode("ascii")


def _pairs(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse(text: str) -> object:
    raise ValueError(f"{text[:40]} is not a whole number")


class _Builder:
    """Turns what the JSON library read into nodes, within bounds."""

    def __init__(self, max_nodes: int) -> None:
        self.left = max_nodes

    def node(self, value: object, source: str, depth: int) -> Node:
        self.left -= 1
        if self.left < 0:
            raise DocumentProblem("too many values", object=source)
        if depth > MAX_DEPTH:
            raise DocumentProblem(f"nested deeper than {MAX_DEPTH}", object=source)
        match value:
            case bool():
                return Node("true" if value else "false", source, 0)
            case str():
                return Node(_text(value, source), source, 0)
            case list():
                items = (self.node(item, f"{source}[{number}]", depth + 1) for number, item in enumerate(value))
                return Node(tuple(items), source, 0)
            case dict():
                fields = {
                    _text(key, source): self.node(item, f"{source}.{key[:40]}", depth + 1)
                    for key, item in value.items()
                }
                return Node(fields, source, 0)
        raise DocumentProblem("null is not a value here", object=source)


def _text(value: str, source: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise DocumentProblem("a lone surrogate is not text", object=source)
    return value
