"""A writer killed at any of its steps leaves the old state or the new one, and the next writer carries on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cmakeys.errors import CmakeysError
from cmakeys.roots.journal import Journal
from cmakeys.roots.ledger import Ledger
from cmakeys.roots.record import render_pem
from cmakeys.roots.root import LifeCycle
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.store import ETC, RUN, USR, RootStore
from cmakeys.roots.transaction import Transaction, Transition
from tests.roots.crash import AT, replacement, rotating
from tests.roots.trust import put, root

pytestmark = pytest.mark.system

OLD, OTHER, NEW = root("old"), root("other"), root("new")


def killed(operation: str, top: Path) -> Iterator[Path]:
    """The directories that the killed children left, the last one by a child that got through."""
    (top / "new.pem").write_bytes(render_pem(NEW.certificate))
    done = subprocess.run(
        [sys.executable, "-m", "tests.roots.crash", operation, str(top)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    left = [path for path in top.iterdir() if path.name not in ("base", "new.pem")]
    assert any(path.name.startswith("half-") for path in left)
    assert len(left) > 5
    yield from left


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """The tree that each child starts from; in memory where possible, for thousands of fsyncs."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        put(Path(folder) / "base" / ETC, OTHER)
        yield Path(folder) / "base"


def states(operation: str, base: Path) -> list[RootSet]:
    """What the store holds after each kill; fails if one cannot be loaded."""
    return [RootStore(directory).load() for directory in killed(operation, base.parent)]


@pytest.mark.parametrize("masked", [(), ("new.pem",), ("new.yaml",), ("new.pem", "new.yaml")])
def test_adding_is_whole_or_not_at_all(base: Path, masked: tuple[str, ...]) -> None:
    put(base / USR, root("new", of="older") if masked else OLD)
    for name in masked:
        (base / ETC / name).symlink_to("/dev/null")
    before = RootStore(base).load()
    after = before.with_root(NEW)
    seen = states("add", base)
    assert all(state in (before, after) for state in seen)
    assert before in seen
    assert after in seen


@pytest.mark.parametrize(
    "places", [(ETC,), (RUN,), (USR,), (ETC, USR), (RUN, USR), (ETC, RUN), (ETC, RUN, USR)], ids="+".join
)
def test_removing_is_whole_or_not_at_all(base: Path, places: tuple[str, ...]) -> None:
    for place in places:
        put(base / place, OLD)
    seen = states("remove", base)
    assert all(state in (RootSet((OLD, OTHER)), RootSet((OTHER,))) for state in seen)
    assert RootSet((OLD, OTHER)) in seen
    assert RootSet((OTHER,)) in seen


def test_removing_a_double_never_uncovers_the_other(base: Path) -> None:
    put(base / ETC, OLD)
    put(base / USR, root("double", of="old"))
    assert all(state in (RootSet((OLD, OTHER)), RootSet((OTHER,))) for state in states("remove", base))


def test_denying_is_whole_or_not_at_all(base: Path) -> None:
    denied = [tuple(entry.sha256 for entry in state.deny) for state in states("deny", base)]
    assert set(denied) == {(), (NEW.fingerprint,)}


def test_the_next_writer_carries_on_and_leaves_nothing_behind(base: Path) -> None:
    for directory in killed("add", base.parent):
        RootStore(directory).add(NEW)
        report = RootStore(directory).inspect()
        assert report.root_set == RootSet((NEW, OTHER))
        assert report.findings == ()
        assert {path.name for path in (directory / ETC).iterdir()} == {"new.pem", "new.yaml", "other.pem", "other.yaml"}


def test_the_journal_never_takes_a_torn_line_for_an_entry(base: Path) -> None:
    first = Journal(base / "state").append("roots-add", "old", {}, at=AT, by="ada")
    torn = 0
    for directory in killed("append", base.parent):
        journal = Journal(directory / "state")
        reading = journal.verify()
        torn += len(reading.faults)
        assert [entry.subject for entry in reading.entries] in (["old"], ["old", "new"])
        assert reading.entries[0] == first
        journal.append("roots-remove", "old", {}, at=AT, by="ada")
        assert journal.verify().entries[-1].number == len(reading.entries) + 1
        assert len(journal.verify().faults) == len(reading.faults)
    assert torn > 0


def test_no_root_is_ever_enrolled_without_a_record(base: Path) -> None:
    for directory in killed("enrol", base.parent):
        try:
            recorded = [entry.subject for entry in Journal(directory / "state").verify().entries]
        except CmakeysError as problem:
            pytest.fail(str(problem))
        if NEW in RootStore(directory).load().roots:
            assert recorded == ["new"]


def test_a_transaction_is_finished_or_dropped_by_the_next_writer(base: Path) -> None:
    """In between a reader may find the newcomer there and the old root not retiring yet, never less than before."""
    put(base / ETC, OLD)
    before = RootStore(base).load()
    after = replacement(before, NEW).apply_to(before)
    seen = []
    for directory in killed("commit", base.parent):
        store, ledger = RootStore(directory), Ledger(RootStore(directory), directory / "state")
        assert {root.name for root in store.load().anchors()} >= {"old", "other"}
        ledger.recover()
        seen.append(store.load())
        assert seen[-1] in (before, after)
        entries = [entry for entry in ledger.journal.verify().entries if "transaction" in entry.detail]
        assert len(entries) == (seen[-1] == after)
        assert not any(path.name.startswith(".pending") for path in (directory / ETC).iterdir())
        assert ledger.recover() == ledger.recovered
    assert before in seen
    assert after in seen


# Which roots vouch at every moment of a rotation, whenever it is cut short: none is ever missing that shall stay.
ALWAYS = {"rotate": {"old", "other"}, "finish": {"new", "other"}, "abort": {"old", "other"}}


@pytest.mark.parametrize("moment", ALWAYS)
def test_a_rotation_is_continued_or_undone_wherever_it_stopped(base: Path, moment: str) -> None:
    put(base / ETC, OLD)
    if moment != "rotate":
        Ledger(RootStore(base), base / "state").commit(rotating("rotate", RootStore(base).load(), NEW))
    before = RootStore(base).load()
    after = rotating(moment, before, NEW).apply_to(before)
    seen = []
    for directory in killed(moment, base.parent):
        store, ledger = RootStore(directory), Ledger(RootStore(directory), directory / "state")
        assert {root.name for root in store.load().anchors()} >= ALWAYS[moment]
        ledger.recover()
        seen.append(store.load())
        assert seen[-1] in (before, after)
        if seen[-1] == before:
            ledger.commit(rotating(moment, before, NEW))
        assert store.load() == after
        if moment == "rotate":
            ledger.commit(rotating("abort", after, NEW))
        elif moment == "finish":
            ledger.commit(ledger.undoing(None, at=AT, by="ada", reason="too early"))
        else:
            ledger.commit(rotating("rotate", after, NEW))
        assert store.load() == before
        ledger.journal.verify()
    assert before in seen
    assert after in seen


@pytest.mark.parametrize(
    ("verb", "state", "result"),
    [
        ("trust", LifeCycle.STAGED, LifeCycle.TRUSTED),
        ("retire", LifeCycle.TRUSTED, LifeCycle.RETIRING),
        ("retire --finish", LifeCycle.RETIRING, LifeCycle.RETIRED),
        ("distrust", LifeCycle.TRUSTED, LifeCycle.DISTRUSTED),
        ("restore", LifeCycle.DISTRUSTED, LifeCycle.STAGED),
        ("undo", LifeCycle.RETIRED, LifeCycle.RETIRING),
    ],
)
def test_a_step_of_a_life_is_made_once_or_not_at_all(
    verb: str, state: LifeCycle, result: LifeCycle, base: Path
) -> None:
    put(base / ETC, replace(OLD, state=LifeCycle.RETIRING if verb == "undo" else state))
    if verb == "undo":
        ledger = Ledger(RootStore(base), base / "state")
        now = ledger.store.load().find("old")
        change = Transition(now, replace(now, state=LifeCycle.RETIRED))
        ledger.commit(Transaction("roots-retire", "old", (change,), AT, "ada"))
    entries = len(Journal(base / "state").read().entries)
    seen = set()
    for directory in killed(verb, base.parent):
        ledger = Ledger(RootStore(directory), directory / "state")
        ledger.recover()
        found = ledger.store.load().find("old").state
        assert found in (state, result)
        assert len(ledger.journal.verify().entries) == entries + (found is result)
        seen.add(found)
    assert seen == {state, result}
