"""How a device is named on the command line and in the register: a URL, read only as far as identity needs.

What comes after the scheme is the transport's business; here stands only what every part of cmakeys must agree on:
which kinds exist, one spelling for each device, and the address of a PCI function.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Self

from cmakeys.errors import UsageProblem

_FUNCTION = re.compile(
    r"(?:(?P<domain>[0-9a-f]{4,8}):)?(?P<bus>[0-9a-f]{2}):(?P<slot>[01][0-9a-f])\.(?P<function>[0-7])",
    re.ASCII | re.IGNORECASE,
)


class AddressKind(Enum):
    """The scheme of a device's URL."""

    EMULATOR = "emu"
    TCP = "tcp"
    MCTP = "mctp"
    NVME = "nvme"
    PCI = "pci"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True, order=True)
class PciFunction:
    """Domain, bus, slot and function of a PCI function, as in `0000:01:00.0`."""

    domain: int
    bus: int
    slot: int
    function: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `DDDD:BB:SS.F`; without a domain it is domain 0."""
        match = _FUNCTION.fullmatch(text)
        if match is None:
            raise UsageProblem("a PCI function is written DDDD:BB:SS.F", object=text, hint="such as 0000:01:00.0")
        domain, bus, slot, function = (int(part or "0", 16) for part in match.groups())
        return cls(domain, bus, slot, function)

    @property
    def routing_id(self) -> int:
        """Bus, slot and function in the 16 bits that PCIe itself uses."""
        return self.bus << 8 | self.slot << 3 | self.function

    def __str__(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:{self.slot:02x}.{self.function}"


@dataclass(frozen=True, slots=True)
class DeviceAddress:
    """Where a device is reached; `text` is its one spelling, `pci` its function if it is one of this machine.

    What a PCI function's address says behind `?` is for one run and no part of which device it is; `place` lacks it.
    """

    kind: AddressKind
    text: str
    pci: PciFunction | None = None

    @property
    def place(self) -> str:
        """The address by which the register knows the device."""
        return f"{self.kind.value}:{self.pci}" if self.pci else self.text

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL, or a bare PCI function as `lspci` prints it."""
        if _FUNCTION.fullmatch(text.partition("?")[0]):
            text = f"pci:{text}"
        scheme, separator, rest = text.partition(":")
        try:
            kind = AddressKind(scheme.lower())
        except ValueError:
            kind = None
        if kind is None or not separator or not rest or not text.isprintable():
            raise UsageProblem(
                "this is no device's address",
                object=text[:64],
                hint="write pci:0000:01:00.0, mctp:9, nvme:/dev/nvme0, tcp://HOST:4194, emu://127.0.0.1 or replay:FILE",
            )
        if kind is AddressKind.PCI:
            name, _, options = rest.partition("?")
            function = PciFunction.parse(name)
            return cls(kind, f"pci:{function}{'?' if options else ''}{options}", function)
        return cls(kind, f"{kind.value}:{rest}")

    def __str__(self) -> str:
        return self.text
