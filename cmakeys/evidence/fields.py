"""A strict view on JSON that others wrote: every field by name and type, and none left over.

Saved evidence, verdicts and reference values are read with it. Whatever is missing, of another type, too long or
unknown is one error that names the file and the field; nothing is guessed or dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import TypeVar

from cmakeys.errors import EvidenceProblem

MAX_TEXT = 4096
"""Characters of one text field."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")
_Member = TypeVar("_Member", bound=Enum)


class FieldProblem(EvidenceProblem):
    """A saved document is not as cmakeys writes it."""

    code = "document"


def read_json(data: bytes, source: str) -> object:
    """Decode one JSON document in which no key occurs twice. Raises `FieldProblem`."""

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(items)
        if len(found) != len(items):
            raise ValueError("a key occurs twice")
        return found

    try:
        document: object = json.loads(data, object_pairs_hook=pairs, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise FieldProblem(f"not JSON: {error}", object=source) from None
    return document


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def time_text(moment: datetime) -> str:
    """A time as RFC 3339 in UTC, as every document of cmakeys has it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Fields:
    """One JSON object; take its fields one by one, then call `finish`."""

    def __init__(self, value: object, source: str) -> None:
        """`source` names the place in messages: a file, then the path of keys. Raises `FieldProblem`."""
        if not isinstance(value, Mapping):
            raise FieldProblem("an object is expected here", object=source)
        self._left: dict[str, object] = dict(value)
        self.source = source

    def problem(self, name: str, message: str) -> FieldProblem:
        """An error about the field `name`; the caller raises it."""
        return FieldProblem(message, object=f"{self.source}, field {name}")

    def take(self, name: str) -> object:
        """A field of any type. Raises `FieldProblem` when it is missing, as all methods below."""
        if name not in self._left:
            raise self.problem(name, "missing")
        return self._left.pop(name)

    def has(self, name: str) -> bool:
        """Whether a field is there that may be left out."""
        return name in self._left

    def text(self, name: str, limit: int = MAX_TEXT) -> str:
        """Text of at most `limit` characters."""
        value = self.take(name)
        if not isinstance(value, str) or len(value) > limit:
            raise self.problem(name, f"text of at most {limit} characters is expected")
        return value

    def optional_text(self, name: str, limit: int = MAX_TEXT) -> str | None:
        """Text or null."""
        return None if self.null(name) else self.text(name, limit)

    def integer(self, name: str, minimum: int, maximum: int) -> int:
        """A whole number within bounds."""
        value = self.take(name)
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise self.problem(name, f"a whole number from {minimum} to {maximum} is expected")
        return value

    def optional_integer(self, name: str, minimum: int, maximum: int) -> int | None:
        """A whole number or null."""
        return None if self.null(name) else self.integer(name, minimum, maximum)

    def octets(self, name: str, limit: int) -> bytes:
        """Lower-case hex of at most `limit` bytes."""
        return hex_octets(self.take(name), self.source, limit, name)

    def optional_octets(self, name: str, limit: int) -> bytes | None:
        """Lower-case hex or null."""
        return None if self.null(name) else self.octets(name, limit)

    def time(self, name: str) -> datetime:
        """A time in UTC."""
        text = self.text(name)
        try:
            if not _TIME.fullmatch(text):
                raise ValueError(text)
            return datetime.fromisoformat(text).astimezone(UTC)
        except ValueError:
            raise self.problem(name, "a time as 2026-11-22T08:00:00Z is expected") from None

    def optional_time(self, name: str) -> datetime | None:
        """A time in UTC or null."""
        return None if self.null(name) else self.time(name)

    def member(self, name: str, kind: type[_Member]) -> _Member:
        """A member of an enumeration by its value."""
        text = self.text(name)
        for member in kind:
            if member.value == text:
                return member
        raise self.problem(name, f"one of {', '.join(str(member.value) for member in kind)} is expected")

    def items(self, name: str, limit: int) -> list[object]:
        """A list of at most `limit` values."""
        value = self.take(name)
        if not isinstance(value, list) or len(value) > limit:
            raise self.problem(name, f"a list of at most {limit} is expected")
        return value

    def objects(self, name: str, limit: int) -> list[Fields]:
        """A list of at most `limit` objects."""
        return [Fields(item, f"{self.source}, {name}[{n}]") for n, item in enumerate(self.items(name, limit))]

    def finish(self) -> None:
        """Refuse whatever was not taken."""
        if self._left:
            name = min(self._left)
            raise FieldProblem(
                f"unknown field {name[:40]!r}", object=self.source, hint="it was written by a newer cmakeys, or by hand"
            )

    def null(self, name: str) -> bool:
        """Whether the field is null; it is taken then."""
        if name in self._left and self._left[name] is None:
            del self._left[name]
            return True
        return False


def hex_octets(value: object, where: str, limit: int, field: str = "") -> bytes:
    """Decode lower-case hex of at most `limit` bytes; `where`, and the `field` there, name it in a `FieldProblem`."""
    if isinstance(value, str) and len(value) <= 2 * limit:
        try:
            octets = bytes.fromhex(value)
        except ValueError:
            octets = b""
        if octets.hex() == value:  # neither blanks nor capitals
            return octets
    where = f"{where}, field {field}" if field else where
    raise FieldProblem(f"lower-case hex digits of at most {limit} bytes are expected", object=where)
