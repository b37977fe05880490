"""Serves emulated devices on local ports, each device on one of its own, all by one thread.

    with Server([Seat(device)]) as server:
        url = server.places[0].url

Ports are the system's choice unless named. It listens on the loopback interface only, because the devices' keys are
for tests: another interface has to be asked for. A device has one requester at a time; a second one waits until the
first has left, as at a real mailbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from cmakeys.emulator.line import After, Line, Seat
from cmakeys.errors import EnvironmentProblem, Refused, from_oserror
from cmakeys.transports.framing import Framing

LOOPBACK = "127.0.0.1"
_TRANSPORTS = {Framing.NONE: "none", Framing.MCTP: "mctp", Framing.PCI_DOE: "doe", Framing.TCP: "tcp"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a seat can be reached."""

    seat: Seat
    host: str
    port: int

    @property
    def url(self) -> str:
        """The device's address as the other verbs take it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.seat.bare:
            return f"tcp://{host}:{self.port}"
        return f"emu://{host}:{self.port}?transport={_TRANSPORTS[self.seat.framing]}"


class Server:
    """Serves any number of seats until stopped.

    `ports` names a port for each seat, 0 or a missing one is the system's choice. With `exit_on_shutdown` a SHUTDOWN
    command ends the service of its seat, as DMTF's emulator does; otherwise it only ends the connection.
    """

    def __init__(
        self,
        seats: Sequence[Seat],
        *,
        host: str = LOOPBACK,
        ports: Sequence[int] = (),
        exit_on_shutdown: bool = False,
        allow_other_hosts: bool = False,
    ) -> None:
        if not allow_other_hosts and not _is_loopback(host):
            raise Refused(
                "an emulated device is served on this machine only",
                object=host,
                hint="its keys are test keys; say --allow-other-hosts if the network is yours",
            )
        self._seats = tuple(seats)
        self._host = LOOPBACK if host == "localhost" else host
        self._ports = tuple(ports) + (0,) * (len(self._seats) - len(ports))
        self._exit_on_shutdown = exit_on_shutdown
        self._places: tuple[Place, ...] = ()
        self._started = threading.Event()
        self._finished = threading.Event()
        self._failure: OSError | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self._open = 0

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the seats are reached, in their order."""
        return self._places

    def start(self) -> Self:
        """Listen. Raises a member of `EnvironmentProblem` when a port cannot be had."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="emulator", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._trouble(self._failure)
        return self

    def _trouble(self, failure: OSError) -> EnvironmentProblem:
        hint = "choose another port; 0 takes a free one"
        return from_oserror(failure, f"{self._host}:{','.join(map(str, self._ports))}", hint=hint)

    def stop(self) -> None:
        """Close everything and wait until it is; may be called twice."""
        if self._loop is not None and self._stopping is not None and not self._finished.is_set():
            with contextlib.suppress(RuntimeError):  # the loop has just ended by itself
                self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until every seat has been shut down by its requester; whether it came to that."""
        return self._finished.wait(seconds)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        servers: list[asyncio.Server] = []
        try:
            for seat, port in zip(self._seats, self._ports, strict=True):
                servers.append(await self._listen(seat, port))
        except OSError as error:
            self._failure = error
        else:
            self._places = tuple(
                Place(seat, self._host, server.sockets[0].getsockname()[1])
                for seat, server in zip(self._seats, servers, strict=True)
            )
            self._open = len(servers)
            self._started.set()
            await self._stopping.wait()
        finally:
            for server in servers:
                server.close()
            lines = list(self._lines)
            for line in lines:
                line.cancel()
            await asyncio.gather(*lines, return_exceptions=True)
            self._finished.set()
            self._started.set()

    async def _listen(self, seat: Seat, port: int) -> asyncio.Server:
        turn = asyncio.Lock()
        server: asyncio.Server | None = None

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._lines.add(task)
                task.add_done_callback(self._lines.discard)
            try:
                after = await _serve(seat, turn, reader, writer)
            except asyncio.CancelledError:
                return  # only `stop` cancels; asyncio's own callback would report a cancelled task as a mishap
            if after is After.SHUTDOWN and self._exit_on_shutdown:
                self._shut_down(server)

        server = await asyncio.start_server(connected, self._host, port)
        return server

    def _shut_down(self, server: asyncio.Server | None) -> None:
        if server is None or not server.is_serving():
            return
        server.close()
        self._open -= 1
        if self._open == 0 and self._stopping is not None:
            self._stopping.set()


async def _serve(seat: Seat, turn: asyncio.Lock, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> After:
    try:
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with turn:
            return await Line(seat, reader, writer).serve()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
