"""Only shortest-form, definite-length DER is read, and every element knows its place."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.x509.der import DerError, elements, read_element


def encode(tag: int, value: bytes) -> bytes:
    length = len(value)
    if length < 0x80:
        return bytes([tag, length]) + value
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + value


@given(st.binary(max_size=40), st.binary(max_size=600), st.binary(max_size=40))
def test_an_element_is_found_where_it_is(before: bytes, value: bytes, after: bytes) -> None:
    data = before + encode(0x30, value) + after
    element = read_element(data, len(before))
    assert element.tag == 0x30
    assert data[element.content : element.end] == value
    assert element.start == len(before)
    assert data[element.end :] == after


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_elements_fill_their_space_exactly(values: list[bytes]) -> None:
    data = b"".join(encode(0x04, value) for value in values)
    assert [data[e.content : e.end] for e in elements(data, 0, len(data))] == values


@given(st.binary(max_size=64))
def test_nothing_but_the_clean_error_comes_out(data: bytes) -> None:
    with contextlib.suppress(DerError):
        found = list(elements(data, 0, len(data)))
        assert sum(e.end - e.start for e in found) == len(data)


def test_an_error_names_the_place_of_the_element() -> None:
    with pytest.raises(DerError) as caught:
        list(elements(b"\x04\x01a\x04\x02b", 0, 6))
    assert caught.value.offset == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "nothing here"),
        (b"\x30", "cut off before the length"),
        (b"\x30\x82\x01", "cut off inside the length"),
        (b"\x30\x80\x00\x00", "indefinite length"),
        (b"\x30\x81\x7f" + bytes(127), "shortest form"),
        (b"\x30\x82\x00\xff" + bytes(255), "shortest form"),
        (b"\x30\x85\x00\x00\x00\x00\x01\x00", "length field of 5 bytes"),
        (b"\x30\xff", "length field of 127 bytes"),
        (b"\x1f\x81\x00\x00", "more than one byte"),
        (b"\x30\x05abc", "needs 7 bytes, 5 are left"),
        (b"\x30\x84\xff\xff\xff\xff", "needs 4294967301 bytes, 6 are left"),
    ],
)
def test_what_der_forbids_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(DerError, match=words):
        read_element(data, 0)


def test_an_element_may_not_reach_beyond_its_container() -> None:
    with pytest.raises(DerError, match="needs 6 bytes, 4 are left"):
        read_element(b"\x04\x04abcd", 0, 4)
