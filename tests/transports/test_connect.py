"""A URL means one way to one device, or is refused with a hint; nothing is connected that it does not name."""

from __future__ import annotations

import contextlib
import math
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import NotFound, UsageProblem
from cmakeys.transports.base import Deadline, TransportClosed
from cmakeys.transports.connect import (
    EmulatorUrl,
    MctpUrl,
    NvmeUrl,
    PciUrl,
    ReplayUrl,
    TcpUrl,
    framing_of,
    open_transport,
    parse_url,
)
from cmakeys.transports.emulator_socket import End
from cmakeys.transports.framing import Framing
from cmakeys.transports.mctp import Endpoint
from tests.transports.peer import no_port, peer, read

UNLIMITED = Deadline(math.inf)


@pytest.mark.parametrize(
    ("url", "meaning"),
    [
        ("emu://127.0.0.1", EmulatorUrl("127.0.0.1", 2323, Framing.PCI_DOE, hello=False, end=End.CONTINUE)),
        ("emu://127.0.0.1:1/?transport=mctp", EmulatorUrl("127.0.0.1", 1, Framing.MCTP)),
        ("EMU://[::1]:5?transport=none&end=close", EmulatorUrl("::1", 5, Framing.NONE, end=End.CLOSE)),
        ("emu://h?transport=tcp&hello=yes&end=shutdown", EmulatorUrl("h", 2323, Framing.TCP, True, End.SHUTDOWN)),
        ("tcp://host", TcpUrl("host", 4194)),
        ("tcp://192.0.2.1:4195", TcpUrl("192.0.2.1", 4195)),
        ("tcp://127.0.0.1?listen=yes", TcpUrl("127.0.0.1", 4194, listen=True)),
        ("emu://127.0.0.1?transport=tcp&listen=yes", EmulatorUrl("127.0.0.1", 2323, Framing.TCP, listen=True)),
        ("mctp:9", MctpUrl(Endpoint(9))),
        ("mctp:4294967295,254", MctpUrl(Endpoint(254, 0xFFFFFFFF))),
        ("nvme:/dev/nvme0", NvmeUrl("/dev/nvme0")),
        ("replay:some folder/x.jsonl", ReplayUrl(Path("some folder/x.jsonl"))),
        ("pci:0000:0A:1f.7", PciUrl("0000:0a:1f.7")),
        ("pci:10000:01:00.0", PciUrl("10000:01:00.0")),
        ("pci:0000:01:00.0?force=1", PciUrl("0000:01:00.0", force=True)),
        ("pci:0000:01:00.0?force=0", PciUrl("0000:01:00.0")),
    ],
)
def test_a_url_is_taken_apart(url: str, meaning: object) -> None:
    assert parse_url(url) == meaning


@pytest.mark.parametrize(
    "url",
    [
        "",
        "emu",
        "emu:",
        "emu://",
        "emu://:2323",
        "emu://h?transport=doe&listen=yes",
        "emu://h?transport=tcp&listen=yes&hello=yes",
        "tcp://h?listen=perhaps",
        "mctp:",
        "mctp:7",
        "mctp:255",
        "mctp:4294967296,9",
        "mctp:1,2,3",
        "nvme:",
        "nvme:nvme0",
        "emu://h:0",
        "emu://h:65536",
        "emu://h:port",
        "emu://h/path",
        "emu://h#part",
        "emu://user@h",
        "emu://[::1",
        "emu://h?transport=udp",
        "emu://h?transport",
        "emu://h?transport=doe&transport=doe",
        "emu://h?hello=maybe",
        "emu://h?end=",
        "emu://h?nonsense=1",
        "emu://h?" + "&".join(["a=b"] * 20),
        "tcp://h?transport=doe",
        "tcp://",
        "replay:",
        "pci:1:2.3",
        "pci:0000:01:00.8",
        "pci:0000:01:20.0",
        "pci:0000:01:00.0 ",
        "pci:0000:01:00.0?force=yes",
        "pci:0000:01:00.0?force=1&force=1",
        "pci:0000:01:00.0?transport=doe",
        "http://h",
        "/dev/null",
        "emu://h\n",
        "emu://h\u202e",
        "emu://" + "h" * 5000,
    ],
)
def test_a_url_that_makes_no_sense_is_a_usage_problem(url: str) -> None:
    with pytest.raises(UsageProblem):
        open_transport(url, UNLIMITED)


@given(st.text(max_size=60) | st.text(max_size=40).map("emu://".__add__) | st.text(max_size=40).map("tcp://h".__add__))
def test_any_text_is_a_url_or_a_usage_problem(text: str) -> None:
    with contextlib.suppress(UsageProblem):
        assert isinstance(parse_url(text), EmulatorUrl | TcpUrl | ReplayUrl | PciUrl)


def test_a_recording_is_opened_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"t": 1, "dir": "req", "cmd": 1, "trans": 0, "hex": "10"}\n')
    url = f"replay:{tmp_path}/x.jsonl"
    assert open_transport(url, UNLIMITED).address == url
    with pytest.raises(NotFound):
        open_transport(f"replay:{tmp_path}/absent", UNLIMITED)


@pytest.mark.parametrize(
    ("url", "framing"),
    [("emu://h?transport=mctp", Framing.MCTP), ("tcp://h", Framing.TCP), ("pci:0000:01:00.0", Framing.PCI_DOE)],
)
def test_the_framing_of_a_recording_follows_from_the_url(url: str, framing: Framing) -> None:
    assert framing_of(url) is framing


@pytest.mark.system
@pytest.mark.parametrize(
    ("url", "frame"),
    [
        ("emu://127.0.0.1:{}?transport=mctp&end=close", "0000000100000001000000050510840000"),
        ("tcp://127.0.0.1:{}", "0600010510840000"),
    ],
)
def test_what_is_opened_speaks_as_the_url_says(url: str, frame: str) -> None:
    seen: list[str] = []

    def look(connection: socket.socket) -> None:
        seen.append(read(connection, len(frame) // 2).hex())

    with peer(look) as port, contextlib.closing(open_transport(url.format(port), Deadline.after(5))) as transport:
        with pytest.raises(TransportClosed):
            transport.exchange(bytes.fromhex("10840000"), Deadline.after(5))
        assert transport.address == url.format(port)
    assert seen == [frame]


@pytest.mark.system
def test_a_device_that_is_not_there_is_named() -> None:
    url = f"tcp://127.0.0.1:{no_port()}"
    with pytest.raises(TransportClosed) as caught:
        open_transport(url, Deadline.after(5))
    assert caught.value.object == url
