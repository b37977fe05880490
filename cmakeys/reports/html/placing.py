"""Where each box of the chain graph goes, in pixels of its own drawing: numbers in, numbers out.

Two ways, because one drawing can't be read on a desk and on a telephone: in columns from the roots to the devices, and
as an indented list. Each subtree has a band of its own, so that boxes can't overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cmakeys.reports.html.tree import Kind, Node

TALL = 46
"""Height of a box with two lines."""

LOW = 28
"""Height of a box with one."""

GAP = 8
"""Between boxes above each other."""

BETWEEN = 20
"""Between trees."""

AISLE = 34
"""Between columns."""

INDENT = 18
"""Of a level of the list."""

EDGE = 2
"""Around the drawing, so that lines at its border are not cut."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node and its place."""

    node: Node
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Wire:
    """The line from a box to one below it, as the points it passes."""

    child: Node
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """A drawing of `width` by `height`."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]


def height_of(node: Node) -> int:
    """The height of a box."""
    return LOW if node.kind in (Kind.DEVICE, Kind.DEVICES) else TALL


def depth_of(node: Node) -> int:
    """Levels of a tree, its own included."""
    return 1 + max((depth_of(child) for child in node.children), default=0)


def in_columns(trees: Sequence[Node], width: float) -> Graph:
    """From the left to the right, the devices all in the last column."""
    columns = max(max(map(depth_of, trees), default=1), 2)
    pitch = (width - 2 * EDGE + AISLE) / columns
    boxes: list[Box] = []
    wires: list[Wire] = []

    def place(node: Node, level: int, top: float) -> Box:
        column = columns - 1 if not node.children else level
        children: list[Box] = []
        inner = top + _line(node) - (_line(node.children[0]) if node.children else 0)
        for child in node.children:
            children.append(place(child, level + 1, inner))
            inner += _band(child) + GAP
        height = height_of(node)
        box = Box(node, EDGE + column * pitch, top + _line(node) - height / 2, pitch - AISLE, height)
        boxes.append(box)
        for below in children:
            start, end = (box.x + box.width, _middle(box)), (below.x, _middle(below))
            bend = box.x + box.width + AISLE / 2
            wires.append(Wire(below.node, (start, (bend, start[1]), (bend, end[1]), end)))
        return box

    top = float(EDGE)
    for tree in trees:
        place(tree, 0, top)
        top += _band(tree) + BETWEEN
    return Graph(width, max(top - BETWEEN, EDGE) + EDGE, tuple(boxes), tuple(wires))


def _line(node: Node) -> float:
    """From the top of a tree's band down to the middle of its box, which is level with that of its first child."""
    return max(height_of(node) / 2, _line(node.children[0]) if node.children else 0)


def _band(node: Node) -> float:
    """The height of a tree: of its box, or of all below it."""
    first = _line(node.children[0]) if node.children else 0
    return max(_line(node) + height_of(node) / 2, _line(node) - first + _stack(node))


def _stack(node: Node) -> float:
    return sum(map(_band, node.children)) + GAP * max(len(node.children) - 1, 0)


def _middle(box: Box) -> float:
    return box.y + box.height / 2


def as_list(trees: Sequence[Node], width: float) -> Graph:
    """One box a line, those below a box indented under it."""
    boxes: list[Box] = []
    wires: list[Wire] = []

    def place(node: Node, level: int, top: float) -> tuple[Box, float]:
        x = EDGE + level * INDENT
        box = Box(node, x, top, width - EDGE - x, height_of(node))
        boxes.append(box)
        bottom = top + box.height
        for child in node.children:
            below, bottom = place(child, level + 1, bottom + GAP)
            stem = x + INDENT / 2
            wires.append(Wire(child, ((stem, box.y + box.height), (stem, _middle(below)), (below.x, _middle(below)))))
        return box, bottom

    bottom = float(EDGE - BETWEEN)
    for tree in trees:
        _, bottom = place(tree, 0, bottom + BETWEEN)
    return Graph(width, max(bottom, EDGE) + EDGE, tuple(boxes), tuple(wires))
