"""JSON of others: named errors, never a guess."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.evidence.fields import FieldProblem, Fields, read_json, time_text
from tests.evidence import strategies as s


@given(s.times)
def test_a_time_survives_the_way_through_text(moment: datetime) -> None:
    fields = Fields({"t": time_text(moment)}, "file")
    assert fields.time("t") == moment
    fields.finish()


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_one_clean_error(data: bytes) -> None:
    try:
        read_json(data, "file")
    except FieldProblem as problem:
        assert problem.object == "file"  # noqa: PT017 the problem is what is tested


@pytest.mark.parametrize("data", [b'{"a": 1, "a": 2}', b"NaN", b'{"a": Infinity}', b"[" * 100_000, b"\xff"])
def test_what_json_libraries_let_pass_is_refused(data: bytes) -> None:
    with pytest.raises(FieldProblem, match="not JSON"):
        read_json(data, "file")


@given(s.json_values)
def test_every_reader_gives_its_type_or_names_the_field(value: object) -> None:
    readers: tuple[Callable[[Fields], object], ...] = (
        lambda fields: fields.text("x"),
        lambda fields: fields.optional_text("x"),
        lambda fields: fields.integer("x", 0, 9),
        lambda fields: fields.optional_integer("x", 0, 9),
        lambda fields: fields.octets("x", 8),
        lambda fields: fields.optional_octets("x", 8),
        lambda fields: fields.time("x"),
        lambda fields: fields.items("x", 3),
        lambda fields: fields.objects("x", 3),
    )
    for reader in readers:
        try:
            reader(Fields({"x": value}, "file"))
        except FieldProblem as problem:
            assert "x" in problem.object  # noqa: PT017 the problem is what is tested


@pytest.mark.parametrize("text", ["AB", "abc", "0x", "é", "00" * 9])
def test_octets_are_lower_case_hex_within_their_size(text: str) -> None:
    with pytest.raises(FieldProblem, match="at most 8 bytes"):
        Fields({"x": text}, "file").octets("x", 8)


def test_a_missing_and_an_unknown_field_are_named() -> None:
    with pytest.raises(FieldProblem) as missing:
        Fields({}, "file").text("device")
    assert missing.value.object == "file, field device"
    with pytest.raises(FieldProblem, match="unknown field 'extra'"):
        Fields({"extra": 1}, "file").finish()


def test_times_are_utc_to_the_letter() -> None:
    assert Fields({"t": "2026-11-22T08:00:00Z"}, "f").time("t") == datetime(2026, 11, 22, 8, tzinfo=UTC)
    for text in ("2026-11-22T08:00:00", "2026-11-22T08:00:00+00:00", "2026-13-22T08:00:00Z", "yesterday"):
        with pytest.raises(FieldProblem):
            Fields({"t": text}, "f").time("t")
