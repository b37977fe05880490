"""The chain graph and the timeline as inline SVG; where everything goes was decided before (`placing`, `timeline`).

Each drawing exists for a wide and for a narrow page, and the style sheet shows one of the two. Text is cut to what fits
into its box, in a typeface whose characters are all as wide, and the box clips what is wider than that all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from xml.etree.ElementTree import Element

from cmakeys.reports.html.elements import SVG, element, glyph, safe
from cmakeys.reports.html.placing import Box, Graph, as_list, in_columns
from cmakeys.reports.html.timeline import AXIS, BAR, Period, Row, Timeline, place
from cmakeys.reports.html.tree import SEVERITY, Kind, Node
from cmakeys.reports.layout import shorten
from cmakeys.reports.terminal import width
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.verify.verdict import Outcome

WIDE = 1072
NARROW = 344
CELL = 7.3
"""Pixels of a character of 12."""

SMALL_CELL = 6.7
"""Pixels of a character of 11."""


def both(graph: Sequence[Node]) -> list[Element]:
    """The chain graph, wide and narrow."""
    return [_graph(in_columns(graph, WIDE), "wide"), _graph(as_list(graph, NARROW), "narrow")]


def _canvas(drawing: Graph | Timeline, kind: str, title: str, description: str, *content: Element) -> Element:
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        *content,
        xmlns=SVG,
        viewBox=f"0 0 {drawing.width:g} {round(drawing.height, 2):g}",
        role="img",
        class_=f"drawing {kind}",
        aria_label=f"{title}. {description}",
    )


def _graph(graph: Graph, kind: str) -> Element:
    devices = sum(box.node.count for box in graph.boxes if not box.node.children)
    issuers = sum(bool(box.node.children) for box in graph.boxes)
    description = f"{devices:,} devices below {issuers:,} certificates, each with its verdict; the table has the same."
    wires = sorted(graph.wires, key=lambda wire: -SEVERITY.index(wire.child.outcome))
    lines = [
        element(
            "polyline",
            points=" ".join(f"{x:g},{y:g}" for x, y in wire.points),
            class_=f"wire {wire.child.outcome.value}{' claimed' if wire.child.claimed else ''}",
        )
        for wire in wires
    ]
    return _canvas(graph, kind, "Chains of trust", description, *lines, *map(_box, graph.boxes))


def _box(box: Box) -> Element:
    node = box.node
    look = f"box{_LOOKS.get(node.kind, '')} {node.outcome.value}{' claimed' if node.claimed else ''}"
    room = box.width - 38
    label = safe(node.label if node.kind in _LEAVES else node.label.removeprefix("CN="))
    name = element("text", shorten(label, _cells(room)), x=30, y=18, class_="name")
    if node.children:
        content = [
            _seal(),
            name,
            element("text", _fitting_note(node, int(room / SMALL_CELL)), x=30, y=35, class_="note"),
        ]
    else:
        content = [glyph(node.outcome, x=8, y=6), name]
    return element(
        "g",
        element("title", f"{node.label}: {_note(node) if node.children else _word(node)}"),
        element("rect", x=box.x, y=box.y, width=box.width, height=box.height, rx=6, class_="frame"),
        element("svg", *content, x=box.x, y=box.y, width=box.width - 4, height=box.height),
        class_=look,
    )


_LEAVES = (Kind.DEVICE, Kind.DEVICES)
_LOOKS = {Kind.ROOT: " anchor", Kind.DEVICE: " leaf", Kind.DEVICES: " leaf"}


def _seal() -> Element:
    """A certificate as a picture: a seal with its ribbons."""
    return element(
        "path", d="M16 7a5 5 0 1 1 0 10a5 5 0 1 1 0-10zM13.4 16.6l-1.4 5.6 4-2.2 4 2.2-1.4-5.6", class_="seal"
    )


def _fitting_note(node: Node, cells: int) -> str:
    """The second line of a certificate, without the number of all its devices where there is no room for it."""
    whole = _note(node)
    return whole if width(whole) <= cells else shorten(_note(node, brief=True), cells)


def _note(node: Node, *, brief: bool = False) -> str:
    """What a certificate is where that is not plain, and what there is below it."""
    if node.outcome is Outcome.TRUSTED:
        below = f"{node.count:,} device{'s'[: node.count != 1]}"
    elif node.worst_count < node.count and not brief:
        below = f"{node.worst_count:,} of {node.count:,} {node.outcome.value}"
    else:
        below = f"{node.worst_count:,} {node.outcome.value}"
    claimed = "not verified" if node.claimed and node.kind is Kind.ISSUER else ""
    return " \N{MIDDLE DOT} ".join(one for one in (claimed, node.note, below) if one)


def _word(node: Node) -> str:
    return f"{node.outcome.value}{', its place is claimed or seen earlier' if node.claimed else ''}"


def _cells(pixels: float) -> int:
    return max(int(pixels / CELL), 1)


def legend(trees: Sequence[Node]) -> Element:
    """What the shapes, the colours and the dashed lines mean, as far as there are such."""
    nodes = list(_all(trees))
    items = [element("li", glyph(one), one.value) for one in Outcome if any(node.outcome is one for node in nodes)]
    if any(node.claimed for node in nodes):
        line = element("path", d="M1 8h26", class_="wire claimed")
        dashed = element("svg", line, width=28, height=16, aria_hidden="true")
        items.append(element("li", dashed, "claimed or seen earlier, not verified now"))
    return element("ul", *items, class_="legend")


def _all(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _all(node.children)


# -- the roots along time ----------------------------------------------------------------------------------------------


def both_times(found: Sequence[Period], today: datetime) -> list[Element]:
    """The timeline of the roots, wide and narrow."""
    return [_timeline(place(found, today, room), kind, today) for room, kind in ((WIDE, "wide"), (NARROW, "narrow"))]


def _timeline(drawn: Timeline, kind: str, today: datetime) -> Element:
    bottom = drawn.height - 2
    marks: list[Element] = []
    for year, x in drawn.ticks:
        marks.append(element("line", x1=x, x2=x, y1=AXIS - 6, y2=bottom, class_="tick"))
        if abs(x - drawn.today) > 44 and 16 <= x <= drawn.width - 16:
            marks.append(element("text", f"{year:04d}", x=x, y=13, class_="year"))
    now = min(max(drawn.today, 20), drawn.width - 20)
    line = [
        element("line", x1=drawn.today, x2=drawn.today, y1=AXIS - 6, y2=bottom, class_="today"),
        element("text", "today", x=now, y=13, class_="today-word"),
    ]
    bars = [_bars(row, drawn.width) for row in drawn.rows]
    labels = [_label(row, drawn.width) for row in drawn.rows]
    description = f"{len(drawn.rows)} roots from their first to their last day, today being {today:%Y-%m-%d}."
    return _canvas(drawn, kind, "Roots along time", description, *marks, *bars, *line, *labels)


def _bars(row: Row, room: float) -> Element:
    period, top = row.period, row.y + 22
    wide = max(row.right - row.left, 3)
    left = min(row.left, room - 3)
    parts = [element("rect", x=left, y=top, width=wide, height=BAR, rx=3, class_="bar")]
    if row.distrusted_from is not None:
        begin = max(row.distrusted_from, left)
        parts.append(element("rect", x=begin, y=top, width=max(left + wide - begin, 2), height=BAR, class_="distrust"))
    if row.overlap is not None:
        begin, end = row.overlap
        parts.append(element("rect", x=begin, y=top - 3, width=max(end - begin, 4), height=BAR + 6, class_="overlap"))
    middle = top + BAR / 2
    if row.cut_left:
        parts.append(element("path", d=f"M{left - 8:g} {middle:g}l8-7v14z", class_="arrow"))
    if row.cut_right:
        parts.append(element("path", d=f"M{left + wide + 8:g} {middle:g}l-8-7v14z", class_="arrow"))
    title = element("title", ": ".join([period.name, "; ".join([span(period), *remarks(period)])]))
    return element("g", title, *parts, class_=f"root {period.state.value}")


def _label(row: Row, room: float) -> Element:
    words = (row.period.name, row.period.state.value, span(row.period))
    text = shorten(" \N{MIDDLE DOT} ".join(words), _cells(room - 16))
    behind = element("rect", x=2, y=row.y + 3, width=min(len(text) * CELL + 10, room - 2), height=17, class_="behind")
    return element("g", behind, element("text", text, x=8, y=row.y + 15, class_="name"))


def legend_of_times(found: Sequence[Period]) -> Element:
    """What the bars mean, as far as there are such."""
    states = {period.state for period in found}
    items = [(f"root {state.value}", _MEANINGS[state], "bar") for state in LifeCycle if state in states]
    if any(period.overlap for period in found):
        items.append(("", "old and new root side by side", "overlap"))
    if any(period.distrust_after for period in found):
        items.append(("", "leaves issued then are not believed", "distrust"))
    return element("ul", *(element("li", _sample(group, bar), text) for group, text, bar in items), class_="legend")


_MEANINGS = {
    LifeCycle.STAGED: "staged, anchors nothing yet",
    LifeCycle.TRUSTED: "trusted",
    LifeCycle.RETIRING: "retiring, still anchors",
    LifeCycle.RETIRED: "retired",
    LifeCycle.DISTRUSTED: "distrusted",
}


def _sample(group: str, bar: str) -> Element:
    shape = element("rect", x=1, y=3, width=26, height=10, rx=3, class_=bar)
    return element("svg", element("g", shape, class_=group), width=28, height=16, aria_hidden="true")


def span(period: Period) -> str:
    """The days of a root."""
    return f"{period.begins:%Y-%m-%d} to {f'{period.ends:%Y-%m-%d}' if period.ends else 'no end'}"


def remarks(period: Period) -> list[str]:
    """What there is to know about a root beside its days."""
    said = []
    if period.overlap is not None:
        begun, until = period.overlap
        said.append(f"being replaced by {period.successor}, both until {until:%Y-%m-%d} (since {begun:%Y-%m-%d})")
    if period.distrust_after is not None:
        said.append(f"leaves issued after {period.distrust_after:%Y-%m-%d} are not believed")
    return said
