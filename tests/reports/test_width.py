"""What a person reads of roots, changes and fleets stays within 80 columns, whatever names and numbers are in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.fleet.item import Judged
from cmakeys.reports.declaration import change_lines
from cmakeys.reports.fleet import OUTCOMES, Tally, header, name_cells, rows, summary
from cmakeys.reports.layout import WIDTH
from cmakeys.reports.roots import root_lines
from cmakeys.reports.terminal import width
from cmakeys.reports.text import check_report
from cmakeys.roots.directory import StoreReport
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Constraints, Provenance, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.transaction import Transition
from tests.reports.html.fleets import HOSTILE, LONG, certificate
from tests.reports.verdicts import ALL

LONG_NAME = "r" * 64
texts = st.text(max_size=200) | st.sampled_from([LONG, HOSTILE, "x" * 300, "\u4e2d" * 100])


def root(**changes: object) -> Root:
    made = Root(
        "acme", certificate(("Acme " * 12).strip(), datetime(2030, 1, 1, tzinfo=UTC), datetime(2060, 1, 1, tzinfo=UTC))
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the caller names fields of Root


def stored(one: Root) -> StoreReport:
    return StoreReport(RootSet((one,)), {one.name: (Path("/etc/cmakeys/roots"),)}, {}, {}, {}, ())


@given(texts, texts)
def test_a_root_fits_but_for_the_description_of_its_key(reason: str, source: str) -> None:
    one = root(
        provenance=Provenance(source, None, "somebody", reason, ""),
        constraints=Constraints(pci_vendors=frozenset(range(40)), slots=frozenset(range(8))),
    )
    wide = [line for line in root_lines(one, stored(one)) if width(line) > WIDTH]
    assert wide == [f"kernel key   {one.description}"]


def test_a_wrapped_line_says_all_of_it_below_its_label() -> None:
    words = [f"word{number}" for number in range(30)]
    one = root(provenance=Provenance("a file", None, "somebody", " ".join(words), ""))
    lines = root_lines(one, stored(one))
    begin = next(number for number, line in enumerate(lines) if line.startswith("reason       word0 word1"))
    following = lines[begin + 1 :]
    assert all(line.startswith(" " * 13 + "word") for line in following)
    assert " ".join(line[13:] for line in lines[begin:]).split() == words


@pytest.mark.parametrize(
    "change",
    [
        Transition(None, root(name=LONG_NAME)),
        Transition(root(name=LONG_NAME), None),
        Transition(
            root(name=LONG_NAME),
            root(
                name=LONG_NAME,
                state=LifeCycle.RETIRING,
                constraints=Constraints(slots=frozenset({1})),
                distrust_after=datetime(2039, 1, 1, tzinfo=UTC),
            ),
        ),
    ],
    ids=["brought", "taken", "changed"],
)
def test_a_change_of_a_root_fits(change: Transition) -> None:
    lines = change_lines(change)
    assert all(width(line.text) <= WIDTH for line in lines)
    assert len({line.tone for line in lines}) == 1
    assert LONG_NAME in lines[0].text


@given(texts, st.sampled_from(OUTCOMES), texts)
def test_the_judgement_of_a_file_fits(name: str, outcome: str, reason: str) -> None:
    results = [Judged(name, None, outcome, reason)]
    cells = name_cells(results)
    for line in (header(cells), *rows(results, cells)):
        assert width(line.text) <= WIDTH


def test_the_counts_of_a_large_fleet_fit() -> None:
    tally = Tally()
    tally.counts = dict.fromkeys(OUTCOMES, 123_456)
    lines = [line.text for line in summary(tally)]
    assert all(width(line) <= WIDTH for line in lines)
    assert " ".join(line.strip() for line in lines).count("123456") == len(OUTCOMES)


def test_the_counts_of_a_large_check_fit() -> None:
    results = [(f"gpu{number}", verdict) for verdict in ALL.values() for number in range(10_000)]
    lines = check_report(results[:1], run=results)
    assert all(width(line.text) <= WIDTH for line in lines)
    assert any(line.text.startswith("50000 devices: 10000 trusted") for line in lines)
