"""Reads as much of a manual page in mdoc(7) as the tests of the manual need: sections, lists, options, literal text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_OPTION = re.compile(r"\bFl (-?[A-Za-z][A-Za-z0-9-]*)")
_MACRO = re.compile(r"^\.(?:It |Pq |Dq |Op )*|\b(?:Ar|Cm|Dq|Em|Fl|Ic|Li|Ns|Pa|Pq|Ql|Sx|Xr)\b ")
_ESCAPE = re.compile(r"\\[&e]")


def options_in(line: str) -> frozenset[str]:
    """The options that a line of source marks as such: `Fl -json` is --json, `Fl o` is -o."""
    if not line.startswith("."):
        return frozenset()
    return frozenset("-" + found for found in _OPTION.findall(line))


def plain(line: str) -> str:
    """A line of source without its macros; good enough to look for words in."""
    text = _MACRO.sub("", line) if line.startswith(".") else line
    return _ESCAPE.sub("", text)


@dataclass(frozen=True)
class Item:
    """An item of a list: its head as it stands in the source, and the lines below it."""

    head: str
    body: tuple[str, ...]

    @property
    def options(self) -> frozenset[str]:
        return options_in(f".{self.head}")

    @property
    def term(self) -> str:
        return plain(f".It {self.head}").strip()

    @property
    def text(self) -> str:
        return " ".join(plain(line) for line in self.body)


@dataclass(frozen=True)
class Section:
    """A section, or with a subtitle a subsection, and its lines."""

    title: str
    subtitle: str
    lines: tuple[str, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """The items of its lists; a list within an item belongs to that item."""
        found: list[tuple[str, list[str]]] = []
        depth = 0
        for line in self.lines:
            if line.startswith(".Bl"):
                depth += 1
            elif line.startswith(".El"):
                depth -= 1
            if depth == 1 and line.startswith(".It"):
                found.append((line.removeprefix(".It").strip(), []))
            elif depth and found and not (depth == 1 and line.startswith(".Bl")):
                found[-1][1].append(line)
        return tuple(Item(head, tuple(body)) for head, body in found)

    @property
    def options(self) -> frozenset[str]:
        return frozenset().union(*(options_in(line) for line in self.lines))


@dataclass(frozen=True)
class Page:
    """A page of the manual."""

    path: Path
    sections: tuple[Section, ...]

    @classmethod
    def read(cls, path: Path) -> Page:
        sections: list[Section] = []
        title, subtitle, lines = "", "", list[str]()
        for line in [*path.read_text("ascii").splitlines(), ".Sh END"]:
            if not line.startswith((".Sh ", ".Ss ")):
                lines.append(line)
                continue
            sections.append(Section(title, subtitle, tuple(lines)))
            lines = []
            subtitle = line[4:] if line.startswith(".Ss ") else ""
            title = title if subtitle else line[4:]
        return cls(path, tuple(sections))

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(line for section in self.sections for line in section.lines)

    def section(self, title: str, subtitle: str = "") -> Section:
        return next(one for one in self.sections if (one.title, one.subtitle) == (title, subtitle))

    def below(self, title: str) -> tuple[Section, ...]:
        """A section with its subsections."""
        return tuple(one for one in self.sections if one.title == title)

    def synopsis(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        """The lines of the synopsis for each verb, by its words."""
        found: dict[tuple[str, ...], list[str]] = {}
        current: list[str] = []
        for line in self.section("SYNOPSIS").lines:
            if line.startswith(".Nm cmakeys Cm "):
                current = found.setdefault(tuple(line.split()[3:]), [])
            else:
                current.append(line)
        return {words: tuple(lines) for words, lines in found.items()}

    def literals(self) -> Iterator[tuple[str, str]]:
        """Every literal display with the comment before it, `example: …`, which is empty where there is none."""
        kind, lines, inside = "", list[str](), False
        for line in self.lines:
            if line.startswith('.\\" example: '):
                kind = line.removeprefix('.\\" example: ')
            elif line.startswith(".Bd -literal"):
                lines, inside = [], True
            elif line.startswith(".Ed"):
                yield kind, "".join(f"{each}\n" for each in lines)
                kind, inside = "", False
            elif inside:
                lines.append(line.replace("\\e", "\\"))

    def commands(self) -> Iterator[tuple[str, ...]]:
        """The arguments of each `cmakeys` in a literal display, up to what belongs to the shell."""
        for _, text in self.literals():
            for line in text.replace("\\\n", " ").splitlines():
                for part in re.split(r"(?:^|\s|&& )cmakeys ", line)[1:]:
                    words = shlex.shlex(part, posix=True, punctuation_chars=True)
                    words.whitespace_split = True
                    yield tuple(_until_shell(words))


def _until_shell(words: shlex.shlex) -> Iterator[str]:
    for word in words:
        if set(word) <= set("|&;<>()"):
            return
        yield word
