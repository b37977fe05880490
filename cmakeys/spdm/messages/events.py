"""SUPPORTED_EVENT_TYPES, SUBSCRIBE_EVENT_TYPES and SEND_EVENT (reference §7.5). Since 1.3, only in a session.

The inside of an event group list is not settled by any source this program has, so it is carried as it comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import pull_header, push_header
from cmakeys.spdm.messages.opaque import REGISTRY_DMTF
from cmakeys.spdm.wire import Reader, le

MAX_EVENTS = 256
"""Events of one SEND_EVENT that this program accepts."""


class EventType(IntEnum):
    """Event types of the DMTF registry."""

    EVENT_LOST = 1
    MEASUREMENT_CHANGED = 2
    MEASUREMENT_PRE_UPDATE = 3
    CERTIFICATE_CHANGED = 4


_DETAIL_SIZES = {
    EventType.EVENT_LOST: 8,
    EventType.MEASUREMENT_CHANGED: 32,
    EventType.MEASUREMENT_PRE_UPDATE: 32,
    EventType.CERTIFICATE_CHANGED: 1,
}


@dataclass(frozen=True, slots=True)
class GetSupportedEventTypes:
    """Four bytes."""

    version: Version

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        return cls(pull_header(reader, RequestCode.GET_SUPPORTED_EVENT_TYPES).version)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, RequestCode.GET_SUPPORTED_EVENT_TYPES)


@dataclass(frozen=True, slots=True)
class SupportedEventTypes:
    """Param1 number of groups; then the list after its length u32."""

    version: Version
    group_count: int
    groups: bytes

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.SUPPORTED_EVENT_TYPES)
        return cls(header.version, header.param1, reader.take(reader.u32("ListLen"), "SupportedEventGroupsList"))

    def push(self) -> bytes:
        """Encode."""
        header = push_header(self.version, ResponseCode.SUPPORTED_EVENT_TYPES, self.group_count)
        return header + le(len(self.groups), 4) + self.groups


@dataclass(frozen=True, slots=True)
class SubscribeEventTypes:
    """No group: the message is only its header and ends every subscription."""

    version: Version
    group_count: int = 0
    groups: bytes = b""
    attributes: int = 0

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.SUBSCRIBE_EVENT_TYPES)
        groups = reader.take(reader.u32("ListLen"), "SubscribeList") if header.param1 else b""
        return cls(header.version, header.param1, groups, header.param2)

    def push(self) -> bytes:
        """Encode."""
        header = push_header(self.version, RequestCode.SUBSCRIBE_EVENT_TYPES, self.group_count, self.attributes)
        return header + (le(len(self.groups), 4) + self.groups if self.group_count else b"")


@dataclass(frozen=True, slots=True)
class SubscribeEventTypesAck:
    """Four bytes."""

    version: Version

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        return cls(pull_header(reader, ResponseCode.SUBSCRIBE_EVENT_TYPES_ACK).version)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, ResponseCode.SUBSCRIBE_EVENT_TYPES_ACK)


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    | off | size | field |
    | --- | --- | --- |
    | 0 | 4 | EventInstanceID |
    | 4 | 4 | reserved |
    | 8 | 1 | registry |
    | 9 | 1 | VendorIDLen v |
    | 10 | v | VendorID |
    | … | 2 | EventTypeID |
    | … | 2, n | EventDetailLen, EventDetail |
    """

    instance: int
    registry: int
    vendor: bytes
    type: int
    detail: bytes

    @property
    def kind(self) -> EventType | None:
        """The DMTF event; None when it is another registry's."""
        known = self.registry == REGISTRY_DMTF and self.type in set(EventType)
        return EventType(self.type) if known else None

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode. Raises `WireError` for a DMTF event whose detail has the wrong size."""
        instance = reader.u32("EventInstanceID")
        reader.take(4, "reserved")
        registry = reader.u8("registry")
        vendor = reader.take(reader.u8("VendorIDLen"), "VendorID")
        number = reader.u16("EventTypeID")
        event = cls(instance, registry, vendor, number, reader.take(reader.u16("EventDetailLen"), "EventDetail"))
        if event.kind is not None and len(event.detail) != _DETAIL_SIZES[event.kind]:
            raise reader.fail(f"{event.kind.name} with {len(event.detail)} bytes of detail")
        return event

    def push(self) -> bytes:
        """Encode."""
        return (
            le(self.instance, 4)
            + bytes((0, 0, 0, 0, self.registry, len(self.vendor)))
            + self.vendor
            + le(self.type, 2)
            + le(len(self.detail), 2)
            + self.detail
        )


@dataclass(frozen=True, slots=True)
class SendEvent:
    """Events that a notifier reports: EventCount u32, then the events."""

    version: Version
    events: tuple[Event, ...]

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.SEND_EVENT)
        count = reader.u32("EventCount")
        if not 1 <= count <= MAX_EVENTS:
            raise reader.fail(f"{count} events, 1 to {MAX_EVENTS} are accepted")
        return cls(header.version, tuple(Event.pull(reader) for _ in range(count)))

    def push(self) -> bytes:
        """Encode."""
        header = push_header(self.version, RequestCode.SEND_EVENT)
        return header + le(len(self.events), 4) + b"".join(event.push() for event in self.events)


@dataclass(frozen=True, slots=True)
class EventAck:
    """Four bytes."""

    version: Version

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        return cls(pull_header(reader, ResponseCode.EVENT_ACK).version)

    def push(self) -> bytes:
        """Encode."""
        return push_header(self.version, ResponseCode.EVENT_ACK)
