"""Netlink as bytes and back, and nothing but the clean error for any other bytes."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.devices.netlink_codec import (
    GENL_ID_CTRL,
    NLMSG_ERROR,
    Attribute,
    Message,
    NetlinkProblem,
    family_request,
    pull_attributes,
    pull_error,
    pull_family,
    pull_messages,
    push_attributes,
    push_messages,
)

MESSAGES = st.lists(
    st.builds(
        Message,
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.binary(max_size=64),
    ),
    max_size=8,
)
ATTRIBUTES = st.lists(st.builds(Attribute, st.integers(0, 0x3FFF), st.binary(max_size=64)), max_size=8)


@given(MESSAGES)
def test_messages_survive_the_round_trip(messages: list[Message]) -> None:
    assert list(pull_messages(push_messages(messages))) == messages


@given(ATTRIBUTES)
def test_attributes_survive_the_round_trip(attributes: list[Attribute]) -> None:
    assert list(pull_attributes(push_attributes(attributes))) == attributes


@given(st.binary(max_size=256))
def test_any_bytes_are_read_or_refused_cleanly(data: bytes) -> None:
    for pull in (pull_messages, pull_attributes):
        try:
            found = pull(data)
        except NetlinkProblem:
            continue
        assert len(found) <= len(data) // 4


@given(st.integers(0, 0xFFFF), st.binary(max_size=128))
def test_any_payload_is_a_family_or_refused_cleanly(kind: int, payload: bytes) -> None:
    message = Message(kind, 0, 1, 0, payload)
    try:
        assert len(pull_family(message).name) > 0
    except NetlinkProblem:
        assert kind != GENL_ID_CTRL or payload[:1] != b"\1" or payload
    try:
        assert 0 <= pull_error(message) < 4096
    except NetlinkProblem:
        assert len(payload) < 4 or not -4096 < struct.unpack_from("=i", payload)[0] <= 0


@pytest.mark.parametrize("length", [0, 3, 15, 17, 0xFFFF])
def test_a_length_that_does_not_fit_is_refused(length: int) -> None:
    with pytest.raises(NetlinkProblem, match="says"):
        pull_messages(struct.pack("=IHHII", length, NLMSG_ERROR, 0, 1, 0))


def test_a_name_that_no_family_can_have_is_not_asked_for() -> None:
    with pytest.raises(ValueError, match="no name"):
        family_request("a" * 16, 1)


def test_an_error_carries_its_errno() -> None:
    assert pull_error(Message(NLMSG_ERROR, 0, 1, 0, struct.pack("=i", -errno.ENOENT))) == errno.ENOENT
