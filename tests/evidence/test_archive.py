"""Saved evidence is the same evidence, and nothing else is taken for it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import EnvironmentProblem, NotFound
from cmakeys.evidence import archive
from cmakeys.evidence.fields import FieldProblem
from cmakeys.evidence.model import Evidence
from tests.evidence import strategies as s
from tests.evidence.loopback import attest


@given(s.evidence)
def test_what_is_encoded_decodes_to_the_same(evidence: Evidence) -> None:
    data = archive.encode(evidence)
    again = archive.decode(data, "file")
    assert again == evidence
    assert again.digest == evidence.digest
    assert archive.encode(again) == data


@given(st.binary(max_size=300))
def test_any_bytes_end_in_one_clean_error(data: bytes) -> None:
    with pytest.raises(FieldProblem) as caught:
        archive.decode(data, "some file")
    assert "some file" in caught.value.object


@given(s.evidence, st.data())
def test_any_replaced_field_ends_in_evidence_or_one_clean_error(evidence: Evidence, data: st.DataObject) -> None:
    document = json.loads(archive.encode(evidence))
    document[data.draw(st.sampled_from(sorted(document)))] = data.draw(s.json_values)
    try:
        assert isinstance(archive.decode(json.dumps(document).encode(), "file"), Evidence)
    except FieldProblem as problem:
        assert problem.object.startswith("file")  # noqa: PT017 the problem is what is tested


@pytest.mark.parametrize("schema", ["cmakeys/evidence/2", "", None, 1])
def test_an_unknown_schema_is_refused_with_what_to_do(schema: object) -> None:
    document = json.loads(archive.encode(attest())) | {"schema": schema}
    with pytest.raises(FieldProblem, match="schema") as caught:
        archive.decode(json.dumps(document).encode(), "file")
    assert "newer" in caught.value.hint


@pytest.mark.parametrize("missing", ["device", "kind", "ending", "exchanges", "report", "tool"])
def test_no_field_may_be_missing(missing: str) -> None:
    document = json.loads(archive.encode(attest()))
    del document[missing]
    with pytest.raises(FieldProblem, match="missing"):
        archive.decode(json.dumps(document).encode(), "file")


def test_both_kinds_at_once_are_refused() -> None:
    document = json.loads(archive.encode(attest())) | {"report": "11e0"}
    with pytest.raises(FieldProblem, match="other kind"):
        archive.decode(json.dumps(document).encode(), "file")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        os.truncate(file.fileno(), archive.MAX_FILE_SIZE + 1)
    with pytest.raises(FieldProblem, match="more than 64 MiB"):
        archive.load(path)


def test_json_that_would_grow_in_memory_is_not_parsed() -> None:
    with pytest.raises(FieldProblem, match="more values"):
        archive.decode(b"[" + b"[]," * (archive.MAX_COMMAS + 1) + b"[]]", "bomb")
    with pytest.raises(FieldProblem, match="not JSON"):
        archive.decode(b"[" * 1_000_000, "bomb")


def test_save_and_load(tmp_path: Path) -> None:
    evidence, path = attest(), tmp_path / "device.json"
    archive.save(evidence, path)
    assert archive.load(path) == evidence
    assert [entry.name for entry in tmp_path.iterdir()] == ["device.json"]


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "device.json"
    path.write_text("old")

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(EnvironmentProblem) as caught:
        archive.save(attest(), path)
    assert "ENOSPC" in str(caught.value)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["device.json"]


def test_a_missing_file_is_the_worlds_fault(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        archive.load(tmp_path / "none.json")
