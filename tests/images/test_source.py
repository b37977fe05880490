"""A folder of certificates, or one laid out like the store's: what is no root is named and never passed over."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmakeys.errors import CmakeysError, NotFound, UsageProblem
from cmakeys.images.source import read_folder
from cmakeys.roots.catalogue import Catalogue
from cmakeys.roots.deny import DenyEntry, DenyKind
from cmakeys.roots.record import render_pem
from cmakeys.roots.root import LifeCycle
from tests.roots import trust

A, B = trust.certificate("a"), trust.certificate("b")


def test_a_root_is_named_after_its_file_in_whatever_form_it_is(tmp_path: Path) -> None:
    (tmp_path / "Acme Root (2031).PEM").write_bytes(render_pem(A))
    (tmp_path / "other.der").write_bytes(B.der)
    (tmp_path / "README.txt").write_text("about them")
    (tmp_path / ".hidden").write_text("")
    found = read_folder(tmp_path).root_set
    assert {root.name: root.fingerprint for root in found.roots} == {
        "acme-root-2031": A.fingerprint,
        "other": B.fingerprint,
    }


def test_what_the_catalogue_knows_to_be_bad_is_denied_here_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = DenyEntry(DenyKind.CERTIFICATE, A.fingerprint)
    monkeypatch.setattr(Catalogue, "known_bad", (entry,))
    (tmp_path / "a.pem").write_bytes(render_pem(A))
    found = read_folder(tmp_path).root_set
    assert found.denied(A) == entry


def test_a_folder_laid_out_like_the_store_is_read_like_it(tmp_path: Path) -> None:
    trust.put(tmp_path, trust.root("a"))
    trust.put(tmp_path, trust.root("b", state=LifeCycle.STAGED))
    (tmp_path / "stray.pem").write_bytes(render_pem(trust.certificate("c")))
    report = read_folder(tmp_path)
    assert [(root.name, root.state.value) for root in report.root_set.roots] == [("a", "trusted"), ("b", "staged")]
    assert [finding.path.name for finding in report.findings] == ["stray.pem"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("notes.txt", b""),
        ("two.pem", render_pem(A) + render_pem(B)),
        ("broken.pem", b"nothing"),
        ("big.pem", bytes(1 << 20)),
        ("((.pem", render_pem(A)),
        ("deny.pem", render_pem(A)),
    ],
)
def test_a_file_that_is_no_root_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CmakeysError) as caught:
        read_folder(tmp_path)
    assert name in str(caught.value)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "folder.pem").mkdir()
    with pytest.raises(CmakeysError, match=r"folder\.pem"):
        read_folder(tmp_path)
    with pytest.raises(NotFound):
        read_folder(tmp_path / "absent")


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(render_pem(A))
    (tmp_path / "A.der").write_bytes(B.der)
    with pytest.raises(CmakeysError, match="twice"):
        read_folder(tmp_path)


def test_more_files_than_anybody_has_roots_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmakeys.images.source.MAX_FILES", 2)
    for number in range(3):
        (tmp_path / f"{number}.pem").write_bytes(b"")
    with pytest.raises(UsageProblem, match="more than 2"):
        read_folder(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_any_bytes_give_roots_or_the_clean_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.pem").write_bytes(data)
    with suppress(CmakeysError):
        read_folder(tmp_path)
