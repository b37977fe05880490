"""KEY_EXCHANGE and KEY_EXCHANGE_RSP (reference §5.1), the same from 1.1 to 1.4 but for the sizes of ExchangeData."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import NONCE_LENGTH, RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.challenge import pull_opaque
from cmakeys.spdm.messages.header import Layout, pull_header, push_header
from cmakeys.spdm.wire import Reader, le


@dataclass(frozen=True, slots=True)
class KeyExchange:
    """The requester's half.

    | off | size | field |
    | --- | --- | --- |
    | 2 | 1 | measurement summary hash type |
    | 3 | 1 | slot, 0xFF for a provisioned public key |
    | 4 | 2 | ReqSessionID |
    | 6 | 1 | SessionPolicy [1.2] |
    | 7 | 1 | reserved |
    | 8 | 32 | RandomData |
    | 40 | D | ExchangeData: DHE public value, or KEM encapsulation key [1.4] |
    | 40+D | 2, n | OpaqueDataLength, OpaqueData |
    """

    version: Version
    summary_hash: int
    slot: int
    session_id: int
    policy: int
    random: bytes
    exchange: bytes
    opaque: bytes

    @classmethod
    def pull(cls, reader: Reader, exchange_size: int) -> Self:
        """Decode; the size of ExchangeData follows from the negotiated algorithm."""
        header = pull_header(reader, RequestCode.KEY_EXCHANGE)
        session_id = reader.u16("ReqSessionID")
        policy = reader.u8("SessionPolicy")
        reader.take(1, "reserved")
        random = reader.take(NONCE_LENGTH, "RandomData")
        exchange = reader.take(exchange_size, "ExchangeData")
        opaque = pull_opaque(reader)
        policy = policy if header.version >= Version.V12 else 0
        return cls(header.version, header.param1, header.param2, session_id, policy, random, exchange, opaque)

    def push(self) -> bytes:
        """Encode."""
        return (
            push_header(self.version, RequestCode.KEY_EXCHANGE, self.summary_hash, self.slot)
            + le(self.session_id, 2)
            + bytes((self.policy, 0))
            + self.random
            + self.exchange
            + le(len(self.opaque), 2)
            + self.opaque
        )


@dataclass(frozen=True, slots=True)
class KeyExchangeResponse:
    """The responder's half.

    | off | size | field |
    | --- | --- | --- |
    | 2 | 1 | HeartbeatPeriod, s |
    | 4 | 2 | RspSessionID |
    | 6 | 1 | MutAuthRequested |
    | 7 | 1 | ReqSlotIDParam |
    | 8 | 32 | RandomData |
    | 40 | D | ExchangeData: DHE public value, or KEM ciphertext [1.4] |
    | … | H or 0 | MeasurementSummaryHash |
    | … | 2, n | OpaqueDataLength, OpaqueData |
    | … | S | Signature |
    | … | H or 0 | ResponderVerifyData, absent when the handshake is in the clear |
    """

    version: Version
    heartbeat: int
    session_id: int
    mutual: int
    requester_slot: int
    random: bytes
    exchange: bytes
    summary_hash: bytes
    opaque: bytes
    signature: bytes
    verify_data: bytes = b""

    @classmethod
    def pull(
        cls, reader: Reader, layout: Layout, *, exchange_size: int, has_summary: bool, has_verify_data: bool
    ) -> Self:
        """Decode; what is there follows from the request and what was negotiated, not from the bytes."""
        header = pull_header(reader, ResponseCode.KEY_EXCHANGE_RSP)
        return cls(
            header.version,
            header.param1,
            reader.u16("RspSessionID"),
            reader.u8("MutAuthRequested"),
            reader.u8("ReqSlotIDParam"),
            reader.take(NONCE_LENGTH, "RandomData"),
            reader.take(exchange_size, "ExchangeData"),
            reader.take(layout.hash_size, "MeasurementSummaryHash") if has_summary else b"",
            pull_opaque(reader),
            reader.take(layout.signature_size, "Signature"),
            reader.take(layout.hash_size, "ResponderVerifyData") if has_verify_data else b"",
        )

    def push(self) -> bytes:
        """Encode."""
        return self.push_unsigned() + self.signature + self.verify_data

    def push_unsigned(self) -> bytes:
        """Encode without signature and verify data: the part that the signature covers."""
        return (
            push_header(self.version, ResponseCode.KEY_EXCHANGE_RSP, self.heartbeat)
            + le(self.session_id, 2)
            + bytes((self.mutual, self.requester_slot))
            + self.random
            + self.exchange
            + self.summary_hash
            + le(len(self.opaque), 2)
            + self.opaque
        )
