"""Boxes of the chain graph never cover each other and never leave the drawing, whatever tree a fleet makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.reports.html.placing import Graph, as_list, in_columns
from cmakeys.reports.html.tree import Kind, Node
from cmakeys.verify.verdict import Outcome

Placing = Callable[[Sequence[Node], float], Graph]
PLACINGS: list[Placing] = [in_columns, as_list]
placings = pytest.mark.parametrize("placing", PLACINGS, ids=["columns", "list"])

leaf = st.builds(
    Node,
    st.sampled_from([Kind.DEVICE, Kind.DEVICES]),
    st.text(max_size=5),
    st.just(""),
    st.sampled_from(Outcome),
    st.just(1),
)


def branch(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.builds(
        Node,
        st.sampled_from([Kind.ISSUER, Kind.MORE, Kind.ROOT]),
        st.text(max_size=5),
        st.just(""),
        st.sampled_from(Outcome),
        st.just(1),
        st.booleans(),
        st.lists(children, min_size=1, max_size=4).map(tuple),
    )


level = branch(leaf)
for _ in range(3):
    level = branch(st.one_of(leaf, level))
trees = st.lists(level, max_size=4)


def boxes_of(node: Node) -> int:
    return 1 + sum(map(boxes_of, node.children))


@placings
@given(forest=trees, width=st.sampled_from([344, 700, 1072]))
def test_no_box_covers_another_or_leaves_the_drawing(placing: Placing, forest: list[Node], width: float) -> None:
    graph = placing(forest, width)
    assert len(graph.boxes) == sum(map(boxes_of, forest))
    for box in graph.boxes:
        assert box.width > 20
        assert box.x >= 0
        assert box.x + box.width <= graph.width
        assert box.y >= 0
        assert box.y + box.height <= graph.height
    for one, other in combinations(graph.boxes, 2):
        beside = one.x + one.width <= other.x or other.x + other.width <= one.x
        above = one.y + one.height <= other.y + 1e-6 or other.y + other.height <= one.y + 1e-6
        assert beside or above


@placings
@given(forest=trees)
def test_every_line_ends_at_the_box_of_its_child(placing: Placing, forest: list[Node]) -> None:
    graph = placing(forest, 1072)
    starts = {(box.x, box.y + box.height / 2) for box in graph.boxes}
    assert len(graph.wires) == len(graph.boxes) - len(forest)
    for wire in graph.wires:
        assert wire.points[-1] in starts
        assert all(0 <= x <= graph.width and 0 <= y <= graph.height for x, y in wire.points)


@given(forest=trees)
def test_devices_stand_below_each_other_at_the_right(forest: list[Node]) -> None:
    graph = in_columns(forest, 1072)
    assert len({box.x for box in graph.boxes if not box.node.children}) <= 1


def test_a_certificate_is_level_with_the_first_below_it() -> None:
    devices = tuple(Node(Kind.DEVICE, str(number), "", Outcome.TRUSTED, 1) for number in range(9))
    issuer = Node(Kind.ISSUER, "issuer", "", Outcome.TRUSTED, 9, children=devices)
    graph = in_columns([Node(Kind.ROOT, "root", "", Outcome.TRUSTED, 9, children=(issuer,))], 1072)
    middles = {box.node.label: box.y + box.height / 2 for box in graph.boxes}
    assert middles["root"] == middles["issuer"] == middles["0"]


@placings
def test_nothing_makes_an_empty_drawing(placing: Placing) -> None:
    graph = placing([], 344)
    assert not graph.boxes
    assert not graph.wires
    assert graph.height > 0
