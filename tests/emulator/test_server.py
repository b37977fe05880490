from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from cmakeys.emulator import line
from cmakeys.emulator.factory import DEFAULT_IDENTITY, Blueprint, build_device
from cmakeys.emulator.faults import FAULTS, LineFault, Where
from cmakeys.emulator.line import Seat
from cmakeys.emulator.server import Server
from cmakeys.errors import EnvironmentProblem, Refused, Temporary
from cmakeys.spdm import attesting
from cmakeys.spdm.requester import Plan, Requester
from cmakeys.transports.base import Deadline
from cmakeys.transports.connect import open_transport
from cmakeys.transports.drive import drive
from cmakeys.transports.emulator_socket import HEADER, Command, SocketFrame
from cmakeys.transports.framing import DoeObject, Framing
from tests.emulator.conftest import credentials, device_of, vendor

pytestmark = pytest.mark.system

HEADER_LENGTH = HEADER.size


def attest(url: str, seconds: float = 5.0) -> Requester:
    requester = Requester()
    deadline = Deadline.after(seconds)
    transport = open_transport(url, deadline)
    try:
        drive(attesting.attest(requester, Plan()), transport, deadline)
    finally:
        transport.close()
    return requester


@pytest.fixture
def serving() -> Iterator[Server]:
    with Server([Seat(device_of())]) as server:
        yield server


def raw(server: Server, *frames: bytes) -> bytes:
    """Send frames and read until the server closes or is quiet for a moment."""
    place = server.places[0]
    received = b""
    with socket.create_connection((place.host, place.port), timeout=0.3) as connection:
        for frame in frames:
            connection.sendall(frame)
        try:
            while piece := connection.recv(65536):
                received += piece
        except TimeoutError:
            return received
    return received + b"<closed>"


@pytest.mark.parametrize("framing", [one for one in Framing if one is not Framing.STORAGE])
def test_every_transport_of_the_socket_carries_an_attestation(framing: Framing) -> None:
    with Server([Seat(device_of(), framing)]) as server:
        requester = attest(server.places[0].url)
    assert requester.connection.challenge is not None
    assert requester.connection.measurements is not None


def test_bare_tcp_carries_an_attestation() -> None:
    with Server([Seat(device_of(), bare=True)]) as server:
        assert server.places[0].url.startswith("tcp://127.0.0.1:")
        assert attest(server.places[0].url).connection.challenge is not None


def test_the_hello_is_answered_and_may_be_left_out(serving: Server) -> None:
    attest(serving.places[0].url + "&hello=yes")
    attest(serving.places[0].url + "&hello=no")


def test_a_connection_that_goes_without_a_word_leaves_the_device_in_service(serving: Server) -> None:
    for _ in range(3):
        attest(serving.places[0].url + "&end=close")
    attest(serving.places[0].url + "&end=shutdown")
    attest(serving.places[0].url)


def test_a_shutdown_ends_the_service_when_asked_to() -> None:
    seats = [Seat(device_of()), Seat(device_of())]
    with Server(seats, exit_on_shutdown=True) as server:
        attest(server.places[0].url + "&end=shutdown")
        assert not server.wait(0.05)
        attest(server.places[1].url + "&end=shutdown")
        assert server.wait(2)


def test_discovery_lists_the_protocols_and_ends(serving: Server) -> None:
    ask = DoeObject(1, 0, bytes((1, 0, 0, 0))).pack()
    answer = raw(serving, SocketFrame(Command.NORMAL, Framing.PCI_DOE, ask).pack())
    assert DoeObject.unpack(answer[HEADER_LENGTH:]).payload == bytes.fromhex("01000100")
    past = DoeObject(1, 0, bytes((9, 0, 0, 0))).pack()
    answer = raw(serving, SocketFrame(Command.NORMAL, Framing.PCI_DOE, past).pack())
    assert DoeObject.unpack(answer[HEADER_LENGTH:]).payload[:2] == b"\xff\xff"


@pytest.mark.parametrize(
    "frame",
    [
        HEADER.pack(Command.NORMAL, Framing.PCI_DOE, 0xFFFFFFFF),
        HEADER.pack(Command.NORMAL, Framing.PCI_DOE, line.FRAME_LIMIT + 1),
        SocketFrame(Command.NORMAL, Framing.MCTP, b"\x05\x10\x84\x00\x00").pack(),
        SocketFrame(Command.NORMAL, Framing.PCI_DOE, b"").pack(),
        SocketFrame(Command.NORMAL, Framing.PCI_DOE, DoeObject(1, 1, b"").pack()).pack(),
        SocketFrame(Command.NORMAL, Framing.PCI_DOE, DoeObject(1, 2, b"\x10\x84\x00\x00").pack()).pack(),
        SocketFrame(Command.NORMAL, Framing.PCI_DOE, b"\x01\x00\x01\x00\xff\x00\x00\x00\x10\x84\x00\x00").pack(),
        SocketFrame(0x1234, Framing.PCI_DOE, b"").pack(),
    ],
)
def test_a_frame_that_makes_no_sense_ends_the_connection_and_nothing_else(serving: Server, frame: bytes) -> None:
    assert raw(serving, frame) == b"<closed>"
    attest(serving.places[0].url)


def test_the_second_requester_waits_for_the_first(serving: Server) -> None:
    place = serving.places[0]
    with socket.create_connection((place.host, place.port)), pytest.raises(Temporary):
        attest(place.url + "&end=close", seconds=0.3)
    attest(place.url)


def test_many_devices_are_served_by_one_thread() -> None:
    before = threading.active_count()
    with Server([Seat(device_of()) for _ in range(64)]) as server:
        assert threading.active_count() == before + 1
        assert len({place.port for place in server.places}) == 64
        for place in server.places[::16]:
            attest(place.url)
    assert threading.active_count() == before


def test_a_device_can_be_exchanged_under_way(serving: Server) -> None:
    seat = serving.places[0].seat
    first = attest(serving.places[0].url).connection.chains[0]
    seat.device = build_device(vendor(), Blueprint(serial="2", identity=DEFAULT_IDENTITY))
    second = attest(serving.places[0].url).connection.chains[0]
    assert first != second
    assert credentials().leaf.der in first


@pytest.mark.parametrize("fault", LineFault)
@pytest.mark.parametrize("bare", [False, True])
def test_a_fault_of_the_line_says_nothing_about_the_device(fault: LineFault, bare: bool) -> None:
    with Server([Seat(device_of(), bare=bare, fault=fault)]) as server:
        started = time.monotonic()
        with pytest.raises(Temporary):
            attest(server.places[0].url + ("" if bare else "&end=close"), seconds=0.3)
        assert time.monotonic() - started < 5


def test_every_fault_of_the_line_has_a_name() -> None:
    assert {fault.line for fault in FAULTS.values() if fault.where == Where.LINE} == set(LineFault)


def test_a_port_that_is_taken_is_an_environment_problem(serving: Server) -> None:
    with pytest.raises(EnvironmentProblem, match="EADDRINUSE"):
        Server([Seat(device_of())], ports=[serving.places[0].port]).start()


def test_other_interfaces_have_to_be_asked_for() -> None:
    with pytest.raises(Refused, match="this machine only"):
        Server([Seat(device_of())], host="0.0.0.0")  # noqa: S104 (that is the point)
    Server([Seat(device_of())], host="0.0.0.0", allow_other_hosts=True)  # noqa: S104


def test_stopping_with_a_requester_connected_is_quiet_and_twice_is_no_harm(capfd: pytest.CaptureFixture[str]) -> None:
    server = Server([Seat(device_of())]).start()
    place = server.places[0]
    with socket.create_connection((place.host, place.port)) as connection:
        connection.sendall(SocketFrame(Command.TEST, Framing.PCI_DOE, b"").pack())
        assert connection.recv(HEADER_LENGTH)
        server.stop()
        server.stop()
    assert server.wait(0)
    assert capfd.readouterr() == ("", "")
