"""SPDM over storage: the tables of the binding, and a controller that a test plays behind the ioctl."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import CmakeysError, NotFound, NotPermitted, Unsupported
from cmakeys.spdm.secured import Binding
from cmakeys.spdm.wire import WireError
from cmakeys.transports.base import Deadline, TransportClosed, TransportFramingError, TransportTimeout
from cmakeys.transports.framing import Framing, unwrap, wrap
from cmakeys.transports.nvme import (
    NVME_IOCTL_ADMIN_CMD,
    SECURITY_RECEIVE,
    SECURITY_SEND,
    Controller,
    NvmeTransport,
)
from cmakeys.transports.storage import (
    Discovery,
    Operation,
    PendingInfo,
    pack_secured,
    protocol_specific,
    unpack_secured,
)

ADDRESS = "nvme:/dev/nvme0"
REQUEST = bytes.fromhex("10840000")
ANSWER = bytes.fromhex("1004000000010012")


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "connection", "number"),
    [(Operation.DISCOVERY, 0, 0x04), (Operation.PENDING_INFO, 0, 0x08), (Operation.MESSAGE, 3, 0x17)],
)
def test_operation_and_connection_share_a_byte(operation: Operation, connection: int, number: int) -> None:
    assert protocol_specific(operation, connection) == number


def test_there_is_no_fifth_connection() -> None:
    with pytest.raises(ValueError, match="connection 4"):
        protocol_specific(Operation.MESSAGE, 4)


def test_a_discovery_stands_where_the_table_says() -> None:
    data = bytes.fromhex("2000 0010 01 000000 66") + bytes(23)
    assert Discovery.unpack(data) == Discovery(0x1000, 1, 0x66)
    assert Discovery(0x1000, 1, 0x66).pack() == data


def test_pending_information_stands_where_the_table_says() -> None:
    data = bytes.fromhex("0c00 0010 01000000 08000000")
    assert PendingInfo.unpack(data) == PendingInfo(pending=True, length=8)
    assert PendingInfo(pending=True, length=8).pack() == data


@given(st.binary(max_size=40))
def test_no_answer_brings_more_than_a_clean_error(data: bytes) -> None:
    for unpack in (Discovery.unpack, PendingInfo.unpack, unpack_secured):
        try:
            unpack(data)
        except TransportFramingError:
            continue


@given(st.binary(min_size=1, max_size=200), st.booleans())
def test_a_frame_of_a_recording_holds_what_was_sent(payload: bytes, secured: bool) -> None:
    unwrapped = unwrap(Framing.STORAGE, wrap(Framing.STORAGE, payload, secured=secured))
    assert (unwrapped.payload, unwrapped.secured) == (payload, secured)


@pytest.mark.parametrize("frame", ["", "e81400", "e80400aa", "011400aa"])
def test_what_is_no_message_of_storage_is_refused(frame: str) -> None:
    octets = bytes.fromhex(frame)
    if frame == "e81400":
        assert unwrap(Framing.STORAGE, octets).payload == b""
        return
    with pytest.raises(TransportFramingError):
        unwrap(Framing.STORAGE, octets)


def test_a_record_holds_one_descriptor_that_points_at_the_message() -> None:
    application = Binding.STORAGE.wrap(REQUEST)
    assert application == bytes.fromhex("01000000 00040000 04000000 24000000 00000000") + REQUEST
    assert Binding.STORAGE.unwrap(application) == REQUEST


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, 2, "2 descriptors"),
        (5, 1, "of type 1"),
        (6, 2, "status 0x02"),
        (8, 5, "needs 5 bytes"),
        (12, 9, "begin at 9"),
    ],
)
def test_a_descriptor_that_says_something_else_is_refused(place: int, value: int, message: str) -> None:
    application = bytearray(Binding.STORAGE.wrap(REQUEST))
    application[place] = value
    with pytest.raises(WireError, match=message):
        Binding.STORAGE.unwrap(bytes(application))


# -- a controller ------------------------------------------------------------------------------------------------------


class Device:
    """Plays the controller: reads the command that the ioctl is given, and the memory that it points at."""

    def __init__(self) -> None:
        self.commands: list[tuple[int, int, int]] = []
        self.requests: list[bytes] = []
        self.answer = ANSWER
        self.not_yet = 0
        self.status = 0
        self.error = 0
        self.discovery = Discovery(0x1000, 0, 0x66).pack()
        self.announced: int | None = None

    def ioctl(self, _descriptor: int, request: int, command: bytearray) -> int:
        assert request == NVME_IOCTL_ADMIN_CMD
        assert len(command) == 72
        opcode, address, size = command[0], *struct.unpack_from("<Q4xI", command, 24)
        word10, word11 = struct.unpack_from("<II", command, 40)
        assert word11 == size
        assert word10 >> 24 == 0xE8
        operation = word10 >> 10 & 0x3F
        self.commands.append((opcode, operation, size))
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        if self.status:
            return self.status
        if opcode == SECURITY_SEND:
            self.requests.append(ctypes.string_at(address, size))
        else:
            data = self.data(operation)[:size]
            ctypes.memmove(address, data, len(data))
        return 0

    def data(self, operation: int) -> bytes:
        if operation == Operation.DISCOVERY:
            return self.discovery
        if operation == Operation.PENDING_INFO:
            if self.not_yet:
                self.not_yet -= 1
                return PendingInfo(pending=False, length=0).pack()
            size = len(self.answer) if self.announced is None else self.announced
            return PendingInfo(pending=True, length=size).pack()
        return self.answer


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def transport(device: Device) -> Iterator[NvmeTransport]:
    transport = NvmeTransport(Controller(-1, ADDRESS, device.ioctl), lambda: None)
    yield transport
    transport.close()


def test_a_message_is_sent_awaited_and_fetched_at_its_length(device: Device, transport: NvmeTransport) -> None:
    device.not_yet = 2
    assert transport.exchange(REQUEST, Deadline.after(5)) == ANSWER
    assert device.requests == [REQUEST]
    assert device.commands == [
        (SECURITY_SEND, Operation.MESSAGE, len(REQUEST)),
        *[(SECURITY_RECEIVE, Operation.PENDING_INFO, 12)] * 3,
        (SECURITY_RECEIVE, Operation.MESSAGE, len(ANSWER)),
    ]


def test_a_record_travels_behind_four_reserved_bytes(device: Device, transport: NvmeTransport) -> None:
    device.answer = pack_secured(b"record")
    assert transport.exchange(b"mine", Deadline.after(5), secured=True) == b"record"
    assert device.requests == [bytes(4) + b"mine"]
    assert device.commands[0][1] == Operation.SECURED_MESSAGE


@pytest.mark.parametrize("announced", [0, 1 << 21])
def test_an_answer_of_no_or_too_many_bytes_is_not_fetched(
    device: Device, transport: NvmeTransport, announced: int
) -> None:
    device.announced = announced
    with pytest.raises(TransportFramingError, match="is announced"):
        transport.exchange(REQUEST, Deadline.after(5))
    with pytest.raises(TransportClosed, match="given up"):
        transport.exchange(REQUEST, Deadline.after(5))


def test_an_answer_that_does_not_come_is_a_timeout(device: Device, transport: NvmeTransport) -> None:
    device.not_yet = 1 << 30
    with pytest.raises(TransportTimeout):
        transport.exchange(REQUEST, Deadline.after(0.05))


@pytest.mark.parametrize(
    ("status", "expected"), [(0x001, Unsupported), (0x4002, Unsupported), (0x006, TransportClosed)]
)
def test_a_status_is_told(device: Device, transport: NvmeTransport, status: int, expected: type[CmakeysError]) -> None:
    device.status = status
    with pytest.raises(expected):
        transport.exchange(REQUEST, Deadline.after(5))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EACCES, NotPermitted),
        (errno.ENOTTY, Unsupported),
        (errno.ETIMEDOUT, TransportTimeout),
        (errno.EIO, TransportClosed),
    ],
)
def test_an_error_of_the_system_is_told(
    device: Device, transport: NvmeTransport, number: int, expected: type[CmakeysError]
) -> None:
    device.error = number
    with pytest.raises(expected):
        transport.exchange(REQUEST, Deadline.after(5))


def test_a_controller_that_answers_no_discovery_is_unsupported(device: Device, transport: NvmeTransport) -> None:
    assert transport.discover(Deadline.after(5)) == Discovery(0x1000, 0, 0x66)
    device.discovery = bytes(32)
    with pytest.raises(Unsupported, match="discovery"):
        transport.discover(Deadline.after(5))


def test_only_a_character_device_is_a_controller(tmp_path: Path, device: Device) -> None:
    file = tmp_path / "nvme0"
    with pytest.raises(NotFound):
        NvmeTransport.open(str(file), ADDRESS, Deadline.after(5), ioctl=device.ioctl)
    file.write_bytes(b"")
    with pytest.raises(Unsupported, match="character device"):
        NvmeTransport.open(str(file), ADDRESS, Deadline.after(5), ioctl=device.ioctl)
    with pytest.raises(Unsupported, match="does not take it for"):
        NvmeTransport.open("/dev/null", ADDRESS, Deadline.after(5))
    NvmeTransport.open("/dev/null", ADDRESS, Deadline.after(5), ioctl=device.ioctl).close()
