"""The files of lists and responses: read strictly, replaced by newer ones only, never half written."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmakeys.errors import Refused
from cmakeys.revocation import store as store_module
from cmakeys.revocation.store import ETC, FOLDER, Record, RevocationStore, RevocationStoreProblem, file_name
from tests.x509.pki import NOW
from tests.x509.revocations import DAY, chain, crl, response, scope

ROOT, MIDDLE, LEAF = chain()


@pytest.fixture
def store(tmp_path: Path) -> RevocationStore:
    return RevocationStore(tmp_path, tmp_path / "state")


def test_without_directories_there_is_nothing(store: RevocationStore, tmp_path: Path) -> None:
    assert not store.load()
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_read_back_with_what_the_admin_put_there(store: RevocationStore, tmp_path: Path) -> None:
    etc = tmp_path / ETC
    etc.mkdir(parents=True)
    ours, theirs, answer = crl(ROOT), crl(MIDDLE), response(LEAF, MIDDLE)
    (etc / "vendor.crl").write_bytes(ours.der)
    (etc / "README").write_text("lists of our vendors")
    (etc / ".hidden").write_text("x")
    path = store.put(theirs)
    store.put(answer)
    assert path is not None
    assert path.parent == tmp_path / "state" / FOLDER
    found = store.load()
    assert found.lists == (ours, theirs)
    assert found.responses == (answer,)


def test_a_newer_list_takes_the_place_of_an_older_one_and_not_the_other_way_round(store: RevocationStore) -> None:
    old = crl(MIDDLE, this_update=NOW - 9 * DAY, number=4)
    new = crl(MIDDLE, number=5)
    assert store.put(old)
    assert store.put(new)
    assert store.put(new) is None
    with pytest.raises(Refused, match="older than the one kept"):
        store.put(old)
    with pytest.raises(Refused, match="older"):
        store.put(crl(MIDDLE, this_update=NOW, number=4))
    assert store.load().lists == (new,)


def test_an_older_response_is_not_taken_back(store: RevocationStore) -> None:
    assert store.put(response(LEAF, MIDDLE))
    with pytest.raises(Refused, match="older"):
        store.put(response(LEAF, MIDDLE, this_update=NOW - 2 * DAY))


def test_lists_of_another_issuer_or_scope_have_files_of_their_own() -> None:
    records: list[Record] = [
        crl(ROOT),
        crl(MIDDLE),
        crl(MIDDLE, extensions=[scope(only_contains_ca_certs=True)]),
        response(LEAF, MIDDLE),
        response(MIDDLE, ROOT),
    ]
    assert len({file_name(record) for record in records}) == len(records)
    assert file_name(crl(MIDDLE, this_update=NOW - 9 * DAY, number=7)) == file_name(crl(MIDDLE))


@pytest.mark.parametrize("data", [b"", b"garbage", crl(ROOT).der[:-1]])
def test_a_file_that_is_none_stops_the_load_with_its_name(tmp_path: Path, store: RevocationStore, data: bytes) -> None:
    (tmp_path / ETC).mkdir(parents=True)
    path = tmp_path / ETC / "odd.crl"
    path.write_bytes(data)
    with pytest.raises(RevocationStoreProblem) as caught:
        store.load()
    assert caught.value.object == str(path)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path, store: RevocationStore) -> None:
    import os

    (tmp_path / ETC).mkdir(parents=True)
    os.mkfifo(tmp_path / ETC / "pipe.crl")
    with pytest.raises(RevocationStoreProblem, match="not a regular file"):
        store.load()


def test_too_many_files_are_refused(tmp_path: Path, store: RevocationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_RECORDS", 1)
    store.put(crl(ROOT))
    store.put(crl(MIDDLE))
    with pytest.raises(RevocationStoreProblem, match="more than 1 files"):
        store.load()


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path, store: RevocationStore) -> None:
    folder = tmp_path / "state" / FOLDER
    folder.mkdir(parents=True)
    (folder / ".cmakeys-list-1.crl.99").write_bytes(b"half")
    assert not store.load()
    store.put(crl(ROOT))
    assert [path.name for path in folder.iterdir()] == [file_name(crl(ROOT))]
