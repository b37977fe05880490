"""HEARTBEAT, KEY_UPDATE, END_SESSION and their answers (reference §5.8): four bytes each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import pull_header, push_header
from cmakeys.spdm.wire import Reader

CLEAR_NEGOTIATED_STATE = 0x01
"""Param1 bit 0 of END_SESSION: the responder need not keep what was negotiated."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life; both parameters are reserved."""

    version: Version

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        return cls(pull_header(reader, RequestCode.HEARTBEAT).version)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, RequestCode.HEARTBEAT)


@dataclass(frozen=True, slots=True)
class HeartbeatAck:
    """The answer to HEARTBEAT; both parameters are reserved."""

    version: Version

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        return cls(pull_header(reader, ResponseCode.HEARTBEAT_ACK).version)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, ResponseCode.HEARTBEAT_ACK)


@dataclass(frozen=True, slots=True)
class KeyUpdate:
    """Param1 operation (`KeyOperation`), Param2 a tag that the answer repeats."""

    version: Version
    operation: int
    tag: int

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.KEY_UPDATE)
        return cls(header.version, header.param1, header.param2)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, RequestCode.KEY_UPDATE, self.operation, self.tag)


@dataclass(frozen=True, slots=True)
class KeyUpdateAck:
    """Repeats operation and tag of the request."""

    version: Version
    operation: int
    tag: int

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.KEY_UPDATE_ACK)
        return cls(header.version, header.param1, header.param2)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, ResponseCode.KEY_UPDATE_ACK, self.operation, self.tag)


@dataclass(frozen=True, slots=True)
class EndSession:
    """Param1 bit 0: clear the negotiated state; Param2 is reserved."""

    version: Version
    attributes: int = 0

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.END_SESSION)
        return cls(header.version, header.param1)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, RequestCode.END_SESSION, self.attributes)


@dataclass(frozen=True, slots=True)
class EndSessionAck:
    """The last record of a session; both parameters are reserved."""

    version: Version

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        return cls(pull_header(reader, ResponseCode.END_SESSION_ACK).version)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, ResponseCode.END_SESSION_ACK)
