"""Signatures as the kernel announces them: put together from messages, bounded, and proven like those of its log."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.devices import signature_event as se
from cmakeys.devices.netlink_codec import (
    GENL_ID_CTRL,
    NLM_F_MULTI,
    NLMSG_DONE,
    Attribute,
    Message,
    NetlinkProblem,
    push_attributes,
    push_command,
    push_messages,
)
from cmakeys.devices.signature_event import Assembler, SignatureEvent, event_of, of_device
from cmakeys.devices.signature_listener import listening
from cmakeys.evidence.kernel import LogOutcome, examine
from cmakeys.spdm.codes import Version
from tests.devices.kernel_log import KERNEL_VERSIONS, entry_of, kernel_conversation
from tests.evidence.loopback import device

FAMILY = 33
PATH = "/devices/pci0000:00/0000:00:04.0"
NOW = datetime(2040, 1, 1, tzinfo=UTC)
HASHES = {b"sha256\n": 4, b"sha384\n": 5, b"sha512\n": 6}


def attributes(version: Version = Version.V12, changes: Mapping[str, bytes] | None = None) -> list[Attribute]:
    """What the kernel would announce of a conversation with the honest device, its transcript in pieces."""
    entry = entry_of(kernel_conversation(device(), version))
    whole = entry["transcript"] + entry["signature"]
    at = whole.index(entry["requester_nonce"]), whole.index(entry["responder_nonce"])
    values = {
        se.DEVICE: PATH.encode() + b"\0",
        se.RSP_CODE: b"\x03",
        se.SLOT: b"\0",
        se.HASH_ALGO: struct.pack("=H", HASHES[entry["hash_algorithm"]]),
        se.SIG_OFFSET: struct.pack("=I", len(entry["transcript"])),
        se.REQ_NONCE_OFFSET: struct.pack("=I", at[0]),
        se.RSP_NONCE_OFFSET: struct.pack("=I", at[1]),
    }
    if entry["combined_spdm_prefix"]:
        values[se.PREFIX] = entry["combined_spdm_prefix"]
    values |= {getattr(se, name): data for name, data in (changes or {}).items()}
    pieces = [whole[start : start + 1000] for start in range(0, len(whole), 1000)]
    return [Attribute(kind, data) for kind, data in values.items()] + [Attribute(se.TRANSCRIPT, p) for p in pieces]


def messages(found: list[Attribute], per: int = 4) -> list[Message]:
    """The event in several messages, as a large one is sent."""
    parts = [found[start : start + per] for start in range(0, len(found), per)]
    return [
        *(Message(FAMILY, NLM_F_MULTI, 0, 0, push_command(se.SIG, part)) for part in parts),
        Message(NLMSG_DONE, NLM_F_MULTI, 0, 0, bytes(4)),
    ]


def assembled(sent: list[Message]) -> list[SignatureEvent]:
    assembler = Assembler(FAMILY)
    return [event for message in sent if (event := assembler.take(message, NOW)) is not None]


@pytest.mark.parametrize("version", KERNEL_VERSIONS)
def test_an_announced_signature_is_verified_as_one_of_the_log(version: Version) -> None:
    (event,) = assembled(messages(attributes(version)))
    assert event.devpath == PATH
    finding = examine(event.signature, (), device="pci:0000:00:04.0")
    assert finding.outcome is LogOutcome.VERIFIED, finding.faults
    assert finding.evidence is not None


def test_a_small_one_comes_in_one_message() -> None:
    (event,) = assembled([Message(FAMILY, 0, 0, 0, push_command(se.SIG, attributes()))])
    assert examine(event.signature, (), device="x").outcome is LogOutcome.VERIFIED


def test_two_signatures_are_told_apart_and_numbered() -> None:
    sent = messages(attributes())
    other = messages(attributes(changes={"DEVICE": b"/devices/other\0"}))
    events = assembled([*sent, *other, *sent])
    assert [event.devpath for event in events] == [PATH, "/devices/other", PATH]
    assert [event.signature.number for event in of_device(events, PATH)] == [3, 1]


def test_a_changed_transcript_is_refuted() -> None:
    found = attributes()
    changed = found[-1].data[:-1] + bytes([found[-1].data[-1] ^ 1])
    (event,) = assembled(messages([*found[:-1], Attribute(se.TRANSCRIPT, changed)]))
    assert examine(event.signature, (), device="x").outcome is LogOutcome.REFUTED


@pytest.mark.parametrize(
    "changes",
    [
        {"SIG_OFFSET": struct.pack("=I", 0xFFFFFFFF)},
        {"SIG_OFFSET": struct.pack("=I", 0)},
        {"SIG_OFFSET": b"\1"},
        {"REQ_NONCE_OFFSET": struct.pack("=I", 0xFFFFFFF0)},
        {"PREFIX": b"short"},
        {"SLOT": b""},
    ],
)
def test_what_does_not_fit_together_is_unreadable_and_never_verified(changes: Mapping[str, bytes]) -> None:
    (event,) = assembled(messages(attributes(changes=changes)))
    assert examine(event.signature, (), device="x").outcome is LogOutcome.UNREADABLE


def test_a_signature_of_another_kind_says_which() -> None:
    (event,) = assembled(messages(attributes(changes={"RSP_CODE": b"\x64"})))
    assert event.signature.kind == "response 0x64"


@pytest.mark.parametrize("path", [b"", b"\0", b"relative\0", b"/no end", b"/" + b"x" * 5000 + b"\0"])
def test_an_announcement_of_no_device_is_refused(path: bytes) -> None:
    with pytest.raises(NetlinkProblem, match="no device"):
        assembled(messages(attributes(changes={"DEVICE": path})))


def test_an_endless_transcript_is_given_up_and_the_next_one_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(se, "MAX_TRANSCRIPT", 1000)
    monkeypatch.setattr(se, "MAX_SIGNATURE", 0)
    assembler, sent = Assembler(FAMILY), messages(attributes())
    with pytest.raises(NetlinkProblem, match="more than 1000"):
        list(map(assembler.take, sent, [NOW] * len(sent)))
    monkeypatch.undo()
    assert [assembler.take(message, NOW) for message in messages(attributes())][-1] is not None


def test_messages_of_others_are_passed_over() -> None:
    other = Message(GENL_ID_CTRL, 0, 0, 0, b"anything")
    unknown = Message(FAMILY, 0, 0, 0, push_command(9, []))
    assert assembled([other, unknown, Message(NLMSG_DONE, 0, 0, 0, b"")]) == []


@given(st.dictionaries(st.integers(0, 12), st.binary(max_size=120)), st.binary(max_size=300))
def test_any_attributes_give_an_event_or_the_clean_error(values: dict[int, bytes], whole: bytes) -> None:
    try:
        event = event_of(values, whole, 1, NOW)
    except NetlinkProblem:
        return
    examine(event.signature, (), device="x")


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_any_payload_gives_an_event_or_the_clean_error(payloads: list[bytes]) -> None:
    assembler = Assembler(FAMILY)
    for payload in payloads:
        try:
            assembler.take(Message(FAMILY, NLM_F_MULTI, 0, 0, payload), NOW)
        except NetlinkProblem:
            continue


# -- the listener ------------------------------------------------------------------------------------------------------


def described(*groups: Attribute) -> bytes:
    values = [
        Attribute(2, b"spdm\0"),
        Attribute(1, struct.pack("=H", FAMILY)),
        Attribute(3, struct.pack("=I", 1)),
        Attribute(7, push_attributes([Attribute(1, push_attributes(groups))] if groups else [])),
    ]
    return push_messages([Message(GENL_ID_CTRL, 0, 1, 7, struct.pack("=BBH", 1, 2, 0) + push_attributes(values))])


SIG_GROUP = (Attribute(1, b"sig\0"), Attribute(2, struct.pack("=I", 5)))


@contextmanager
def kernel(answer: bytes, announcements: list[bytes]) -> Iterator[list[socket.socket]]:
    """Two sockets as the kernel would give them: one for the question about the family, one for what it announces."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    pairs[0][1].send(answer)
    for announcement in announcements:
        pairs[1][1].send(announcement)
    try:
        yield [pair[0] for pair in pairs]
    finally:
        for pair in pairs:
            for end in pair:
                end.close()


def test_what_is_announced_while_devices_are_asked_is_heard() -> None:
    sent = [push_messages([message]) for message in messages(attributes())]
    with kernel(described(*SIG_GROUP), [*sent, b"noise", *sent]) as sockets:
        ways = iter(sockets)
        with listening(connect=lambda: next(ways)) as heard:
            assert heard.events == []
        assert heard.listening
        assert [event.devpath for event in heard.events] == [PATH, PATH]
        assert len(heard.problems) == 1


def test_a_family_without_the_group_is_said_and_nothing_is_heard() -> None:
    with kernel(described(), []) as sockets:
        ways = iter(sockets)
        with listening(connect=lambda: next(ways)) as heard:
            pass
        assert not heard.listening
        assert "no group sig" in heard.problems[0]


@pytest.mark.system
def test_this_kernel_can_be_listened_to_whatever_it_has() -> None:
    with listening() as heard:
        pass
    assert heard.events == []
