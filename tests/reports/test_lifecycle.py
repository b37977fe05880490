"""The history of roots reads well on a terminal of 80 columns: who, when, what happened to which root, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cmakeys.reports.layout import WIDTH
from cmakeys.reports.lifecycle import MAX_BELOW, history_report, undone
from cmakeys.reports.terminal import Tone, width
from cmakeys.roots.deny import DenyEntry
from cmakeys.roots.journal import JournalEntry
from cmakeys.roots.ledger import Recorded
from cmakeys.roots.root import LifeCycle, Root
from cmakeys.roots.rootset import DenyKind
from cmakeys.roots.transaction import Transaction, Transition
from tests.reports.golden import assert_golden
from tests.roots.succession import NOW, certificate

OLD = Root("acme-2031", certificate("old"))
NEW = Root("acme-2040", certificate("new"))
RETIRING = replace(OLD, state=LifeCycle.RETIRING)
KEY = DenyEntry(DenyKind.KEY, "0123456789abcdef" * 4, "leaked")
SERIAL = DenyEntry(DenyKind.ISSUER_SERIAL, "fedcba9876543210" * 4, "", 0x1F2E, datetime(2039, 5, 1, tzinfo=UTC))


def recorded(number: int, action: str, *transitions: Transition, **given: object) -> Recorded:
    at = NOW + timedelta(days=7 * min(number, 99))
    change = Transaction(action, "acme", transitions, at, "root", **given)  # type: ignore[arg-type]  # its own fields
    return Recorded(change, (JournalEntry(number, at, "root", action, "acme", {}, "", False, number, ""),))


HISTORY = (
    recorded(1, "roots-add", Transition(None, OLD), reason="delivered with order 4711"),
    recorded(2, "roots-rotate", Transition(None, NEW), Transition(OLD, RETIRING), reason="Acme notice 2040-1"),
    recorded(3, "roots-distrust", Transition(RETIRING, replace(OLD, state=LifeCycle.DISTRUSTED))),
    recorded(4, "roots-undo", Transition(replace(OLD, state=LifeCycle.DISTRUSTED), RETIRING), undoes=3),
    recorded(
        5, "roots-distrust", Transition(RETIRING, replace(RETIRING, distrust_after=NOW)), reason="its key leaked, " * 9
    ),
    recorded(6, "roots-rotate", Transition(RETIRING, replace(OLD, state=LifeCycle.RETIRED))),
    recorded(7, "deny-add", deny_added=(KEY, SERIAL), reason="leaked"),
    recorded(8, "deny-remove", deny_removed=(SERIAL,)),
    recorded(9, "roots-remove", Transition(replace(OLD, state=LifeCycle.RETIRED), None)),
)


def test_a_history_as_it_is_printed() -> None:
    changes = HISTORY[::-1]
    assert_golden("history", [line.text for line in history_report(changes, undone(HISTORY))])


def test_a_change_that_was_taken_back_is_no_news() -> None:
    tones = [line.tone for line in history_report(HISTORY[2:3], undone(HISTORY))]
    assert tones[0] is Tone.NOTE
    assert next(history_report(HISTORY[2:3], {})).tone is Tone.PLAIN


def test_a_change_of_many_things_names_a_few_and_counts_the_rest() -> None:
    entries = tuple(DenyEntry(DenyKind.KEY, f"{number:064x}") for number in range(2000))
    _, *shown = history_report((recorded(1, "deny-add", deny_added=entries),), {})
    assert len(shown) == MAX_BELOW + 1
    assert shown[-1].text.strip() == f"and {2000 - MAX_BELOW} more"


@given(st.text(max_size=200), st.text(max_size=200), st.integers(1, 10**7))
def test_no_line_is_longer_than_a_terminal_whatever_is_recorded(who: str, why: str, number: int) -> None:
    (change,) = (recorded(number, "roots-rotate", Transition(OLD, RETIRING), Transition(None, NEW)),)
    change = replace(change, transaction=replace(change.transaction, by=who, reason=why))
    for line in history_report((change,), {number: number + 1}):
        assert width(line.text) <= WIDTH
        assert line.text.isprintable()
