"""What a session does not put up with, and what it lives through.

The recordings bring a session to life; from then on a peer that has its keys says whatever a test wants it to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cmakeys.spdm.codes import Capability, ErrorCode, KeyOperation, RequestCode, ResponseCode
from cmakeys.spdm.effects import DeviceRefused, DeviceUnavailable, Flow, Resynchronise, Send, Wait
from cmakeys.spdm.handshake import PreSharedKey, free_session_id
from cmakeys.spdm.messages.negotiation import TABLE_AEAD, TABLE_DHE, TABLE_KEM, TABLE_KEY_SCHEDULE, StructTable
from cmakeys.spdm.schedule import Secrets
from cmakeys.spdm.secured import Opener, Sealer, SessionType
from cmakeys.spdm.session import Session
from cmakeys.spdm.states import IllegalRequest, State
from cmakeys.spdm.terms import Terms
from cmakeys.spdm.violation import STEP_POSSESSION, ProtocolViolation
from tests.spdm.recorded_sessions import Recording, follow
from tests.spdm.replay import Replay

T = TypeVar("T")

ENCRYPTED_HANDSHAKE = "v11-mctp-p256-sha256-session-encrypted-handshake"
CLEAR_HANDSHAKE = "v13-mctp-p384-sha384-multikey-session"
WITH_PSK = "v12-mctp-psk-sha384"
MUTUAL = "v13-doe-p384-full"


def recording(shared_data: Path, name: str) -> Recording:
    return follow(shared_data / "captures", name)


@cache
def recorded_once(shared_data: Path, name: str) -> Recording:
    """For tests that replay a recording often, and do not change it."""
    return recording(shared_data, name)


def first(recorded: Recording, code: RequestCode) -> int:
    return next(n for n, item in enumerate(recorded.items) if item.request[1] == code and not item.application)


def replayed(shared_data: Path, name: str, until: RequestCode) -> Replay:
    replay = Replay(recording(shared_data, name))
    replay.run(first(replay.recording, until))
    return replay


def flip(position: int, byte: int, mask: int = 1) -> Callable[[int, bytes], bytes]:
    def tamper(at: int, answer: bytes) -> bytes:
        changed = bytearray(answer)
        if at == position:
            changed[byte] ^= mask
        return bytes(changed)

    return tamper


# -- the handshake ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (ENCRYPTED_HANDSHAKE, RequestCode.KEY_EXCHANGE),
        (CLEAR_HANDSHAKE, RequestCode.KEY_EXCHANGE),
        (CLEAR_HANDSHAKE, RequestCode.FINISH),
        (WITH_PSK, RequestCode.PSK_EXCHANGE),
        (WITH_PSK, RequestCode.PSK_FINISH),
    ],
)
def test_no_byte_of_a_handshake_can_be_changed(name: str, code: RequestCode, shared_data: Path) -> None:
    recorded = recorded_once(shared_data, name)
    position = first(recorded, code)
    item = recorded.items[position]
    for byte in range(len(item.response_record or item.response)):
        replay = Replay(recorded)
        replay.tamper = flip(position, byte)
        with pytest.raises(ProtocolViolation):
            replay.run(position + 1)
        assert replay.sessions == {}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (ENCRYPTED_HANDSHAKE, RequestCode.KEY_EXCHANGE),
        (CLEAR_HANDSHAKE, RequestCode.FINISH),
        (WITH_PSK, RequestCode.PSK_EXCHANGE),
        (MUTUAL, RequestCode.KEY_EXCHANGE),
    ],
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 4095), noise=st.binary(max_size=300))
def test_noise_in_a_handshake_brings_nothing_but_a_clean_refusal(
    name: str, code: RequestCode, shared_data: Path, cut: int, noise: bytes
) -> None:
    recorded = recorded_once(shared_data, name)
    position = first(recorded, code)
    whole = recorded.items[position].response.rstrip(b"\0")  # padded on DOE; none of these ends in a zero of its own
    start = whole[: cut % len(whole)]
    assume(not (start + noise).startswith(whole))  # what follows a message is left alone as padding
    replay = Replay(recorded)
    replay.tamper = lambda at, answer: start + noise if at == position else answer
    with pytest.raises((ProtocolViolation, DeviceRefused, Resynchronise)):
        replay.run(position + 1)
    assert replay.sessions == {}


def test_a_device_without_the_shared_secret_is_caught_by_its_verify_data(shared_data: Path) -> None:
    recorded = recording(shared_data, ENCRYPTED_HANDSHAKE)
    recorded.shared_secrets[0] = bytes(32)
    with pytest.raises(ProtocolViolation, match="ResponderVerifyData does not verify") as caught:
        Replay(recorded).run()
    assert caught.value.step == STEP_POSSESSION


def test_a_device_with_another_pre_shared_key_is_told_from_a_broken_one(shared_data: Path) -> None:
    recorded = recording(shared_data, WITH_PSK)
    recorded.shared_secrets[0] = b"another key"
    with pytest.raises(ProtocolViolation, match="ResponderVerifyData") as caught:
        Replay(recorded).run()
    assert "same pre-shared key" in caught.value.hint


def test_a_device_that_demands_who_asks_is_refused_without_an_identity(shared_data: Path) -> None:
    replay = replayed(shared_data, MUTUAL, RequestCode.KEY_EXCHANGE)
    replay.identified = False
    with pytest.raises(ProtocolViolation, match="demands to know who asks"):
        replay.run()


@pytest.mark.parametrize("value", [3, 5, 6, 7, 0x80])
def test_only_the_defined_forms_of_mutual_authentication_are_taken(value: int, shared_data: Path) -> None:
    replay = replayed(shared_data, MUTUAL, RequestCode.KEY_EXCHANGE)
    replay.tamper = flip(replay.position, 6, value ^ 2)  # recorded: 2, with encapsulated requests
    with pytest.raises(ProtocolViolation, match="MutAuthRequested"):
        replay.run()


def test_mutual_authentication_that_was_not_negotiated_is_refused(shared_data: Path) -> None:
    replay = replayed(shared_data, ENCRYPTED_HANDSHAKE, RequestCode.KEY_EXCHANGE)
    replay.tamper = flip(replay.position, 6)
    with pytest.raises(ProtocolViolation, match="not negotiated"):
        replay.run()


def test_a_secured_version_that_was_not_offered_is_refused(shared_data: Path) -> None:
    replay = replayed(shared_data, CLEAR_HANDSHAKE, RequestCode.KEY_EXCHANGE)
    response = replay.upcoming.response
    selected = response.index(bytes.fromhex("0400010000")) + 5
    replay.tamper = flip(replay.position, selected, 0x40)
    with pytest.raises(ProtocolViolation, match="which was not offered"):
        replay.run()


# -- the terms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "mask", "message"),
    [
        (TABLE_AEAD, 0x0, "AEAD selection 0x0"),
        (TABLE_AEAD, 0x3, "not one supported algorithm"),
        (TABLE_AEAD, 0x8, "not one supported algorithm"),
        (TABLE_DHE, 0x40, "not supported"),
        (TABLE_DHE, 0x18, "not supported"),
        (TABLE_KEM, 0x2, "both selected"),
        (TABLE_KEY_SCHEDULE, 0x0, "no key schedule"),
    ],
)
def test_a_selection_that_makes_no_session_is_named(table: int, mask: int, message: str, shared_data: Path) -> None:
    connection = replayed(shared_data, CLEAR_HANDSHAKE, RequestCode.KEY_EXCHANGE).requester.connection
    assert connection.algorithms is not None
    others = [entry for entry in connection.algorithms.tables if entry.type != table]
    connection.algorithms = replace(connection.algorithms, tables=(*others, StructTable(table, mask)))
    with pytest.raises(ProtocolViolation, match=message):
        Terms.of(connection)


def test_records_are_encrypted_only_where_both_sides_can(shared_data: Path) -> None:
    connection = replayed(shared_data, CLEAR_HANDSHAKE, RequestCode.KEY_EXCHANGE).requester.connection
    assert Terms.of(connection).kind is SessionType.ENCRYPTED
    connection.requester_flags &= ~Capability.ENCRYPT
    assert Terms.of(connection).kind is SessionType.MAC_ONLY
    connection.requester_flags &= ~Capability.MAC
    with pytest.raises(ProtocolViolation, match="authenticates no messages"):
        Terms.of(connection)


# -- a peer with the keys --------------------------------------------------------------------------------------------


class Peer:
    """The device's end of a session that is open; answers what it is told to, under the key it is told to use."""

    def __init__(self, session: Session) -> None:
        secrets = session._secrets
        assert secrets is not None
        self.session = session
        self.requests: list[bytes] = []
        session.requester.entropy = bytes
        session._sealer._entropy = session.requester.entropy
        self.secrets = secrets
        self._opener = Opener(session.channel, secrets.request.keys(session.channel.aead))
        self._sealer = Sealer(session.channel, secrets.response.keys(session.channel.aead))
        self._opener.counter, self._sealer.counter = session._sealer.counter, session._opener.counter

    def roll(self, *, request: bool = False, response: bool = False) -> None:
        old = self.secrets
        self.secrets = Secrets(
            old.request.updated() if request else old.request, old.response.updated() if response else old.response
        )
        channel = self.session.channel
        if request:
            self._opener = Opener(channel, self.secrets.request.keys(channel.aead))
        if response:
            self._sealer = Sealer(channel, self.secrets.response.keys(channel.aead))

    def take(self, record: bytes) -> bytes:
        request = self.session.channel.binding.unwrap(self._opener.open(record).application)
        self.requests.append(request)
        return request

    def say(self, message: bytes) -> bytes:
        return self._sealer.seal(self.session.channel.binding.wrap(message))

    def answer(self, request: bytes) -> bytes:
        """What an honest device says; rolls its keys as it goes."""
        version, code, first_parameter, second = request[:4]
        if code == RequestCode.KEY_UPDATE and first_parameter != KeyOperation.VERIFY_NEW_KEY:
            self.roll(request=True, response=first_parameter == KeyOperation.UPDATE_ALL_KEYS)
        if code == RequestCode.KEY_UPDATE:
            return self.say(bytes((version, code & 0x7F, first_parameter, second)))
        return self.say(bytes((version, code & 0x7F, 0, 0)))

    def drive(self, flow: Flow[T], answers: list[Callable[[bytes], bytes]] | None = None) -> T:
        script = iter(answers or [])
        reply: bytes | None = None
        while True:
            try:
                effect = next(flow) if reply is None else flow.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # a generator's return value is untyped
            if isinstance(effect, Wait):
                reply = b""
                continue
            assert effect.secured
            reply = next(script, self.answer)(self.take(effect.message))

    def error(self, code: ErrorCode) -> Callable[[bytes], bytes]:
        return lambda request: self.say(bytes((request[0], ResponseCode.ERROR, code, 0)))


@pytest.fixture
def peer(shared_data: Path) -> Peer:
    replay = replayed(shared_data, CLEAR_HANDSHAKE, RequestCode.HEARTBEAT)
    return Peer(replay.sessions[0])


def assert_over(peer: Peer) -> None:
    """Nothing is sent any more, and nothing of the keys is left."""
    assert peer.session.state is State.ENDED
    before = len(peer.requests)
    with pytest.raises(IllegalRequest):
        peer.drive(peer.session.heartbeat())
    assert len(peer.requests) == before
    assert peer.session._secrets is None
    assert peer.session._sealer._cipher is None
    assert peer.session._opener._cipher is None


@pytest.mark.parametrize("operation", [KeyOperation.UPDATE_KEY, KeyOperation.UPDATE_ALL_KEYS])
def test_a_session_goes_on_after_any_number_of_updates(operation: KeyOperation, peer: Peer) -> None:
    for _ in range(3):
        peer.drive(peer.session.heartbeat())
        peer.drive(peer.session.update_keys(operation))
    peer.drive(peer.session.end())
    updates = [request[2] for request in peer.requests if request[1] == RequestCode.KEY_UPDATE]
    assert updates == [operation, KeyOperation.VERIFY_NEW_KEY] * 3
    assert_over(peer)


@pytest.mark.parametrize("operation", [KeyOperation.UPDATE_KEY, KeyOperation.UPDATE_ALL_KEYS])
def test_a_refused_update_leaves_the_keys_as_they_were(operation: KeyOperation, peer: Peer) -> None:
    with pytest.raises(DeviceRefused, match="INVALID_REQUEST"):
        peer.drive(peer.session.update_keys(operation), [peer.error(ErrorCode.INVALID_REQUEST)])
    peer.drive(peer.session.heartbeat())
    assert peer.session.state is State.SESSION


def test_a_busy_device_is_asked_for_the_update_again(peer: Peer) -> None:
    peer.drive(peer.session.update_keys(), [peer.error(ErrorCode.BUSY)])
    peer.drive(peer.session.heartbeat())
    assert [request[2] for request in peer.requests[:3]] == [2, 2, 3]


def test_an_update_that_is_not_verified_ends_the_session(peer: Peer) -> None:
    with pytest.raises(DeviceRefused):
        peer.drive(peer.session.update_keys(), [peer.answer, peer.error(ErrorCode.INVALID_REQUEST)])
    assert_over(peer)


def test_an_update_acknowledged_under_the_old_key_ends_the_session(peer: Peer) -> None:
    def stale(request: bytes) -> bytes:
        return peer.say(bytes((request[0], ResponseCode.KEY_UPDATE_ACK, *request[2:4])))

    with pytest.raises(ProtocolViolation, match="not under the new key"):
        peer.drive(peer.session.update_keys(), [stale])
    assert_over(peer)


@pytest.mark.parametrize("byte", [2, 3])
def test_an_acknowledgement_of_another_update_ends_the_session(byte: int, peer: Peer) -> None:
    def wrong(request: bytes) -> bytes:
        answer = bytearray((request[0], ResponseCode.KEY_UPDATE_ACK, *request[2:4]))
        answer[byte] ^= 1
        return peer.say(bytes(answer))

    with pytest.raises(ProtocolViolation, match="is acknowledged where"):
        peer.drive(peer.session.update_keys(KeyOperation.UPDATE_KEY), [wrong])
    assert_over(peer)


@pytest.mark.parametrize(
    "reply",
    [
        lambda request: b"",
        lambda request: b"\x13\x68\0\0",
        lambda request: b"\x13\x7f\x05\0",
        lambda request: bytes(60),
    ],
    ids=["nothing", "a clear answer", "a clear ERROR", "zeros"],
)
def test_what_is_no_record_of_the_session_ends_it(reply: Callable[[bytes], bytes], peer: Peer) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        peer.drive(peer.session.heartbeat(), [reply])
    assert caught.value.step == STEP_POSSESSION
    assert_over(peer)


def test_one_failed_mac_ends_the_session(peer: Peer) -> None:
    def tampered(request: bytes) -> bytes:
        record = bytearray(peer.answer(request))
        record[-1] ^= 1
        return bytes(record)

    with pytest.raises(ProtocolViolation, match="MAC of a record does not verify"):
        peer.drive(peer.session.heartbeat(), [tampered])
    assert_over(peer)


@pytest.mark.parametrize("message", [b"\x12\x68\0\0", b"\x13\x60\0\0", b"\x13", b""])
def test_an_authentic_answer_that_is_the_wrong_one_ends_the_session(message: bytes, peer: Peer) -> None:
    with pytest.raises(ProtocolViolation):
        peer.drive(peer.session.heartbeat(), [lambda request: peer.say(message)])
    assert_over(peer)


def test_decrypt_error_ends_the_session_and_another_error_does_not(peer: Peer) -> None:
    with pytest.raises(DeviceRefused, match="UNSUPPORTED"):
        peer.drive(peer.session.heartbeat(), [peer.error(ErrorCode.UNSUPPORTED_REQUEST)])
    peer.drive(peer.session.heartbeat())
    with pytest.raises(DeviceRefused, match="DECRYPT_ERROR"):
        peer.drive(peer.session.heartbeat(), [peer.error(ErrorCode.DECRYPT_ERROR)])
    assert_over(peer)


def test_a_device_that_stays_busy_keeps_its_session(peer: Peer) -> None:
    with pytest.raises(DeviceUnavailable):
        peer.drive(peer.session.heartbeat(), [peer.error(ErrorCode.BUSY)] * 20)
    peer.drive(peer.session.heartbeat())


def test_a_request_whose_answer_never_comes_ends_the_session(peer: Peer) -> None:
    flow = peer.session.heartbeat()
    assert isinstance(next(flow), Send)
    flow.close()
    assert_over(peer)


def test_a_session_asks_nothing_that_belongs_outside(peer: Peer) -> None:
    with pytest.raises(IllegalRequest):
        peer.drive(peer.session.protect(peer.session.requester.challenge(0)))
    assert peer.requests == []


def test_a_heartbeat_needs_a_period(peer: Peer) -> None:
    peer.session.heartbeat_period = 0
    with pytest.raises(IllegalRequest):
        peer.drive(peer.session.heartbeat())
    assert peer.requests == []


def test_nothing_of_the_keys_is_printed(peer: Peer) -> None:
    assert repr(peer.session) == "<Session 0xffffffff in a session>"
    assert repr(PreSharedKey(b"hint", b"secret")) == "PreSharedKey(hint=b'hint')"


def test_no_two_open_sessions_get_the_same_number(peer: Peer) -> None:
    assert free_session_id([]) == 0xFFFF
    assert free_session_id([peer.session]) == 0xFFFE


# -- the device asks -------------------------------------------------------------------------------------------------


def encapsulated(peer: Peer, request_id: int, message: bytes) -> Callable[[bytes], bytes]:
    return lambda request: peer.say(bytes((0x13, ResponseCode.ENCAPSULATED_REQUEST, request_id, 0)) + message)


def acknowledge(
    peer: Peer, acknowledged: int, following: bytes = b"", *, roll: bool = False
) -> Callable[[bytes], bytes]:
    def say(request: bytes) -> bytes:
        if roll:
            peer.roll(response=True)
        head = bytes((0x13, ResponseCode.ENCAPSULATED_RESPONSE_ACK, acknowledged + 1 if following else 0))
        return peer.say(head + bytes((bool(following), acknowledged, 0, 0, 0)) + following)

    return say


UPDATE, VERIFY = b"\x13\xe9\x01\x55", b"\x13\xe9\x03\x66"


def test_a_device_rolls_its_own_key_and_the_session_goes_on(peer: Peer) -> None:
    script = [encapsulated(peer, 1, UPDATE), acknowledge(peer, 1, VERIFY, roll=True), acknowledge(peer, 2)]
    peer.drive(peer.session.serve(), script)
    delivered = [request[4:] for request in peer.requests if request[1] == RequestCode.DELIVER_ENCAPSULATED_RESPONSE]
    assert delivered == [b"\x13\x69\x01\x55", b"\x13\x69\x03\x66"]
    peer.drive(peer.session.heartbeat())
    peer.drive(peer.session.update_keys())
    assert peer.session.state is State.SESSION


def test_a_busy_device_is_told_of_its_update_again(peer: Peer) -> None:
    update = [encapsulated(peer, 1, UPDATE), peer.error(ErrorCode.BUSY), acknowledge(peer, 1, VERIFY, roll=True)]
    peer.drive(peer.session.serve(), [*update, peer.error(ErrorCode.BUSY), acknowledge(peer, 2)])
    peer.drive(peer.session.heartbeat())


def test_a_device_that_asks_for_an_update_and_keeps_its_key_has_lost_the_session(peer: Peer) -> None:
    with pytest.raises(ProtocolViolation, match="not under the new key"):
        peer.drive(peer.session.serve(), [encapsulated(peer, 1, UPDATE), acknowledge(peer, 1, VERIFY)])
    assert_over(peer)


@pytest.mark.parametrize(
    ("asked", "refused"), [(VERIFY, 0x01), (b"\x13\xe9\x02\x55", 0x01), (b"\x13\xe9", 0x01), (b"\x13\x81\0\0", 0x07)]
)
def test_what_a_device_may_not_ask_is_refused_by_its_name(asked: bytes, refused: int, peer: Peer) -> None:
    peer.drive(peer.session.serve(), [encapsulated(peer, 1, asked), acknowledge(peer, 1)])
    assert peer.requests[-1][4:] == bytes((0x13, ResponseCode.ERROR, refused, 0))
    peer.drive(peer.session.heartbeat())


def test_a_device_with_nothing_to_ask_is_no_trouble(peer: Peer) -> None:
    peer.drive(peer.session.serve(), [peer.error(ErrorCode.NO_PENDING_REQUESTS)])
    peer.drive(peer.session.heartbeat())


def test_an_acknowledgement_of_another_response_ends_the_session(peer: Peer) -> None:
    with pytest.raises(ProtocolViolation, match="response 9 is acknowledged where 1 was delivered"):
        peer.drive(peer.session.serve(), [encapsulated(peer, 1, b"\x13\x81\0\0"), acknowledge(peer, 9)])
    assert_over(peer)
