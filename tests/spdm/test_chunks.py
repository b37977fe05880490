"""Large messages: split and assembled they are the same again, and no inconsistent chunk is taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.spdm.chunks import ChunkAssembler, split
from cmakeys.spdm.codes import Version
from cmakeys.spdm.messages.chunking import ChunkResponse, ChunkSend
from cmakeys.spdm.wire import Reader, WireError

CHUNKED = st.sampled_from([Version.V12, Version.V13, Version.V14])


@given(version=CHUNKED, message=st.binary(min_size=43, max_size=2000), size=st.integers(42, 300))
def test_a_split_message_is_assembled_again(version: Version, message: bytes, size: int) -> None:
    assembler = ChunkAssembler(version, 9, 4096)
    pieces = list(split(message, version, 9, size))
    results = []
    for piece in pieces:
        assert len(piece.push()) <= size
        results.append(assembler.add(ChunkSend.pull(Reader(piece.push(), "CHUNK_SEND"))))
    assert results == [None] * (len(pieces) - 1) + [message]


FIRST = ChunkResponse(Version.V12, 1, 0, b"a" * 30, False, 60)
SECOND = ChunkResponse(Version.V12, 1, 1, b"b" * 30, True)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({"handle": 2}, {}, "handle 2"),
        ({"sequence": 1}, {}, "chunk 1 where 0 is due"),
        ({"large_size": 5000}, {}, "exceeds the announced maximum of 4096"),
        ({"large_size": 36}, {}, "needs no chunks"),
        ({"last": True}, {}, "marked last at 30 of 60"),
        ({"chunk": b"a" * 61}, {}, "add up to 61 bytes"),
        ({"chunk": b"a" * 10}, {}, "less than 42 bytes"),
        ({}, {"handle": 3}, "handle 3"),
        ({}, {"sequence": 2}, "chunk 2 where 1 is due"),
        ({}, {"sequence": 0, "large_size": 60}, "chunk 0 where 1 is due"),
        ({}, {"chunk": b"b" * 31}, "add up to 61 bytes"),
        ({}, {"last": False}, "not marked last"),
        ({}, {"chunk": b"b" * 29}, "marked last at 59"),
        ({}, {"chunk": b""}, "chunk 1 is empty"),
    ],
)
def test_an_inconsistent_chunk_is_refused(first: dict[str, Any], second: dict[str, Any], words: str) -> None:
    assembler = ChunkAssembler(Version.V12, 1, 4096)

    def feed() -> None:
        assembler.add(replace(FIRST, **first))
        assembler.add(replace(SECOND, **second))

    with pytest.raises(WireError, match=words):
        feed()


def test_the_same_chunks_unchanged_are_taken() -> None:
    assembler = ChunkAssembler(Version.V12, 1, 4096)
    assert assembler.add(FIRST) is None
    assert assembler.add(SECOND) == b"a" * 30 + b"b" * 30
