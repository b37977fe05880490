"""Lies that only the holder of a session's keys can tell: records that authenticate and contradict themselves.

Whoever is in the middle can do none of this; a device with hostile firmware can do all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from cmakeys.emulator.lies.fault import Fault
from cmakeys.emulator.lies.kinds import Amend, Encode, Refuse, cut_last_byte, flip_bit_at
from cmakeys.emulator.lies.lie import Lie
from cmakeys.emulator.lies.sessions import Record, session_fault, with_session_settings
from cmakeys.spdm.codes import ErrorCode, KeyOperation, MutualAuthentication, RequestCode, ResponseCode
from cmakeys.spdm.messages.encapsulated import AckPayload, EncapsulatedResponseAck
from cmakeys.spdm.secured import MAC_LENGTH, NONCE_LENGTH, SESSION_ID_LENGTH, Binding, Opener, Sealer, SessionType
from cmakeys.spdm.wire import le

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation
    from cmakeys.emulator.sessions import OpenSession


class _Forger(Sealer):
    """Seals any text, whatever its length field says."""

    def forged(self, text: bytes) -> bytes:
        """The record of `text` under the present counter."""
        if self._cipher is None:
            raise ValueError("a record is forged with a key that was forgotten")
        header = self._start() + le(len(text) + MAC_LENGTH, 2)
        nonce = (self._iv ^ self.counter).to_bytes(NONCE_LENGTH, "little")
        if self.channel.kind is SessionType.ENCRYPTED:
            return header + self._cipher.encrypt(nonce, text, header)
        return header + text + self._cipher.encrypt(nonce, b"", header + text)


def resealed(session: OpenSession, record: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The record that `session` sealed last with another text in it, and a MAC that is right.

    In an encrypted session the text begins with ApplicationDataLength and ends with padding.
    """
    keys, counter = session.last_sealed()
    opener, forger = Opener(session.channel, keys), _Forger(session.channel, keys)
    opener.counter = forger.counter = counter
    opened = opener.open(record)
    length = le(len(opened.application), 2) if session.channel.kind is SessionType.ENCRYPTED else b""
    return forger.forged(change(length + opened.application + opened.padding))


class Resealed(Lie):
    """Changes the text of every record, and seals it with the right key."""

    def __init__(self, change: Callable[[bytes], bytes]) -> None:
        self._change = change

    def record(self, record: bytes, talk: Conversation) -> bytes:
        """Seal it again."""
        return resealed(talk.session, record, self._change) if talk.session is not None else record


class SkippedSequence(Lie):
    """Leaves a record counter out before each record."""

    def transmit(self, octets: bytes, talk: Conversation) -> bytes:
        """Move the counter on before the message is sealed."""
        if talk.session is not None:
            talk.session.skip_counter()
        return octets


class OtherType(Lie):
    """Sends application data of another kind: no SPDM message, where the transport says what it is."""

    def record(self, record: bytes, talk: Conversation) -> bytes:
        """Change the message type; on DOE there is none, and the version byte goes instead."""
        session = talk.session
        if session is None:
            return record
        offset = 2 + (3 if session.channel.binding is Binding.TCP else 0)
        return resealed(session, record, lambda text: text[:offset] + b"\x7e" + text[offset + 1 :])


class RefusedVerification(Lie):
    """Agrees to new keys, and refuses to verify them."""

    def __init__(self) -> None:
        self._refusal = Refuse(ErrorCode.UNSPECIFIED, frozenset({RequestCode.KEY_UPDATE}))

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        """Refuse the verification alone."""
        return self._refusal.intercept(request, talk) if request[2] == KeyOperation.VERIFY_NEW_KEY else None


class WithoutKey(Lie):
    """Measures as it would outside: a whole MEASUREMENTS, in which nothing is wrong but that no key protects it."""

    def __init__(self, *, dressed: bool) -> None:
        self._dressed = dressed
        """As a record of the session, by its header and its length."""

    def record(self, record: bytes, talk: Conversation) -> bytes:
        """Take the record's place with the message that it holds."""
        if talk.session is None:
            return record
        channel = talk.session.channel
        keys, counter = talk.session.last_sealed()
        opener = Opener(channel, keys)
        opener.counter = counter
        application = opener.application(record)
        message = channel.binding.unwrap(application)
        if message[1] != ResponseCode.MEASUREMENTS:
            return record
        if not self._dressed:
            return message
        text = le(len(application), 2) + application
        header = record[: SESSION_ID_LENGTH + channel.binding.sequence_length]
        return header + le(len(text) + MAC_LENGTH, 2) + text + bytes(MAC_LENGTH)


class SpoiledText(Lie):
    """Changes the first byte of what a record of a MAC-only session shows."""

    def record(self, record: bytes, talk: Conversation) -> bytes:
        """It stands behind the record's header."""
        if talk.session is None:
            return record
        return flip_bit_at(SESSION_ID_LENGTH + talk.session.channel.binding.sequence_length + 2)(record)


def _longer(record: bytes) -> bytes:
    """A record whose Length counts a byte that is not there. Length stands behind the session and the sequence."""
    return record[:4] + bytes((record[4] ^ 1,)) + record[5:]


def _overlong(text: bytes) -> bytes:
    return b"\xff\xff" + text[2:]


def _another_slot(message: EncapsulatedResponseAck) -> EncapsulatedResponseAck:
    ends = message.kind in (AckPayload.ABSENT, AckPayload.REQUESTER_SLOT)
    return replace(message, kind=AckPayload.REQUESTER_SLOT, payload=b"\x05") if ends else message


_ENCAPSULATED = with_session_settings(mutual=MutualAuthentication.ENCAPSULATED)

FAULTS: tuple[Fault, ...] = (
    session_fault(11, "record-skips-sequence", "a record counter is left out", SkippedSequence),
    session_fault(
        11, "record-header-changed", "a record's sequence number or length was changed", lambda: Record(_longer)
    ),
    session_fault(
        11,
        "record-inner-length",
        "the authentic text of a record counts more application data than it holds",
        lambda: Resealed(_overlong),
    ),
    session_fault(
        11,
        "measurements-in-the-clear",
        "MEASUREMENTS that was asked for in a session comes in the clear",
        lambda: WithoutKey(dressed=False),
    ),
    session_fault(
        11,
        "measurements-without-key",
        "MEASUREMENTS comes as a record of the session that no key protects",
        lambda: WithoutKey(dressed=True),
    ),
    session_fault(
        11,
        "record-spoiled-text",
        "in a session that authenticates only, the message in a record was changed",
        SpoiledText,
        settings=with_session_settings(encrypt=False),
    ),
    session_fault(11, "record-no-text", "an authentic record has no text at all", lambda: Resealed(lambda text: b"")),
    session_fault(11, "record-other-type", "an authentic record holds something else than an SPDM message", OtherType),
    session_fault(
        11,
        "key-update-unverified",
        "the device agrees to new keys and refuses to verify them",
        RefusedVerification,
    ),
    session_fault(
        11,
        "truncated-key-update-ack",
        "KEY_UPDATE_ACK ends inside its header",
        lambda: Encode(ResponseCode.KEY_UPDATE_ACK, cut_last_byte),
    ),
    session_fault(
        11,
        "truncated-heartbeat-ack",
        "HEARTBEAT_ACK ends inside its header",
        lambda: Encode(ResponseCode.HEARTBEAT_ACK, cut_last_byte),
        settings=with_session_settings(heartbeat=60),
    ),
    session_fault(
        11,
        "truncated-end-session-ack",
        "END_SESSION_ACK ends inside its header",
        lambda: Encode(ResponseCode.END_SESSION_ACK, cut_last_byte),
    ),
    session_fault(
        11,
        "truncated-encapsulated-request",
        "ENCAPSULATED_REQUEST ends inside its header",
        lambda: Encode(ResponseCode.ENCAPSULATED_REQUEST, lambda octets: octets[:3]),
        settings=_ENCAPSULATED,
    ),
    session_fault(
        11,
        "names-another-slot-of-ours",
        "the device chooses a slot of the requester that is not there",
        lambda: Amend(EncapsulatedResponseAck, _another_slot),
        settings=_ENCAPSULATED,
    ),
)
