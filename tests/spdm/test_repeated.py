"""A message that is met again gives the same value and the same length, and one that cannot be decoded its error."""

from __future__ import annotations

import pytest

from cmakeys.spdm.codes import Version
from cmakeys.spdm.messages.capabilities import GetCapabilities
from cmakeys.spdm.messages.certificates import GetDigests
from cmakeys.spdm.repeated import MAX_SIZE, pull_again
from cmakeys.spdm.wire import Reader, WireError


def test_what_was_decoded_before_is_the_same_value_with_its_true_length() -> None:
    message = GetCapabilities(Version.V12, data_transfer_size=64, max_message_size=64).push()
    readers = [Reader(message + b"\0\0", "GET_CAPABILITIES") for _ in range(2)]
    first, second = (pull_again(GetCapabilities.pull, reader) for reader in readers)
    assert first is second
    assert [reader.consumed() for reader in readers] == [message, message]


def test_the_same_bytes_under_another_codec_are_another_message() -> None:
    message = GetDigests(Version.V12).push()
    assert pull_again(GetDigests.pull, Reader(message, "x")) == GetDigests(Version.V12)
    for _ in range(2):
        with pytest.raises(WireError, match="the name at hand"):
            pull_again(GetCapabilities.pull, Reader(message, "the name at hand"))


def test_long_messages_are_decoded_each_time() -> None:
    message = GetDigests(Version.V12).push() + bytes(MAX_SIZE)
    first, second = (pull_again(GetDigests.pull, Reader(message, "x")) for _ in range(2))
    assert first == second
    assert first is not second
