"""A strict reader for the small YAML files that say what is trusted.

PyYAML tokenises; this module then accepts only what such a file needs: one document of mappings, lists and text. There
are no tags, anchors, aliases or merge keys, no key twice, and nothing is resolved: `10e5`, `no` and `1.10` stay the
text that the file holds, so a PCI id never turns into a number behind an author's back. Size, depth and number of nodes
are bounded before anything is built. Every complaint names the file and the line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from cmakeys.errors import EnvironmentProblem, ExitCode

if TYPE_CHECKING:
    from yaml import SafeDumper, ScalarNode
    from yaml.events import Event

MAX_DOCUMENT_SIZE = 64 * 1024
MAX_DEPTH = 8
MAX_NODES = 4096

MAX_LIST_SIZE = 16 * 1024 * 1024
MAX_LIST_NODES = 400_000
"""Bounds of a file that is one long list of small entries, as a deny file is."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)")
_Member = TypeVar("_Member", bound=Enum)


class DocumentProblem(EnvironmentProblem):
    """A file of settings does not say what it may say."""

    # Not 1: a check that cannot read its policy or its roots must not look like a rejected device.
    exit_code = ExitCode.USAGE
    code = "document"


@dataclass(frozen=True, slots=True)
class Node:
    """A value with the line on which it starts: text, a list of nodes, or a mapping from text to nodes.

    A document without lines has 0 there, and the path to the value in its `source`.
    """

    value: str | tuple[Node, ...] | Mapping[str, Node]
    source: str
    line: int

    def problem(self, message: str, hint: str = "") -> DocumentProblem:
        """An error about this node, naming file and line."""
        where = f"{self.source} line {self.line}" if self.line else self.source
        return DocumentProblem(message, object=where, hint=hint)

    def mapping(self, required: frozenset[str], optional: frozenset[str] = frozenset()) -> Mapping[str, Node]:
        """This node as a mapping with all of `required` and nothing outside `required` and `optional`."""
        if not isinstance(self.value, Mapping):
            raise self.problem("a mapping (key: value) is expected here")
        for key, node in self.value.items():
            if key not in required and key not in optional:
                known = ", ".join(sorted(required | optional))
                raise node.problem(f"unknown key {key[:40]!r}", hint=f"known here: {known}")
        missing = sorted(required - self.value.keys())
        if missing:
            raise self.problem(f"{' and '.join(missing)} missing")
        return self.value

    def items(self) -> tuple[Node, ...]:
        """This node as a list."""
        if not isinstance(self.value, tuple):
            raise self.problem("a list is expected here")
        return self.value

    def text(self) -> str:
        """This node as text."""
        if not isinstance(self.value, str):
            raise self.problem("a single value is expected here")
        return self.value

    def texts(self) -> tuple[str, ...]:
        """This node as a list of text."""
        return tuple(item.text() for item in self.items())

    def number(self, base: int = 10) -> int:
        """This node as a number without sign, in decimal or, with base 16, bare hex digits."""
        text = self.text()
        digits = "0-9" if base == 10 else "0-9a-fA-F"
        if not re.fullmatch(f"[{digits}]{{1,9}}", text):
            kind = "a decimal number" if base == 10 else "hex digits without 0x"
            raise self.problem(f"{text[:40]!r} is not {kind}")
        return int(text, base)

    def member(self, kind: type[_Member]) -> _Member:
        """This node as a member of an enumeration, by its value."""
        text = self.text()
        for member in kind:
            if member.value == text:
                return member
        known = ", ".join(str(member.value) for member in kind)
        raise self.problem(f"{text[:40]!r} is not known here", hint=f"one of: {known}")

    def time(self) -> datetime:
        """This node as a time with its zone, in UTC."""
        text = self.text()
        try:
            if not _TIME.fullmatch(text):
                raise ValueError(text)
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.problem(f"{text[:40]!r} is not a time", hint="write it as 2026-11-22T08:00:00Z") from None


def read_document(data: bytes, source: str, *, max_size: int = MAX_DOCUMENT_SIZE, max_nodes: int = MAX_NODES) -> Node:
    """The one YAML document in `data`; `source` is the name for messages.

    Raises `DocumentProblem` for anything but a plain document within these bounds.
    """
    if len(data) > max_size:
        raise DocumentProblem(f"{len(data)} bytes, more than {max_size}", object=source)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentProblem("not UTF-8", object=f"{source} line {line}") from None
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(source, max_nodes)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source} line {mark.line + 1}" if mark else source
        raise DocumentProblem(f"not YAML: {error.problem or error.context}", object=where) from None
    except (yaml.YAMLError, ValueError) as error:
        raise DocumentProblem(f"not YAML: {str(error).splitlines()[0]}", object=source) from None
    return builder.result()


class _Builder:
    """Turns parser events into one `Node`, without recursion."""

    def __init__(self, source: str, max_nodes: int) -> None:
        self.source = source
        self.max_nodes = max_nodes
        self.nodes = 0
        self.documents: list[Node] = []
        self.open: list[_Collection] = []

    def take(self, event: Event) -> None:
        import yaml

        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self.problem(line, "anchors and aliases are not allowed here")
        if getattr(event, "tag", None) is not None:
            raise self.problem(line, "tags (!…) are not allowed here")
        if isinstance(event, yaml.ScalarEvent):
            self.place(Node(self.scalar(event.value, line), self.source, line))
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(self.open) >= MAX_DEPTH:
                raise self.problem(line, f"nested deeper than {MAX_DEPTH}")
            self.open.append(_Collection(line, is_mapping=isinstance(event, yaml.MappingStartEvent)))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            collection = self.open.pop()
            self.place(Node(collection.value(), self.source, collection.line))

    def scalar(self, text: str, line: int) -> str:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise self.problem(line, "a lone surrogate is not text")
        return text

    def place(self, node: Node) -> None:
        self.nodes += 1
        if self.nodes > self.max_nodes:
            raise self.problem(node.line, f"more than {self.max_nodes} values")
        if not self.open:
            self.documents.append(node)
            return
        collection = self.open[-1]
        if not collection.is_mapping or collection.key is not None:
            collection.put(node)
            return
        if not isinstance(node.value, str):
            raise self.problem(node.line, "a key must be plain text")
        if node.value in collection.keys:
            raise self.problem(node.line, f"key {node.value[:40]!r} occurs twice")
        collection.keys.append(node.value)
        collection.key = node.value

    def result(self) -> Node:
        if len(self.documents) != 1:
            raise DocumentProblem(
                "empty" if not self.documents else "more than one YAML document",
                object=self.source,
            )
        return self.documents[0]

    def problem(self, line: int, message: str) -> DocumentProblem:
        return DocumentProblem(message, object=f"{self.source} line {line}")


class _Collection:
    """A list or mapping that is still being read."""

    def __init__(self, line: int, *, is_mapping: bool) -> None:
        self.line = line
        self.is_mapping = is_mapping
        self.key: str | None = None
        self.keys: list[str] = []
        self.values: list[Node] = []

    def put(self, node: Node) -> None:
        self.values.append(node)
        self.key = None

    def value(self) -> tuple[Node, ...] | Mapping[str, Node]:
        return dict(zip(self.keys, self.values, strict=True)) if self.is_mapping else tuple(self.values)


def render_document(content: Mapping[str, object]) -> bytes:
    """YAML of nested mappings, lists and text that `read_document` reads back as the same, PEM in it as it is."""
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # which of the two, the library says
        """With text of several lines as a block."""

    Dumper.add_representer(str, _represent_text)
    text = yaml.dump(
        content,
        Dumper=Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=4096,
    )
    return text.encode("utf-8", "backslashreplace")


def _represent_text(dumper: SafeDumper, text: str) -> ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)
