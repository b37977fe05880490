"""Lines with a tone, and text fitted to the width of a terminal: what the text reports are made of."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from cmakeys.reports.terminal import Tone, printable, width

WIDTH = 78
"""Cells of a line; a terminal has 80, and puts a mark of two before a line that has a tone."""

ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a report and what it says about its subject. `Output.show` prints it."""

    text: str
    tone: Tone = Tone.PLAIN


def shorten(text: str, cells: int) -> str:
    """Cut foreign text to at most `cells` terminal cells, escaped, an ellipsis standing for what is left out."""
    safe = printable(text)
    if width(safe) <= cells:
        return safe
    return _fitting(safe, max(cells - 1, 0)) + ELLIPSIS


def wrap(text: str, first: str, following: str) -> list[str]:
    """Break foreign text, escaped, into lines of at most `WIDTH` cells.

    `first` stands before the first line and `following` before the others. A word that is longer than a line is cut.
    """
    lines: list[str] = []
    line = first
    begun = False
    for word in printable(text).split(" "):
        piece = f" {word}" if begun else word
        if begun and width(line) + width(piece) > WIDTH:
            lines.append(line)
            line, begun, piece = following, False, word
        while width(line) + width(piece) > WIDTH:
            head = _fitting(piece, WIDTH - width(line)) or piece[:1]
            lines.append(line + head)
            line, piece = following, piece[len(head) :]
        line += piece
        begun = True
    return [one.rstrip() for one in (*lines, line)]


def _fitting(text: str, cells: int) -> str:
    """The longest beginning of `text` that takes at most `cells`, combining characters kept with their letter."""
    used = 0
    for position, character in enumerate(text):
        used += 0 if unicodedata.combining(character) else width(character)
        if used > cells:
            return text[:position]
    return text
