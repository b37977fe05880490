"""Short messages that were decoded before are not decoded again.

The devices of a fleet send the same bytes while a connection is set up, and so do their requesters; decoding is a pure
function of the bytes, and messages are immutable. A message that cannot be decoded is not remembered, so its error
names the message at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from cmakeys.spdm.wire import Reader

MAX_SIZE = 512
"""Bytes of the longest message that is remembered, padding included."""

MAX_MESSAGES = 512

Message = TypeVar("Message")


def pull_again(codec: Callable[[Reader], Message], reader: Reader) -> Message:
    """What `codec(reader)` gives for a reader at the beginning of a message. Raises what it raises."""
    data = reader.whole
    if len(data) > MAX_SIZE:
        return codec(reader)
    message: Message
    message, reader.offset = _decoded(codec, data, reader.name)
    return message


@lru_cache(maxsize=MAX_MESSAGES)
def _decoded(codec: Callable[[Reader], Any], data: bytes, name: str) -> tuple[Any, int]:
    reader = Reader(data, name)
    return codec(reader), reader.offset
