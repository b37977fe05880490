"""GET_MEASUREMENT_EXTENSION_LOG, its answer, and the DMTF log inside (reference §7.3). Since 1.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.header import pull_header, push_header
from cmakeys.spdm.wire import Reader, le

LOG_HEADER_LENGTH = 16
"""Bytes before the first entry: NumberOfEntries u32, MELEntriesLength u32, reserved u64."""

MAX_LOG_SIZE = 0x100000
"""Bytes of a log that this program accepts; the format allows 4 GiB."""

MAX_LOG_ENTRIES = 0x4000
"""Entries of a log that this program accepts."""


@dataclass(frozen=True, slots=True)
class GetMeasurementExtensionLog:
    """Ask for `length` bytes of the log from `offset`."""

    version: Version
    offset: int
    length: int

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, RequestCode.GET_MEASUREMENT_EXTENSION_LOG)
        return cls(header.version, reader.u32("Offset"), reader.u32("Length"))

    def push(self) -> bytes:
        """Encode."""
        header = push_header(self.version, RequestCode.GET_MEASUREMENT_EXTENSION_LOG)
        return header + le(self.offset, 4) + le(self.length, 4)


@dataclass(frozen=True, slots=True)
class MeasurementExtensionLog:
    """One portion: PortionLength u32, RemainderLength u32, then the portion."""

    version: Version
    portion: bytes
    remainder: int

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode."""
        header = pull_header(reader, ResponseCode.MEASUREMENT_EXTENSION_LOG)
        length, remainder = reader.u32("PortionLength"), reader.u32("RemainderLength")
        return cls(header.version, reader.take(length, "MEL"), remainder)

    def push(self) -> bytes:
        """Encode."""
        header = push_header(self.version, ResponseCode.MEASUREMENT_EXTENSION_LOG)
        return header + le(len(self.portion), 4) + le(self.remainder, 4) + self.portion


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the DMTF log.

    | off | size | field |
    | --- | --- | --- |
    | 0 | 4 | MELIndex, from 1 |
    | 4 | 1 | MeasurementIndex that it extends |
    | 5 | 3 | reserved |
    | 8 | 1 | value type, as in a measurement block |
    | 9 | 2 | value size |
    | 11 | v | value |
    """

    number: int
    measurement_index: int
    value_type: int
    value: bytes

    @classmethod
    def pull(cls, reader: Reader) -> Self:
        """Decode one entry."""
        number, index = reader.u32("MELIndex"), reader.u8("MeasurementIndex")
        reader.take(3, "reserved")
        value_type, size = reader.u8("ValueType"), reader.u16("ValueSize")
        return cls(number, index, value_type, reader.take(size, f"value of entry {number}"))

    def push(self) -> bytes:
        """Encode."""
        head = le(self.number, 4) + bytes((self.measurement_index, 0, 0, 0, self.value_type))
        return head + le(len(self.value), 2) + self.value


def announced_size(head: bytes) -> int:
    """The size of the whole log by its header. Raises `WireError` when the header is cut."""
    reader = Reader(head, "measurement extension log")
    reader.u32("NumberOfEntries")
    return LOG_HEADER_LENGTH + reader.u32("MELEntriesLength")


def pull_log(log: bytes) -> tuple[LogEntry, ...]:
    """Decode a whole log. Raises `WireError` unless number, size and order of the entries are as its header says."""
    reader = Reader(log, "measurement extension log")
    count, size = reader.u32("NumberOfEntries"), reader.u32("MELEntriesLength")
    reader.take(8, "reserved")
    if size != reader.remaining:
        raise reader.fail(f"MELEntriesLength {size} does not match the {reader.remaining} bytes that follow")
    if count > MAX_LOG_ENTRIES:
        raise reader.fail(f"{count} entries, more than {MAX_LOG_ENTRIES}")
    entries: list[LogEntry] = []
    for number in range(1, count + 1):
        entry = LogEntry.pull(reader)
        if entry.number != number:
            raise reader.fail(f"entry {number} has the MELIndex {entry.number}")
        entries.append(entry)
    if reader.remaining:
        raise reader.fail(f"{reader.remaining} bytes after the last of {count} entries")
    return tuple(entries)


def push_log(entries: tuple[LogEntry, ...]) -> bytes:
    """Encode a whole log."""
    body = b"".join(entry.push() for entry in entries)
    return le(len(entries), 4) + le(len(body), 4) + bytes(8) + body
