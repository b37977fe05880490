"""Plain text for a person's terminal: escaping, tones, marks and columns.

Names come from certificates, devices and files, so a terminal must never receive them as they are: a carriage return
hides a line, a bidirectional override turns a name round. `printable` is the one place that makes foreign text
harmless, and `Terminal.line` and `columns` call it on everything they are given. Colour and marks are therefore asked
for by a `Tone`, never written into a string, and they exist only where the stream is a terminal: text must make sense
without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TextIO


class Tone(Enum):
    """What a line says about its subject; the value is (colour, mark, mark in ASCII)."""

    PLAIN = ("", "", "")
    GOOD = ("32", "✓", "+")
    WARNING = ("33", "!", "!")
    BAD = ("31", "✗", "x")
    NOTE = ("2", "·", "-")

    @property
    def colour(self) -> str:
        """The SGR parameter, empty for none."""
        return self.value[0]


def printable(text: str) -> str:
    """Make foreign text harmless to a terminal and to a reader of its lines.

    Control characters, bidirectional and other format characters, line separators, lone surrogates and unassigned
    code points become `\\xNN`, `\\uNNNN` or `\\UNNNNNNNN`; everything else stays.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def width(text: str) -> int:
    """Terminal cells that `text` takes: two for wide East Asian characters, none for combining ones."""
    if text.isascii():
        return len(text)
    import unicodedata

    cells = 0
    for character in text:
        if not unicodedata.combining(character):
            cells += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return cells


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lay out rows under a header in left-aligned columns, two spaces apart, without trailing blanks."""
    table = [[printable(cell) for cell in row] for row in (header, *rows)]
    if any(len(row) != len(header) for row in table):
        raise ValueError("every row needs one cell per column")
    widths = [max(width(row[column]) for row in table) for column in range(len(header))]
    return [
        "  ".join(cell + " " * (cells - width(cell)) for cell, cells in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


@dataclass(frozen=True, slots=True)
class Terminal:
    """What one output stream can show."""

    interactive: bool = False
    colour: bool = False
    encoding: str = "utf-8"

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str]) -> Terminal:
        """Find out about a stream: NO_COLOR (not empty) and TERM=dumb forbid colour, a file or pipe everything."""
        try:
            interactive = stream.isatty()
        except ValueError:
            interactive = False
        dumb = environ.get("TERM", "") in ("", "dumb")
        encoding = getattr(stream, "encoding", None) or "utf-8"
        return cls(interactive, interactive and not dumb and not environ.get("NO_COLOR"), encoding)

    def line(self, text: str, tone: Tone = Tone.PLAIN) -> str:
        """One line, escaped, with the mark and colour of its tone where the stream is a terminal; no line end."""
        safe = self.encodable(printable(text))
        if not self.interactive or tone is Tone.PLAIN:
            return safe
        mark = self._mark(tone)
        return f"\x1b[{tone.colour}m{mark}\x1b[0m {safe}" if self.colour else f"{mark} {safe}"

    def encodable(self, text: str) -> str:
        """Replace what the stream's encoding lacks by backslash escapes, so that no write fails on a name."""
        return text.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def _mark(self, tone: Tone) -> str:
        _, mark, plain = tone.value
        return mark if self.encodable(mark) == mark else plain
