"""Records: the reference's, those we make ourselves, and those that somebody tampered with."""

from __future__ import annotations

from itertools import product

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.spdm.algorithms import Aead
from cmakeys.spdm.schedule import AEAD_KEY_LENGTHS, TrafficKeys
from cmakeys.spdm.secured import (
    MAX_APPLICATION,
    Binding,
    Channel,
    KeyExhausted,
    Opener,
    RecordProblem,
    RecordTooLarge,
    Sealer,
    SessionType,
)
from cmakeys.spdm.wire import WireError
from tests.spdm import worked_session as worked

AEADS = [Aead.AES_128_GCM, Aead.AES_256_GCM, Aead.CHACHA20_POLY1305]
CHANNELS = [Channel(0xFFFEFFFD, binding, aead, kind) for binding, aead, kind in product(Binding, AEADS, SessionType)]


def keys_of(channel: Channel) -> TrafficKeys:
    return TrafficKeys(bytes(range(AEAD_KEY_LENGTHS[channel.aead])), bytes(range(100, 112)))


def pair(channel: Channel) -> tuple[Sealer, Opener]:
    return Sealer(channel, keys_of(channel)), Opener(channel, keys_of(channel))


def name_of(channel: Channel) -> str:
    return f"{channel.binding.value}-{channel.aead.name}-{channel.kind.value}"


def worked_keys(phase: str) -> TrafficKeys:
    return TrafficKeys(bytes.fromhex(worked.VALUES[f"{phase} key"]), bytes.fromhex(worked.VALUES[f"{phase} IV"]))


@pytest.mark.parametrize(
    ("phase", "message", "record"),
    [
        ("handshake request", worked.FINISH, worked.FINISH_RECORD),
        ("handshake response", "12650000", worked.FINISH_RSP_RECORD),
        ("app request", "12e80000", worked.HEARTBEAT_RECORD),
        ("app response", "12680000", worked.HEARTBEAT_ACK_RECORD),
    ],
)
def test_the_worked_records_are_opened_and_made(phase: str, message: str, record: str) -> None:
    channel = Channel(0xFFFFFFFF, Binding.PCI_DOE, Aead.AES_256_GCM)
    sealed = Sealer(channel, worked_keys(phase)).seal(bytes.fromhex(message))
    assert bytes.fromhex(record).startswith(sealed)
    assert Opener(channel, worked_keys(phase)).open(bytes.fromhex(record)).application.hex() == message


@pytest.mark.parametrize("channel", CHANNELS, ids=name_of)
@given(messages=st.lists(st.binary(max_size=200), min_size=1, max_size=5), padding=st.integers(0, 3))
def test_what_is_sealed_is_opened_in_order(channel: Channel, messages: list[bytes], padding: int) -> None:
    sealer, opener = pair(channel)
    brief = Opener(channel, keys_of(channel))
    for message in messages:
        record = sealer.seal(channel.binding.wrap(message)) + bytes(padding)
        opened = opener.open(record)
        assert channel.binding.unwrap(opened.application) == message
        assert brief.application(record) == opened.application
        assert len(opened.padding) <= channel.binding.max_padding


@pytest.mark.parametrize("channel", CHANNELS, ids=name_of)
def test_no_bit_of_a_record_can_be_changed(channel: Channel) -> None:
    record = pair(channel)[0].seal(b"message")
    for position in range(8 * len(record)):
        changed = bytearray(record)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(RecordProblem):
            pair(channel)[1].open(bytes(changed))


@pytest.mark.parametrize("channel", CHANNELS, ids=name_of)
def test_one_bad_record_is_the_last_one(channel: Channel) -> None:
    sealer, opener = pair(channel)
    record = sealer.seal(b"message")
    with pytest.raises(RecordProblem, match="MAC"):
        opener.open(record[:-1] + bytes((record[-1] ^ 1,)))
    with pytest.raises(RecordProblem, match="the session has ended"):
        opener.open(record)


@pytest.mark.parametrize("channel", CHANNELS, ids=name_of)
def test_a_record_cut_short_is_the_last_one_too(channel: Channel) -> None:
    sealer, opener = pair(channel)
    record = sealer.seal(b"message")
    with pytest.raises(RecordProblem, match="cut short"):
        opener.open(record[:-1])
    with pytest.raises(RecordProblem, match="the session has ended"):
        opener.open(record)


@pytest.mark.parametrize("channel", CHANNELS, ids=name_of)
def test_records_are_neither_repeated_nor_left_out(channel: Channel) -> None:
    sealer, opener = pair(channel)
    first, second = sealer.seal(b"1"), sealer.seal(b"2")
    with pytest.raises(RecordProblem):
        Opener(channel, keys_of(channel)).open(second)
    opener.open(first)
    with pytest.raises(RecordProblem):
        opener.open(first)


def test_a_record_of_another_session_is_named() -> None:
    channel = Channel(0xFFFFFFFF, Binding.MCTP, Aead.AES_256_GCM)
    other = Channel(0xFFFEFFFE, Binding.MCTP, Aead.AES_256_GCM)
    with pytest.raises(RecordProblem, match="a record of session fffefffe, not of ffffffff"):
        pair(channel)[1].open(pair(other)[0].seal(b"message"))


def test_a_sequence_number_on_the_wire_must_be_the_one_due() -> None:
    channel = Channel(0xFFFFFFFF, Binding.MCTP, Aead.AES_256_GCM)
    sealer, opener = pair(channel)
    sealer.seal(b"lost")
    with pytest.raises(RecordProblem, match="record 0001 where 0000 is due"):
        opener.open(sealer.seal(b"message"))


def test_the_sequence_number_on_the_wire_wraps_and_the_nonce_does_not() -> None:
    channel = Channel(1, Binding.MCTP, Aead.AES_128_GCM)
    sealer, opener = pair(channel)
    first = sealer.seal(b"message", b"")
    sealer.counter = opener.counter = 0x10000
    wrapped = sealer.seal(b"message", b"")
    assert first[:8] == wrapped[:8]
    assert first[8:] != wrapped[8:]
    assert opener.open(wrapped).application == b"message"


def test_a_mac_only_session_shows_the_message_and_protects_it() -> None:
    channel = Channel(1, Binding.PCI_DOE, Aead.AES_256_GCM, SessionType.MAC_ONLY)
    record = pair(channel)[0].seal(b"in the clear")
    assert record[6:-16] == b"in the clear"
    encrypted = Channel(1, Binding.PCI_DOE, Aead.AES_256_GCM)
    assert b"in the clear" not in pair(encrypted)[0].seal(b"in the clear")


@pytest.mark.parametrize("channel", CHANNELS, ids=name_of)
def test_no_more_records_than_agreed_are_made_or_taken(channel: Channel) -> None:
    limited = Channel(channel.session_id, channel.binding, channel.aead, channel.kind, limit_exponent=1)
    sealer, opener = pair(limited)
    for _ in range(2):
        opener.open(sealer.seal(b"message"))
    with pytest.raises(KeyExhausted):
        sealer.seal(b"message")
    unlimited = pair(channel)[0]
    unlimited.counter = 2
    with pytest.raises(RecordProblem, match="more records"):
        opener.open(unlimited.seal(b"message"))


def test_a_message_too_large_for_a_record_is_our_own_mistake() -> None:
    sealer, opener = pair(Channel(1, Binding.MCTP, Aead.AES_256_GCM))
    assert len(opener.open(sealer.seal(bytes(MAX_APPLICATION))).application) == MAX_APPLICATION
    with pytest.raises(RecordTooLarge):
        sealer.seal(bytes(MAX_APPLICATION + 1))


@pytest.mark.parametrize("channel", CHANNELS, ids=name_of)
@given(noise=st.binary(max_size=120), start=st.booleans())
def test_noise_brings_nothing_but_the_end_of_the_session(channel: Channel, noise: bytes, start: bool) -> None:
    sealer, opener = pair(channel)
    prefix = sealer.seal(b"message")[: 4 + channel.binding.sequence_length] if start else b""
    with pytest.raises(RecordProblem):
        opener.open(prefix + noise)


def test_the_length_inside_must_fit_the_record() -> None:
    """Only a device that has the keys can make this one."""
    channel = Channel(1, Binding.PCI_DOE, Aead.AES_256_GCM)
    keys = keys_of(channel)
    header = bytes.fromhex("01000000") + (2 + 3 + 16).to_bytes(2, "little")
    record = header + AESGCM(keys.key).encrypt(keys.iv, b"\xff\x00abc", header)
    with pytest.raises(RecordProblem, match="application data of 255 bytes in a record that holds 5"):
        pair(channel)[1].open(record)


@pytest.mark.parametrize("binding", Binding)
@given(data=st.binary(max_size=40))
def test_application_data_is_a_message_or_a_clean_error(binding: Binding, data: bytes) -> None:
    assert binding.unwrap(binding.wrap(data)) == data
    try:
        message = binding.unwrap(data)
    except WireError:
        return
    assert data.endswith(message)


def test_nothing_of_a_key_is_printed() -> None:
    for side in pair(CHANNELS[0]):
        assert "0001020304" not in repr(side)
        assert "\\x01\\x02\\x03" not in repr(side)
