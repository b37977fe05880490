"""Changes of trust as transactions: whole or not at all, one entry of the journal each, and a way back."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmakeys.errors import CmakeysError, NotFound, Refused, Temporary, UsageProblem
from cmakeys.roots import ledger as ledger_module
from cmakeys.roots.ledger import Ledger
from cmakeys.roots.record import StoreProblem
from cmakeys.roots.root import LifeCycle, Root
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet
from cmakeys.roots.store import ETC, USR, RootStore, StoreWriter
from cmakeys.roots.transaction import Transaction, Transition
from tests.roots.trust import put, root
from tests.x509.pki import FOREVER, issue

AT = datetime(2040, 1, 1, tzinfo=UTC)
OLD, NEW = root("old"), root("new")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    put(tmp_path / ETC, OLD)
    return Ledger(RootStore(tmp_path), tmp_path / "state")


def change(*transitions: Transition, **others: object) -> Transaction:
    return Transaction("roots-test", "test", transitions, AT, "ada", **others)  # type: ignore[arg-type]


def retiring(entry: Root) -> Root:
    return replace(entry, state=LifeCycle.RETIRING)


def undo(ledger: Ledger, number: int | None = None) -> RootSet:
    return ledger.commit(ledger.undoing(number, at=AT, by="ada", reason="mistake"))


def test_a_transaction_changes_what_it_names_and_leaves_one_entry(ledger: Ledger) -> None:
    result = ledger.commit(change(Transition(None, NEW), Transition(OLD, retiring(OLD)), reason="renewal"))
    assert result == ledger.store.load() == RootSet((NEW, retiring(OLD)))
    (entry,) = ledger.journal.verify().entries
    assert (entry.action, entry.subject, entry.actor, entry.detail["reason"]) == (
        "roots-test",
        "test",
        "ada",
        "renewal",
    )


def test_what_was_written_is_read_back_as_the_same_transaction(ledger: Ledger) -> None:
    denied = DenyEntry(DenyKind.KEY, "ab" * 32, "leaked")
    made = change(Transition(None, NEW), Transition(OLD, None), reason="r", deny_added=(denied,))
    ledger.commit(made)
    (recorded,) = ledger.transactions()
    assert recorded.transaction == made
    assert recorded.number == 1


def test_nothing_is_written_where_nothing_changes(ledger: Ledger) -> None:
    ledger.commit(change(Transition(OLD, OLD)))
    assert ledger.journal.read().entries == ()


def test_a_root_that_was_changed_meanwhile_is_left_alone(ledger: Ledger) -> None:
    planned = change(Transition(OLD, retiring(OLD)))
    ledger.commit(change(Transition(OLD, None)))
    with pytest.raises(Temporary, match="changed meanwhile"):
        ledger.commit(planned)
    assert ledger.store.load() == RootSet()
    assert len(ledger.journal.read().entries) == 1


def test_a_step_that_the_life_cycle_lacks_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Refused, match="cannot become retired"):
        ledger.commit(change(Transition(OLD, replace(OLD, state=LifeCycle.RETIRED))))
    assert ledger.journal.read().entries == ()


def test_a_denied_root_does_not_come_back_by_any_way(ledger: Ledger) -> None:
    ledger.commit(change(Transition(OLD, None), deny_added=(DenyEntry(DenyKind.CERTIFICATE, OLD.fingerprint),)))
    with pytest.raises(Refused, match="denied"):
        ledger.commit(change(Transition(None, OLD)))
    other = ledger.undoing(None, at=AT, by="ada", reason="")
    assert other.deny_removed
    with pytest.raises(Refused, match="denied"):
        ledger.commit(replace(other, deny_removed=()))


def test_a_root_with_the_key_of_a_distrusted_one_comes_by_no_way_and_may_go(ledger: Ledger) -> None:
    lost = Root("lost", issue("Renewed", number=41).certificate, LifeCycle.DISTRUSTED)
    twin = Root("twin", issue("Renewed", number=41, not_after=FOREVER).certificate)
    ledger.commit(change(Transition(None, twin)))
    ledger.commit(change(Transition(None, lost)))
    ledger.commit(change(Transition(twin, retiring(twin))))
    ledger.commit(change(Transition(retiring(twin), None)))
    with pytest.raises(Refused, match="has the key of lost"):
        ledger.commit(change(Transition(None, twin)))
    with pytest.raises(Refused, match="has the key of lost"):
        undo(ledger)
    assert ledger.store.load() == RootSet((OLD, lost))


def test_a_transaction_names_a_root_once_and_a_transition_is_about_one_root() -> None:
    with pytest.raises(UsageProblem):
        change(Transition(OLD, retiring(OLD)), Transition(OLD, None))
    with pytest.raises(UsageProblem):
        Transition(OLD, NEW)
    with pytest.raises(UsageProblem):
        Transition(None, None)


def test_undoing_leads_back_and_undoing_again_goes_one_further(ledger: Ledger) -> None:
    ledger.commit(change(Transition(None, NEW)))
    ledger.commit(change(Transition(OLD, retiring(OLD))))
    assert undo(ledger) == RootSet((OLD, NEW))
    assert undo(ledger) == RootSet((OLD,))
    with pytest.raises(NotFound):
        undo(ledger)
    assert [entry.action for entry in ledger.journal.verify().entries][2:] == ["roots-undo", "roots-undo"]


def test_a_removed_root_comes_back_by_its_kept_certificate(ledger: Ledger) -> None:
    ledger.commit(change(Transition(OLD, None)))
    assert undo(ledger) == RootSet((OLD,))


def test_distrust_is_undone_although_the_life_cycle_has_no_way_back(ledger: Ledger) -> None:
    ledger.commit(change(Transition(OLD, replace(OLD, state=LifeCycle.DISTRUSTED))))
    assert undo(ledger) == RootSet((OLD,))


def test_an_entry_with_a_later_one_about_the_same_root_is_undone_after_that(ledger: Ledger) -> None:
    ledger.commit(change(Transition(OLD, retiring(OLD))))
    ledger.commit(change(Transition(retiring(OLD), replace(OLD, state=LifeCycle.RETIRED))))
    ledger.commit(change(Transition(None, NEW)))
    with pytest.raises(Refused, match="entry 2 changed old"):
        undo(ledger, 1)
    undo(ledger, 2)
    assert undo(ledger, 1) == RootSet((OLD, NEW))
    with pytest.raises(NotFound):
        undo(ledger, 1)


def test_a_change_with_many_roots_is_one_change(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "MAX_PART", 1000)
    roots = [root(f"r{number}") for number in range(8)]
    ledger.commit(change(*(Transition(None, one) for one in roots)))
    assert len(ledger.journal.verify().entries) > 1
    (recorded,) = ledger.transactions()
    assert [transition.after for transition in recorded.transaction.transitions] == roots
    assert undo(ledger) == RootSet((OLD,))


def test_a_root_of_the_system_is_changed_in_etc_and_masked_there(tmp_path: Path) -> None:
    put(tmp_path / USR, OLD)
    ledger = Ledger(RootStore(tmp_path), tmp_path / "state")
    ledger.commit(change(Transition(OLD, retiring(OLD))))
    assert ledger.store.load() == RootSet((retiring(OLD),))
    ledger.commit(change(Transition(retiring(OLD), None)))
    assert ledger.store.load() == RootSet()


@pytest.mark.parametrize("after", range(12))
def test_a_disk_that_fills_up_on_the_way_leaves_the_old_state(
    after: int, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever write it is that fails; the room for taking back what was written is there."""
    write, left = os.write, after

    def full(descriptor: int, data: bytes) -> int:
        nonlocal left
        left -= 1
        if left == -1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    before = ledger.store.load()
    wanted = change(Transition(None, NEW), Transition(OLD, retiring(OLD)))
    monkeypatch.setattr(os, "write", full)
    try:
        ledger.commit(wanted)
    except CmakeysError:
        monkeypatch.undo()
        assert ledger.recover() == ""
        assert ledger.store.load() == before
        assert ledger.transactions() == ()
    else:
        assert left >= 0 or not ledger.journal.head_path.exists(), "only the note of the end may fail unheard"
        assert ledger.store.load() == wanted.apply_to(before)


def test_a_change_that_failed_stays_undone_when_its_writer_is_killed_before_it_drops_the_note(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def full(_writer: StoreWriter, _root: Root) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def killed(_writer: StoreWriter) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "put", full)
        patch.setattr(StoreWriter, "drop_pending", killed)
        with pytest.raises(Killed):
            ledger.commit(change(Transition(None, NEW)))
    assert "was taken back" in ledger.recover()
    assert ledger.store.load() == RootSet((OLD,))
    assert ledger.transactions() == ()
    assert [entry.action for entry in ledger.journal.verify().entries] == ["roots-test", "roots-test-failed"]


def test_without_a_umask_nobody_else_may_change_what_is_kept(ledger: Ledger, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ledger.commit(change(Transition(None, NEW)))
    finally:
        os.umask(before)
    made = [tmp_path / "state", *(tmp_path / "state").rglob("*")]
    assert made[1:]
    assert [path for path in made if path.stat().st_mode & 0o022] == []


@pytest.mark.parametrize("content", ['{"transaction": 5}', "[" * 100_000], ids=["incomplete", "deep"])
def test_a_note_that_cannot_be_read_stops_every_writer_and_no_reader(ledger: Ledger, content: str) -> None:
    note = ledger.store.directories[0] / ".pending.json"
    note.write_text(content)
    with pytest.raises(StoreProblem, match="unfinished change"):
        ledger.commit(change(Transition(None, NEW)))
    assert ledger.store.load() == RootSet((OLD,))


def test_a_kept_certificate_that_was_exchanged_is_noticed(ledger: Ledger, tmp_path: Path) -> None:
    ledger.commit(change(Transition(OLD, None)))
    (tmp_path / f"state/certificates/{OLD.fingerprint}.der").write_bytes(NEW.certificate.der)
    with pytest.raises(StoreProblem, match="another certificate"):
        ledger.transactions()


@pytest.mark.parametrize("killed", [True, False])
def test_a_change_of_several_entries_that_stops_between_two_is_whole_or_never_was(
    killed: bool, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "MAX_PART", 1000)
    roots = [root(f"r{number}") for number in range(8)]
    append, calls = ledger.journal.append, iter(range(99))

    def stopping(*arguments: object, **options: object) -> object:
        if next(calls) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return append(*arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(ledger.journal, "append", stopping)
        if killed:
            patch.setattr("cmakeys.roots.store.StoreWriter.drop_pending", lambda _writer: None)
        with pytest.raises(CmakeysError):
            ledger.commit(change(*(Transition(None, one) for one in roots)))
    assert bool(ledger.recover()) == killed
    assert len(ledger.store.load().roots) == (9 if killed else 1)
    assert [len(one.transaction.transitions) for one in ledger.transactions()] == ([8] if killed else [])
