"""GET_ENCAPSULATED_REQUEST, DELIVER_ENCAPSULATED_RESPONSE and their answers (reference §5.7).

They carry a request of the responder to the requester, and its answer, as a whole message each. Where the carried
message ends is not written anywhere: it is the rest, and a transport's padding, if any, belongs to its tail.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import pull_header, push_header
from cmakeys.spdm.wire import Reader


class AckPayload(IntEnum):
    """Param2 of ENCAPSULATED_RESPONSE_ACK: what follows it."""

    ABSENT = 0
    REQUEST = 1
    REQUESTER_SLOT = 2


@dataclass(frozen=True, slots=True)
class GetEncapsulatedRequest:
    """Four bytes, both parameters 0."""

    version: Version

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        return cls(pull_header(reader, RequestCode.GET_ENCAPSULATED_REQUEST).version)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, RequestCode.GET_ENCAPSULATED_REQUEST)


@dataclass(frozen=True, slots=True)
class EncapsulatedRequest:
    """Param1 RequestID, 4 the responder's request."""

    version: Version
    request_id: int
    message: bytes

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.ENCAPSULATED_REQUEST)
        return cls(header.version, header.param1, reader.take(reader.remaining, "encapsulated request"))

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, ResponseCode.ENCAPSULATED_REQUEST, self.request_id) + self.message


@dataclass(frozen=True, slots=True)
class DeliverEncapsulatedResponse:
    """Param1 RequestID of the request that is answered, 4 the requester's response."""

    version: Version
    request_id: int
    message: bytes

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.DELIVER_ENCAPSULATED_RESPONSE)
        return cls(header.version, header.param1, reader.take(reader.remaining, "encapsulated response"))

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, RequestCode.DELIVER_ENCAPSULATED_RESPONSE, self.request_id) + self.message


@dataclass(frozen=True, slots=True)
class EncapsulatedResponseAck:
    """Param1 next RequestID, Param2 payload type; 1.2: 4 AckRequestID, 5 reserved 3; then the payload."""

    version: Version
    request_id: int
    kind: int
    acknowledged: int = 0
    payload: bytes = b""

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.ENCAPSULATED_RESPONSE_ACK)
        acknowledged = 0
        if header.version >= Version.V12:
            acknowledged = reader.u8("AckRequestID")
            reader.take(3, "reserved")
        payload = b""
        if header.param2 == AckPayload.REQUESTER_SLOT:
            payload = reader.take(1, "requester slot")
        elif header.param2 == AckPayload.REQUEST:
            payload = reader.take(reader.remaining, "encapsulated request")
        return cls(header.version, header.param1, header.param2, acknowledged, payload)

    def push(self) -> bytes:
        """Encode."""
        start = push_header(self.version, ResponseCode.ENCAPSULATED_RESPONSE_ACK, self.request_id, self.kind)
        if self.version >= Version.V12:
            start += bytes((self.acknowledged, 0, 0, 0))
        return start + self.payload
