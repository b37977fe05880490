"""Two writers at once lose nothing, and a file system without room loses nothing either."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmakeys.errors import CmakeysError, EnvironmentProblem
from cmakeys.roots.deny import DenyEntry, DenyKind
from cmakeys.roots.ledger import Ledger
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.store import ETC, RootStore
from cmakeys.roots.transaction import Transaction, Transition, decision
from tests.rings import cannot
from tests.roots.trust import put, root

pytestmark = pytest.mark.system

SECONDS = float(os.environ.get("CMAKEYS_TEST_WRITERS_SECONDS", "3"))
"""How long the writers run; 60 for a thorough look."""

AT = datetime(2040, 1, 1, tzinfo=UTC)
OLD, NEW, LATER = root("old"), root("new"), root("later")
PAGE = 4096


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    """Every change that one of them was told is made is in the journal, follows on the one before, and is in effect."""
    start = root("shared")
    put(tmp_path / ETC, start)
    command = [sys.executable, "-m", "tests.roots.writer"]
    running = {
        name: subprocess.Popen(
            [*command, name, str(tmp_path), str(SECONDS)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("ada", "bob")
    }
    told: dict[str, list[str]] = {}
    for name, process in running.items():
        out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        told[name] = out.split()
        assert told[name], "each of them got its turn"
    ledger = Ledger(RootStore(tmp_path), tmp_path / "state")
    reading = ledger.journal.verify()
    assert (reading.faults, reading.noted) == ((), len(reading.entries))
    recorded = ledger.transactions()
    for name in running:
        assert [one.transaction.reason for one in recorded if one.transaction.by == name] == told[name]
    state = {"shared": start}
    for one in recorded:
        for transition in one.transaction.transitions:
            assert decision(state.pop(transition.root.name, None)) == decision(transition.before)
            if transition.after is not None:
                state[transition.root.name] = transition.after
    assert {name: decision(one) for name, one in state.items()} == {
        one.name: decision(one) for one in ledger.store.load().roots
    }
    assert ledger.recover() == ""


@contextmanager
def small_file_system(place: Path, size: int) -> Iterator[Path]:
    """A file system of its own with so many bytes."""
    place.mkdir()
    options = f"size={size},mode=0755"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "cmakeys-test", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        cannot(f"no file system can be mounted: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(place: Path, *, free: int) -> Path:
    """Leave so many pages of a file system free."""
    filler = place / "filler"
    status = os.statvfs(place)
    with filler.open("wb") as file:
        for _ in range(status.f_bavail * status.f_frsize // PAGE - free):
            file.write(b"\0" * PAGE)
    return filler


def committed(ledger: Ledger, wanted: Transaction) -> str:
    """Commit; empty, or what was said against it."""
    try:
        ledger.commit(wanted)
    except EnvironmentProblem as problem:
        return problem.message
    return ""


def change(known: RootSet) -> Transaction:
    """One root comes, one is to go, and a key is denied."""
    old = known.find("old")
    transitions = (Transition(None, NEW), Transition(old, root("old", state=LifeCycle.RETIRING)))
    return Transaction("roots-test", "new", transitions, AT, "ada", deny_added=(DenyEntry(DenyKind.KEY, "ab" * 32),))


@pytest.mark.parametrize("full", ["everything", "state", "roots"])
def test_a_full_file_system_loses_nothing_and_says_so(tmp_path: Path, full: str) -> None:
    """Whatever room is left: the change is made, or refused; what was refused is not half there, and room heals it."""
    refused = made = 0
    for free in range(16):
        top = tmp_path / str(free)
        (top / "tree").mkdir(parents=True)
        with small_file_system(top / "small", 64 * PAGE) as small:
            tree = top / "tree" if full == "state" else small / "tree"
            state = (top if full == "roots" else small) / "state"
            put(tree / ETC, OLD)
            ledger = Ledger(RootStore(tree), state)
            ledger.commit(Transaction("roots-test", "later", (Transition(None, LATER),), AT, "ada"))
            before = ledger.store.load()
            wanted = change(before)
            after = wanted.apply_to(before)
            filler = fill(small, free=free)
            said = committed(ledger, wanted)
            assert said == "" or "space" in said
            refused += said != ""
            made += said == ""
            assert {one.name for one in ledger.store.load().anchors()} >= {"old", "later"}
            assert said or ledger.store.load() == after
            assert len(ledger.journal.verify().entries) > 0
            filler.unlink()
            again = Ledger(RootStore(tree), state)
            again.recover()
            found = again.store.load()
            assert found in (before, after)
            assert len(again.transactions()) == (2 if found == after else 1)
            assert again.recover() == again.recovered
            if found == before:
                assert again.commit(wanted) == after
            again.commit(again.undoing(None, at=AT, by="ada", reason="mistake"))
            assert again.store.load() == before
            assert again.journal.verify().noted == len(again.journal.path.read_bytes().splitlines())
    assert refused
    assert made


def test_a_read_only_file_system_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "small", 64 * PAGE) as small:
        put(small / ETC, OLD)
        ledger = Ledger(RootStore(small), small / "state")
        ledger.commit(Transaction("roots-test", "later", (Transition(None, LATER),), AT, "ada"))
        before = ledger.store.load()
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        with pytest.raises(CmakeysError, match=r"[Rr]ead-only"):
            ledger.commit(change(before))
        with pytest.raises(CmakeysError, match=r"[Rr]ead-only"):
            ledger.journal.append("roots-test", "x", {}, at=AT, by="ada")
        assert ledger.store.load() == before
        assert ledger.journal.verify().noted == 1
        subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
        assert ledger.recover() == ""
        ledger.commit(change(before))
