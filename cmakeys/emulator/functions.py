"""Whom a vendor-defined message is for, behind SPDM: key management of IDE, TDISP, or their counterparts of CXL."""

from __future__ import annotations

from collections.abc import Callable

from cmakeys.emulator import cxl, ide
from cmakeys.emulator.interface import Interfaces
from cmakeys.spdm.messages.vendor_defined import Vendor
from cmakeys.spdm.pci_sig import Protocol


class Functions:
    """What one session has made of a device's keys and interfaces; `random(n)` gives n bytes."""

    def __init__(self, registers: tuple[int, ...], random: Callable[[int], bytes]) -> None:
        self.pcie = ide.IdePort(ide.PCIE, registers)
        self.interfaces = Interfaces(random)
        self.cxl = ide.IdePort(ide.CXL, registers)
        self.target = cxl.Target()

    def answer(self, vendor: Vendor, payload: bytes) -> bytes:
        """The payload that answers one. Raises `WireError`, which is answered by an ERROR of SPDM."""
        of_cxl = vendor == cxl.CXL_CONSORTIUM
        if payload[:1] == bytes((Protocol.IDE_KM,)):
            return (self.cxl if of_cxl else self.pcie).answer(payload)
        return self.target.answer(payload) if of_cxl else self.interfaces.answer(payload)
