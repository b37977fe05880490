"""Reference values: every difference is named, by index, kind and both values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.evidence.fields import FieldProblem
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.verify.comparison import latest_by_index
from cmakeys.verify.reference import ReferenceValues
from tests.evidence import strategies as s

blocks = st.builds(
    MeasurementBlock, st.integers(1, 254), st.integers(0, 255), st.binary(max_size=48), st.integers(0, 255)
)
series = st.lists(blocks, max_size=8)

ROM = MeasurementBlock(1, 0x00, bytes(48))
FIRMWARE = MeasurementBlock(2, 0x01, b"\xaa" * 48)
SVN = MeasurementBlock(0x10, 0x87, b"\x07")
REFERENCE = ReferenceValues((ROM, FIRMWARE, SVN))


@given(series)
def test_what_was_measured_has_no_difference_to_itself(measured: list[MeasurementBlock]) -> None:
    assert ReferenceValues.of(measured).differences(measured) == ()


@given(series, series)
def test_no_difference_means_equal(before: list[MeasurementBlock], after: list[MeasurementBlock]) -> None:
    differences = ReferenceValues.of(before).differences(after)
    assert (differences == ()) == (latest_by_index(before) == latest_by_index(after))


@given(series, s.texts)
def test_json_gives_the_same_values_back(measured: list[MeasurementBlock], origin: str) -> None:
    values = ReferenceValues.of(measured, origin)
    assert ReferenceValues.from_json(json.loads(json.dumps(values.to_json()))) == values


@given(st.data())
def test_any_other_json_is_one_clean_error(data: st.DataObject) -> None:
    document = REFERENCE.to_json()
    document[data.draw(st.sampled_from(sorted(document)))] = data.draw(s.json_values)
    try:
        assert isinstance(ReferenceValues.from_json(document, "row"), ReferenceValues)
    except FieldProblem as problem:
        assert problem.object.startswith("row")  # noqa: PT017 the problem is what is tested


@pytest.mark.parametrize(
    ("measured", "difference"),
    [
        ((ROM, SVN), "index 2 (mutable firmware) is missing; it was aaaaaaaaaaaaaaaa…"),
        ((ROM, FIRMWARE), "index 16 (secure version number, raw) is missing; it was 07"),
        (
            (ROM, MeasurementBlock(2, 0x01, b"\xbb" * 48), SVN),
            "index 2 (mutable firmware) is bbbbbbbbbbbbbbbb…, it was aaaaaaaaaaaaaaaa…",
        ),
        ((ROM, MeasurementBlock(2, 0x81, b"\xaa" * 48), SVN), "index 2 is mutable firmware, raw, it was mutable"),
        ((ROM, FIRMWARE, SVN, MeasurementBlock(9, 0x7F, b"")), "index 9 (type 0x7f) is new: empty"),
    ],
)
def test_a_difference_names_index_kind_and_both_values(measured: tuple[MeasurementBlock, ...], difference: str) -> None:
    (found,) = REFERENCE.differences(measured)
    assert found.startswith(difference)


def test_indices_that_do_not_ascend_are_refused() -> None:
    document = REFERENCE.to_json()
    document["blocks"] = [*document["blocks"], *document["blocks"]]  # type: ignore[misc]  # a list, as written above
    with pytest.raises(FieldProblem, match="ascend"):
        ReferenceValues.from_json(document)
