"""Lies in the messages that make a session, in what a session alone has, and about its records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from cmakeys.emulator.lies.challenge import other_nonce, other_version
from cmakeys.emulator.lies.fault import Fault, Outcome, Where
from cmakeys.emulator.lies.kinds import Amend, Encode, Refuse, Sign, Spoil, cut_last_byte, flip_bit_at, flip_last_bit
from cmakeys.emulator.lies.lie import Lie, M
from cmakeys.emulator.session_settings import PskSupport, SessionSettings
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.spdm.algorithms import Aead, Dhe, Kem
from cmakeys.spdm.codes import (
    ErrorCode,
    KeyOperation,
    MutualAuthentication,
    RequestCode,
    ResponseCode,
    Version,
)
from cmakeys.spdm.messages.certificates import GetDigests
from cmakeys.spdm.messages.encapsulated import AckPayload, EncapsulatedResponseAck
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.messages.key_exchange import KeyExchangeResponse
from cmakeys.spdm.messages.negotiation import TABLE_AEAD, TABLE_DHE, TABLE_KEM, Algorithms, StructTable
from cmakeys.spdm.messages.psk import PskExchangeResponse
from cmakeys.spdm.messages.session_control import KeyUpdateAck
from cmakeys.spdm.signing import Context

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation

_FOREIGN_CIPHER = Aead.SM4_128_GCM.value
"""SM4, which our requester never offers."""

_CONTEXT = Context.KEY_EXCHANGE_RSP


class WrongProof(Lie):
    """The responder's verify data has a flipped bit, as of a device that has not derived the keys."""

    def verify_data(self, verify_data: bytes, talk: Conversation) -> bytes:
        """Flip it."""
        return flip_last_bit(verify_data)


class Record(Lie):
    """Changes every record of an established session."""

    def __init__(self, change: Callable[[bytes], bytes]) -> None:
        self._change = change

    def record(self, record: bytes, talk: Conversation) -> bytes:
        """Change it."""
        return self._change(record)


class Replayed(Lie):
    """Sends the second record of a session again in the place of each later one; the first is of other keys."""

    def __init__(self) -> None:
        self._sent: list[bytes] = []

    def restarted(self) -> None:
        """Another connection, other records."""
        self._sent.clear()

    def record(self, record: bytes, talk: Conversation) -> bytes:
        """The second one, or this one if it is that or comes before."""
        self._sent.append(record)
        return self._sent[:2][-1]


class SameSequence(Lie):
    """Seals every record with the counter of the one before."""

    def transmit(self, octets: bytes, talk: Conversation) -> bytes:
        """Take the counter back before the message is sealed."""
        if talk.session is not None:
            talk.session.resend_counter()
        return octets


class InTheClear(Lie):
    """Answers what was asked in a session with an ERROR that no key protects."""

    def record(self, record: bytes, talk: Conversation) -> bytes:
        """The message as it would be outside."""
        return ErrorResponse(talk.negotiated_version(), ErrorCode.BUSY).push()


class OldKey(Lie):
    """Agrees to update all keys and goes on with the old one."""

    def amend(self, message: M, talk: Conversation) -> M:
        """Keep the key at the moment of saying yes."""
        if isinstance(message, KeyUpdateAck) and message.operation == KeyOperation.UPDATE_ALL_KEYS and talk.session:
            talk.session.keeps_response_key = True
        return message


class EndlessQuestions(Lie):
    """Has another question after every answer."""

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        """Acknowledge and ask for the digests once more."""
        if request[1] != RequestCode.DELIVER_ENCAPSULATED_RESPONSE:
            return None
        version, number = talk.negotiated_version(), request[2]
        question = GetDigests(version).push()
        return EncapsulatedResponseAck(version, number % 0xFF + 1, AckPayload.REQUEST, number, question).push()


def _select(kind: int, change: Callable[[int], int]) -> Lie:
    """Changes what ALGORITHMS selects in one table, which is there or is added in its place."""

    def amend(message: Algorithms) -> Algorithms:
        tables = {table.type: table for table in message.tables}
        tables[kind] = StructTable(kind, change(tables[kind].mask if kind in tables else 0))
        return replace(message, tables=tuple(tables[one] for one in sorted(tables)))

    return Amend(Algorithms, amend)


def _counting_external(table: StructTable) -> StructTable:
    return replace(table, count=table.count | 1)


def with_session_settings(**changes: object) -> Callable[[DeviceSettings], DeviceSettings]:
    """Settings of a device that makes sessions, with these of `SessionSettings` changed."""

    def settings(device: DeviceSettings) -> DeviceSettings:
        sessions = device.sessions or SessionSettings()
        return replace(device, sessions=replace(sessions, **changes))  # type: ignore[arg-type]

    return settings


def session_fault(
    step: int,
    name: str,
    description: str,
    *lies: Callable[[], Lie],
    since: Version = Version.V11,
    settings: Callable[[DeviceSettings], DeviceSettings] | None = None,
) -> Fault:
    """A fault that ends a session, or the making of one, at `step`."""
    return Fault(
        name,
        description,
        Where.SESSIONS,
        Outcome.REJECTED,
        step,
        lambda: tuple(make() for make in lies),
        since,
        settings=settings or with_session_settings(),
    )


def _exchange(name: str, description: str, change: Callable[[KeyExchangeResponse], KeyExchangeResponse]) -> Fault:
    return session_fault(11, name, description, lambda: Amend(KeyExchangeResponse, change))


_NEGOTIATION: tuple[Fault, ...] = (
    session_fault(
        1,
        "group-not-offered",
        "ALGORITHMS selects a key agreement that was not offered",
        lambda: _select(TABLE_DHE, lambda _: Dhe.SM2_P256.value),
    ),
    session_fault(
        1,
        "two-groups",
        "ALGORITHMS selects two ways to agree on a key",
        lambda: _select(TABLE_DHE, lambda mask: mask | Dhe.SECP256R1.value | Dhe.SECP521R1.value),
    ),
    session_fault(
        1,
        "group-and-kem",
        "ALGORITHMS selects key agreements of both kinds",
        lambda: _select(TABLE_DHE, lambda _: Dhe.SECP384R1.value),
        lambda: _select(TABLE_KEM, lambda _: Kem.ML_KEM_768.value),
        since=Version.V14,
    ),
    session_fault(
        1,
        "cipher-not-offered",
        "ALGORITHMS selects a cipher that was not offered",
        lambda: _select(TABLE_AEAD, lambda _: _FOREIGN_CIPHER),
    ),
    session_fault(1, "no-cipher", "ALGORITHMS selects no cipher", lambda: _select(TABLE_AEAD, lambda _: 0)),
    session_fault(
        1,
        "struct-table-repeated",
        "ALGORITHMS holds a struct table twice",
        lambda: Amend(Algorithms, lambda m: replace(m, tables=(*m.tables, m.tables[-1]))),
    ),
    session_fault(
        1,
        "struct-table-external",
        "a struct table of ALGORITHMS counts an external algorithm",
        lambda: Amend(Algorithms, lambda m: replace(m, tables=(_counting_external(m.tables[0]), *m.tables[1:]))),
    ),
)

_EXCHANGE: tuple[Fault, ...] = (
    session_fault(
        11,
        "exchange-bad-signature",
        "KEY_EXCHANGE_RSP's signature has a flipped bit",
        lambda: Spoil(_CONTEXT, flip_last_bit),
    ),
    session_fault(
        11,
        "exchange-replayed-signature",
        "KEY_EXCHANGE_RSP is signed for another requester's random data",
        lambda: Sign(_CONTEXT, other_nonce),
    ),
    session_fault(
        11,
        "exchange-wrong-context",
        "KEY_EXCHANGE_RSP is signed as if it were CHALLENGE_AUTH",
        lambda: Sign(_CONTEXT, lambda s: replace(s, context=Context.CHALLENGE_AUTH)),
        since=Version.V12,
    ),
    session_fault(
        11,
        "exchange-wrong-version",
        "KEY_EXCHANGE_RSP is signed for another SPDM version",
        lambda: Sign(_CONTEXT, other_version),
        since=Version.V12,
    ),
    session_fault(11, "exchange-wrong-proof", "the responder's verify data has a flipped bit", WrongProof),
    session_fault(
        11,
        "finish-wrong-proof",
        "in a handshake in the clear, the responder's verify data has a flipped bit",
        WrongProof,
        settings=with_session_settings(clear_handshake=True),
    ),
    _exchange(
        "heartbeat-not-negotiated",
        "a heartbeat is asked for that was not negotiated",
        lambda m: replace(m, heartbeat=7),
    ),
    _exchange("mutual-illegal", "MutAuthRequested has an illegal value", lambda m: replace(m, mutual=3)),
    _exchange(
        "mutual-not-negotiated",
        "the requester is asked who it is though that was not negotiated",
        lambda m: replace(m, mutual=MutualAuthentication.ENCAPSULATED),
    ),
    session_fault(
        11,
        "truncated-key-exchange-rsp",
        "KEY_EXCHANGE_RSP ends one byte early",
        lambda: Encode(ResponseCode.KEY_EXCHANGE_RSP, cut_last_byte),
    ),
    session_fault(
        11,
        "exchange-wrong-version-byte",
        "KEY_EXCHANGE_RSP carries the version byte of another version",
        lambda: Encode(ResponseCode.KEY_EXCHANGE_RSP, flip_bit_at(0)),
    ),
    session_fault(
        11,
        "truncated-finish-rsp",
        "FINISH_RSP ends one byte early",
        lambda: Encode(ResponseCode.FINISH_RSP, cut_last_byte),
    ),
    session_fault(
        11,
        "psk-wrong-proof",
        "of a pre-shared key, the responder's verify data has a flipped bit",
        WrongProof,
        settings=with_session_settings(psk=PskSupport.WITH_CONTEXT),
    ),
    session_fault(
        11,
        "psk-without-context",
        "PSK_EXCHANGE_RSP has no context though one was announced",
        lambda: Amend(PskExchangeResponse, lambda m: replace(m, context=b"")),
        settings=with_session_settings(psk=PskSupport.WITH_CONTEXT),
    ),
    session_fault(
        11,
        "truncated-psk-exchange-rsp",
        "PSK_EXCHANGE_RSP ends one byte early",
        lambda: Encode(ResponseCode.PSK_EXCHANGE_RSP, cut_last_byte),
        settings=with_session_settings(psk=PskSupport.WITH_CONTEXT),
    ),
)

_RECORDS: tuple[Fault, ...] = (
    session_fault(11, "record-bad-mac", "the MAC of a record has a flipped bit", lambda: Record(flip_last_bit)),
    session_fault(11, "record-other-session", "a record names another session", lambda: Record(flip_bit_at(0))),
    session_fault(11, "record-truncated", "a record ends one byte early", lambda: Record(cut_last_byte)),
    session_fault(
        11, "record-empty", "a record has nothing but its session", lambda: Record(lambda record: record[:4])
    ),
    session_fault(11, "record-replayed", "one record of the session comes again and again", Replayed),
    session_fault(11, "record-same-sequence", "two records have one sequence number", SameSequence),
    session_fault(11, "record-in-the-clear", "what was asked in a session is answered in the clear", InTheClear),
)

_UPKEEP: tuple[Fault, ...] = (
    session_fault(
        11,
        "key-update-wrong-tag",
        "KEY_UPDATE_ACK has another tag",
        lambda: Amend(KeyUpdateAck, lambda m: replace(m, tag=m.tag ^ 1)),
    ),
    session_fault(
        11,
        "key-update-wrong-operation",
        "KEY_UPDATE_ACK is for another operation",
        lambda: Amend(KeyUpdateAck, lambda m: replace(m, operation=m.operation ^ 2)),
    ),
    session_fault(11, "key-update-old-key", "after an update of all keys the device goes on with its old one", OldKey),
    session_fault(
        11,
        "key-update-refused",
        "KEY_UPDATE is answered with DecryptError",
        lambda: Refuse(ErrorCode.DECRYPT_ERROR, frozenset({RequestCode.KEY_UPDATE})),
    ),
    session_fault(
        11,
        "heartbeat-wrong-code",
        "HEARTBEAT is answered with another message",
        lambda: Encode(ResponseCode.HEARTBEAT_ACK, flip_bit_at(1)),
        settings=with_session_settings(heartbeat=60),
    ),
    session_fault(
        11,
        "end-session-wrong-code",
        "END_SESSION is answered with another message",
        lambda: Encode(ResponseCode.END_SESSION_ACK, flip_bit_at(1)),
    ),
    session_fault(
        11,
        "endless-questions",
        "the device never stops to ask who its requester is",
        EndlessQuestions,
        settings=with_session_settings(mutual=MutualAuthentication.ENCAPSULATED),
    ),
    session_fault(
        11,
        "acknowledges-another-answer",
        "the device acknowledges an answer that was not given",
        lambda: Amend(EncapsulatedResponseAck, lambda m: replace(m, acknowledged=m.acknowledged ^ 1)),
        since=Version.V12,
        settings=with_session_settings(mutual=MutualAuthentication.ENCAPSULATED),
    ),
    session_fault(
        11,
        "acknowledges-with-nonsense",
        "an answer is acknowledged with an unknown kind of payload",
        lambda: Amend(EncapsulatedResponseAck, lambda m: replace(m, kind=7)),
        settings=with_session_settings(mutual=MutualAuthentication.ENCAPSULATED),
    ),
)

FAULTS: tuple[Fault, ...] = (*_NEGOTIATION, *_EXCHANGE, *_RECORDS, *_UPKEEP)
