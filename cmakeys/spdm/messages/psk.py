"""PSK_EXCHANGE, PSK_FINISH and their answers (reference §5.3): a session from a key that both sides already share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import MAX_OPAQUE_LENGTH, RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.finish import pull_late_opaque, push_late_opaque
from cmakeys.spdm.messages.header import Layout, pull_header, push_header
from cmakeys.spdm.wire import Reader, le


def _checked_length(reader: Reader, length: int) -> int:
    if length > MAX_OPAQUE_LENGTH:
        raise reader.fail(f"OpaqueDataLength {length}, at most {MAX_OPAQUE_LENGTH} are allowed")
    return length


@dataclass(frozen=True, slots=True)
class PskExchange:
    """The requester's half; the hint says which key is meant and is no secret.

    | off | size | field |
    | --- | --- | --- |
    | 2 | 1 | measurement summary hash type |
    | 3 | 1 | SessionPolicy [1.2] |
    | 4 | 2 | ReqSessionID |
    | 6 | 2 | PSKHintLength P |
    | 8 | 2 | RequesterContextLength R |
    | 10 | 2 | OpaqueDataLength n |
    | 12 | P, R, n | PSKHint, RequesterContext, OpaqueData |
    """

    version: Version
    summary_hash: int
    policy: int
    session_id: int
    hint: bytes
    context: bytes
    opaque: bytes

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.PSK_EXCHANGE)
        session_id = reader.u16("ReqSessionID")
        hint_length = reader.u16("PSKHintLength")
        context_length = reader.u16("RequesterContextLength")
        opaque_length = _checked_length(reader, reader.u16("OpaqueDataLength"))
        return cls(
            header.version,
            header.param1,
            header.param2 if header.version >= Version.V12 else 0,
            session_id,
            reader.take(hint_length, "PSKHint"),
            reader.take(context_length, "RequesterContext"),
            reader.take(opaque_length, "OpaqueData"),
        )

    def push(self) -> bytes:
        """Encode."""
        return (
            push_header(self.version, RequestCode.PSK_EXCHANGE, self.summary_hash, self.policy)
            + le(self.session_id, 2)
            + le(len(self.hint), 2)
            + le(len(self.context), 2)
            + le(len(self.opaque), 2)
            + self.hint
            + self.context
            + self.opaque
        )


@dataclass(frozen=True, slots=True)
class PskExchangeResponse:
    """The responder's half; an empty context means that no PSK_FINISH follows.

    | off | size | field |
    | --- | --- | --- |
    | 2 | 1 | HeartbeatPeriod, s |
    | 4 | 2 | RspSessionID |
    | 6 | 2 | reserved |
    | 8 | 2 | ResponderContextLength Q |
    | 10 | 2 | OpaqueDataLength n |
    | 12 | H or 0 | MeasurementSummaryHash |
    | … | Q, n | ResponderContext, OpaqueData |
    | … | H | ResponderVerifyData |
    """

    version: Version
    heartbeat: int
    session_id: int
    summary_hash: bytes
    context: bytes
    opaque: bytes
    verify_data: bytes

    @classmethod
    def pull(cls, reader: Reader, layout: Layout, *, has_summary: bool) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.PSK_EXCHANGE_RSP)
        session_id = reader.u16("RspSessionID")
        reader.take(2, "reserved")
        context_length = reader.u16("ResponderContextLength")
        opaque_length = _checked_length(reader, reader.u16("OpaqueDataLength"))
        return cls(
            header.version,
            header.param1,
            session_id,
            reader.take(layout.hash_size, "MeasurementSummaryHash") if has_summary else b"",
            reader.take(context_length, "ResponderContext"),
            reader.take(opaque_length, "OpaqueData"),
            reader.take(layout.hash_size, "ResponderVerifyData"),
        )

    def push(self) -> bytes:
        """Encode."""
        return self.push_unverified() + self.verify_data

    def push_unverified(self) -> bytes:
        """Encode without the verify data: the part that TH1 and the verify data cover."""
        return (
            push_header(self.version, ResponseCode.PSK_EXCHANGE_RSP, self.heartbeat)
            + le(self.session_id, 2)
            + bytes(2)
            + le(len(self.context), 2)
            + le(len(self.opaque), 2)
            + self.summary_hash
            + self.context
            + self.opaque
        )


@dataclass(frozen=True, slots=True)
class PskFinish:
    """PSK_FINISH: header, OpaqueData [1.4], RequesterVerifyData H."""

    version: Version
    verify_data: bytes
    opaque: bytes = b""

    @classmethod
    def pull(cls, reader: Reader, layout: Layout) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.PSK_FINISH)
        opaque = pull_late_opaque(reader, header.version)
        return cls(header.version, reader.take(layout.hash_size, "RequesterVerifyData"), opaque)

    def push(self) -> bytes:
        """Encode."""
        return push_psk_finish_start(self.version, self.opaque) + self.verify_data


def push_psk_finish_start(version: Version, opaque: bytes = b"") -> bytes:
    """PSK_FINISH without its verify data: what is hashed before that is known."""
    return push_header(version, RequestCode.PSK_FINISH) + push_late_opaque(opaque, version)


@dataclass(frozen=True, slots=True)
class PskFinishResponse:
    """PSK_FINISH_RSP: header, OpaqueData [1.4]."""

    version: Version
    opaque: bytes = b""

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.PSK_FINISH_RSP)
        return cls(header.version, pull_late_opaque(reader, header.version))

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, ResponseCode.PSK_FINISH_RSP) + push_late_opaque(self.opaque, self.version)
