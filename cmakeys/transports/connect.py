"""From a device's URL to an open transport.

==================================================== ========================================================
URL                                                  way
==================================================== ========================================================
`emu://HOST[:2323][?transport=doe|mctp|tcp|none]`    an emulator's socket; DOE unless told otherwise
`…&hello=yes|no`                                     exchange the emulator's hello first (no)
`…&end=continue|shutdown|close`                      how to leave it (continue, which keeps DMTF's alive)
`tcp://HOST[:4194]`                                  SPDM over TCP, DSP0287
`…?listen=yes`                                       with tcp, and emu of transport tcp: wait there for the device
`mctp:[NETWORK,]EID`                                 an endpoint of the kernel's MCTP stack
`nvme:/dev/nvme0`                                    an NVMe controller's security commands, DSP0286
`replay:FILE`                                        the answers of a recording
`pci:DDDD:BB:SS.F[?force=1]`                         the DOE mailbox of a function of this machine
==================================================== ========================================================

No connection is ever made to a host that the URL does not name. A URL that makes no sense is a `UsageProblem`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl, urlsplit

from cmakeys.errors import UsageProblem
from cmakeys.spdm.secured import Binding
from cmakeys.transports import emulator_socket, tcp
from cmakeys.transports.base import Deadline, Transport
from cmakeys.transports.doe_transport import THIS_MACHINE, DoeTransport, PciHost
from cmakeys.transports.emulator_socket import EmulatorSocket, End
from cmakeys.transports.framing import Framing
from cmakeys.transports.mctp import FIRST_EID, LAST_EID, Endpoint, MctpTransport
from cmakeys.transports.nvme import NvmeTransport
from cmakeys.transports.recording import Recording
from cmakeys.transports.replay import ReplayTransport
from cmakeys.transports.tcp import TcpTransport

Choice = TypeVar("Choice")

EXAMPLES = "write pci:0000:01:00.0, mctp:9, nvme:/dev/nvme0, tcp://HOST:4194, emu://127.0.0.1:2323 or replay:FILE"
URL_MAXIMUM = 4096

_TRANSPORTS = {"none": Framing.NONE, "mctp": Framing.MCTP, "doe": Framing.PCI_DOE, "tcp": Framing.TCP}
_YES_OR_NO = {"yes": True, "no": False}
_ONE_OR_ZERO = {"1": True, "0": False}
_ENDS = {end.value: end for end in End}
_MCTP = re.compile(r"(?:([0-9]{1,10}),)?([0-9]{1,3})", re.ASCII)
_PCI = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EmulatorUrl:
    """`emu://…`, taken apart."""

    host: str
    port: int = emulator_socket.DEFAULT_PORT
    framing: Framing = Framing.PCI_DOE
    hello: bool = False
    end: End = End.CONTINUE
    listen: bool = False


@dataclass(frozen=True, slots=True)
class TcpUrl:
    """`tcp://…`, taken apart."""

    host: str
    port: int = tcp.DEFAULT_PORT
    listen: bool = False


@dataclass(frozen=True, slots=True)
class MctpUrl:
    """`mctp:…`, taken apart."""

    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class NvmeUrl:
    """`nvme:…`; the character device of a controller."""

    path: str


@dataclass(frozen=True, slots=True)
class ReplayUrl:
    """`replay:…`, taken apart."""

    path: Path


@dataclass(frozen=True, slots=True)
class PciUrl:
    """`pci:…`; the function's name as the kernel writes it, and whether it is asked although another one uses it."""

    function: str
    force: bool = False


DeviceUrl = EmulatorUrl | TcpUrl | MctpUrl | NvmeUrl | ReplayUrl | PciUrl


def parse_url(url: str) -> DeviceUrl:
    """Take a device's URL apart."""
    if len(url) > URL_MAXIMUM or not url.isprintable():
        raise UsageProblem("a device's URL has at most 4096 printable characters", object=url[:64], hint=EXAMPLES)
    scheme, _, rest = url.partition(":")
    match scheme.lower():
        case "emu":
            return _emulator(url)
        case "tcp":
            return _tcp(url)
        case "mctp":
            return _mctp(url)
        case "nvme":
            return _nvme(url)
        case "replay" if rest:
            return ReplayUrl(Path(rest))
        case "pci":
            return _pci(url)
    raise UsageProblem("this is no device's URL", object=url, hint=EXAMPLES)


def open_transport(url: str, deadline: Deadline, *, pci: PciHost = THIS_MACHINE) -> Transport:
    """Connect to the device that `url` names; the caller closes the transport. `pci` is whose functions are meant.

    Raises a `Temporary` problem for a device that is not reached; for a PCI function also `NotFound`, `NotPermitted`,
    `Locked`, `Refused` and `Unsupported`.
    """
    target = parse_url(url)
    match target:
        case EmulatorUrl(host, port, framing, _, end, True):
            return EmulatorSocket.accept(host, port, url, deadline, framing=framing, end=end)
        case EmulatorUrl(host, port, framing, hello, end):
            return EmulatorSocket.connect(host, port, url, deadline, framing=framing, hello=hello, end=end)
        case TcpUrl(host, port, listen):
            return (TcpTransport.accept if listen else TcpTransport.connect)(host, port, url, deadline)
        case MctpUrl(endpoint):
            return MctpTransport.open(endpoint, url)
        case NvmeUrl(path):
            return NvmeTransport.open(path, url, deadline)
        case ReplayUrl(path):
            return ReplayTransport(Recording.read(path), url)
        case PciUrl(function, force):
            return DoeTransport.open(function, url, deadline, force=force, host=pci)


def framing_of(url: str) -> Framing:
    """The framing in which a conversation over this URL is recorded."""
    target = parse_url(url)
    match target:
        case EmulatorUrl():
            return target.framing
        case TcpUrl():
            return Framing.TCP
        case MctpUrl():
            return Framing.MCTP
        case NvmeUrl():
            return Framing.STORAGE
        case _:
            return Framing.PCI_DOE


_BINDINGS = {
    Framing.MCTP: Binding.MCTP,
    Framing.PCI_DOE: Binding.PCI_DOE,
    Framing.TCP: Binding.TCP,
    Framing.STORAGE: Binding.STORAGE,
}


def binding_of(framing: Framing) -> Binding | None:
    """The form of records in this framing; None where it can carry none."""
    return _BINDINGS.get(framing)


def _split(url: str) -> SplitResult:
    """Scheme, host, port and query, and nothing else in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageProblem(f"this URL cannot be read: {error}", object=url, hint=EXAMPLES) from None
    if not parts.hostname or port == 0:
        raise UsageProblem("a host is missing, or the port is 0", object=url, hint=EXAMPLES)
    if parts.path not in ("", "/") or parts.fragment or "@" in parts.netloc:
        raise UsageProblem("only host, port and options have a place here", object=url, hint=EXAMPLES)
    return parts


def _emulator(url: str) -> EmulatorUrl:
    parts = _split(url)
    options = _options(parts.query, url, {"transport": "doe", "hello": "no", "end": "continue", "listen": "no"})
    target = EmulatorUrl(
        parts.hostname or "",
        parts.port or emulator_socket.DEFAULT_PORT,
        _choice("transport", options["transport"], _TRANSPORTS, url),
        _choice("hello", options["hello"], _YES_OR_NO, url),
        _choice("end", options["end"], _ENDS, url),
        _choice("listen", options["listen"], _YES_OR_NO, url),
    )
    if target.listen and (target.framing is not Framing.TCP or target.hello):
        raise UsageProblem("only a device of transport=tcp connects to us, and without hello", object=url)
    return target


def _tcp(url: str) -> TcpUrl:
    parts = _split(url)
    options = _options(parts.query, url, {"listen": "no"})
    listen = _choice("listen", options["listen"], _YES_OR_NO, url)
    return TcpUrl(parts.hostname or "", parts.port or tcp.DEFAULT_PORT, listen)


def _mctp(url: str) -> MctpUrl:
    found = _MCTP.fullmatch(url.partition(":")[2])
    network, eid = (int(found[1] or 0), int(found[2])) if found else (0, 0)
    if not FIRST_EID <= eid <= LAST_EID or network >= 1 << 32:
        raise UsageProblem(
            f"an MCTP endpoint is written EID or NETWORK,EID, with an EID of {FIRST_EID} to {LAST_EID}",
            object=url,
            hint="such as mctp:9 or mctp:1,9",
        )
    return MctpUrl(Endpoint(eid, network))


def _nvme(url: str) -> NvmeUrl:
    path = url.partition(":")[2]
    if not path.startswith("/"):
        raise UsageProblem(
            "a controller is written as its device, with its whole path", object=url, hint="nvme:/dev/nvme0"
        )
    return NvmeUrl(path)


def _pci(url: str) -> PciUrl:
    function, _, query = url.partition(":")[2].partition("?")
    if not _PCI.fullmatch(function):
        raise UsageProblem("a PCI function is written DDDD:BB:SS.F", object=url, hint="such as pci:0000:01:00.0")
    options = _options(query, url, {"force": "0"})
    return PciUrl(function.lower(), _choice("force", options["force"], _ONE_OR_ZERO, url))


def _options(query: str, url: str, defaults: Mapping[str, str]) -> dict[str, str]:
    """The options of a URL over their defaults, which are also all that there are."""
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=8)
    except ValueError as error:
        raise UsageProblem(f"the options cannot be read: {error}", object=url) from None
    seen: set[str] = set()
    for name, _ in given:
        if name not in defaults or name in seen:
            raise UsageProblem(
                f"option {name!r} is {'given twice' if name in seen else 'unknown'}",
                object=url,
                hint=f"the options are {', '.join(defaults)}",
            )
        seen.add(name)
    return {**defaults, **dict(given)}


def _choice(name: str, value: str, choices: dict[str, Choice], url: str) -> Choice:
    if value not in choices:
        raise UsageProblem(f"{name}={value} is not known", object=url, hint=f"{name} is {' or '.join(choices)}")
    return choices[value]
