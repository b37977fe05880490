"""The one place where text becomes a part of a document: escaped twice, as on a terminal and by the XML writer.

The document is written as XML that an HTML reader takes the same way, in ASCII, so that no encoding on its way can hurt
it. For that, nothing but a void element and a shape may be empty, which `element` sees to.
"""

from __future__ import annotations

import unicodedata
from xml.etree.ElementTree import Element, indent, tostring

from cmakeys.reports.layout import ELLIPSIS
from cmakeys.reports.terminal import printable
from cmakeys.verify.verdict import Outcome

XHTML = "http://www.w3.org/1999/xhtml"
SVG = "http://www.w3.org/2000/svg"

EMPTY = frozenset({"meta", "br", "path", "circle", "rect", "line", "polyline", "svg"})
"""Elements that may be without content."""

MAX_TEXT = 600
"""Characters of one foreign text."""

MAX_MARKS = 4
"""Combining characters on one letter; more of them paint over the lines above and below."""


def element(tag: str, *content: str | Element, **attributes: str | float) -> Element:
    """An element with text and elements in it; `class_` is the attribute `class`, `aria_label` is `aria-label`."""
    made = Element(tag, {_attribute(name): _text(value) for name, value in attributes.items()})
    last: Element | None = None
    for one in content:
        if isinstance(one, Element):
            made.append(one)
            last = one
        elif last is None:
            made.text = (made.text or "") + safe(one)
        else:
            last.tail = (last.tail or "") + safe(one)
    if tag not in EMPTY and not len(made) and not made.text:
        made.text = "\N{NO-BREAK SPACE}"
    return made


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _text(value: str | float) -> str:
    return safe(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def safe(text: str) -> str:
    """Foreign text without what is not printed, with an end, and without towers of combining characters."""
    kept: list[str] = []
    marks = 0
    for character in text[: MAX_TEXT + 1]:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MAX_MARKS:
            kept.append(character)
    return printable("".join(kept[:MAX_TEXT])) + (ELLIPSIS if len(text) > MAX_TEXT else "")


def foreign(text: str) -> Element:
    """A name or a reason that may have come from a device: its direction of writing ends with it."""
    return element("bdi", text, class_="foreign")


def document(root: Element) -> list[str]:
    """The lines of the file."""
    indent(root, space="")
    return ["<!DOCTYPE html>", *tostring(root, encoding="us-ascii").decode("ascii").split("\n")]


_SHAPES = {
    Outcome.TRUSTED: ("M8 1a7 7 0 1 1 0 14a7 7 0 1 1 0-14z", "M4.8 8.3l2.2 2.3 4.2-4.7"),
    Outcome.DEGRADED: ("M8 1l7.4 13.6h-14.8z", "M8 6v4M8 12v.6"),
    Outcome.REJECTED: ("M5 1h6l4 4v6l-4 4h-6l-4-4v-6z", "M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2"),
    Outcome.UNREACHABLE: (
        "M8 .4l7.6 7.6-7.6 7.6-7.6-7.6z",
        "M6.2 6.4c0-2.6 3.7-2.4 3.7-.2 0 1.5-1.9 1.5-1.9 3.2M8 11.2v.6",
    ),
    Outcome.UNSUPPORTED: ("M1.5 1.5h13v13h-13z", "M4.8 8h6.4"),
}


def glyph(outcome: Outcome, **place: str | float) -> Element:
    """The shape of an outcome, which differs from the others without any colour; its word stands beside it."""
    shape, mark = _SHAPES[outcome]
    size = {"width": 16, "height": 16}
    return element(
        "svg",
        element("path", d=shape, class_="shape"),
        element("path", d=mark, class_="mark"),
        **{"class_": f"glyph {outcome.value}", "viewBox": "0 0 16 16", "aria_hidden": "true", **size, **place},
    )


def badge(outcome: Outcome) -> Element:
    """An outcome as shape and word."""
    return element("span", glyph(outcome), outcome.value, class_=f"badge {outcome.value}")
