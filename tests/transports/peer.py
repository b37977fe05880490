"""A server at the other end that does exactly what a test tells it, well or badly."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from cmakeys.transports.emulator_socket import HEADER, SocketFrame

Script = Callable[[socket.socket], None]

PATIENCE = 10.0


@contextlib.contextmanager
def peer(*scripts: Script) -> Iterator[int]:
    """Listen on loopback, run one script for each connection in turn, and yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.02)
    over = threading.Event()

    def accept() -> socket.socket | None:
        while True:
            try:
                return listener.accept()[0]
            except TimeoutError:
                if over.is_set():
                    return None

    def serve() -> None:
        for script in scripts:
            connection = accept()
            if connection is None:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(PATIENCE)
                script(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        thread.join(PATIENCE)
        listener.close()
        assert not thread.is_alive(), "the peer's script did not come to its end"


def read(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes; OSError ends the script when the other side has gone."""
    received = b""
    while len(received) < size:
        piece = connection.recv(size - len(received))
        if not piece:
            raise ConnectionError
        received += piece
    return received


def read_frame(connection: socket.socket) -> SocketFrame:
    """One frame of the emulator socket."""
    command, transport, size = HEADER.unpack(read(connection, HEADER.size))
    return SocketFrame(command, transport, read(connection, size))


def wait_for_end(connection: socket.socket) -> None:
    """Return when the other side has closed."""
    while connection.recv(1 << 16):
        pass


def no_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
