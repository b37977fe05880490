"""Sessions over real sockets, on every transport that carries records."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import pytest

from cmakeys.emulator.line import Seat
from cmakeys.emulator.server import Server
from cmakeys.emulator.session_settings import SessionSettings
from cmakeys.spdm.codes import Capability
from cmakeys.spdm.effects import Flow
from cmakeys.spdm.handshake import SessionPlan, key_exchange
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.secured import Binding
from cmakeys.spdm.session import Session
from cmakeys.transports.base import Deadline, Transport, TransportClosed
from cmakeys.transports.connect import open_transport
from cmakeys.transports.drive import drive
from cmakeys.transports.emulator_socket import HEADER, Command, SocketFrame
from cmakeys.transports.framing import DoeObject, Framing
from tests.emulator.session_driver import session_device
from tests.emulator.test_sessions import offer
from tests.spdm.conversations import leaf_key

pytestmark = pytest.mark.system

T = TypeVar("T")
BINDINGS = [(Framing.MCTP, Binding.MCTP), (Framing.PCI_DOE, Binding.PCI_DOE), (Framing.TCP, Binding.TCP)]


class Guest:
    """A requester at the end of a real connection."""

    def __init__(self, transport: Transport, binding: Binding) -> None:
        self.transport = transport
        self.binding = binding
        self.requester = Requester(offer(Capability.ENCAP))
        self.deadline = Deadline.after(10)

    def run(self, flow: Flow[T]) -> T:
        return drive(flow, self.transport, self.deadline)

    def open(self, session_id: int = 0xFFFF) -> Session:
        connection = self.requester.connection
        if connection.algorithms is None:
            self.run(self.requester.connect())
            self.run(self.requester.digests())
            self.run(self.requester.certificate(0))
        key = leaf_key(connection.chains[0], connection.layout.hash_size)
        plan = SessionPlan(self.binding, session_id=session_id)
        return self.run(key_exchange(self.requester, plan, key)).session


@contextmanager
def guest(seat: Seat, binding: Binding) -> Iterator[Guest]:
    with Server([seat]) as server:
        transport = open_transport(server.places[0].url, Deadline.after(5))
        try:
            yield Guest(transport, binding)
        finally:
            transport.close()


@pytest.mark.parametrize(("framing", "binding"), BINDINGS)
def test_sessions_go_through_the_sockets_of_the_emulator(framing: Framing, binding: Binding) -> None:
    with guest(Seat(session_device(SessionSettings(heartbeat=9)), framing), binding) as one:
        first, second = one.open(), one.open(7)
        for session in (first, second, first):
            one.run(session.protect(session.requester.measurements(0xFF, slot=0, raw=False, signed=True)))
            one.run(session.heartbeat())
            one.run(session.update_keys())
        one.run(first.end())
        one.run(second.protect(second.requester.digests()))


def test_sessions_go_through_bare_tcp() -> None:
    with guest(Seat(session_device(), Framing.TCP, bare=True), Binding.TCP) as one:
        session = one.open()
        one.run(session.protect(session.requester.certificate(0)))
        one.run(session.end())


def test_a_record_of_no_session_ends_the_connection() -> None:
    with guest(Seat(session_device()), Binding.PCI_DOE) as one:
        session = one.open()
        one.run(one.requester.connect())
        with pytest.raises(TransportClosed):
            one.run(session.protect(session.requester.digests()))


def test_the_out_of_band_command_lays_a_key_update_ready() -> None:
    with guest(Seat(session_device(), Framing.MCTP), Binding.MCTP) as one:
        session = one.open()
        before = session._current().response
        connection: socket.socket = one.transport._stream._socket  # type: ignore[attr-defined]
        connection.sendall(SocketFrame(Command.OOB_ENCAP_KEY_UPDATE, Framing.MCTP, b"").pack())
        assert connection.recv(HEADER.size)[:4] == Command.OOB_ENCAP_KEY_UPDATE.to_bytes(4, "big")
        one.run(session.serve())
        assert session._current().response == before.updated()
        one.run(session.protect(session.requester.digests()))


@pytest.mark.parametrize(("sessions", "types"), [(None, [0, 1]), (SessionSettings(), [0, 1, 2])])
def test_discovery_lists_secured_messages_with_sessions_only(
    sessions: SessionSettings | None, types: list[int]
) -> None:
    device = session_device(sessions)
    if sessions is None:
        device.hardware.settings = replace(device.hardware.settings, sessions=None)
    found: list[int] = []
    index = 0
    with Server([Seat(device)]) as server:
        place = server.places[0]
        with socket.create_connection((place.host, place.port), timeout=5) as connection:
            while not found or index:
                ask = DoeObject(1, 0, bytes((index, 0, 0, 0))).pack()
                connection.sendall(SocketFrame(Command.NORMAL, Framing.PCI_DOE, ask).pack())
                payload = DoeObject.unpack(connection.recv(1024)[HEADER.size :]).payload
                found.append(payload[2])
                index = payload[3]
    assert found == types
