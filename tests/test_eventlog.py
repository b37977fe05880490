"""Entries arrive at whoever listens, however large, and where nobody does that is said."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cmakeys import eventlog
from cmakeys.errors import EnvironmentProblem, Temporary, Unsupported
from cmakeys.eventlog import send

pytestmark = pytest.mark.system


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as line:
        line.bind(str(tmp_path / "socket"))
        line.settimeout(10)
        yield line


def test_each_entry_is_one_datagram(tmp_path: Path, listener: socket.socket) -> None:
    send(tmp_path / "socket", [b"MESSAGE=a\n", b"MESSAGE\n\x03\0\0\0\0\0\0\0b\nc\n"])
    assert listener.recv(4096) == b"MESSAGE=a\n"
    assert listener.recv(4096) == b"MESSAGE\n\x03\0\0\0\0\0\0\0b\nc\n"


def test_what_no_datagram_can_hold_comes_as_a_sealed_file(tmp_path: Path, listener: socket.socket) -> None:
    large = b"MESSAGE=" + b"x" * 4_000_000 + b"\n"
    send(tmp_path / "socket", [large])
    data, ancillary, _, _ = listener.recvmsg(4096, socket.CMSG_SPACE(4))
    ((level, kind, payload),) = ancillary
    assert (data, level, kind) == (b"", socket.SOL_SOCKET, socket.SCM_RIGHTS)
    (descriptor,) = array.array("i", payload)
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        assert file.read() == large
        with pytest.raises(PermissionError):
            os.truncate(file.fileno(), 0)


def test_where_nobody_listens_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="nobody reads the log here") as caught:
        send(tmp_path / "socket", [b"MESSAGE=a\n"])
    assert "--log none" in caught.value.hint
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as gone:
        gone.bind(str(tmp_path / "socket"))
    with pytest.raises(Unsupported):
        send(tmp_path / "socket", [b"MESSAGE=a\n"])


def test_a_place_that_no_socket_can_have_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem):
        send(tmp_path / ("x" * 200), [b"MESSAGE=a\n"])


def test_a_reader_that_does_not_read_holds_nobody_up(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventlog, "TIMEOUT", 0.1)
    assert listener.fileno() >= 0
    with pytest.raises(Temporary):
        send(tmp_path / "socket", [b"MESSAGE=a\n"] * 10_000)
